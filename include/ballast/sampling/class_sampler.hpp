// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/prefetch.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/samples_by_class.hpp>
#include <ballast/sampling/alias_table.hpp>
#include <ballast/sampling/sampler_support.hpp>

namespace ballast {

namespace detail {

inline constexpr std::size_t draw_block = 64;

/// x^exponent for x in [0, 1] and exponent >= 0, by multiplications and square roots, which IEEE 754 fixes to
/// the bit; std::pow differs between C libraries, and the draws with it. A few dozen ulp, times the exponent
/// where it exceeds 1.
inline double portable_power(double x, double exponent) {
  if (x == 1) return 1;
  if (exponent > 0x1p62) return 0;  // x <= 1 - 2^-53
  double result = 1;
  double power = x;
  for (auto whole = static_cast<std::uint64_t>(exponent); whole > 0; whole >>= 1) {
    if ((whole & 1u) != 0) result *= power;
    power *= power;
  }
  double root = x;
  for (double fraction = exponent - std::floor(exponent); fraction > 0;) {
    root = std::sqrt(root);
    fraction *= 2;
    if (fraction >= 1) {
      result *= root;
      fraction -= 1;
    }
  }
  return result;
}

/// n_j^q up to a common factor, at most 1; 0 for an empty class whatever q.
inline Eigen::VectorXd power_law_weights(const char* function, const SamplesByClass& samples, double q) {
  require_finite(function, "q", q);
  require(samples.size() > 0, function, "samples is empty, expected at least one sample");
  Index smallest = samples.size(), largest = 1;
  for (Index j = 0; j < samples.classes(); ++j) {
    if (samples.count(j) > 0) smallest = std::min(smallest, samples.count(j));
    largest = std::max(largest, samples.count(j));
  }
  Eigen::VectorXd weights(samples.classes());
  for (Index j = 0; j < samples.classes(); ++j) {
    const double n = static_cast<double>(samples.count(j));
    const double ratio = q < 0 ? static_cast<double>(smallest) / n : n / static_cast<double>(largest);
    weights[j] = samples.count(j) > 0 ? portable_power(ratio, std::abs(q)) : 0.0;
  }
  return weights;
}

/// What samplers of a class, then of one of its samples, have in common. `Sampler` says how a class is drawn:
/// its class_source(epoch) returns a function (position, count, classes) that writes the classes of `count`
/// <= draw_block draws from `position` on.
///
/// Draw `position` of `epoch` is a pure function of (seed, epoch, position), the same on every platform: a
/// run resumes anywhere, ranks take disjoint positions (rank_positions), threads share one sampler. Within
/// the class every sample has the same probability, with replacement.
template <typename Sampler>
class ClassSampler {
 public:
  /// batch[i] = the sample of draw `position` + i. O(batch), no allocation.
  /// @param epoch     >= 0
  /// @param position  draw of the epoch that the batch begins with, >= 0
  /// @param batch     any integral vector; its size is the number of draws
  template <typename Batch>
  void draw(Index epoch, Index position, Batch&& batch) const {
    require_draw("draw", "batch", epoch, position, batch, samples_.bound());
    const RandomStream instances = epoch_stream(seed_, epoch, instance_substream);
    const Index* const begin = samples_.begin().data();
    const Index* const order = samples_.order().data();
    std::array<std::uint64_t, draw_block> bits;
    each_block(epoch, position, batch.size(), [&](Index done, std::size_t size, Index* places) {
      instances.fill(static_cast<std::uint64_t>(position + done), size, bits.data());
      for (std::size_t i = 0; i < size; ++i) {
        const Index first = begin[places[i]];
        const Index count = begin[places[i] + 1] - first;
        places[i] =
            first + static_cast<Index>(multiply_wide(bits[i], static_cast<std::uint64_t>(count)).first);
        prefetch(order + places[i]);
      }
      for (std::size_t i = 0; i < size; ++i)
        store_index(batch, done + static_cast<Index>(i), order[places[i]]);
    });
  }

  /// The draws of a whole epoch, draw(epoch, 0, order): under the name that the samplers have whose epoch is
  /// planned as a whole (InstancePermutation, ShuffledCycle), so that a trainer takes any of them.
  template <typename Order>
  void plan(Index epoch, Order&& order) const {
    draw(epoch, 0, order);
  }

  /// classes[i] = the class of draw `position` + i: what draw() goes by, without the samples.
  template <typename Classes>
  void draw_classes(Index epoch, Index position, Classes&& classes) const {
    require_draw("draw_classes", "classes", epoch, position, classes, samples_.classes());
    each_block(epoch, position, classes.size(), [&](Index done, std::size_t size, const Index* block) {
      for (std::size_t i = 0; i < size; ++i) store_index(classes, done + static_cast<Index>(i), block[i]);
    });
  }

  [[nodiscard]] const SamplesByClass& samples() const noexcept { return samples_; }
  [[nodiscard]] std::uint64_t seed() const noexcept { return seed_; }

 protected:
  ClassSampler(SamplesByClass samples, std::uint64_t seed) : samples_(std::move(samples)), seed_(seed) {}

 private:
  template <typename Output>
  static void require_draw(const char* function, const char* argument, Index epoch, Index position,
                           const Output& output, Index bound) {
    require_index_output(function, argument, output, bound);
    require_epoch(function, epoch);
    require(position >= 0, function, "position is ", position, ", expected >= 0");
  }

  /// body(done, size, classes) for blocks of the `draws` classes from `position` on.
  template <typename Body>
  void each_block(Index epoch, Index position, Index draws, const Body& body) const {
    const auto source = static_cast<const Sampler&>(*this).class_source(epoch);
    std::array<Index, draw_block> classes;
    for (Index done = 0; done < draws; done += Index(draw_block)) {
      const std::size_t size = std::min(draw_block, static_cast<std::size_t>(draws - done));
      source(static_cast<std::uint64_t>(position + done), size, classes.data());
      body(done, size, classes.data());
    }
  }

  SamplesByClass samples_;
  std::uint64_t seed_;
};

}  // namespace detail

/// Draws a class with any given probability, then one of its samples uniformly, with replacement.
///
/// Effective numbers (Cui et al., CVPR 2019) as probabilities lead from class-balanced (beta = 0) to
/// instance-balanced (beta = 1) sampling:
///
///     const ClassDistribution classes(labels);
///     const ClassProbabilitySampler sampler(labels, classes.effective_numbers(0.999), seed);
class ClassProbabilitySampler : public detail::ClassSampler<ClassProbabilitySampler> {
 public:
  /// @param samples  the data set, or a part of it; plain labels convert
  /// @param weights  one per class, finite, >= 0, at least one > 0, 0 for a class without samples; need not
  ///                 sum to 1
  /// @param seed     names the run
  /// @throws std::invalid_argument naming the first weight that is not
  template <typename Derived>
  ClassProbabilitySampler(SamplesByClass samples, const Eigen::DenseBase<Derived>& weights,
                          std::uint64_t seed = 0)
      : ClassSampler(std::move(samples), seed), table_(checked(this->samples(), weights)) {
    probabilities_ = weights.derived().template cast<double>();
    probabilities_ /= probabilities_.maxCoeff();  // the sum might overflow
    probabilities_ /= probabilities_.sum();
  }

  /// p_j, one per class, summing to 1.
  [[nodiscard]] const Eigen::VectorXd& probabilities() const noexcept { return probabilities_; }

 private:
  friend ClassSampler;

  template <typename Derived>
  static const Derived& checked(const SamplesByClass& samples, const Eigen::DenseBase<Derived>& weights) {
    detail::require_size("ClassProbabilitySampler", "weights", weights.size(), samples.classes(), "classes");
    for (Index j = 0; j < weights.size(); ++j) {
      detail::require(samples.count(j) > 0 || !(weights.derived().coeff(j) > 0), "ClassProbabilitySampler",
                      "weights[", j, "] is ", weights.derived().coeff(j), " but class ", j,
                      " has no samples, expected 0");
    }
    return weights.derived();
  }

  [[nodiscard]] auto class_source(Index epoch) const {
    return [this, random = detail::epoch_stream(seed(), epoch, detail::class_substream)](
               std::uint64_t position, std::size_t count, Index* classes) {
      table_.draw(random, position, count, classes);
    };
  }

  AliasTable table_;
  Eigen::VectorXd probabilities_;
};

/// Power-law sampling (Kang et al., ICLR 2020, eq. 1): a class with probability
///
///     p_j = n_j^q / sum_i n_i^q
///
/// then one of its samples uniformly, with replacement. q = 1 is instance-balanced, 1/2 square-root, 0
/// class-balanced, below 0 reversed. A class without samples has probability 0 for every q.
///
///     const ballast::PowerLawSampler sampler(train_labels, options);
///     ballast::IndexVector batch(64);
///     for (int epoch = 0; epoch < epochs; ++epoch)
///       for (Index step = 0; step < steps; ++step) sampler.draw(epoch, step * 64, batch);
///
/// One Index per sample, and three words per class; O(N + C) to build.
class PowerLawSampler : public ClassProbabilitySampler {
 public:
  struct Options {
    double q = 0.0;          ///< exponent, finite
    std::uint64_t seed = 0;  ///< names the run
  };

  /// Class-balanced, seed 0.
  explicit PowerLawSampler(const SamplesByClass& samples) : PowerLawSampler(samples, Options{}) {}

  /// @param samples  the data set, or a part of it, with at least one sample; plain labels convert
  PowerLawSampler(const SamplesByClass& samples, const Options& options)
      : ClassProbabilitySampler(samples, detail::power_law_weights("PowerLawSampler", samples, options.q),
                                options.seed) {}
};

/// Progressively balanced sampling (Kang et al., ICLR 2020, eq. 2): from instance-balanced in the first epoch
/// to class-balanced in the last. In epoch t of T
///
///     p_j(t) = (1 - s) n_j / N + s / C',   s = t / (T - 1),   C' = classes that have samples
///
/// which is the schedule of the published code, linspace(0, 1, T) (the paper writes s = t / T); T = 1 is
/// instance-balanced. A draw picks one of the two distributions with probability s, so nothing is rebuilt
/// when the epoch changes.
///
/// One Index per sample, and three words per class; O(N + C) to build.
class ProgressiveSampler : public detail::ClassSampler<ProgressiveSampler> {
 public:
  /// @param samples  the data set, or a part of it, with at least one sample; plain labels convert
  /// @param epochs   T >= 1; draws are for epochs 0 to T - 1
  /// @param seed     names the run
  ProgressiveSampler(const SamplesByClass& samples, Index epochs, std::uint64_t seed = 0)
      : ClassSampler(samples, seed),
        epochs_(epochs),
        tables_{AliasTable(detail::power_law_weights("ProgressiveSampler", samples, 1.0)),
                AliasTable(detail::power_law_weights("ProgressiveSampler", samples, 0.0))} {
    detail::require(epochs >= 1, "ProgressiveSampler", "epochs is ", epochs, ", expected at least 1");
  }

  [[nodiscard]] Index epochs() const noexcept { return epochs_; }

  /// s, the share of class-balanced draws.
  /// @param epoch  in [0, epochs())
  [[nodiscard]] double balanced_share(Index epoch) const {
    detail::require(epoch >= 0 && epoch < epochs_, "ProgressiveSampler", "epoch is ", epoch,
                    ", expected [0, ", epochs_, ")");
    return epochs_ == 1 ? 0.0 : static_cast<double>(epoch) / static_cast<double>(epochs_ - 1);
  }

 private:
  friend ClassSampler;

  [[nodiscard]] auto class_source(Index epoch) const {
    return [this, share = balanced_share(epoch),
            random = detail::epoch_stream(seed(), epoch, detail::class_substream),
            coin = detail::epoch_stream(seed(), epoch, detail::mixture_substream)](
               std::uint64_t position, std::size_t count, Index* classes) {
      std::array<std::uint64_t, detail::draw_block> bits, coins;
      random.fill(position, count, bits.data());
      coin.fill(position, count, coins.data());
      for (std::size_t i = 0; i < count; ++i) {
        classes[i] = tables_[RandomStream::to_uniform(coins[i]) < share ? 1 : 0](bits[i]);
      }
    };
  }

  Index epochs_;
  std::array<AliasTable, 2> tables_;  // instance-balanced, class-balanced
};

}  // namespace ballast
