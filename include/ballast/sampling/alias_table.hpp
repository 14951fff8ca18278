// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>

namespace ballast {

/// Draws an index with probability proportional to its weight in O(1), from one 64-bit random number (alias
/// method: Walker 1977; construction of Vose 1991, here in integers).
///
/// The weights are rounded once, to integers m_j that sum to L S, where L is the number of weights and S the
/// power of two with 2^62 < L S <= 2^63; all that follows is exact. So each probability is w_j / sum_i w_i to
/// within a few roundings in double and 2^-62, the largest to within what is left over (2^-50 + L 2^-64). An
/// index of weight 0 is never drawn; a weight below 2^-63 of the sum may round to 0.
///
/// An entry packs threshold and alias into 64 bits, divided where L asks for it, so that no number of weights
/// is too large: 8 L bytes, O(L) to build. Only operations that IEEE 754 fixes to the bit are used: the table
/// is the same on every platform. Immutable, shareable by threads.
///
///     const AliasTable table(Eigen::Vector3d(1, 0, 2));
///     const RandomStream stream(seed);
///     for (std::uint64_t i = 0; i < 100; ++i) use(table(stream.bits(i)));   // 0 or 2
class AliasTable {
 public:
  /// @param weights  finite, >= 0, at least one > 0; any floating or integral vector
  /// @throws std::invalid_argument naming the first weight that is not
  template <typename Derived>
  explicit AliasTable(const Eigen::DenseBase<Derived>& weights) {
    static_assert(Derived::IsVectorAtCompileTime, "ballast: weights are a vector, one per class");
    Eigen::VectorXd values(weights.size());
    for (Index j = 0; j < weights.size(); ++j) values[j] = static_cast<double>(weights.derived().coeff(j));
    build(values);
  }

  /// Number of weights.
  [[nodiscard]] Index size() const noexcept { return static_cast<Index>(entries_.size()); }

  /// The index that 64 uniform bits fall on.
  [[nodiscard]] Index operator()(std::uint64_t bits) const noexcept { return lookup()(bits); }

  /// indices[i] = (*this)(stream.bits(position + i)) for i < count. Generates a block of random numbers, then
  /// looks them up: look-ups that do not wait for the generator overlap, also beyond the caches.
  void draw(const RandomStream& stream, std::uint64_t position, std::size_t count,
            Index* indices) const noexcept {
    const Lookup lookup = this->lookup();
    std::array<std::uint64_t, 64> bits;
    for (std::size_t done = 0; done < count; done += bits.size()) {
      const std::size_t size = std::min(bits.size(), count - done);
      stream.fill(position + done, size, bits.data());
      for (std::size_t i = 0; i < size; ++i) indices[done + i] = lookup(bits[i]);
    }
  }

 private:
  /// The table in registers: a loop that writes indices need not read the members again.
  struct Lookup {
    const std::uint64_t* entries;
    std::uint64_t size;
    std::uint64_t alias_mask;

    /// The slot itself for a fraction below its threshold, else its alias.
    [[nodiscard]] Index operator()(std::uint64_t bits) const noexcept {
      const auto [slot, fraction] = detail::multiply_wide(bits, size);
      const std::uint64_t alias = entries[slot] & alias_mask;
      const std::uint64_t threshold = entries[slot] - alias;
      return static_cast<Index>(fraction < threshold ? slot : alias);
    }
  };

  [[nodiscard]] Lookup lookup() const noexcept { return {entries_.data(), entries_.size(), alias_mask_}; }

  void build(const Eigen::VectorXd& weights) {
    require_weights(weights);
    const std::size_t size = static_cast<std::size_t>(weights.size());
    int alias_bits = 0;
    while (alias_bits < 63 && std::uint64_t(1) << alias_bits < size) ++alias_bits;
    alias_mask_ = (std::uint64_t(1) << alias_bits) - 1;
    const std::uint64_t capacity = std::uint64_t(1) << (63 - alias_bits);  // S
    std::vector<std::uint64_t> shares = integer_shares(weights, size * capacity);

    // Slots with less than S wait at the front of `waiting`, the others at its back. A slot short of S is
    // topped up by one that has more, its alias; since the sum is exact, no slot remains short.
    entries_.resize(size);
    std::vector<std::size_t> waiting(size);
    std::size_t short_end = 0, full_begin = size;
    for (std::size_t j = 0; j < size; ++j) {
      entries_[j] = j;  // threshold 0, alias itself
      waiting[shares[j] < capacity ? short_end++ : --full_begin] = j;
    }
    while (short_end > 0) {
      const std::size_t slot = waiting[--short_end];
      const std::size_t alias = waiting[full_begin];
      entries_[slot] = shares[slot] << (alias_bits + 1) | alias;
      shares[alias] -= capacity - shares[slot];
      if (shares[alias] < capacity) {
        ++full_begin;
        waiting[short_end++] = alias;
      }
    }
  }

  static void require_weights(const Eigen::VectorXd& weights) {
    detail::require(weights.size() > 0, "AliasTable", "weights is empty, expected at least one");
    for (Index j = 0; j < weights.size(); ++j) {
      detail::require(std::isfinite(weights[j]) && weights[j] >= 0, "AliasTable", "weights[", j, "] is ",
                      weights[j], ", expected a finite number >= 0");
    }
    detail::require(weights.maxCoeff() > 0, "AliasTable", "weights are all 0, expected at least one > 0");
  }

  /// total * w_j / sum_i w_i in integers that sum to `total`; the largest takes what rounding leaves.
  static std::vector<std::uint64_t> integer_shares(const Eigen::VectorXd& weights, std::uint64_t total) {
    const double largest = weights.maxCoeff();  // relative to it the sum cannot overflow
    double sum = 0, lost = 0;                   // compensated (Kahan)
    for (const double weight : weights) {
      const double term = weight / largest - lost;
      const double next = sum + term;
      lost = (next - sum) - term;
      sum = next;
    }
    const double scale = static_cast<double>(total) / sum;
    std::vector<std::uint64_t> shares(static_cast<std::size_t>(weights.size()));
    std::uint64_t missing = total;  // modulo 2^64: may be negative
    for (std::size_t j = 0; j < shares.size(); ++j) {
      shares[j] = static_cast<std::uint64_t>(std::round(weights[static_cast<Index>(j)] / largest * scale));
      missing -= shares[j];
    }
    *std::max_element(shares.begin(), shares.end()) += missing;
    return shares;
  }

  std::vector<std::uint64_t> entries_;
  std::uint64_t alias_mask_ = 0;
};

}  // namespace ballast
