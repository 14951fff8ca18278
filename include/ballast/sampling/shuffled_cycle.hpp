// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/sampling/class_sampler.hpp>
#include <ballast/sampling/sampler_support.hpp>

namespace ballast {

/// The classes of a sampler, with the samples of each class in a shuffled cycle instead of drawn with
/// replacement: none twice before each once, in an order shuffled anew for every round, as in the published
/// class-aware sampler (Kang et al., ICLR 2020; Shen et al., ECCV 2016).
///
/// What a draw gives depends on those before it, so an epoch is planned as a whole: a pure function of (seed,
/// epoch), the same on every platform, and a longer plan begins with a shorter one. A run that stopped within
/// an epoch plans that epoch again; ranks make the same plan and take their parts of it (rank_positions).
///
///     ballast::ShuffledCycle cycle{ballast::PowerLawSampler(train_labels, options)};
///     ballast::IndexVector order(draws);
///     for (int epoch = 0; epoch < epochs; ++epoch) {
///       cycle.plan(epoch, order);
///       for (Index step = 0; step < steps; ++step) train(order.segment(step * 64, 64));
///     }
///
/// @tparam Sampler  PowerLawSampler, ProgressiveSampler or ClassProbabilitySampler
template <typename Sampler>
class ShuffledCycle {
 public:
  /// Keeps the sampler, and beside it one Index per sample.
  explicit ShuffledCycle(Sampler sampler)
      : sampler_(std::move(sampler)),
        order_(sampler_.samples().order()),
        used_(IndexVector::Zero(sampler_.samples().classes())) {}

  [[nodiscard]] const Sampler& sampler() const noexcept { return sampler_; }

  /// Writes the samples of the epoch's draws. O(draws + classes); allocates only when `order` is longer than
  /// ever before.
  /// @param epoch  >= 0
  /// @param order  any integral vector; its size is the number of draws
  template <typename Order>
  void plan(Index epoch, Order&& order) {
    const SamplesByClass& samples = sampler_.samples();
    detail::require_index_output("ShuffledCycle::plan", "order", order, samples.bound());
    if (touched_.size() < 2 * order.size()) touched_.resize(2 * order.size());
    sampler_.draw_classes(epoch, 0, order);

    // Each class is shuffled as far as it is drawn from (Fisher and Yates), starting from `samples`.
    const RandomStream random = detail::epoch_stream(sampler_.seed(), epoch, detail::cycle_substream);
    used_.setZero();
    for (Index i = 0; i < order.size(); ++i) {
      const Index class_index = static_cast<Index>(order.coeff(i));
      const Index count = samples.count(class_index);
      Index& used = used_[class_index];
      if (used == count) used = 0;
      const Index first = samples.begin()[class_index] + used;
      const Index other = first + static_cast<Index>(random.below(static_cast<std::uint64_t>(i),
                                                                  static_cast<std::uint64_t>(count - used)));
      std::swap(order_[first], order_[other]);
      ++used;
      detail::store_index(order, i, order_[first]);
      touched_[2 * i] = first;
      touched_[2 * i + 1] = other;
    }
    for (const Index i : touched_.head(2 * order.size())) order_[i] = samples.order()[i];
  }

 private:
  Sampler sampler_;
  IndexVector order_;    // as in samples() between plans
  IndexVector used_;     // samples of the class's present round
  IndexVector touched_;  // places of order_ to be put back
};

}  // namespace ballast
