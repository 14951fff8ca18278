// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <Eigen/Core>

#include <ballast/classifiers/head_training.hpp>
#include <ballast/classifiers/linear_head.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/losses/presets.hpp>

namespace ballast {

/// Classifier re-training, cRT (Kang et al., ICLR 2020, section 4.2): forgets the head and trains a new one
/// of the same shape on the features as they are, by default class-balanced. The new head starts uniform in
/// +-1 / sqrt(dimensions) from `options.seed`.
///
/// The same seed gives the same draws everywhere. O(epochs samples classes dimensions); copies no more than a
/// batch of features, and allocates nothing from the second step on.
/// @param features  samples x dimensions, finite; at least one
/// @param labels    one per sample, integral, in [0, head.classes())
/// @param head      gives the shape, and whether there is a bias
/// @param options   see TrainingOptions
/// @param loss      any callable `Scalar loss(logits, labels, gradient)`: value and gradient of a batch mean,
///                  matrices row-major, labels integral
/// @throws std::invalid_argument on a wrong shape, label, feature or option
template <typename Scalar, typename Features, typename Labels, typename Loss>
[[nodiscard]] LinearHead<Scalar> retrain_head(const Eigen::MatrixBase<Features>& features,
                                              const Eigen::DenseBase<Labels>& labels,
                                              const LinearHead<Scalar>& head, const TrainingOptions& options,
                                              const Loss& loss) {
  constexpr const char* function = "retrain_head";
  const Index classes = head.classes(), dimensions = head.dimensions();
  detail::require_training(function, options);
  detail::require_training_data(function, features, labels, dimensions, classes);

  auto trained = LinearHead<Scalar>::uniform(classes, dimensions, options.seed, head.has_bias());
  auto gradient = LinearHead<Scalar>::zeros(classes, dimensions, head.has_bias());
  const Index width = std::min(options.batch, features.rows());
  RowMatrixX<Scalar> logits(width, classes), logit_gradient(width, classes);
  detail::train_on_features<Scalar>(
      features, labels, classes, options, trained.parameters(),
      [&](const auto& batch, const auto& batch_labels, VectorX<Scalar>& parameter_gradient) {
        const Index size = batch.rows();
        trained.forward(batch, logits.topRows(size));
        const Scalar value = loss(logits.topRows(size), batch_labels, logit_gradient.topRows(size));
        trained.backward(batch, logit_gradient.topRows(size), gradient.weights(), gradient.bias());
        parameter_gradient = gradient.parameters();
        return value;
      });
  return trained;
}

/// The same with the softmax cross-entropy.
template <typename Scalar, typename Features, typename Labels>
[[nodiscard]] LinearHead<Scalar> retrain_head(const Eigen::MatrixBase<Features>& features,
                                              const Eigen::DenseBase<Labels>& labels,
                                              const LinearHead<Scalar>& head,
                                              const TrainingOptions& options = {}) {
  return retrain_head(features, labels, head, options, cross_entropy_loss<Scalar>(head.classes()));
}

}  // namespace ballast
