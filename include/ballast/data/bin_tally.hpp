// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

namespace ballast::detail {

/// Counts how often each bin of -1 (dropped) to bins - 1 occurs, a block at a time.
///
/// A count is a load, an addition and a store to the same place, and runs of one label, the rule in
/// long-tailed data, wait for the store of the one before. Two ways out: for few bins, labels are counted in
/// pairs, in a table of all pairs in 16 bits, which takes one store for two labels; for more, in four tables
/// side by side.
class BinTally {
 public:
  /// Labels in a block, at most.
  static constexpr Index block = 64;

  explicit BinTally(Index bins)
      : slots_(bins + 1), counts_(CountVector::Zero(slots_)), paired_(slots_ * slots_ <= largest_pair_table) {
    if (paired_) {
      pairs_.setZero(slots_, slots_);
    } else {
      tables_.setZero(4, slots_);
    }
  }

  /// @param bins  `count` of them, at most `block`; each in [-1, bins)
  void add(const std::int32_t* bins, Index count) {
    if (count < block) {
      for (Index i = 0; i < count; ++i) ++counts_[bins[i] + 1];
    } else if (paired_) {
      add_pairs(bins);
    } else {
      add_quadruples(bins);
    }
  }

  /// Of the bins 0 to bins - 1.
  [[nodiscard]] CountVector counts() {
    drain();
    return counts_.tail(slots_ - 1);
  }

 private:
  static constexpr Index largest_pair_table = Index(1) << 14;  // 32 KiB: the first cache
  /// Blocks after which a 16-bit, or a 32-bit, count might overflow.
  static constexpr Index pair_capacity = 65535 / (block / 2);
  static constexpr Index table_capacity = Index(4294967295) / (block / 4);

  void add_pairs(const std::int32_t* bins) {
    if (++used_ > pair_capacity) drain();
    const std::int32_t slots = static_cast<std::int32_t>(slots_);
    std::int32_t places[block / 2];
    for (Index i = 0; i < block / 2; ++i) places[i] = (bins[i] + 1) * slots + bins[i + block / 2] + 1;
    std::uint16_t* const table = pairs_.data();
    for (const std::int32_t place : places) ++table[place];
  }

  void add_quadruples(const std::int32_t* bins) {
    if (++used_ > table_capacity) drain();
    std::uint32_t* const table = tables_.data() + 1;
    for (Index i = 0; i < block; i += 4) {
      ++table[bins[i]];
      ++table[bins[i + 1] + slots_];
      ++table[bins[i + 2] + 2 * slots_];
      ++table[bins[i + 3] + 3 * slots_];
    }
  }

  void drain() {
    Count* const counts = counts_.data();
    for (Index first = 0; first < pairs_.rows(); ++first) {
      const std::uint16_t* const row = pairs_.data() + first * slots_;
      Count sum = 0;
      for (Index second = 0; second < slots_; ++second) {
        sum += row[second];
        counts[second] += row[second];
      }
      counts[first] += sum;
    }
    for (Index t = 0; t < tables_.rows(); ++t) {
      for (Index b = 0; b < slots_; ++b) counts[b] += static_cast<Count>(tables_(t, b));
    }
    pairs_.setZero();
    tables_.setZero();
    used_ = 1;
  }

  Index slots_;
  CountVector counts_;
  bool paired_;
  RowMatrixX<std::uint16_t> pairs_;
  RowMatrixX<std::uint32_t> tables_;
  Index used_ = 0;  // blocks since the tables were empty, the one under way included
};

}  // namespace ballast::detail
