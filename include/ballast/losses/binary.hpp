// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/exp.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/losses/reduction.hpp>

namespace ballast {

/// log(pi_c / (1 - pi_c)) of each label, where pi_c = P(c = 1) is the share of its positives:
/// log n_c - log m_c, from the counts of positives n_c and negatives m_c.
/// @param positives   n, integral, >= 0, one per label
/// @param negatives   m, integral, >= 0, one per label: with missing entries, n_c + m_c differs
///                    between labels
/// @param zero_count  what a label that is never, or always, positive means: refuse, or smooth(a), which adds
///                    a to both counts; there is nothing to mask
/// @throws std::invalid_argument naming the first label without positives, or without negatives
template <typename Positives, typename Negatives>
[[nodiscard]] Eigen::VectorXd prior_log_odds(const Eigen::DenseBase<Positives>& positives,
                                             const Eigen::DenseBase<Negatives>& negatives,
                                             const ZeroCount& zero_count = ZeroCount::refuse()) {
  constexpr const char* function = "prior_log_odds";
  detail::assert_label_type<Positives>();
  detail::assert_label_type<Negatives>();
  detail::require_size(function, "negatives", negatives.size(), positives.size(), "labels");
  detail::require(
      zero_count.policy() != ZeroCount::Policy::mask, function,
      "zero_count is mask, expected refuse or smooth: a label that is never positive cannot be left "
      "out of its own logistic loss");
  const double a = zero_count.pseudo_count();
  const auto checked_log = [&](const char* argument, Index c, auto count) {
    detail::require(count >= 0, function, argument, "[", c, "] is ", count, ", expected >= 0");
    detail::require(count > 0 || a > 0, function, "label ", c, " has no ", argument,
                    "; expected at least one (or choose ZeroCount::smooth)");
    return std::log(static_cast<double>(count) + a);
  };
  Eigen::VectorXd result(positives.size());
  for (Index c = 0; c < result.size(); ++c) {
    result[c] = checked_log("positives", c, positives.derived().coeff(c)) -
                checked_log("negatives", c, negatives.derived().coeff(c));
  }
  return result;
}

/// The same where every label is known for every one of `samples` samples: m_c = samples - n_c.
/// @param samples  >= every n_c
template <typename Positives>
[[nodiscard]] Eigen::VectorXd prior_log_odds(const Eigen::DenseBase<Positives>& positives, Count samples,
                                             const ZeroCount& zero_count = ZeroCount::refuse()) {
  detail::assert_label_type<Positives>();
  CountVector negatives(positives.size());
  for (Index c = 0; c < negatives.size(); ++c) {
    const Index count = detail::label_index(positives.derived().coeff(c));
    detail::require(count <= samples, "prior_log_odds", "positives[", c, "] is ", count,
                    ", expected at most the ", samples, " samples");
    negatives[c] = samples - count;
  }
  return prior_log_odds(positives, negatives, zero_count);
}

/// What a BinaryLoss does to each label, as plain data; a part left empty is the identity.
template <typename Scalar>
struct BinaryParameters {
  VectorX<Scalar> offset;           ///< a, one per label, finite; empty: 0. tau * prior_log_odds adjusts
  VectorX<Scalar> positive_weight;  ///< w+, one per label, finite and >= 0; empty: 1
  VectorX<Scalar> negative_weight;  ///< w-, one per label, finite and >= 0; empty: 1
};

/// Settings of BinaryLoss.
template <typename Scalar>
struct BinaryLossOptions {
  /// Entries with this target have loss 0 and gradient 0 and enter no mean; their logits are not read. A
  /// value outside [0, 1].
  Scalar ignore_value = -100;
  Reduction reduction = Reduction::weighted_mean;
};

namespace detail {

/// What a pass of BinaryLoss reads and writes. Pointers that are null are absent.
template <typename Scalar, typename Target, int Order>
struct BinaryBatch {
  MatrixView<const Scalar, Order> logits{};
  MatrixView<const Target, Order> targets{};
  MatrixView<Scalar, Order> values{};
  MatrixView<Scalar, Order> gradient{};
  const Scalar* offset = nullptr;
  const Scalar* positive_weight = nullptr;
  const Scalar* negative_weight = nullptr;
  const Scalar* sample_weights = nullptr;
  Scalar ignore_value = 0;
  double factor = 1;  ///< what the gradient is multiplied by
};

/// The pass, in tiles of up to 256 entries: several short lines (rows or columns, whichever are contiguous)
/// or part of a long one, gathered into arrays on the stack that Eigen works on in whole packets.
template <typename Scalar, typename Target, int Order>
class BinaryPass {
 public:
  using Batch = BinaryBatch<Scalar, Target, Order>;
  static constexpr bool row_major = Order == Eigen::RowMajor;

  explicit BinaryPass(const Batch& batch)
      : batch_(batch),
        lines_(row_major ? batch.logits.rows : batch.logits.cols),
        length_(row_major ? batch.logits.cols : batch.logits.rows),
        group_(length_ > 0 ? std::max(Index(1), tile_size / length_) : 1),
        segments_((length_ + tile_size - 1) / tile_size),
        spans_((lines_ + group_ - 1) / group_ * segments_, largest_spans) {}

  struct Check {
    bool good = true;   ///< every target is in [0, 1] or ignored
    double count = 0;   ///< of entries that are not ignored
    double weight = 0;  ///< of those
  };

  /// Reads the targets, writes nothing.
  [[nodiscard]] Check check() const {
    std::array<Check, largest_spans> parts;
    for_spans([&](Index span, Index begin, Index end) {
      Check part;
      Entries entries;
      for (Index i = begin; i < end && part.good; ++i) {
        load_targets(tile(i), entries);
        part.good = (entries.ignored || (entries.target >= 0 && entries.target <= 1)).all();
        weigh_targets(tile(i), entries);
        part.count += static_cast<double>((!entries.ignored).count());
        part.weight += static_cast<double>((entries.positive + entries.negative).sum());
      }
      parts[static_cast<std::size_t>(span)] = part;
    });
    Check total;
    for (Index span = 0; span < spans_.count(); ++span) {
      const Check& part = parts[static_cast<std::size_t>(span)];
      total.good = total.good && part.good;
      total.count += part.count;
      total.weight += part.weight;
    }
    return total;
  }

  /// Sum of the losses of the entries; writes values and gradient where there are any.
  double run() const {
    std::array<double, largest_spans> parts;
    for_spans([&](Index span, Index begin, Index end) {
      double part = 0;
      Entries entries;
      for (Index i = begin; i < end; ++i) part += run_tile(tile(i), entries);
      parts[static_cast<std::size_t>(span)] = part;
    });
    double total = 0;
    for (Index span = 0; span < spans_.count(); ++span) total += parts[static_cast<std::size_t>(span)];
    return total;
  }

 private:
  static constexpr Index tile_size = 256;
  static constexpr Index largest_spans = 64;
  using Array = Eigen::Array<Scalar, Eigen::Dynamic, 1, 0, tile_size, 1>;  // on the stack
  using Mask = Eigen::Array<bool, Eigen::Dynamic, 1, 0, tile_size, 1>;

  struct Tile {
    Index line, lines;  // the first, and how many
    Index begin, size;  // of each
    [[nodiscard]] Index entries() const { return lines * size; }
    /// Arrays are padded with ignored entries to whole packets.
    [[nodiscard]] Index padded() const { return (entries() + 15) / 16 * 16; }
  };

  struct Entries {
    Array logit, target, positive, negative;  // positive: w+ q, negative: w- (1 - q), 0 where ignored
    Mask ignored;
  };

  [[nodiscard]] Tile tile(Index i) const {
    const Index line = i / segments_ * group_;
    const Index begin = i % segments_ * tile_size;
    return {line, std::min(group_, lines_ - line), begin, std::min(tile_size, length_ - begin)};
  }

  template <typename Body>
  void for_spans(const Body& body) const {
    parallel_for(spans_.count(), lines_ * length_,
                 [&](Index span) { body(span, spans_.begin(span), spans_.end(span)); });
  }

  template <typename From>
  static void load(const Tile& tile, const MatrixView<const From, Order>& from, Scalar padding, Array& to) {
    to.setConstant(tile.padded(), padding);
    for (Index l = 0; l < tile.lines; ++l) {
      const Eigen::Map<const Eigen::Array<From, Eigen::Dynamic, 1>> line(
          from.line(tile.line + l) + tile.begin, tile.size);
      to.segment(l * tile.size, tile.size) = line.template cast<Scalar>();
    }
  }

  static void store(const Tile& tile, const Array& from, const MatrixView<Scalar, Order>& to) {
    for (Index l = 0; l < tile.lines; ++l) {
      Eigen::Map<Eigen::Array<Scalar, Eigen::Dynamic, 1>>(to.line(tile.line + l) + tile.begin, tile.size) =
          from.segment(l * tile.size, tile.size);
    }
  }

  /// combine(part, values) for each line's part of `array`, with the values of `vector` (null: none) for its
  /// entries, which vary along the line or from line to line.
  template <bool along, typename Combine>
  static void combine_lines(const Tile& tile, const Scalar* vector, Array& array, const Combine& combine) {
    if (vector == nullptr) return;
    for (Index l = 0; l < tile.lines; ++l) {
      auto part = array.segment(l * tile.size, tile.size);
      if constexpr (along) {
        combine(part,
                Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>>(vector + tile.begin, tile.size));
      } else {
        combine(part, Array::Constant(tile.size, vector[tile.line + l]));
      }
    }
  }

  void load_targets(const Tile& tile, Entries& entries) const {
    load(tile, batch_.targets, batch_.ignore_value, entries.target);
    entries.ignored = entries.target == batch_.ignore_value;
  }

  void weigh_targets(const Tile& tile, Entries& entries) const {
    const auto multiply = [](auto&& part, const auto& values) {
      part *= values;
    };
    entries.positive = entries.ignored.select(Scalar(0), entries.target);
    entries.negative = entries.ignored.select(Scalar(0), 1 - entries.target);
    combine_lines<row_major>(tile, batch_.positive_weight, entries.positive, multiply);
    combine_lines<row_major>(tile, batch_.negative_weight, entries.negative, multiply);
    combine_lines<!row_major>(tile, batch_.sample_weights, entries.positive, multiply);
    combine_lines<!row_major>(tile, batch_.sample_weights, entries.negative, multiply);
  }

  double run_tile(const Tile& tile, Entries& entries) const {
    load_targets(tile, entries);
    weigh_targets(tile, entries);
    load(tile, batch_.logits, Scalar(0), entries.logit);
    combine_lines<row_major>(tile, batch_.offset, entries.logit,
                             [](auto&& part, const auto& values) { part += values; });
    entries.logit = entries.ignored.select(Scalar(0), entries.logit);

    const Array& u = entries.logit;
    Array small(u.size()), log_term(u.size());
    exp_and_log(u, small, log_term);
    if (batch_.gradient.data != nullptr) {
      const Array upper = Scalar(1) / (1 + small);  // sigma(|u|)
      const Array lower = small * upper;            // sigma(-|u|)
      const Scalar factor = static_cast<Scalar>(batch_.factor);
      const Array gradient = factor * (u >= 0).select(entries.negative * upper - entries.positive * lower,
                                                      entries.negative * lower - entries.positive * upper);
      store(tile, keep_nan(u, gradient), batch_.gradient);
    }
    // A factor of 0 leaves its term out, infinite or not.
    const Array positive =
        (entries.positive > 0).select(entries.positive * (log_term + (-u).max(Scalar(0))), 0);
    const Array negative = (entries.negative > 0).select(entries.negative * (log_term + u.max(Scalar(0))), 0);
    const Array values = keep_nan(u, positive + negative);
    if (batch_.values.data != nullptr) store(tile, values, batch_.values);
    return static_cast<double>(values.sum());
  }

  /// e^-|u|, which cannot overflow, and log(1 + e^-|u|).
  static void exp_and_log(const Array& u, Array& small, Array& log_term) {
    const Array exponent = -u.abs();
    for (Index k = 0; k < u.size(); k += packet_size<Scalar>) {
      const Packet<Scalar> e = exp_nonpositive<Scalar>(packet::load(exponent.data() + k));
      packet::store(small.data() + k, e);
      const Packet<Scalar> one = packet::broadcast(Scalar(1));
      const Packet<Scalar> sum = packet::padd(one, e);
      packet::store(log_term.data() + k, log_corrected<Scalar>(sum, e, packet::pdiv(one, sum)));
    }
  }

  /// NaN where u is, which a selection or a maximum may lose.
  template <typename Expression>
  static Array keep_nan(const Array& u, const Expression& result) {
    return (u == u).select(result, u);
  }

  Batch batch_;
  Index lines_, length_;    // lines, and entries of each
  Index group_, segments_;  // lines of a tile, and tiles of a line; one of them is 1
  Blocks spans_;
};

}  // namespace detail

/// Logistic loss for two classes (one column) or many labels that do not exclude each other. For the entry of
/// a sample and a label c, with logit f and target q (0, 1, or between):
///
///     u = f + a_c
///     L = w+_c q log(1 + e^-u) + w-_c (1 - q) log(1 + e^u)
///     dL/df = w-_c (1 - q) sigma(u) - w+_c q sigma(-u)
///
/// With a_c = tau log(pi_c / (1 - pi_c)) it is the logit-adjusted loss of each label (Menon et al., ICLR
/// 2021, eq. 10, for two classes): trained so, f alone ranks for the balanced error.
///
/// Reductions are those of SoftmaxLoss, over entries: `mean` divides by the entries that are not ignored,
/// `weighted_mean` by the sum over them of w_i (w+_c q + w-_c (1 - q)), w_i the weight of the sample. All
/// ignored: value 0, gradient 0.
///
/// Logits may be anything: +-1e4 and +-inf give the limits (0 on the right side, +inf on the wrong one), NaN
/// makes its own entry NaN. The object is immutable; many threads may share it. A call costs
/// O(samples * labels) and allocates nothing; with OpenMP on, large batches are split over threads, to the
/// same bits for any number of them.
///
/// @tparam Scalar  float or double
///
///     #include <ballast/ballast.hpp>
///     int main() {
///       const Eigen::MatrixXi targets = (Eigen::MatrixXf::Random(64, 5).array() > 0.8f).cast<int>();
///       const Eigen::VectorXi positives = targets.colwise().sum().array() + 1;
///       const auto loss = ballast::logit_adjusted_binary_loss<float>(positives, 66);
///       Eigen::MatrixXf logits = Eigen::MatrixXf::Random(64, 5), gradient(64, 5);
///       const float value = loss(logits, targets, gradient);
///       return value > 0 ? 0 : 1;
///     }
template <typename Scalar_>
class BinaryLoss {
 public:
  using Scalar = Scalar_;
  using Options = BinaryLossOptions<Scalar>;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: BinaryLoss: Scalar is float or double");

  /// @param labels  >= 1
  /// @throws std::invalid_argument naming the part that does not hold what is documented of it
  explicit BinaryLoss(Index labels, BinaryParameters<Scalar> parameters = {}, Options options = {})
      : labels_(labels), parameters_(std::move(parameters)), options_(options) {
    detail::require(labels_ >= 1, name, "labels is ", labels_, ", expected at least 1");
    require_part("offset", parameters_.offset, false);
    require_part("positive_weight", parameters_.positive_weight, true);
    require_part("negative_weight", parameters_.negative_weight, true);
    detail::require(options_.ignore_value < 0 || options_.ignore_value > 1, name, "options.ignore_value is ",
                    options_.ignore_value, ", expected a value outside [0, 1]");
  }

  [[nodiscard]] Index labels() const noexcept { return labels_; }
  [[nodiscard]] const BinaryParameters<Scalar>& parameters() const noexcept { return parameters_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }

  /// Value and gradient of the reduced loss.
  /// @param logits    samples x labels, stored, of either order; no sample at all gives 0
  /// @param targets   samples x labels, stored in the order of the logits, of any arithmetic type: in [0, 1],
  ///                  or ignore_value
  /// @param gradient  samples x labels in the order of the logits, overwritten; may be the logits themselves
  /// @throws std::invalid_argument on a wrong shape or the first bad target; nothing is then written
  template <typename Logits, typename Targets, typename Gradient>
  Scalar operator()(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                    Gradient&& gradient) const {
    return reduced(logits, targets, nullptr, output_view("gradient", logits, gradient));
  }

  /// The same with a weight per sample.
  /// @param sample_weights  w, one per sample, stored, of Scalar, finite and >= 0
  template <typename Logits, typename Targets, typename Weights, typename Gradient>
  Scalar operator()(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                    const Eigen::DenseBase<Weights>& sample_weights, Gradient&& gradient) const {
    static_assert(Weights::IsVectorAtCompileTime, "ballast: sample weights are a vector, one per sample");
    detail::require_size(name, "sample_weights", sample_weights.size(), logits.rows(), "samples");
    const Scalar* weights = detail::view<Scalar>(sample_weights).data;
    for (Index i = 0; i < logits.rows(); ++i) {
      detail::require(weights[i] >= 0 && std::isfinite(weights[i]), name, "sample_weights[", i, "] is ",
                      weights[i], ", expected a finite number >= 0");
    }
    return reduced(logits, targets, weights, output_view("gradient", logits, gradient));
  }

  /// The value alone.
  template <typename Logits, typename Targets>
  [[nodiscard]] Scalar operator()(const Eigen::MatrixBase<Logits>& logits,
                                  const Eigen::DenseBase<Targets>& targets) const {
    return reduced(logits, targets, nullptr, View<Logits>{});
  }

  /// No reduction: the loss of each entry, 0 for an ignored one.
  /// @param values  samples x labels in the order of the logits, overwritten
  template <typename Logits, typename Targets, typename Values>
  void each(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
            Values&& values) const {
    unreduced(logits, targets, values, View<Logits>{});
  }

  /// The same, and the gradient of each entry's own loss.
  template <typename Logits, typename Targets, typename Values, typename Gradient>
  void each(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
            Values&& values, Gradient&& gradient) const {
    unreduced(logits, targets, values, output_view("gradient", logits, gradient));
  }

 private:
  template <typename Logits>
  using View = detail::MatrixView<Scalar, detail::storage_order<Logits>>;

  static constexpr const char* name = "BinaryLoss";

  void require_part(const char* argument, const VectorX<Scalar>& part, bool nonnegative) const {
    if (part.size() == 0) return;
    detail::require_size(name, argument, part.size(), labels_, "labels");
    for (Index c = 0; c < labels_; ++c) {
      detail::require(std::isfinite(part[c]) && (part[c] >= 0 || !nonnegative), name, argument, "[", c,
                      "] is ", part[c], ", expected a finite number", nonnegative ? " >= 0" : "");
    }
  }

  template <typename Logits>
  void require_logits(const Eigen::MatrixBase<Logits>& logits) const {
    detail::require(logits.cols() == labels_, name, "logits has ", logits.cols(), " columns, expected ",
                    labels_, " (labels)");
  }

  template <typename Logits, typename Output>
  View<Logits> output_view(const char* argument, const Eigen::MatrixBase<Logits>& logits,
                           Output& output) const {
    require_logits(logits);
    detail::assert_same_order<Logits, Output>();
    detail::require_shape(name, argument, output, logits.rows(), logits.cols());
    return detail::mutable_view<Scalar>(output);
  }

  template <typename Logits, typename Targets>
  auto batch_of(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets) const {
    using Target = typename Targets::Scalar;
    static_assert(std::is_arithmetic_v<Target>, "ballast: targets are numbers in [0, 1], or bool");
    detail::assert_same_order<Logits, Targets>();
    require_logits(logits);
    detail::require_shape(name, "targets", targets, logits.rows(), logits.cols());
    const auto data = [](const auto& part) {
      return part.size() > 0 ? part.data() : nullptr;
    };
    detail::BinaryBatch<Scalar, Target, detail::storage_order<Logits>> batch;
    batch.logits = detail::view<Scalar>(logits);
    batch.targets = detail::view<Target>(targets);
    batch.offset = data(parameters_.offset);
    batch.positive_weight = data(parameters_.positive_weight);
    batch.negative_weight = data(parameters_.negative_weight);
    batch.ignore_value = options_.ignore_value;
    return batch;
  }

  /// What the reduction divides by. Throws if a target is bad.
  template <typename Batch>
  double check(const Batch& batch) const {
    const auto checked = detail::BinaryPass(batch).check();
    if (!checked.good) reject_target(batch);
    return options_.reduction == Reduction::weighted_mean ? checked.weight : checked.count;
  }

  template <typename Batch>
  [[gnu::cold, gnu::noinline]] void reject_target(const Batch& batch) const {
    for (Index i = 0; i < batch.targets.rows; ++i) {
      for (Index c = 0; c < batch.targets.cols; ++c) {
        const auto target = batch.targets(i, c);
        const Scalar value = static_cast<Scalar>(target);
        detail::require((value >= 0 && value <= 1) || value == options_.ignore_value, name, "targets(", i,
                        ", ", c, ") is ", target, ", expected [0, 1] or the ignore_value ",
                        options_.ignore_value);
      }
    }
  }

  template <typename Logits, typename Targets>
  Scalar reduced(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                 const Scalar* sample_weights, const View<Logits>& gradient) const {
    auto batch = batch_of(logits, targets);
    batch.gradient = gradient;
    batch.sample_weights = sample_weights;
    const double total = check(batch);
    if (options_.reduction != Reduction::sum) batch.factor = total > 0 ? 1 / total : 0.0;
    const double sum = detail::BinaryPass(batch).run();
    return static_cast<Scalar>(batch.factor * sum);
  }

  template <typename Logits, typename Targets, typename Values>
  void unreduced(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                 Values& values, const View<Logits>& gradient) const {
    auto batch = batch_of(logits, targets);
    batch.values = output_view("values", logits, values);
    batch.gradient = gradient;
    check(batch);
    detail::BinaryPass(batch).run();
  }

  Index labels_;
  BinaryParameters<Scalar> parameters_;
  Options options_;
};

/// Logistic loss of f_c + tau log(pi_c / (1 - pi_c)), from counts of positives.
/// @param positives  n_c, integral, one per label
/// @param samples    of which they are counted
/// @param tau        finite
template <typename Scalar, typename Positives>
[[nodiscard]] BinaryLoss<Scalar> logit_adjusted_binary_loss(const Eigen::DenseBase<Positives>& positives,
                                                            Count samples, Scalar tau = 1,
                                                            const ZeroCount& zero_count = ZeroCount::refuse(),
                                                            BinaryLossOptions<Scalar> options = {}) {
  detail::require_finite("logit_adjusted_binary_loss", "tau", tau);
  BinaryParameters<Scalar> parameters;
  parameters.offset =
      (static_cast<double>(tau) * prior_log_odds(positives, samples, zero_count)).template cast<Scalar>();
  return BinaryLoss<Scalar>(positives.size(), std::move(parameters), options);
}

}  // namespace ballast
