// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <optional>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/classifiers/linear_head.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/rank_correlation.hpp>
#include <ballast/core/row_norms.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>

/// Why a head trained on a long tail favours its frequent classes, measured (Kang et al., ICLR 2020,
/// section 4 and figure 2): the norms of its rows follow the class sizes, because so do the gradients.
namespace ballast {

/// ||w_k||_2, one per class.
template <typename Scalar>
[[nodiscard]] Eigen::VectorXd weight_norms(const LinearHead<Scalar>& head) {
  Eigen::VectorXd norms(head.classes());
  detail::row_norms(detail::view<Scalar>(head.weights()), norms.data());
  return norms;
}

/// Spearman correlation of ||w_k|| and n_k, ties at their mean rank: near 1 for a head trained by SGD on
/// instance-balanced batches (other optimisers differ). None if all norms, or all counts, are equal.
/// @throws std::invalid_argument if `classes` has another number of classes
template <typename Scalar>
[[nodiscard]] std::optional<double> norm_count_correlation(const LinearHead<Scalar>& head,
                                                           const ClassDistribution& classes) {
  detail::require_size("norm_count_correlation", "classes", classes.classes(), head.classes(), "classes");
  return detail::spearman(weight_norms(head), classes.counts().cast<double>());
}

/// Each class's share of the gradient that reaches a head, over any number of batches. With G = dL/df, a
/// sample i moves row k of W by G_ik z_i, of size |G_ik| |z_i|. These sizes are added up
///
///     by_row:    R_k = sum_i |G_ik| |z_i|                 what arrives at the row of class k
///     by_label:  S_j = sum_{i: y_i = j} sum_k |G_ik| |z_i|     what the samples of class j send
///
/// and each divided by its total. Sizes, not sums of vectors: pulls that cancel still count.
///
/// Totals in double; mergeable. Memory O(classes).
class GradientShare {
 public:
  /// Totals so far, one per class.
  struct State {
    Eigen::VectorXd by_row;
    Eigen::VectorXd by_label;
  };

  /// @param classes  >= 1
  explicit GradientShare(Index classes) {
    detail::require(classes >= 1, "GradientShare", "classes is ", classes, ", expected at least 1");
    state_.by_row = Eigen::VectorXd::Zero(classes);
    state_.by_label = Eigen::VectorXd::Zero(classes);
  }

  /// @throws std::invalid_argument if a total is not a finite number >= 0
  explicit GradientShare(const State& state) : GradientShare(state.by_row.size()) {
    constexpr const char* function = "GradientShare";
    detail::require_size(function, "by_label", state.by_label.size(), classes(), "classes");
    for (Index k = 0; k < classes(); ++k) {
      detail::require(state.by_row[k] >= 0 && std::isfinite(state.by_row[k]), function, "by_row[", k, "] is ",
                      state.by_row[k], ", expected a finite number >= 0");
      detail::require(state.by_label[k] >= 0 && std::isfinite(state.by_label[k]), function, "by_label[", k,
                      "] is ", state.by_label[k], ", expected a finite number >= 0");
    }
    state_ = state;
  }

  /// Adds a batch. O(samples (classes + dimensions)).
  /// @param features        samples x dimensions, what the head was given
  /// @param logit_gradient  samples x classes, dL/df
  /// @param labels          one per sample, in [0, classes())
  /// @throws std::invalid_argument on a wrong shape, a label outside, or a row of a size that is not finite;
  ///         nothing is then added
  template <typename Features, typename Gradient, typename Labels>
  void update(const Eigen::MatrixBase<Features>& features, const Eigen::MatrixBase<Gradient>& logit_gradient,
              const Eigen::DenseBase<Labels>& labels) {
    using Scalar = typename Features::Scalar;
    constexpr const char* function = "GradientShare::update";
    detail::require_shape(function, "logit_gradient", logit_gradient, features.rows(), classes());
    detail::require_size(function, "labels", labels.size(), features.rows(), "samples");
    detail::require_labels(function, "labels", labels, classes());
    Eigen::VectorXd norms(features.rows());
    detail::row_norms(detail::view<Scalar>(features), norms.data());
    const auto gradient = detail::view<Scalar>(logit_gradient);
    State added{Eigen::VectorXd::Zero(classes()), Eigen::VectorXd::Zero(classes())};
    for (Index i = 0; i < gradient.rows; ++i) {
      double sent = 0;
      for (Index k = 0; k < gradient.cols; ++k) {
        const double size = std::abs(static_cast<double>(gradient(i, k))) * norms[i];
        added.by_row[k] += size;
        sent += size;
      }
      detail::require(std::isfinite(sent), function, "the gradient of row ", i, " has size ", sent,
                      ", expected a finite number");
      added.by_label[detail::label_index(labels.derived().coeff(i))] += sent;
    }
    add(added);
  }

  /// Adds the totals of another shard.
  void merge(const GradientShare& other) {
    detail::require_size("GradientShare::merge", "other", other.classes(), classes(), "classes");
    add(other.state_);
  }

  [[nodiscard]] Index classes() const noexcept { return state_.by_row.size(); }
  [[nodiscard]] const State& state() const noexcept { return state_; }
  /// Shares that sum to 1; all 0 where no gradient has come.
  [[nodiscard]] Eigen::VectorXd by_row() const { return share(state_.by_row); }
  [[nodiscard]] Eigen::VectorXd by_label() const { return share(state_.by_label); }

 private:
  void add(const State& other) {
    state_.by_row += other.by_row;
    state_.by_label += other.by_label;
  }

  static Eigen::VectorXd share(const Eigen::VectorXd& totals) {
    const double sum = totals.sum();
    return sum > 0 ? Eigen::VectorXd(totals / sum) : totals;
  }

  State state_;
};

}  // namespace ballast
