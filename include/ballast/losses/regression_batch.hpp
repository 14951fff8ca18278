// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/losses/reduction.hpp>

/// What the regression losses share: their arguments, checked and in one form whatever the storage order, and
/// the factor of each sample in the reduced loss.
namespace ballast::detail {

/// A stored matrix by its two steps, so that arguments of different orders meet in one loop.
template <typename Element>
struct Grid {
  Element* data = nullptr;
  Index row_step = 0;
  Index column_step = 0;

  Grid() = default;
  template <int Order>
  explicit Grid(const MatrixView<Element, Order>& view)
      : data(view.data),
        row_step(view.row_major ? view.stride : 1),
        column_step(view.row_major ? 1 : view.stride) {}
  Element& operator()(Index row, Index column) const { return data[row * row_step + column * column_step]; }
};

template <typename Scalar>
struct RegressionBatch {
  Grid<const Scalar> predictions;
  Grid<const Scalar> targets;
  Grid<Scalar> gradient;  ///< no data: not wanted
  Index samples;
  Index columns;
};

struct NoGradient {};
struct NoWeights {};

/// Checks shapes and targets; `gradient` is a matrix or NoGradient.
template <typename Scalar, typename Predictions, typename Targets, typename Gradient>
RegressionBatch<Scalar> regression_batch(const char* function,
                                         const Eigen::DenseBase<Predictions>& predictions,
                                         const Eigen::DenseBase<Targets>& targets, Gradient& gradient) {
  require_shape(function, "targets", targets, predictions.rows(), predictions.cols());
  RegressionBatch<Scalar> batch{Grid<const Scalar>(view<Scalar>(predictions)),
                                Grid<const Scalar>(view<Scalar>(targets)), Grid<Scalar>{}, predictions.rows(),
                                predictions.cols()};
  if constexpr (!std::is_same_v<std::remove_cv_t<Gradient>, NoGradient>) {
    require_shape(function, "gradient", gradient, predictions.rows(), predictions.cols());
    batch.gradient = Grid<Scalar>(mutable_view<Scalar>(gradient));
  }
  for (Index i = 0; i < batch.samples; ++i) {
    for (Index d = 0; d < batch.columns; ++d) {
      require(std::isfinite(batch.targets(i, d)), function, "targets(", i, ", ", d, ") is ",
              batch.targets(i, d), ", expected a finite number");
    }
  }
  return batch;
}

/// What every sample's weighted loss is multiplied by; 0 where there is nothing to average. Checks the
/// weights.
template <typename Weights>
double reduction_factor(const char* function, Reduction reduction, Index samples, const Weights& weights) {
  double total = static_cast<double>(samples);
  if constexpr (!std::is_same_v<Weights, NoWeights>) {
    require_size(function, "weights", weights.size(), samples, "samples");
    double sum = 0;
    for (Index i = 0; i < samples; ++i) {
      const auto weight = weights.coeff(i);
      require(weight >= 0 && std::isfinite(weight), function, "weights[", i, "] is ", weight,
              ", expected a finite number >= 0");
      sum += static_cast<double>(weight);
    }
    if (reduction == Reduction::weighted_mean) total = sum;
  }
  if (reduction == Reduction::sum) return 1.0;
  return total > 0 ? 1 / total : 0.0;
}

template <typename Weights>
double weight_of(const Weights& weights, Index sample) {
  return static_cast<double>(weights.coeff(sample));
}
inline double weight_of(const NoWeights&, Index) {
  return 1.0;
}

}  // namespace ballast::detail
