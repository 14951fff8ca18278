// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <Eigen/Core>

#include <ballast/core/types.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/losses/class_weights.hpp>
#include <ballast/losses/margins.hpp>
#include <ballast/losses/shapes.hpp>
#include <ballast/losses/softmax_loss.hpp>

/// The named losses, each a composition of a weighting, a margin and a shape. What they do not offer is
/// composed with softmax_loss in the same way.
namespace ballast {

/// Softmax cross-entropy.
/// @param classes  >= 1
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> cross_entropy_loss(Index classes, SoftmaxLossOptions<Scalar> options = {}) {
  return SoftmaxLoss<Scalar>(classes, {}, {}, {}, std::move(options));
}

/// alpha_y times cross-entropy.
/// @param weights  alpha, e.g. of effective_number_weights
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> class_weighted_loss(VectorX<Scalar> weights,
                                                      SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>(std::move(weights), Margin<Scalar>{}, CrossEntropy{}, std::move(options));
}

/// Cross-entropy of f + tau log pi: the logit-adjusted loss (Menon et al., ICLR 2021, eq. 10).
/// @param tau         finite
/// @param zero_count  what a class without samples means
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> logit_adjusted_loss(const ClassDistribution& classes, Scalar tau = 1,
                                                      const ZeroCount& zero_count = ZeroCount::refuse(),
                                                      SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>({}, prior_margin<Scalar>(classes, tau, zero_count), CrossEntropy{},
                              std::move(options));
}

/// Balanced softmax (Ren et al., NeurIPS 2020): the logit-adjusted loss at tau = 1.
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> balanced_softmax_loss(const ClassDistribution& classes,
                                                        const ZeroCount& zero_count = ZeroCount::refuse(),
                                                        SoftmaxLossOptions<Scalar> options = {}) {
  return logit_adjusted_loss<Scalar>(classes, Scalar(1), zero_count, std::move(options));
}

/// Cross-entropy of f + tau (log pi - log pi^t), for a target prior pi^t.
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> target_prior_loss(const ClassDistribution& classes,
                                                    const Eigen::VectorXd& target_prior, Scalar tau = 1,
                                                    const ZeroCount& zero_count = ZeroCount::refuse(),
                                                    SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>({}, target_prior_margin<Scalar>(classes, target_prior, tau, zero_count),
                              CrossEntropy{}, std::move(options));
}

/// LDAM (Cao et al., NeurIPS 2019), on cosine logits. For deferred re-weighting, give the weights from the
/// epoch on at which they take effect.
/// @param weights  alpha; empty: 1
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> ldam_loss(const ClassDistribution& classes,
                                            Scalar largest_margin = Scalar(0.5), Scalar scale = 30,
                                            VectorX<Scalar> weights = {},
                                            SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>(std::move(weights), ldam_margin<Scalar>(classes, largest_margin, scale),
                              CrossEntropy{}, std::move(options));
}

/// Adaptive margin Delta(y, k) = pi_y^(-1/4), as Menon et al. state it.
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> adaptive_margin_loss(const ClassDistribution& classes,
                                                       SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>({}, adaptive_margin<Scalar>(classes), CrossEntropy{}, std::move(options));
}

/// Equalised loss Delta(y, k) = log pi_k (Tan et al., CVPR 2020); other F through equalized_margin.
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> equalized_loss(const ClassDistribution& classes,
                                                 const ZeroCount& zero_count = ZeroCount::refuse(),
                                                 SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>({}, equalized_margin<Scalar>(classes, zero_count), CrossEntropy{},
                              std::move(options));
}

/// Vector-scaling loss (Kini et al., NeurIPS 2021): (n_k / n_max)^gamma f_k + tau log pi_k.
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar> vector_scaling_loss(const ClassDistribution& classes, Scalar gamma,
                                                      Scalar tau = 1,
                                                      const ZeroCount& zero_count = ZeroCount::refuse(),
                                                      SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>({}, vector_scaling_margin<Scalar>(classes, gamma, tau, zero_count),
                              CrossEntropy{}, std::move(options));
}

/// alpha_y log(1 + sum_{k != y} exp(Delta(y, k) + f_k - f_y)) for any Delta.
/// @param delta    classes x classes, row = label, diagonal 0
/// @param weights  alpha; empty: 1
template <typename Scalar, typename Derived>
[[nodiscard]] SoftmaxLoss<Scalar> pairwise_loss(const Eigen::MatrixBase<Derived>& delta,
                                                VectorX<Scalar> weights = {},
                                                SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>(std::move(weights), pairwise_margin(delta.template cast<Scalar>()),
                              CrossEntropy{}, std::move(options));
}

/// Focal loss (Lin et al., ICCV 2017): -(1 - p_y)^gamma log p_y.
/// @param gamma  >= 0, finite
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar, Focal<Scalar>> focal_loss(Index classes, Scalar gamma = 2,
                                                            SoftmaxLossOptions<Scalar> options = {}) {
  return SoftmaxLoss<Scalar, Focal<Scalar>>(classes, {}, {}, Focal<Scalar>{gamma}, std::move(options));
}

/// Focal loss with class weights outside: alpha_y times the focal loss.
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar, Focal<Scalar>> weighted_focal_loss(
    VectorX<Scalar> weights, Scalar gamma = 2, SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>(std::move(weights), Margin<Scalar>{}, Focal<Scalar>{gamma}, std::move(options));
}

/// Focal loss as published with class weights: see WeightInsideFocal. The published code averages over the
/// samples: Reduction::mean.
template <typename Scalar>
[[nodiscard]] SoftmaxLoss<Scalar, WeightInsideFocal<Scalar>> weight_inside_focal_loss(
    VectorX<Scalar> weights, Scalar gamma = 2, SoftmaxLossOptions<Scalar> options = {}) {
  return softmax_loss<Scalar>(std::move(weights), Margin<Scalar>{}, WeightInsideFocal<Scalar>{gamma},
                              std::move(options));
}

}  // namespace ballast
