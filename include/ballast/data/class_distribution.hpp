// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>

namespace ballast {

/// Groups of classes by their number of training samples, as the field reports accuracy (Liu et al. 2019,
/// Kang et al. 2020).
enum class Shot { many, medium, few };

/// many: n > many_above; few: n < few_below; medium: between, both ends included.
struct ShotThresholds {
  Count many_above = 100;
  Count few_below = 20;

  [[nodiscard]] constexpr Shot operator()(Count samples) const noexcept {
    return samples > many_above ? Shot::many : samples < few_below ? Shot::few : Shot::medium;
  }
};

/// What a class without samples, whose prior is 0, means to whoever needs log pi.
class ZeroCount {
 public:
  enum class Policy { refuse, smooth, mask };

  /// An error that names the class; the default everywhere.
  [[nodiscard]] static ZeroCount refuse() { return ZeroCount(Policy::refuse, 0.0); }
  /// Additive smoothing of every class: pi_j = (n_j + a) / (N + a C).
  /// @param a  pseudo-count, a > 0 and finite
  [[nodiscard]] static ZeroCount smooth(double a) {
    detail::require(a > 0 && std::isfinite(a), "ZeroCount::smooth", "a is ", a,
                    ", expected a finite number > 0");
    return ZeroCount(Policy::smooth, a);
  }
  /// log pi_j = -inf: the class is masked out, its probability is exactly 0, a sample labelled with it is an
  /// error.
  [[nodiscard]] static ZeroCount mask() { return ZeroCount(Policy::mask, 0.0); }

  [[nodiscard]] Policy policy() const noexcept { return policy_; }
  [[nodiscard]] double pseudo_count() const noexcept { return pseudo_count_; }

 private:
  ZeroCount(Policy policy, double pseudo_count) : policy_(policy), pseudo_count_(pseudo_count) {}

  Policy policy_;
  double pseudo_count_;
};

/// How many training samples each class has, and what follows from it: the ground on which every re-sampling,
/// re-weighting and logit adjustment stands.
///
///     n_j = |{i : y_i = j}|,   N = sum_j n_j,   pi_j = n_j / N
///
/// Classes without samples are accepted (normal in a shard). Counts add: shards and ranks count apart and
/// `merge`. O(C) memory; concurrent const calls are safe.
class ClassDistribution {
 public:
  /// Counts `labels`; the number of classes is the largest label plus one.
  /// @param labels  one per sample, integral, >= 0; at least one
  template <typename Derived>
  explicit ClassDistribution(const Eigen::DenseBase<Derived>& labels)
      : ClassDistribution(labels, classes_of(labels)) {}

  /// Counts `labels` of `classes` known classes. O(N + C).
  /// @param labels   one per sample, integral, in [0, classes); none is allowed
  /// @param classes  >= 1
  /// @throws std::invalid_argument naming the first label outside
  template <typename Derived>
  ClassDistribution(const Eigen::DenseBase<Derived>& labels, Index classes) {
    detail::require(classes >= 1, "ClassDistribution", "classes is ", classes, ", expected at least 1");
    counts_ = CountVector::Zero(classes);
    update(labels);
  }

  /// @param counts  samples per class, integral, >= 0; at least one class, their sum within Count
  template <typename Derived>
  [[nodiscard]] static ClassDistribution from_counts(const Eigen::DenseBase<Derived>& counts) {
    detail::assert_label_type<Derived>();
    detail::require(counts.size() >= 1, "ClassDistribution::from_counts",
                    "counts is empty, expected one per class");
    ClassDistribution result;
    result.counts_ = CountVector::Zero(counts.size());
    for (Index j = 0; j < counts.size(); ++j) {
      const Index count = detail::label_index(counts.derived().coeff(j));
      detail::require(count >= 0, "ClassDistribution::from_counts", "counts[", j, "] is ",
                      counts.derived().coeff(j), ", expected >= 0");
      detail::require(count <= std::numeric_limits<Count>::max() - result.samples_,
                      "ClassDistribution::from_counts", "counts[", j, "] is ", count,
                      ", which takes the sum past 2^63 - 1");
      result.counts_[j] = count;
      result.samples_ += count;
    }
    return result;
  }

  /// Adds the labels of another batch of the same data set. O(N).
  /// @throws std::invalid_argument naming the first label outside [0, classes()); nothing is then counted
  template <typename Derived>
  void update(const Eigen::DenseBase<Derived>& labels) {
    detail::require_labels("ClassDistribution", "labels", labels, classes());
    for (Index i = 0; i < labels.size(); ++i) ++counts_[detail::label_index(labels.derived().coeff(i))];
    samples_ += labels.size();
  }

  /// Adds the counts of another shard. O(C). Exact and order-independent.
  /// @throws std::invalid_argument if `other` has another number of classes
  void merge(const ClassDistribution& other) {
    detail::require_size("ClassDistribution::merge", "other", other.classes(), classes(), "classes");
    counts_ += other.counts_;
    samples_ += other.samples_;
  }

  [[nodiscard]] Index classes() const noexcept { return counts_.size(); }
  /// N, over all classes.
  [[nodiscard]] Count samples() const noexcept { return samples_; }
  /// n_j, one per class.
  [[nodiscard]] const CountVector& counts() const noexcept { return counts_; }
  [[nodiscard]] Count count(Index class_index) const {
    detail::require(class_index >= 0 && class_index < classes(), "ClassDistribution::count",
                    "class_index is ", class_index, ", expected [0, ", classes(), ")");
    return counts_[class_index];
  }

  /// pi_j = n_j / N, exactly 0 for a class without samples.
  /// @throws std::invalid_argument if there is no sample at all
  [[nodiscard]] Eigen::VectorXd prior() const {
    require_samples("ClassDistribution::prior");
    return counts_.cast<double>() / static_cast<double>(samples_);
  }

  /// log pi_j in nats, from the counts (log n_j - log N: no intermediate rounding of pi).
  /// @param zero_count  what a class without samples means
  /// @throws std::invalid_argument if there is no sample at all; under `refuse`, naming the first class
  /// without samples
  [[nodiscard]] Eigen::VectorXd log_prior(const ZeroCount& zero_count = ZeroCount::refuse()) const {
    const double a = zero_count.pseudo_count();
    if (zero_count.policy() != ZeroCount::Policy::smooth) require_samples("ClassDistribution::log_prior");
    if (zero_count.policy() == ZeroCount::Policy::refuse) require_every_class("ClassDistribution::log_prior");
    const double total = static_cast<double>(samples_) + a * static_cast<double>(classes());
    Eigen::VectorXd result(classes());
    for (Index j = 0; j < classes(); ++j) {
      result[j] = std::log(static_cast<double>(counts_[j]) + a) - std::log(total);
    }
    return result;
  }

  /// Effective number of samples, E_j = (1 - beta^n_j) / (1 - beta) (Cui et al., CVPR 2019, eq. 3); n_j in
  /// the limit beta = 1. Relative error a few ulp also for beta next to 1.
  /// @param beta  in [0, 1]
  [[nodiscard]] Eigen::VectorXd effective_numbers(double beta) const {
    detail::require_between("ClassDistribution::effective_numbers", "beta", beta, 0.0, 1.0);
    Eigen::VectorXd result(classes());
    for (Index j = 0; j < classes(); ++j) {
      const double n = static_cast<double>(counts_[j]);
      if (beta == 1.0) {
        result[j] = n;
      } else if (beta == 0.0) {
        result[j] = counts_[j] > 0 ? 1.0 : 0.0;
      } else {
        result[j] = std::expm1(n * std::log(beta)) / (beta - 1.0);
      }
    }
    return result;
  }

  /// max_j n_j / min_j n_j over all classes; +inf when a class has no sample.
  /// @throws std::invalid_argument if there is no sample at all
  [[nodiscard]] double imbalance_ratio() const {
    require_samples("ClassDistribution::imbalance_ratio");
    const Count smallest = counts_.minCoeff();
    if (smallest == 0) return std::numeric_limits<double>::infinity();
    return static_cast<double>(counts_.maxCoeff()) / static_cast<double>(smallest);
  }

  /// The group a class belongs to.
  [[nodiscard]] Shot shot(Index class_index, const ShotThresholds& thresholds = {}) const {
    return thresholds(count(class_index));
  }

  /// Names the first class without samples in an error; for callers that need log pi or 1 / n to be finite.
  /// @throws std::invalid_argument
  void require_every_class(const char* function) const {
    for (Index j = 0; j < classes(); ++j) {
      detail::require(counts_[j] > 0, function, "class ", j,
                      " has no samples; expected at least one in each of ", classes(),
                      " classes (or choose ZeroCount::smooth or ZeroCount::mask)");
    }
  }

 private:
  ClassDistribution() = default;

  template <typename Derived>
  static Index classes_of(const Eigen::DenseBase<Derived>& labels) {
    detail::assert_label_type<Derived>();
    detail::require(
        labels.size() > 0, "ClassDistribution",
        "labels is empty, so the number of classes is unknown; expected at least one label, or give classes");
    Index largest = 0;
    for (Index i = 0; i < labels.size(); ++i) {
      const Index label = detail::label_index(labels.derived().coeff(i));
      detail::require(label >= 0 && label < std::numeric_limits<Index>::max(), "ClassDistribution", "labels[",
                      i, "] is ", labels.derived().coeff(i), ", expected >= 0 and less than 2^63 - 1");
      largest = std::max(largest, label);
    }
    return largest + 1;
  }

  void require_samples(const char* function) const {
    detail::require(samples_ > 0, function, "the distribution has no samples, expected at least one");
  }

  CountVector counts_;
  Count samples_ = 0;
};

}  // namespace ballast
