// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>

namespace ballast::detail {

/// The rows of a batch brought together by bin: a counting sort, O(N + B), that keeps the order of the rows
/// within a bin. Bin -1 stands for a dropped row, which no group holds. Grows to the largest batch, then
/// allocates no more.
class BinGroups {
 public:
  /// Rows order()[begin .. end) of one bin.
  struct Group {
    Index bin;
    Index begin;
    Index end;
    [[nodiscard]] Index rows() const { return end - begin; }
  };
  /// Groups groups()[begin .. end) of one bin.
  struct Run {
    Index bin;
    Index begin;
    Index end;
  };

  /// @param bins       one per row, integral, in [-1, bin_count)
  /// @param most_rows  where a bin's rows are cut into another group
  /// @throws std::invalid_argument naming the first bin outside
  template <typename Derived>
  void sort(const char* function, const Eigen::DenseBase<Derived>& bins, Index bin_count, Index most_rows) {
    assert_label_type<Derived>();
    const Derived& of_row = bins.derived();
    const Index samples = bins.size();
    starts_.assign(static_cast<std::size_t>(bin_count + 2), 0);
    Index* const start = starts_.data() + 1;  // start[-1] counts the dropped
    for (Index i = 0; i < samples; ++i) {
      const Index bin = bin_index(of_row.coeff(i));
      require(bin >= -1 && bin < bin_count, function, "bins[", i, "] is ", of_row.coeff(i), ", expected [0, ",
              bin_count, "), or -1 for a dropped row");
      ++start[bin];
    }
    const Index kept = samples - start[-1];
    cut(bin_count, most_rows, samples);
    order_.resize(static_cast<std::size_t>(samples));
    start[-1] = kept;  // the dropped come last
    for (Index i = 0; i < samples; ++i) {
      order_[static_cast<std::size_t>(start[bin_index(of_row.coeff(i))]++)] = i;
    }
  }

  [[nodiscard]] const std::vector<Group>& groups() const { return groups_; }
  /// In order of bin.
  [[nodiscard]] const std::vector<Run>& runs() const { return runs_; }
  /// The rows, ascending within a bin; the dropped rows last.
  [[nodiscard]] const Index* order() const { return order_.data(); }
  /// Rows that have a bin.
  [[nodiscard]] Index kept() const { return groups_.empty() ? 0 : groups_.back().end; }

  /// However a batch of this many rows falls into the bins.
  [[nodiscard]] static Index most_groups(Index bin_count, Index most_rows, Index rows) {
    return std::min(rows, bin_count + rows / most_rows);
  }

 private:
  template <typename Bin>
  static Index bin_index(Bin bin) {
    if constexpr (std::is_signed_v<Bin>) {
      return static_cast<Index>(bin);
    } else {
      const Index index = label_index(bin);
      return index < 0 ? std::numeric_limits<Index>::max() : index;  // an unsigned type has no -1
    }
  }

  /// From counts in `starts_` to starts, groups and runs.
  void cut(Index bin_count, Index most_rows, Index samples) {
    const Index most_runs = std::min(bin_count, samples);
    runs_.clear();
    runs_.reserve(static_cast<std::size_t>(most_runs));
    groups_.clear();
    groups_.reserve(static_cast<std::size_t>(most_groups(bin_count, most_rows, samples)));
    Index row = 0;
    for (Index bin = 0; bin < bin_count; ++bin) {
      Index& start = starts_[static_cast<std::size_t>(bin + 1)];
      const Index end = row + start;
      start = row;
      if (row == end) continue;
      const Index first = static_cast<Index>(groups_.size());
      for (; row < end; row += most_rows) groups_.push_back({bin, row, std::min(end, row + most_rows)});
      row = end;
      runs_.push_back({bin, first, static_cast<Index>(groups_.size())});
    }
  }

  std::vector<Index> starts_;
  std::vector<Index> order_;
  std::vector<Group> groups_;
  std::vector<Run> runs_;
};

}  // namespace ballast::detail
