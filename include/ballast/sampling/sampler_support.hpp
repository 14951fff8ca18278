// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <type_traits>

#include <ballast/core/check.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>

/// What every sampler needs: the vectors it writes to, of any integral type, and the streams it draws from.
namespace ballast::detail {

/// The type holds indices below `bound`.
template <typename Output>
void require_index_output(const char* function, const char* argument, const Output&, Index bound) {
  using Integer = typename Output::Scalar;
  static_assert(
      std::is_integral_v<Integer> && !std::is_same_v<Integer, bool> && Output::IsVectorAtCompileTime,
      "ballast: indices go to a vector of integers, e.g. ballast::IndexVector");
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<Integer>::max());
  require(bound <= 0 || static_cast<std::uint64_t>(bound - 1) <= largest, function, argument,
          " holds integers up to ", largest, ", expected up to ", bound - 1);
}

template <typename Output>
void store_index(Output& output, Index i, Index value) {
  output.coeffRef(i) = static_cast<typename Output::Scalar>(value);
}

inline void require_epoch(const char* function, Index epoch) {
  require(epoch >= 0, function, "epoch is ", epoch, ", expected >= 0");
}

/// What is drawn beside each other under one (seed, epoch), from streams of its own.
enum Substream : std::uint64_t {
  class_substream,
  instance_substream,
  mixture_substream,
  permutation_substream,
  cycle_substream
};

/// The stream of an epoch, for one purpose.
inline RandomStream epoch_stream(std::uint64_t seed, Index epoch, Substream purpose) {
  return RandomStream(seed, static_cast<std::uint64_t>(epoch)).substream(purpose);
}

}  // namespace ballast::detail
