// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <Eigen/Core>

namespace ballast {

/// Sizes and positions, signed as in Eigen.
using Index = Eigen::Index;

/// Number of samples of a class or a bin; 64 bits whatever the platform's Index.
using Count = std::int64_t;

template <typename Scalar>
using VectorX = Eigen::Matrix<Scalar, Eigen::Dynamic, 1>;

/// Column-major, Eigen's default.
template <typename Scalar>
using MatrixX = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>;

/// Row-major, the layout of a LibTorch or NumPy buffer: a sample is contiguous.
template <typename Scalar>
using RowMatrixX = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// Positions of samples in a data set.
using IndexVector = VectorX<Index>;

/// Samples per class or per bin.
using CountVector = VectorX<Count>;

}  // namespace ballast
