// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/prefetch.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/sampling/sampler_support.hpp>

namespace ballast {

/// The usual epoch: every sample once, in an order shuffled anew each epoch.
///
/// The order is a pure function of (seed, epoch), the same on every platform, and uniform over all orders
/// (Fisher and Yates). A run that stopped within an epoch makes the epoch's order again; ranks make the same
/// order and take their parts of it (rank_positions).
///
///     const ballast::InstancePermutation permutation(train_labels.size(), seed);
///     ballast::IndexVector order(permutation.size());
///     for (int epoch = 0; epoch < epochs; ++epoch) {
///       permutation.plan(epoch, order);
///       for (Index step = 0; step < steps; ++step) train(order.segment(step * 64, 64));
///     }
class InstancePermutation {
 public:
  /// Of the samples 0 to samples - 1.
  /// @param samples  >= 0
  /// @param seed     names the run
  explicit InstancePermutation(Index samples, std::uint64_t seed = 0)
      : size_(samples), bound_(samples), seed_(seed) {
    detail::require(samples >= 0, "InstancePermutation", "samples is ", samples, ", expected >= 0");
  }

  /// Of a part of a data set, e.g. of the train part of a split.
  /// @param subset  positions in the data set, any integral vector, each >= 0
  template <typename Derived>
  [[nodiscard]] static InstancePermutation of_subset(const Eigen::DenseBase<Derived>& subset,
                                                     std::uint64_t seed = 0) {
    detail::assert_label_type<Derived>();
    InstancePermutation result(subset.size(), seed);
    result.subset_.resize(subset.size());
    result.bound_ = 0;
    for (Index i = 0; i < subset.size(); ++i) {
      const Index sample = detail::label_index(subset.derived().coeff(i));
      detail::require(sample >= 0, "InstancePermutation::of_subset", "subset[", i, "] is ",
                      subset.derived().coeff(i), ", expected >= 0");
      result.subset_[i] = sample;
      result.bound_ = std::max(result.bound_, sample + 1);
    }
    return result;
  }

  /// Samples per epoch.
  [[nodiscard]] Index size() const noexcept { return size_; }

  /// Writes the epoch's order. O(size), no allocation.
  /// @param epoch  >= 0
  /// @param order  any integral vector of size()
  template <typename Order>
  void plan(Index epoch, Order&& order) const {
    detail::require_index_output("InstancePermutation::plan", "order", order, bound_);
    detail::require_epoch("InstancePermutation::plan", epoch);
    detail::require_size("InstancePermutation::plan", "order", order.size(), size_, "samples");
    for (Index i = 0; i < size_; ++i) detail::store_index(order, i, subset_.size() > 0 ? subset_[i] : i);

    const RandomStream random = detail::epoch_stream(seed_, epoch, detail::permutation_substream);
    constexpr Index block = 64;  // drawn ahead, so that their cache lines are on the way
    std::array<Index, block> others;
    for (Index done = 0; done < size_; done += block) {
      const Index count = std::min(block, size_ - done);
      for (Index i = 0; i < count; ++i) {
        const Index first = done + i;
        const Index other =
            first + static_cast<Index>(random.below(static_cast<std::uint64_t>(first),
                                                    static_cast<std::uint64_t>(size_ - first)));
        others[static_cast<std::size_t>(i)] = other;
        detail::prefetch(&order.coeffRef(other));
      }
      for (Index i = 0; i < count; ++i) {
        std::swap(order.coeffRef(done + i), order.coeffRef(others[static_cast<std::size_t>(i)]));
      }
    }
  }

 private:
  Index size_;
  Index bound_;  // one more than the largest sample
  std::uint64_t seed_;
  IndexVector subset_;  // empty: all samples
};

}  // namespace ballast
