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

// Templates, though double is what they serve: a program that asks for no full covariance compiles no
// eigensolver.

/// U f(lambda) U^T.
template <typename Scalar>
MatrixX<Scalar> spectral(const Eigen::SelfAdjointEigenSolver<MatrixX<Scalar>>& solver,
                         const VectorX<Scalar>& values) {
  return solver.eigenvectors() * values.asDiagonal() * solver.eigenvectors().transpose();
}

/// target^{1/2} source^{-1/2}. Directions in which the source has no variance (to rounding) are not stretched
/// but passed on, so that no gradient is lost there.
template <typename Scalar>
MatrixX<Scalar> symmetric_map(const MatrixX<Scalar>& source, const MatrixX<Scalar>& target) {
  const Eigen::SelfAdjointEigenSolver<MatrixX<Scalar>> from(source), to(target);
  const Scalar none = std::numeric_limits<Scalar>::epsilon() * static_cast<Scalar>(source.rows()) *
                      from.eigenvalues().cwiseAbs().maxCoeff();
  const auto present = from.eigenvalues().array() > none;
  const VectorX<Scalar> whiten = present.select(from.eigenvalues().array().max(none).rsqrt(), Scalar(0));
  const VectorX<Scalar> colour = to.eigenvalues().cwiseMax(Scalar(0)).cwiseSqrt();
  MatrixX<Scalar> map = spectral<Scalar>(to, colour) * spectral<Scalar>(from, whiten);
  if (!present.all()) {
    const VectorX<Scalar> absent =
        VectorX<Scalar>::Ones(source.rows()).array() - present.template cast<Scalar>();
    map += spectral<Scalar>(from, absent);
  }
  return map;
}

/// A with A source A^T = target, by the chosen roots; by the symmetric ones where the source is singular.
/// @param source, target  symmetric, positive semi-definite, of the same size >= 1
template <typename Scalar>
MatrixX<Scalar> covariance_map(const MatrixX<Scalar>& source, const MatrixX<Scalar>& target,
                               CovarianceRoot root) {
  if (root == CovarianceRoot::cholesky) {
    const Eigen::LLT<MatrixX<Scalar>> from(source), to(target);
    const Scalar none = std::numeric_limits<Scalar>::epsilon() * static_cast<Scalar>(source.rows());
    if (from.info() == Eigen::Success && to.info() == Eigen::Success && from.rcond() > none) {
      MatrixX<Scalar> map = to.matrixL();
      from.matrixL().template solveInPlace<Eigen::OnTheRight>(map);
      return map;
    }
  }
  return symmetric_map(source, target);
}

}  // namespace detail

}  // namespace ballast
