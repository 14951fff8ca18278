// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

namespace ballast::detail {

struct NewtonResult {
  Index iterations;
  double value;
  double gradient_norm;
  bool converged;
};

/// Solves H d = -gradient for a positive semidefinite H by conjugate gradients, preconditioned by its
/// diagonal, until the residual is `forcing` of the gradient or H has no curvature left along the direction.
template <typename Objective>
Eigen::VectorXd newton_direction(const Objective& objective, const Eigen::VectorXd& gradient,
                                 const Eigen::VectorXd& diagonal, double forcing) {
  // Where the function is straight the second term bounds the step, which backtracking then shortens.
  const double floor =
      std::max({diagonal.maxCoeff() * 1e-12, gradient.norm() * 1e-6, std::numeric_limits<double>::min()});
  const Eigen::VectorXd inverse = diagonal.cwiseMax(floor).cwiseInverse();
  Eigen::VectorXd step = Eigen::VectorXd::Zero(gradient.size());
  Eigen::VectorXd residual = -gradient;
  Eigen::VectorXd scaled = inverse.cwiseProduct(residual);
  Eigen::VectorXd direction = scaled;
  Eigen::VectorXd curved(gradient.size());
  double product = residual.dot(scaled);
  const double target = forcing * gradient.norm();
  for (Index i = 0; i < 4 * gradient.size() + 20 && residual.norm() > target; ++i) {
    objective.hessian_product(direction, curved);
    const double curvature = direction.dot(curved);
    if (!(curvature > 1e-14 * direction.cwiseAbs2().dot(diagonal))) break;
    const double length = product / curvature;
    step += length * direction;
    residual -= length * curved;
    scaled = inverse.cwiseProduct(residual);
    const double next = residual.dot(scaled);
    direction = scaled + (next / product) * direction;
    product = next;
  }
  if (step.isZero(0.0)) step = -inverse.cwiseProduct(gradient);
  return step;
}

/// Minimises a convex function by Newton's method with inexact steps (Nocedal and Wright, section 7.1) and
/// backtracking, from `x` and in place.
///
/// Objective: `double operator()(x, gradient, diagonal)` gives value, gradient and diagonal of the Hessian at
/// x; `hessian_product(v, result) const` is at the last such x. Not in a training step: allocates.
template <typename Objective>
NewtonResult minimize_newton(Objective& objective, Eigen::VectorXd& x, double gradient_tolerance,
                             Index max_iterations) {
  Eigen::VectorXd gradient(x.size()), diagonal(x.size());
  double value = objective(x, gradient, diagonal);
  NewtonResult result{0, value, gradient.norm(), false};
  Eigen::VectorXd trial, trial_gradient(x.size()), trial_diagonal(x.size());
  while (!(result.converged = result.gradient_norm <= gradient_tolerance) &&
         result.iterations < max_iterations) {
    const double forcing = std::min(0.1, std::sqrt(result.gradient_norm));
    const Eigen::VectorXd step = newton_direction(objective, gradient, diagonal, forcing);
    const double slope = gradient.dot(step);
    double length = 1.0;
    bool accepted = false;
    for (Index halving = 0; halving < 80 && !accepted; ++halving, length *= 0.5) {
      trial = x + length * step;
      const double trial_value = objective(trial, trial_gradient, trial_diagonal);
      // Next to the minimum values differ by rounding only: there a smaller gradient decides.
      const double rounding = 16 * std::numeric_limits<double>::epsilon() * std::abs(value);
      accepted = trial_value <= value + 1e-4 * length * slope ||
                 (trial_value <= value + rounding && trial_gradient.norm() < result.gradient_norm);
      if (accepted) value = trial_value;
    }
    if (!accepted) {
      objective(x, gradient, diagonal);
      break;
    }
    x.swap(trial);
    gradient.swap(trial_gradient);
    diagonal.swap(trial_diagonal);
    ++result.iterations;
    result.value = value;
    result.gradient_norm = gradient.norm();
  }
  return result;
}

}  // namespace ballast::detail
