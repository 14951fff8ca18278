// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace ballast {

namespace detail {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits in which every output bit
/// depends on every input bit.
constexpr std::uint64_t mix_bits(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

constexpr std::uint64_t swap_halves(std::uint64_t x) noexcept {
  return (x >> 32) | (x << 32);
}

/// High and low half of the 128-bit product, from 32-bit halves.
constexpr std::pair<std::uint64_t, std::uint64_t> multiply_wide_portably(std::uint64_t a,
                                                                         std::uint64_t b) noexcept {
  const std::uint64_t a_low = a & 0xffffffffu, a_high = a >> 32;
  const std::uint64_t b_low = b & 0xffffffffu, b_high = b >> 32;
  const std::uint64_t low = a_low * b_low;
  const std::uint64_t middle = a_high * b_low + (low >> 32);
  const std::uint64_t carry = a_low * b_high + (middle & 0xffffffffu);
  return {a_high * b_high + (middle >> 32) + (carry >> 32), a * b};
}

/// High and low half of the 128-bit product, by the machine's own instruction where there is one.
constexpr std::pair<std::uint64_t, std::uint64_t> multiply_wide(std::uint64_t a, std::uint64_t b) noexcept {
#if defined(__SIZEOF_INT128__)
  __extension__ using Wide = unsigned __int128;
  const Wide product = static_cast<Wide>(a) * b;
  return {static_cast<std::uint64_t>(product >> 64), static_cast<std::uint64_t>(product)};
#else
  return multiply_wide_portably(a, b);
#endif
}

}  // namespace detail

namespace detail {

/// Squares with five rounds and 64 bits of output (Widynski, "Squares: a fast counter-based RNG",
/// arXiv:2004.06278): the counter times the key, squared again and again around a Weyl sequence.
constexpr std::uint64_t squares(std::uint64_t counter, std::uint64_t key) noexcept {
  const std::uint64_t y = counter * key;
  const std::uint64_t z = y + key;
  std::uint64_t x = swap_halves(y * y + y);
  x = swap_halves(x * x + z);
  x = swap_halves(x * x + y);
  const std::uint64_t t = x * x + z;
  x = swap_halves(t);
  return t ^ ((x * x + y) >> 32);
}

}  // namespace detail

/// Random numbers by position: `bits(i)` is a pure function of (seed, stream, i), the same on every compiler
/// and platform. Nothing is consumed, so a run resumes anywhere, ranks take disjoint positions, and threads
/// share one object.
///
/// The generator is Squares; its key is mixed from the seed and the stream, so that neighbouring seeds and
/// epochs are unrelated. For one (seed, stream), 2^64 positions.
class RandomStream {
 public:
  /// @param seed    names the run
  /// @param stream  names the sequence within the run, e.g. the epoch
  explicit constexpr RandomStream(std::uint64_t seed, std::uint64_t stream = 0) noexcept
      : key_(detail::mix_bits(detail::mix_bits(seed) ^ stream) | 1u) {}

  /// A stream unrelated to this one and to its other substreams: for what is drawn beside it, e.g. the
  /// instance beside the class.
  [[nodiscard]] constexpr RandomStream substream(std::uint64_t index) const noexcept {
    return RandomStream(key_, index);
  }

  /// 64 random bits. No state, no allocation, about 2 ns.
  [[nodiscard]] constexpr std::uint64_t bits(std::uint64_t position) const noexcept {
    return detail::squares(position, key_);
  }

  /// values[i] = bits(position + i) for i < count; vectorised where the processor has the multiplication.
  constexpr void fill(std::uint64_t position, std::size_t count, std::uint64_t* values) const noexcept {
    for (std::size_t i = 0; i < count; ++i) values[i] = bits(position + i);
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  [[nodiscard]] constexpr double uniform(std::uint64_t position) const noexcept {
    return to_uniform(bits(position));
  }

  /// The same of given bits.
  [[nodiscard]] static constexpr double to_uniform(std::uint64_t bits) noexcept {
    return static_cast<double>(bits >> 11) * 0x1p-53;
  }

  /// Uniform integer in [0, bound), by the high half of a 64 x 64-bit product; bias below bound / 2^64.
  [[nodiscard]] constexpr std::uint64_t below(std::uint64_t position, std::uint64_t bound) const noexcept {
    return detail::multiply_wide(bits(position), bound).first;
  }

  /// Standard normal (Box and Muller 1958), from the two draws 2 * position and 2 * position + 1. Goes
  /// through the platform's log, sqrt and cos: the same to rounding everywhere, not to the bit.
  [[nodiscard]] double normal(std::uint64_t position) const noexcept {
    const double radius = std::sqrt(-2.0 * std::log1p(-uniform(2 * position)));
    return radius * std::cos(6.283185307179586477 * uniform(2 * position + 1));
  }

 private:
  std::uint64_t key_;
};

}  // namespace ballast
