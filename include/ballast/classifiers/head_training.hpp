// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/sampling/class_sampler.hpp>

namespace ballast {

/// An epoch of training on frozen features, just finished.
struct TrainingProgress {
  Index epoch;  ///< 0 .. epochs - 1
  Index epochs;
  double loss;  ///< mean over the epoch's draws; not finite once a learning rate is too large
};

/// How what is learnt on frozen features is trained: SGD with momentum, half a cosine from the learning rate
/// down to 0 over all steps,
///
///     v <- momentum v + (g + weight_decay p),   p <- p - lr_t v,   lr_t = lr (1 + cos(pi t / T)) / 2
///
/// on batches drawn by PowerLawSampler, as many draws per epoch as there are samples. The defaults are those
/// of classifier re-training (Kang et al., ICLR 2020).
struct TrainingOptions {
  Index epochs = 10;           ///< >= 1
  Index batch = 64;            ///< samples per step, >= 1; the last step of an epoch has what is left
  double learning_rate = 0.1;  ///< > 0
  double momentum = 0.9;       ///< in [0, 1)
  double weight_decay = 5e-4;  ///< >= 0, on every parameter
  double q = 0.0;              ///< of the sampler: 0 class-balanced, 1 instance-balanced
  std::uint64_t seed = 0;      ///< of the draws, and of the new head
  std::function<void(const TrainingProgress&)> progress;  ///< called after every epoch, if set
};

namespace detail {

inline void require_training(const char* function, const TrainingOptions& options) {
  const auto positive = [&](const char* argument, Index value) {
    require(value >= 1, function, argument, " is ", value, ", expected at least 1");
  };
  positive("options.epochs", options.epochs);
  positive("options.batch", options.batch);
  require(options.learning_rate > 0 && std::isfinite(options.learning_rate), function,
          "options.learning_rate is ", options.learning_rate, ", expected a finite number > 0");
  require(options.momentum >= 0 && options.momentum < 1, function, "options.momentum is ", options.momentum,
          ", expected [0, 1)");
  require(options.weight_decay >= 0 && std::isfinite(options.weight_decay), function,
          "options.weight_decay is ", options.weight_decay, ", expected a finite number >= 0");
}

/// Features and labels that something is to be learnt from.
template <typename Features, typename Labels>
void require_training_data(const char* function, const Eigen::MatrixBase<Features>& features,
                           const Eigen::DenseBase<Labels>& labels, Index dimensions, Index classes) {
  require(features.rows() >= 1 && features.cols() == dimensions, function, "features is ", features.rows(),
          " x ", features.cols(), ", expected samples x ", dimensions, " (dimensions), at least one sample");
  require_size(function, "labels", labels.size(), features.rows(), "samples");
  require_labels(function, "labels", labels, classes);
  require_finite_rows(function, "features", features);
}

/// Runs the loop over `parameters`. `evaluate(features, labels, gradient)` takes a batch (samples x
/// dimensions, row-major; labels as Index), writes the gradient of the parameters as they stand, and returns
/// the mean loss. Allocates before the first step only.
template <typename Scalar, typename Features, typename Labels, typename Evaluate>
void train_on_features(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels,
                       Index classes, const TrainingOptions& options, Eigen::Map<VectorX<Scalar>> parameters,
                       const Evaluate& evaluate) {
  PowerLawSampler::Options sampling;
  sampling.q = options.q;
  sampling.seed = options.seed;
  const PowerLawSampler sampler(SamplesByClass(labels, classes), sampling);

  const auto all = map(view<Scalar>(features));
  const Index samples = all.rows();
  const Index width = std::min(options.batch, samples);
  IndexVector drawn(width), batch_labels(width);
  RowMatrixX<Scalar> batch(width, all.cols());
  VectorX<Scalar> gradient(parameters.size());
  VectorX<Scalar> velocity = VectorX<Scalar>::Zero(parameters.size());

  const Index steps = (samples + width - 1) / width;
  const double all_steps = static_cast<double>(steps) * static_cast<double>(options.epochs);
  double step = 0;
  for (Index epoch = 0; epoch < options.epochs; ++epoch) {
    double total = 0;
    for (Index begin = 0; begin < samples; begin += width, ++step) {
      const Index size = std::min(width, samples - begin);
      sampler.draw(epoch, begin, drawn.head(size));
      for (Index i = 0; i < size; ++i) {
        batch.row(i) = all.row(drawn[i]);
        batch_labels[i] = label_index(labels.derived().coeff(drawn[i]));
      }
      total += static_cast<double>(size) *
               static_cast<double>(evaluate(batch.topRows(size), batch_labels.head(size), gradient));
      const double rate =
          options.learning_rate * 0.5 * (1 + std::cos(3.14159265358979323846 * step / all_steps));
      velocity = static_cast<Scalar>(options.momentum) * velocity + gradient +
                 static_cast<Scalar>(options.weight_decay) * parameters;
      parameters -= static_cast<Scalar>(rate) * velocity;
    }
    if (options.progress) {
      options.progress(TrainingProgress{epoch, options.epochs, total / static_cast<double>(samples)});
    }
  }
}

}  // namespace detail
}  // namespace ballast
