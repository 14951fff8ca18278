// Test data that is the same with every compiler and standard library.
#pragma once

#include <cstdint>

#include <Eigen/Core>

#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>

/// Draws in sequence from a seeded stream; tests CAPTURE the seed.
class RandomData {
 public:
  explicit RandomData(std::uint64_t seed) : stream_(seed, 0x7e57) {}

  double uniform(double low, double high) { return low + (high - low) * stream_.uniform(position_++); }
  double normal() { return stream_.normal(position_++); }
  ballast::Index below(ballast::Index bound) {
    return static_cast<ballast::Index>(stream_.below(position_++, static_cast<std::uint64_t>(bound)));
  }

  /// Coefficients uniform in [low, high). Matrix may be of either storage order.
  template <typename Matrix>
  Matrix matrix(ballast::Index rows, ballast::Index cols, double low, double high) {
    Matrix result(rows, cols);
    for (ballast::Index i = 0; i < rows; ++i) {
      for (ballast::Index j = 0; j < cols; ++j) {
        result(i, j) = static_cast<typename Matrix::Scalar>(uniform(low, high));
      }
    }
    return result;
  }

  template <typename Scalar>
  ballast::VectorX<Scalar> vector(ballast::Index size, double low, double high) {
    return matrix<ballast::VectorX<Scalar>>(size, 1, low, high);
  }

  Eigen::VectorXi labels(ballast::Index samples, ballast::Index classes) {
    Eigen::VectorXi result(samples);
    for (int& label : result) label = static_cast<int>(below(classes));
    return result;
  }

 private:
  ballast::RandomStream stream_;
  std::uint64_t position_ = 0;
};
