// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

namespace ballast::detail {

/// The size of an array of so many registers.
constexpr std::size_t extent(int count) {
  return static_cast<std::size_t>(count);
}

template <typename Body, int... I>
EIGEN_STRONG_INLINE void unroll(const Body& body, std::integer_sequence<int, I...>) {
  (body(std::integral_constant<int, I>()), ...);
}

/// Calls body(i) for the constants i = 0 .. N - 1: arrays of registers stay in registers only if no loop runs
/// over them.
template <int N, typename Body>
EIGEN_STRONG_INLINE void unroll(const Body& body) {
  unroll(body, std::make_integer_sequence<int, N>());
}

}  // namespace ballast::detail
