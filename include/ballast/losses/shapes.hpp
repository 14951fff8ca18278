// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include <ballast/core/check.hpp>

namespace ballast {

/// What a shape is told about a class: l = log p, p and 1 - p, each accurate by itself (1 - p near p = 1 and
/// l near 0 are not differences of rounded numbers).
template <typename Scalar>
struct Likelihood {
  Scalar log_p;
  Scalar p;
  Scalar miss;
};

/// Value of a weighted shape and its derivative with respect to l = log p.
template <typename Scalar>
struct ShapeValue {
  Scalar value;
  Scalar slope;
};

// A shape phi maps the log-probability of the target to a loss. It is a small struct with
//
//     template <typename Scalar>
//     ShapeValue<Scalar> operator()(const Likelihood<Scalar>& likelihood, Scalar weight) const;
//
// which returns weight * phi(l) and weight * phi'(l) for a class weight alpha = weight > 0. A shape of one's
// own needs nothing else (plus, if it has parameters, a `void check() const` that throws). log_p may be -inf
// (p = 0): the value is then the limit.

/// phi(l) = -l: cross-entropy.
struct CrossEntropy {
  template <typename Scalar>
  ShapeValue<Scalar> operator()(const Likelihood<Scalar>& likelihood, Scalar weight) const {
    return {-weight * likelihood.log_p, -weight};
  }
};

namespace detail {

/// x^exponent for x >= 0; small whole exponents by multiplication.
template <typename Scalar>
Scalar nonnegative_power(Scalar x, Scalar exponent) {
  if (exponent == Scalar(0.5)) return std::sqrt(x);
  if (exponent != std::floor(exponent) || exponent > Scalar(16)) return std::pow(x, exponent);
  Scalar result = 1;
  for (int n = static_cast<int>(exponent); n > 0; n /= 2, x *= x) {
    if (n % 2 == 1) result *= x;
  }
  return result;
}

/// -(1 - p)^gamma l and its derivative -(1 - p)^gamma (1 - gamma p l / (1 - p)), in which no term cancels.
/// At p = 1 both are 0 for gamma > 0, also for gamma < 1, where (1 - p)^(gamma - 1) alone is infinite.
template <typename Scalar>
ShapeValue<Scalar> focal_value(const Likelihood<Scalar>& at, Scalar gamma) {
  const Scalar factor = nonnegative_power(at.miss, gamma);
  if (at.miss == 0) return {factor * -at.log_p, -factor};
  if (at.p == 0) return {factor * -at.log_p, -factor};
  return {factor * -at.log_p, -factor * (1 - gamma * at.p * at.log_p / at.miss)};
}

}  // namespace detail

/// phi(l) = -(1 - e^l)^gamma l: focal loss (Lin et al., ICCV 2017, eq. 4), alpha outside of it. gamma = 0 is
/// cross-entropy.
template <typename Scalar>
struct Focal {
  Scalar gamma = 2;  ///< >= 0, finite

  ShapeValue<Scalar> operator()(const Likelihood<Scalar>& likelihood, Scalar weight) const {
    const ShapeValue<Scalar> plain = detail::focal_value(likelihood, gamma);
    return {weight * plain.value, weight * plain.slope};
  }
  void check() const {
    detail::require(gamma >= 0 && std::isfinite(gamma), "Focal", "gamma is ", gamma,
                    ", expected a finite number >= 0");
  }
};

/// Focal loss as published with class weights: the weighted cross-entropy v = -alpha l takes the place of -l,
/// also inside the probability, (1 - e^-v)^gamma v. A known slip of that code, kept under its own name so
/// that its figures can be reproduced; Focal has the formula of the paper. Equal where alpha = 1.
template <typename Scalar>
struct WeightInsideFocal {
  Scalar gamma = 2;  ///< >= 0, finite

  ShapeValue<Scalar> operator()(const Likelihood<Scalar>& likelihood, Scalar weight) const {
    const Scalar log_p = weight * likelihood.log_p;
    const ShapeValue<Scalar> inside =
        detail::focal_value(Likelihood<Scalar>{log_p, std::exp(log_p), -std::expm1(log_p)}, gamma);
    return {inside.value, weight * inside.slope};
  }
  void check() const {
    detail::require(gamma >= 0 && std::isfinite(gamma), "WeightInsideFocal", "gamma is ", gamma,
                    ", expected a finite number >= 0");
  }
};

}  // namespace ballast
