// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include <ballast/core/types.hpp>

namespace ballast {

/// Which root R of a covariance, Sigma = R R^T. Either gives calibrated features the same covariance; they
/// differ by a rotation.
enum class CovarianceRoot {
  symmetric,  ///< Sigma^{1/2}: the map nearest to no rotation
  cholesky  ///< the lower triangular factor: about a tenth of the cost; depends on the order of the features
};

namespace detail {

/// U f(lambda) U^T.
inline Eigen::MatrixXd spectral(const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>& solver,
                                const Eigen::VectorXd& values) {
  return solver.eigenvectors() * values.asDiagonal() * solver.eigenvectors().transpose();
}

/// target^{1/2} source^{-1/2}. Directions in which the source has no variance (to rounding) are not stretched
/// but passed on, so that no gradient is lost there.
inline Eigen::MatrixXd symmetric_map(const Eigen::MatrixXd& source, const Eigen::MatrixXd& target) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> from(source), to(target);
  const double none = std::numeric_limits<double>::epsilon() * static_cast<double>(source.rows()) *
                      from.eigenvalues().cwiseAbs().maxCoeff();
  const auto present = from.eigenvalues().array() > none;
  const Eigen::VectorXd whiten = present.select(from.eigenvalues().array().max(none).rsqrt(), 0.0);
  Eigen::MatrixXd map = spectral(to, to.eigenvalues().cwiseMax(0.0).cwiseSqrt()) * spectral(from, whiten);
  if (!present.all()) map += spectral(from, present.select(Eigen::ArrayXd::Zero(source.rows()), 1.0));
  return map;
}

/// A with A source A^T = target, by the chosen roots; by the symmetric ones where the source is singular.
/// @param source, target  symmetric, positive semi-definite, of the same size >= 1
inline Eigen::MatrixXd covariance_map(const Eigen::MatrixXd& source, const Eigen::MatrixXd& target,
                                      CovarianceRoot root) {
  if (root == CovarianceRoot::cholesky) {
    const Eigen::LLT<Eigen::MatrixXd> from(source), to(target);
    const double none = std::numeric_limits<double>::epsilon() * static_cast<double>(source.rows());
    if (from.info() == Eigen::Success && to.info() == Eigen::Success && from.rcond() > none) {
      Eigen::MatrixXd map = to.matrixL();
      from.matrixL().solveInPlace<Eigen::OnTheRight>(map);
      return map;
    }
  }
  return symmetric_map(source, target);
}

}  // namespace detail

}  // namespace ballast
