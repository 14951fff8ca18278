// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>
#include <ballast/losses/reduction.hpp>
#include <ballast/losses/regression_batch.hpp>

namespace ballast {

/// Balanced MSE by batch Monte-Carlo (Ren et al., "Balanced MSE for Imbalanced Visual Regression", CVPR 2022,
/// eq. 3.9): the batch's own targets stand for the label distribution, as the classes of a cross-entropy.
///
///     d_ij = |prediction_i - target_j|^2,   pi_ij = softmax_j(-d_ij / (2 sigma^2))
///     L_i  = -log pi_ii * [2 sigma^2]           [.] held constant: not differentiated in sigma
///     dL_i / d prediction_i = 2 (sum_j pi_ij target_j - target_i)
///     dL_i / d sigma        = 2 (sum_j pi_ij d_ij - d_ii) / sigma
///
/// reduced over the samples as in RegressionLoss. The noise sigma is learnable: `with_noise_gradient` also
/// returns the derivative in it; a step of the trainer's optimiser makes a new object from the new sigma.
///
/// Immutable; concurrent use is safe. O(N^2 * targets) for N samples, no N x N matrix, no allocation; with
/// OpenMP on, large batches are split over threads, to the same bits for any number of them.
///
/// @tparam Scalar  float or double
template <typename Scalar_>
class BalancedMse {
 public:
  using Scalar = Scalar_;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: BalancedMse: Scalar is float or double");

  /// Targets per sample, at most.
  static constexpr Index most_targets = 256;

  struct Value {
    Scalar value;
    Scalar noise_gradient;  ///< d value / d sigma, the factor 2 sigma^2 held constant
  };

  /// @param noise      sigma, the deviation of the label noise, in label units; > 0, 1 / (2 sigma^2) finite
  ///                   and > 0 in Scalar
  /// @param reduction  as for RegressionLoss
  explicit BalancedMse(Scalar noise, Reduction reduction = Reduction::mean)
      : noise_(noise), precision_(1 / (2 * noise * noise)), reduction_(reduction) {
    detail::require(noise > 0 && precision_ > 0 && std::isfinite(precision_), name, "noise is ", noise,
                    ", expected > 0, with a square that is neither 0 nor infinite");
  }

  [[nodiscard]] Scalar noise() const noexcept { return noise_; }
  [[nodiscard]] Reduction reduction() const noexcept { return reduction_; }

  /// Value and gradient.
  /// @param predictions  samples x targets (or a column vector), stored, of either order; at most
  ///                     `most_targets` columns; NaN in a row makes that sample's loss NaN
  /// @param targets      of that shape, finite, in any order
  /// @param gradient     out: of that shape, d value / d predictions; may be the predictions themselves
  /// @throws std::invalid_argument on a wrong shape or naming the first target that is not finite; nothing is
  ///         then written
  template <typename Predictions, typename Targets, typename Gradient>
  Scalar operator()(const Eigen::DenseBase<Predictions>& predictions,
                    const Eigen::DenseBase<Targets>& targets, Gradient&& gradient) const {
    return with_noise_gradient(predictions, targets, gradient).value;
  }

  /// The same with a weight per sample.
  /// @param weights  w, one per sample, of any floating type, finite and >= 0
  template <typename Predictions, typename Targets, typename Weights, typename Gradient>
  Scalar operator()(const Eigen::DenseBase<Predictions>& predictions,
                    const Eigen::DenseBase<Targets>& targets, const Eigen::DenseBase<Weights>& weights,
                    Gradient&& gradient) const {
    return with_noise_gradient(predictions, targets, weights, gradient).value;
  }

  /// The value alone.
  template <typename Predictions, typename Targets>
  [[nodiscard]] Scalar operator()(const Eigen::DenseBase<Predictions>& predictions,
                                  const Eigen::DenseBase<Targets>& targets) const {
    return reduced(predictions, targets, detail::NoWeights{}, detail::NoGradient{}).value;
  }

  /// Value, gradient in the predictions, and gradient in the noise.
  template <typename Predictions, typename Targets, typename Gradient>
  Value with_noise_gradient(const Eigen::DenseBase<Predictions>& predictions,
                            const Eigen::DenseBase<Targets>& targets, Gradient&& gradient) const {
    return reduced(predictions, targets, detail::NoWeights{}, gradient);
  }

  template <typename Predictions, typename Targets, typename Weights, typename Gradient>
  Value with_noise_gradient(const Eigen::DenseBase<Predictions>& predictions,
                            const Eigen::DenseBase<Targets>& targets,
                            const Eigen::DenseBase<Weights>& weights, Gradient&& gradient) const {
    return reduced(predictions, targets, weights.derived(), gradient);
  }

 private:
  static constexpr const char* name = "BalancedMse";
  /// Targets j whose exp are taken together, on the stack.
  static constexpr Index block = 64;

  /// Running sums over j of e_ij = exp(-(d_ij - d_least) / (2 sigma^2)): relative to the least distance so
  /// far, and rescaled when that falls, so that one pass is enough.
  struct Row {
    double least = std::numeric_limits<double>::infinity();
    double mass = 0;                          // sum_j e_ij
    double spread = 0;                        // sum_j e_ij d_ij
    std::array<double, most_targets> moment;  // sum_j e_ij (target_j - target_i)

    void rescale(double factor, Index columns) {
      mass *= factor;
      spread *= factor;
      for (Index d = 0; d < columns; ++d) moment[static_cast<std::size_t>(d)] *= factor;
    }
  };

  static void squared_distances(const detail::RegressionBatch<Scalar>& batch, Index i, Index first,
                                Index count, Scalar* distances) {
    std::fill(distances, distances + count, Scalar(0));
    for (Index d = 0; d < batch.columns; ++d) {
      const Scalar prediction = batch.predictions(i, d);
      for (Index j = 0; j < count; ++j) {
        const Scalar error = prediction - batch.targets(first + j, d);
        distances[j] += error * error;
      }
    }
  }

  void add_block(const detail::RegressionBatch<Scalar>& batch, Index i, Index first, Index count,
                 Row& row) const {
    using Values = Eigen::Array<Scalar, Eigen::Dynamic, 1, 0, block, 1>;
    Values distances(count);
    squared_distances(batch, i, first, count, distances.data());
    const double least = static_cast<double>(distances.minCoeff());
    if (least < row.least) {
      if (row.mass > 0) {
        row.rescale(std::exp((least - row.least) * static_cast<double>(precision_)), batch.columns);
      }
      row.least = least;
    }
    const Values weights = ((static_cast<Scalar>(row.least) - distances) * precision_).exp();
    for (Index j = 0; j < count; ++j) {
      const double weight = static_cast<double>(weights[j]);
      row.mass += weight;
      row.spread += weight * static_cast<double>(distances[j]);
    }
    if (batch.gradient.data == nullptr) return;
    for (Index d = 0; d < batch.columns; ++d) {
      const Scalar own = batch.targets(i, d);
      double sum = 0;
      for (Index j = 0; j < count; ++j) {
        sum += static_cast<double>(weights[j]) * static_cast<double>(batch.targets(first + j, d) - own);
      }
      row.moment[static_cast<std::size_t>(d)] += sum;
    }
  }

  /// factor * (L_i, dL_i / d sigma), and the row of the gradient.
  std::array<double, 2> sample_loss(const detail::RegressionBatch<Scalar>& batch, Index i,
                                    double factor) const {
    Row row;
    std::fill_n(row.moment.begin(), batch.columns, 0.0);
    for (Index first = 0; first < batch.samples; first += block) {
      add_block(batch, i, first, std::min(block, batch.samples - first), row);
    }
    Scalar own;
    squared_distances(batch, i, i, 1, &own);
    if (batch.gradient.data != nullptr) {
      for (Index d = 0; d < batch.columns; ++d) {
        batch.gradient(i, d) =
            static_cast<Scalar>(2 * factor * row.moment[static_cast<std::size_t>(d)] / row.mass);
      }
    }
    const double distance = static_cast<double>(own);
    const double loss = distance - row.least + std::log(row.mass) / static_cast<double>(precision_);
    const double slope = 2 * (row.spread / row.mass - distance) / static_cast<double>(noise_);
    return {factor * loss, factor * slope};
  }

  template <typename Predictions, typename Targets, typename Weights, typename Gradient>
  Value reduced(const Eigen::DenseBase<Predictions>& predictions, const Eigen::DenseBase<Targets>& targets,
                const Weights& weights, Gradient&& gradient) const {
    detail::require(predictions.cols() <= most_targets, name, "predictions has ", predictions.cols(),
                    " columns, expected at most ", most_targets);
    const auto batch = detail::regression_batch<Scalar>(name, predictions, targets, gradient);
    const double factor = detail::reduction_factor(name, reduction_, batch.samples, weights);
    constexpr Index most_parts = 16;
    const detail::Blocks parts(batch.samples, most_parts);
    std::array<std::array<double, 2>, most_parts> sums{};
    detail::parallel_for(parts.count(), batch.samples * batch.samples * batch.columns, [&](Index part) {
      auto& [loss, slope] = sums[static_cast<std::size_t>(part)];
      for (Index i = parts.begin(part); i < parts.end(part); ++i) {
        const auto [value, noise] = sample_loss(batch, i, factor * detail::weight_of(weights, i));
        loss += value;
        slope += noise;
      }
    });
    double loss = 0, slope = 0;
    for (const auto& [value, noise] : sums) {
      loss += value;
      slope += noise;
    }
    return {static_cast<Scalar>(loss), static_cast<Scalar>(slope)};
  }

  Scalar noise_;
  Scalar precision_;
  Reduction reduction_;
};

}  // namespace ballast
