// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <sstream>
#include <stdexcept>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

/// Argument checks. Every message reads "ballast: function: argument is <what came>, expected <what>", so
/// that it can be acted on without a debugger. Checks run before anything is written.
namespace ballast::detail {

/// A char-sized integer prints as a number, not as a character.
template <typename Part>
constexpr decltype(auto) printable(const Part& part) {
  if constexpr (std::is_integral_v<Part> && sizeof(Part) == 1 && !std::is_same_v<Part, bool>) {
    return static_cast<int>(part);
  } else {
    return (part);
  }
}

/// Throws std::invalid_argument("ballast: <function>: <parts...>"). Cold: keeps formatting out of the
/// kernels.
template <typename... Parts>
[[noreturn, gnu::cold, gnu::noinline]] void reject(const char* function, const Parts&... parts) {
  std::ostringstream message;
  message.precision(std::numeric_limits<double>::max_digits10);
  message << "ballast: " << function << ": ";
  (message << ... << printable(parts));
  throw std::invalid_argument(message.str());
}

template <typename... Parts>
inline void require(bool ok, const char* function, const Parts&... parts) {
  if (!ok) reject(function, parts...);
}

inline void require_size(const char* function, const char* argument, Index came, Index expected,
                         const char* unit) {
  require(came == expected, function, argument, " has size ", came, ", expected ", expected, " (", unit, ")");
}

template <typename Derived>
inline void require_shape(const char* function, const char* argument, const Eigen::EigenBase<Derived>& matrix,
                          Index rows, Index cols) {
  require(matrix.rows() == rows && matrix.cols() == cols, function, argument, " is ", matrix.rows(), " x ",
          matrix.cols(), ", expected ", rows, " x ", cols);
}

/// Value in [low, high]; a NaN is refused.
template <typename Scalar>
inline void require_between(const char* function, const char* argument, Scalar value, Scalar low,
                            Scalar high) {
  require(value >= low && value <= high, function, argument, " is ", value, ", expected [", low, ", ", high,
          "]");
}

template <typename Scalar>
inline void require_finite(const char* function, const char* argument, Scalar value) {
  require(std::isfinite(value), function, argument, " is ", value, ", expected a finite number");
}

/// Every coefficient of a vector finite; names the first that is not.
template <typename Derived>
inline void require_all_finite(const char* function, const char* argument,
                               const Eigen::DenseBase<Derived>& vector) {
  for (Index i = 0; i < vector.size(); ++i) {
    require(std::isfinite(vector.derived().coeff(i)), function, argument, "[", i, "] is ",
            vector.derived().coeff(i), ", expected a finite number");
  }
}

/// A class prior: one finite probability >= 0 per class, which sum to 1. The slack of 1e-5 lets a prior that
/// was computed in float pass.
template <typename Derived>
inline void require_prior(const char* function, const char* argument, const Eigen::DenseBase<Derived>& prior,
                          Index classes) {
  static_assert(Derived::IsVectorAtCompileTime, "ballast: a prior is a vector, one probability per class");
  require_size(function, argument, prior.size(), classes, "one per class");
  double sum = 0.0;
  for (Index j = 0; j < classes; ++j) {
    const double value = static_cast<double>(prior.derived().coeff(j));
    require(value >= 0.0 && value <= 1.0 + 1e-5, function, argument, "[", j, "] is ", value,
            ", expected a probability in [0, 1]");
    sum += value;
  }
  require(std::abs(sum - 1.0) <= 1e-5, function, argument, " sums to ", sum, ", expected 1");
}

/// No NaN among the values of any sample; names the first row that holds one.
template <typename Derived>
inline void require_no_nan(const char* function, const char* argument,
                           const Eigen::DenseBase<Derived>& samples) {
  const Derived& m = samples.derived();
  Index first = m.rows();
  for (Index outer = 0; outer < m.outerSize(); ++outer) {
    int nan = 0;
    for (Index inner = 0; inner < m.innerSize(); ++inner) {
      const auto value = m.coeffByOuterInner(outer, inner);
      nan |= value != value ? 1 : 0;
    }
    for (Index inner = 0; nan != 0 && inner < m.innerSize(); ++inner) {
      if (std::isnan(m.coeffByOuterInner(outer, inner)))
        first = std::min(first, Derived::IsRowMajor ? outer : inner);
    }
  }
  require(first == m.rows(), function, argument, " row ", first, " holds a NaN, expected none");
}

/// Every coefficient of a matrix finite; names the first row that holds another.
template <typename Derived>
inline void require_finite_rows(const char* function, const char* argument,
                                const Eigen::DenseBase<Derived>& matrix) {
  if (matrix.allFinite()) return;
  for (Index i = 0; i < matrix.rows(); ++i) {
    require(matrix.row(i).allFinite(), function, argument, " has a non-finite value in row ", i,
            ", expected finite numbers");
  }
}

/// Labels are a vector of some integral type.
template <typename Derived>
constexpr void assert_label_type() {
  static_assert(
      std::is_integral_v<typename Derived::Scalar> && !std::is_same_v<typename Derived::Scalar, bool>,
      "ballast: labels are integers; write .cast<int>()");
  static_assert(Derived::IsVectorAtCompileTime, "ballast: labels are a vector, one per sample");
}

/// A label as an Index; what Index cannot hold becomes -1, which no range of classes contains.
template <typename Label>
constexpr Index label_index(Label label) {
  if constexpr (std::is_unsigned_v<Label> && sizeof(Label) >= sizeof(Index)) {
    return label > static_cast<Label>(std::numeric_limits<Index>::max()) ? Index(-1)
                                                                         : static_cast<Index>(label);
  } else {
    return static_cast<Index>(label);
  }
}

/// Every label in [0, classes); names the first that is not.
template <typename Derived>
inline void require_labels(const char* function, const char* argument,
                           const Eigen::DenseBase<Derived>& labels, Index classes) {
  assert_label_type<Derived>();
  for (Index i = 0; i < labels.size(); ++i) {
    const Index label = label_index(labels.derived().coeff(i));
    require(label >= 0 && label < classes, function, argument, "[", i, "] is ", labels.derived().coeff(i),
            ", expected [0, ", classes, ")");
  }
}

}  // namespace ballast::detail
