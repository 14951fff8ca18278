// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <optional>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/metrics/shots.hpp>

namespace ballast {

/// What a mean over classes does about a class that has no test samples, and so no recall.
enum class EmptyClass {
  refuse,  ///< an error that names the class; the default everywhere
  skip     ///< the mean is over the classes that have samples
};

/// How often each class was predicted for each label, counted batch by batch; and the figures that follow.
///
///     M_jk = |{i : y_i = j, yhat_i = k}|,   n_j = sum_k M_jk,   recall_j = M_jj / n_j
///
/// Counts add: shards and ranks count apart and `merge`, exactly and in any order. 8 C^2 bytes; `update` does
/// not allocate. Concurrent const calls are safe. Every figure is a number in [0, 1] or an error that says
/// why there is none; nothing is ever NaN.
class ConfusionMatrix {
 public:
  /// M: row = label, column = prediction.
  struct State {
    MatrixX<Count> counts;
  };

  /// @param classes  C >= 1
  explicit ConfusionMatrix(Index classes) {
    detail::require(classes >= 1, "ConfusionMatrix", "classes is ", classes, ", expected at least 1");
    counts_.setZero(classes, classes);
  }
  /// @param state  square, of counts >= 0, at least one class
  explicit ConfusionMatrix(State state) { restore(std::move(state)); }

  /// Counts a batch. O(samples).
  /// @param predictions  the predicted class of each sample, integral, in [0, C)
  /// @param labels       the true class of each sample, integral, in [0, C)
  /// @throws std::invalid_argument naming the first value outside; nothing is then counted
  template <typename Predictions, typename Labels>
  void update(const Eigen::DenseBase<Predictions>& predictions, const Eigen::DenseBase<Labels>& labels) {
    constexpr const char* function = "ConfusionMatrix::update";
    detail::require_size(function, "predictions", predictions.size(), labels.size(), "one per label");
    detail::require_labels(function, "predictions", predictions, classes());
    detail::require_labels(function, "labels", labels, classes());
    for (Index i = 0; i < labels.size(); ++i) {
      ++counts_(detail::label_index(labels.derived().coeff(i)),
                detail::label_index(predictions.derived().coeff(i)));
    }
  }

  /// Adds the counts of another shard. O(C^2).
  /// @throws std::invalid_argument if `other` has another number of classes
  void merge(const ConfusionMatrix& other) {
    detail::require_size("ConfusionMatrix::merge", "other", other.classes(), classes(), "classes");
    counts_ += other.counts_;
  }

  [[nodiscard]] State state() const { return {counts_}; }
  /// @throws std::invalid_argument as the constructor; this is then unchanged
  void restore(State state) {
    constexpr const char* function = "ConfusionMatrix::restore";
    const MatrixX<Count>& counts = state.counts;
    detail::require(counts.rows() == counts.cols() && counts.rows() >= 1, function, "counts is ",
                    counts.rows(), " x ", counts.cols(), ", expected classes x classes");
    Count total = 0;
    for (Index j = 0; j < counts.rows(); ++j) {
      for (Index k = 0; k < counts.cols(); ++k) {
        detail::require(counts(j, k) >= 0 && counts(j, k) <= std::numeric_limits<Count>::max() - total,
                        function, "counts(", j, ", ", k, ") is ", counts(j, k),
                        ", expected >= 0 and a sum within 63 bits");
        total += counts(j, k);
      }
    }
    counts_ = std::move(state.counts);
  }

  [[nodiscard]] Index classes() const noexcept { return counts_.rows(); }
  /// M; row = label, column = prediction.
  [[nodiscard]] const MatrixX<Count>& counts() const noexcept { return counts_; }
  /// Samples counted so far. O(C^2).
  [[nodiscard]] Count samples() const { return counts_.sum(); }
  /// n_j: samples labelled `class_index`. O(C).
  [[nodiscard]] Count samples(Index class_index) const {
    require_class("ConfusionMatrix::samples", class_index);
    return counts_.row(class_index).sum();
  }

  /// sum_j M_jj / N.
  /// @throws std::invalid_argument if nothing was counted
  [[nodiscard]] double accuracy() const {
    const Count total = samples();
    detail::require(total > 0, "ConfusionMatrix::accuracy", "no samples were counted, expected at least one");
    return ratio(counts_.diagonal().sum(), total);
  }

  /// M_jj / n_j; nothing if the class has no samples. O(C).
  [[nodiscard]] std::optional<double> recall(Index class_index) const {
    require_class("ConfusionMatrix::recall", class_index);
    return defined_ratio(correct(class_index), counts_.row(class_index).sum());
  }
  /// M_jj / sum_i M_ij; nothing if the class was never predicted. O(C).
  [[nodiscard]] std::optional<double> precision(Index class_index) const {
    require_class("ConfusionMatrix::precision", class_index);
    return defined_ratio(correct(class_index), counts_.col(class_index).sum());
  }
  /// 2 M_jj / (n_j + sum_i M_ij), the harmonic mean of precision and recall, 0 if either is; nothing if the
  /// class has no samples and was never predicted. O(C).
  [[nodiscard]] std::optional<double> f1(Index class_index) const {
    require_class("ConfusionMatrix::f1", class_index);
    return defined_ratio(2 * correct(class_index),
                         counts_.row(class_index).sum() + counts_.col(class_index).sum());
  }

  /// Balanced error, BER = mean_j P(yhat != j | y = j) (Menon et al., ICLR 2021, eq. 2). O(C^2).
  /// @param empty  what a class without samples means
  /// @throws std::invalid_argument if no class has samples; under `refuse`, naming the first without
  [[nodiscard]] double balanced_error(EmptyClass empty = EmptyClass::refuse) const {
    return mean_over_classes("ConfusionMatrix::balanced_error", empty, [this](Index j, Count samples_of_j) {
      return ratio(samples_of_j - correct(j), samples_of_j);
    });
  }

  /// mean_j recall_j = 1 - BER. As `balanced_error` in all else.
  [[nodiscard]] double balanced_accuracy(EmptyClass empty = EmptyClass::refuse) const {
    return mean_over_classes("ConfusionMatrix::balanced_accuracy", empty,
                             [this](Index j, Count samples_of_j) { return ratio(correct(j), samples_of_j); });
  }

  /// Mean of f1 over classes. As `balanced_error` in all else.
  [[nodiscard]] double macro_f1(EmptyClass empty = EmptyClass::refuse) const {
    return mean_over_classes("ConfusionMatrix::macro_f1", empty, [this](Index j, Count samples_of_j) {
      return ratio(2 * correct(j), samples_of_j + counts_.col(j).sum());
    });
  }

  /// Geometric mean of the recalls, (prod_j recall_j)^(1/C): 0 as soon as one class is never recognised. As
  /// `balanced_error` in all else.
  [[nodiscard]] double g_mean(EmptyClass empty = EmptyClass::refuse) const {
    return std::exp(mean_over_classes("ConfusionMatrix::g_mean", empty, [this](Index j, Count samples_of_j) {
      return std::log(ratio(correct(j), samples_of_j));
    }));
  }

  /// Error under another prior, sum_j pi^t_j P(yhat != j | y = j): the balanced error for a uniform prior,
  /// the plain error for the test set's own. O(C^2).
  /// @param target_prior  pi^t, C probabilities that sum to 1
  /// @throws std::invalid_argument naming the first class that has weight but no samples
  template <typename Derived>
  [[nodiscard]] double weighted_error(const Eigen::DenseBase<Derived>& target_prior) const {
    constexpr const char* function = "ConfusionMatrix::weighted_error";
    detail::require_prior(function, "target_prior", target_prior, classes());
    double error = 0.0;
    double total = 0.0;
    for (Index j = 0; j < classes(); ++j) {
      const double weight = static_cast<double>(target_prior.derived().coeff(j));
      if (weight == 0.0) continue;
      const Count samples_of_j = counts_.row(j).sum();
      require_samples_of(function, j, samples_of_j);
      error += weight * ratio(samples_of_j - correct(j), samples_of_j);
      total += weight;
    }
    return error / total;
  }

  /// Accuracy by group: the mean recall of the classes that have many, medium or few *training* samples, as
  /// published (Kang et al. 2020). A class without test samples is left out of its group; a group without
  /// test samples has no figure. O(C^2).
  /// @param training  the distribution of the training labels, of C classes
  [[nodiscard]] ShotFigures shot_accuracy(const ClassDistribution& training,
                                          const ShotThresholds& thresholds = {}) const {
    detail::require_size("ConfusionMatrix::shot_accuracy", "training", training.classes(), classes(),
                         "classes");
    ByShot<Mean> means;
    for (Index j = 0; j < classes(); ++j) {
      if (const auto value = recall(j)) means[training.shot(j, thresholds)].add(*value);
    }
    return figures(means);
  }

 private:
  static double ratio(Count part, Count whole) {
    return static_cast<double>(part) / static_cast<double>(whole);
  }
  static std::optional<double> defined_ratio(Count part, Count whole) {
    if (whole == 0) return std::nullopt;
    return ratio(part, whole);
  }

  [[nodiscard]] Count correct(Index j) const { return counts_(j, j); }

  void require_class(const char* function, Index class_index) const {
    detail::require(class_index >= 0 && class_index < classes(), function, "class_index is ", class_index,
                    ", expected [0, ", classes(), ")");
  }
  void require_samples_of(const char* function, Index j, Count samples_of_j) const {
    detail::require(samples_of_j > 0, function, "class ", j, " has no samples, expected at least one in each",
                    " class that counts (or choose EmptyClass::skip, or weight 0)");
  }

  template <typename Figure>
  double mean_over_classes(const char* function, EmptyClass empty, const Figure& figure) const {
    Mean mean;
    for (Index j = 0; j < classes(); ++j) {
      const Count samples_of_j = counts_.row(j).sum();
      if (empty == EmptyClass::refuse) require_samples_of(function, j, samples_of_j);
      if (samples_of_j > 0) mean.add(figure(j, samples_of_j));
    }
    detail::require(mean.values() > 0, function, "no samples were counted, expected at least one");
    return *mean.value();
  }

  MatrixX<Count> counts_;
};

namespace detail {

/// ranks[i] = how many classes come before labels[i] in the order "larger logit first, equal ones by lower
/// index", for `count` rows from `begin`.
template <typename Scalar, int Order, typename Labels>
void rank_labels(const MatrixView<const Scalar, Order>& logits, const Labels& labels, Index begin,
                 Index count, Index* ranks) {
  if constexpr (Order == Eigen::RowMajor) {
    for (Index i = 0; i < count; ++i) {
      const Scalar* row = logits.line(begin + i);
      const Index label = label_index(labels.coeff(begin + i));
      const Scalar own = row[label];
      Index before = 0;
      for (Index k = 0; k < label; ++k) before += row[k] >= own ? 1 : 0;
      for (Index k = label + 1; k < logits.cols; ++k) before += row[k] > own ? 1 : 0;
      ranks[i] = before;
    }
  } else {
    // A column at a time over a block of rows that stays in cache.
    std::fill_n(ranks, count, Index(0));
    for (Index k = 0; k < logits.cols; ++k) {
      const Scalar* column = logits.line(k) + begin;
      for (Index i = 0; i < count; ++i) {
        const Index label = label_index(labels.coeff(begin + i));
        const Scalar own = logits(begin + i, label);
        ranks[i] += column[i] > own || (column[i] == own && k < label) ? 1 : 0;
      }
    }
  }
}

}  // namespace detail

/// Top-k accuracy for every k up to a largest, streamed over batches:
///
///     P(rank of the label's logit < k),   rank_i = |{j : f_ij > f_iy}| + |{j < y_i : f_ij = f_iy}|
///
/// Ties go to the lower class index, as the first maximum does in an argmax: top-1 is the accuracy of the
/// argmax. Any increasing function of the logits gives the same result, probabilities as well. Counts add and
/// `merge`. `update` costs two passes over the logits and does
/// not allocate.
class TopKAccuracy {
 public:
  /// hits[r] = samples whose label has rank r, for r < largest k; samples = all that were seen.
  struct State {
    CountVector hits;
    Count samples = 0;
  };

  /// @param largest_k  >= 1
  explicit TopKAccuracy(Index largest_k) {
    detail::require(largest_k >= 1, "TopKAccuracy", "largest_k is ", largest_k, ", expected at least 1");
    state_.hits = CountVector::Zero(largest_k);
  }
  /// @param state  counts >= 0 whose sum is at most `samples`, for at least k = 1
  explicit TopKAccuracy(State state) { restore(std::move(state)); }

  /// @param logits  samples x classes, either storage order, float or double; infinities are ordered as such
  /// @param labels  one per sample, integral, in [0, classes)
  /// @throws std::invalid_argument naming the first label outside or the first row with a NaN; nothing is
  /// then counted
  template <typename Logits, typename Labels>
  void update(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Labels>& labels) {
    constexpr const char* function = "TopKAccuracy::update";
    detail::require_size(function, "labels", labels.size(), logits.rows(), "one per row of logits");
    detail::require_labels(function, "labels", labels, logits.cols());
    const auto view = detail::view<typename Logits::Scalar>(logits);
    detail::require_no_nan(function, "logits", logits);
    std::array<Index, 128> ranks;
    for (Index begin = 0; begin < view.rows; begin += 128) {
      const Index count = std::min(Index(128), view.rows - begin);
      detail::rank_labels(view, labels.derived(), begin, count, ranks.data());
      for (Index i = 0; i < count; ++i) {
        const Index rank = ranks[static_cast<std::size_t>(i)];
        if (rank < largest_k()) ++state_.hits[rank];
      }
    }
    state_.samples += view.rows;
  }

  /// Adds the counts of another shard with the same largest k.
  void merge(const TopKAccuracy& other) {
    detail::require_size("TopKAccuracy::merge", "other", other.largest_k(), largest_k(), "largest k");
    state_.hits += other.state_.hits;
    state_.samples += other.state_.samples;
  }

  [[nodiscard]] State state() const { return state_; }
  /// @throws std::invalid_argument as the constructor; this is then unchanged
  void restore(State state) {
    constexpr const char* function = "TopKAccuracy::restore";
    detail::require(state.hits.size() >= 1, function, "hits is empty, expected one count per rank");
    Count rest = state.samples;
    for (Index r = 0; r < state.hits.size(); ++r) {
      detail::require(state.hits[r] >= 0 && state.hits[r] <= rest, function, "hits[", r, "] is ",
                      state.hits[r], ", expected >= 0 and a sum of at most samples, ", state.samples);
      rest -= state.hits[r];
    }
    detail::require(rest >= 0, function, "samples is ", state.samples, ", expected >= 0");
    state_ = std::move(state);
  }

  [[nodiscard]] Index largest_k() const noexcept { return state_.hits.size(); }
  [[nodiscard]] Count samples() const noexcept { return state_.samples; }

  /// @param k  in [1, largest_k()]
  /// @throws std::invalid_argument if nothing was counted
  [[nodiscard]] double accuracy(Index k) const {
    detail::require_between("TopKAccuracy::accuracy", "k", k, Index(1), largest_k());
    detail::require(samples() > 0, "TopKAccuracy::accuracy",
                    "no samples were counted, expected at least one");
    return static_cast<double>(state_.hits.head(k).sum()) / static_cast<double>(samples());
  }

 private:
  State state_;
};

}  // namespace ballast
