// SPDX-License-Identifier: MIT
// What the other losses of the engine cost, relative to plain cross-entropy of the same shape.

#include <memory>
#include <string>
#include <utility>

#include <ballast/losses/presets.hpp>

#include "support/cases.hpp"
#include "support/data.hpp"

namespace {

using ballast::Index;
using ballast::VectorX;
using Logits = ballast::RowMatrixX<float>;

struct Batch {
  Batch(Index samples, Index classes)
      : logits(bench::normal_matrix<Logits>(samples, classes, 1)),
        gradient(Logits::Zero(samples, classes)),
        labels(bench::uniform_labels(samples, classes, 2)) {}

  Logits logits, gradient;
  bench::Labels labels;
};

template <typename Loss>
bench::Implementation step(const std::shared_ptr<Batch>& batch, Loss loss) {
  return {[batch, loss = std::move(loss)] {
    benchmark::DoNotOptimize(loss(batch->logits, batch->labels, batch->gradient));
  }};
}

/// @param make  from a ClassDistribution to a loss
template <typename Make>
void add_loss(const std::string& name, Index samples, Index classes, Make make) {
  bench::add("presets", name + "/float/row/" + std::to_string(samples) + "x" + std::to_string(classes),
             "cross_entropy", [=] {
               const auto batch = std::make_shared<Batch>(samples, classes);
               return bench::Pair{step(batch, make(bench::long_tail(classes))),
                                  step(batch, ballast::cross_entropy_loss<float>(classes))};
             });
}

template <typename Make>
void add_shapes(const std::string& name, const Make& make) {
  for (const auto& [samples, classes] : {std::pair<Index, Index>{8192, 10}, {2048, 100}, {256, 1000}}) {
    add_loss(name, samples, classes, make);
  }
}

VectorX<float> effective_numbers(const ballast::ClassDistribution& classes) {
  return ballast::effective_number_weights<float>(classes, 0.9999);
}

}  // namespace

void bench::register_cases() {
  using ballast::ClassDistribution;
  using Options = ballast::SoftmaxLossOptions<float>;
  add_shapes("class_weighted", [](const ClassDistribution& classes) {
    return ballast::class_weighted_loss<float>(effective_numbers(classes));
  });
  add_shapes("logit_adjusted",
             [](const ClassDistribution& classes) { return ballast::logit_adjusted_loss<float>(classes); });
  add_shapes("ldam", [](const ClassDistribution& classes) {
    return ballast::ldam_loss<float>(classes, 0.5f, 1.0f, effective_numbers(classes));
  });
  add_shapes("adaptive_margin",
             [](const ClassDistribution& classes) { return ballast::adaptive_margin_loss<float>(classes); });
  add_shapes("equalized",
             [](const ClassDistribution& classes) { return ballast::equalized_loss<float>(classes); });
  add_shapes("vector_scaling", [](const ClassDistribution& classes) {
    return ballast::vector_scaling_loss<float>(classes, 0.2f);
  });
  add_shapes("smoothing", [](const ClassDistribution& classes) {
    Options options;
    options.smoothing = 0.1f;
    return ballast::cross_entropy_loss<float>(classes.classes(), options);
  });
  add_shapes("focal_2", [](const ClassDistribution& classes) {
    return ballast::focal_loss<float>(classes.classes(), 2.0f);
  });
  add_shapes("logit_adjusted_focal_2", [](const ClassDistribution& classes) {
    return ballast::softmax_loss<float>(
        effective_numbers(classes), ballast::prior_margin<float>(classes, 1.0f), ballast::Focal<float>{2.0f});
  });
  add_shapes("pairwise", [](const ClassDistribution& classes) {
    Eigen::MatrixXf delta = bench::normal_matrix<Eigen::MatrixXf>(classes.classes(), classes.classes(), 3);
    delta.diagonal().setZero();
    return ballast::pairwise_loss<float>(delta);
  });
}
