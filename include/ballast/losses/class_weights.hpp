// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/class_distribution.hpp>

namespace ballast {

/// How class weights alpha are scaled as a whole.
enum class WeightNormalization {
  none,            ///< as the formula gives them
  sum_to_classes,  ///< sum_j alpha_j = C, as the published class-balanced loss does
  mean_one         ///< mean over the training samples is one: sum_j n_j alpha_j = N
};

namespace detail {

/// alpha_j = 1 / size_j, scaled. Every class has samples, so that every size is positive.
template <typename Scalar>
VectorX<Scalar> reciprocal_weights(const Eigen::VectorXd& sizes, const ClassDistribution& classes,
                                   WeightNormalization normalization) {
  Eigen::VectorXd weights = sizes.cwiseInverse();
  if (normalization == WeightNormalization::sum_to_classes) {
    weights *= static_cast<double>(classes.classes()) / weights.sum();
  } else if (normalization == WeightNormalization::mean_one) {
    weights *= static_cast<double>(classes.samples()) / classes.counts().cast<double>().dot(weights);
  }
  return weights.cast<Scalar>();
}

}  // namespace detail

/// alpha_j = 1 / n_j.
/// @throws std::invalid_argument naming the first class without samples
template <typename Scalar>
[[nodiscard]] VectorX<Scalar> inverse_frequency_weights(
    const ClassDistribution& classes, WeightNormalization normalization = WeightNormalization::mean_one) {
  classes.require_every_class("inverse_frequency_weights");
  return detail::reciprocal_weights<Scalar>(classes.counts().cast<double>(), classes, normalization);
}

/// alpha_j = 1 / sqrt(n_j).
/// @throws std::invalid_argument naming the first class without samples
template <typename Scalar>
[[nodiscard]] VectorX<Scalar> inverse_square_root_weights(
    const ClassDistribution& classes, WeightNormalization normalization = WeightNormalization::mean_one) {
  classes.require_every_class("inverse_square_root_weights");
  return detail::reciprocal_weights<Scalar>(classes.counts().cast<double>().cwiseSqrt(), classes,
                                            normalization);
}

/// alpha_j = (1 - beta) / (1 - beta^n_j) = 1 / E_j, the effective number of samples (Cui et al., CVPR 2019,
/// eq. 3). beta = 0 weighs every class alike, beta = 1 is 1 / n_j.
/// @param beta  in [0, 1]; published: 0.9, 0.99, 0.999, 0.9999
/// @throws std::invalid_argument naming the first class without samples, or beta
template <typename Scalar>
[[nodiscard]] VectorX<Scalar> effective_number_weights(
    const ClassDistribution& classes, double beta,
    WeightNormalization normalization = WeightNormalization::sum_to_classes) {
  detail::require_between("effective_number_weights", "beta", beta, 0.0, 1.0);
  classes.require_every_class("effective_number_weights");
  return detail::reciprocal_weights<Scalar>(classes.effective_numbers(beta), classes, normalization);
}

}  // namespace ballast
