// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>

namespace ballast {

/// Splits samples into k folds, each class as evenly as can be: every sample is held out once.
///
/// Within a class the samples are shuffled and dealt out in turn, the next class where the last one stopped;
/// so folds differ by at most one sample in all, and by at most one of each class. The same for a seed on
/// every platform. A class with fewer samples than folds is missing from some of them.
class StratifiedFolds {
 public:
  /// @param labels  one per sample, integral, >= 0; at least one per fold
  /// @param folds   k in [2, samples]
  /// @param seed    names the split
  template <typename Derived>
  StratifiedFolds(const Eigen::DenseBase<Derived>& labels, Index folds, std::uint64_t seed = 0)
      : fold_(labels.size()), sizes_(IndexVector::Zero(std::max<Index>(folds, 1))) {
    constexpr const char* function = "StratifiedFolds";
    detail::assert_label_type<Derived>();
    detail::require(folds >= 2 && folds <= labels.size(), function, "folds is ", folds, ", expected [2, ",
                    labels.size(), "] (samples)");
    std::vector<Index> order(static_cast<std::size_t>(labels.size())), place(order.size());
    for (Index i = 0; i < labels.size(); ++i) {
      detail::require(detail::label_index(labels.derived().coeff(i)) >= 0, function, "labels[", i, "] is ",
                      labels.derived().coeff(i), ", expected >= 0");
      order[static_cast<std::size_t>(i)] = i;
    }
    const RandomStream random(seed, 0xf01d);
    for (std::size_t i = order.size(); i > 1; --i) {
      std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(i, i))]);
    }
    for (std::size_t i = 0; i < order.size(); ++i)
      place[static_cast<std::size_t>(order[i])] = static_cast<Index>(i);
    std::sort(order.begin(), order.end(), [&](Index a, Index b) {  // by class, within it as shuffled
      const Index of_a = detail::label_index(labels.derived().coeff(a));
      const Index of_b = detail::label_index(labels.derived().coeff(b));
      return of_a != of_b ? of_a < of_b
                          : place[static_cast<std::size_t>(a)] < place[static_cast<std::size_t>(b)];
    });
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Index fold = static_cast<Index>(i) % folds;
      fold_[order[i]] = fold;
      ++sizes_[fold];
    }
  }

  [[nodiscard]] Index folds() const noexcept { return sizes_.size(); }
  [[nodiscard]] Index samples() const noexcept { return fold_.size(); }
  /// In which fold each sample is held out.
  [[nodiscard]] const IndexVector& fold_of() const noexcept { return fold_; }

  /// Positions held out in `fold`, ascending.
  [[nodiscard]] IndexVector held_out(Index fold) const { return select(fold, true); }
  /// All other positions, ascending.
  [[nodiscard]] IndexVector fitted(Index fold) const { return select(fold, false); }

 private:
  [[nodiscard]] IndexVector select(Index fold, bool held) const {
    detail::require(fold >= 0 && fold < folds(), "StratifiedFolds", "fold is ", fold, ", expected [0, ",
                    folds(), ")");
    IndexVector positions(held ? sizes_[fold] : samples() - sizes_[fold]);
    Index next = 0;
    for (Index i = 0; i < samples(); ++i) {
      if ((fold_[i] == fold) == held) positions[next++] = i;
    }
    return positions;
  }

  IndexVector fold_;
  IndexVector sizes_;
};

/// What k folds gave.
struct CrossValidation {
  Eigen::VectorXd values;  ///< one per fold
  double mean = 0.0;
  double deviation = 0.0;  ///< of the values about their mean, with k - 1; their folds overlap, so it is no
                           ///< standard error
};

/// Cross-validates anything that works on cached rows, features or logits, and their labels: for each fold,
///
///     value = evaluate(fit_rows, fit_labels, held_rows, held_labels)
///
/// with the rows of `samples` copied in their storage order, and the labels in their type. For example a
/// temperature, fitted on k - 1 folds of logits and measured on the other. O(k * samples * columns) copies.
///
/// @param folds     of as many samples as there are rows
/// @param samples   samples x columns
/// @param labels    one per row, integral
/// @param evaluate  returns a double; its exceptions pass
template <typename Samples, typename Labels, typename Evaluate>
[[nodiscard]] CrossValidation cross_validate(const StratifiedFolds& folds,
                                             const Eigen::MatrixBase<Samples>& samples,
                                             const Eigen::MatrixBase<Labels>& labels,
                                             const Evaluate& evaluate) {
  constexpr const char* function = "cross_validate";
  detail::assert_label_type<Labels>();
  detail::require_size(function, "samples", samples.rows(), folds.samples(), "rows, one per sample of folds");
  detail::require_size(function, "labels", labels.size(), folds.samples(), "one per sample of folds");
  using Rows = typename Samples::PlainObject;
  using LabelVector = VectorX<typename Labels::Scalar>;
  const auto gather = [&](const IndexVector& positions) {
    std::pair<Rows, LabelVector> part(Rows(positions.size(), samples.cols()), LabelVector(positions.size()));
    for (Index i = 0; i < positions.size(); ++i) {
      part.first.row(i) = samples.row(positions[i]);
      part.second[i] = labels[positions[i]];
    }
    return part;
  };
  CrossValidation result;
  result.values.resize(folds.folds());
  for (Index fold = 0; fold < folds.folds(); ++fold) {
    const auto fit = gather(folds.fitted(fold));
    const auto held = gather(folds.held_out(fold));
    result.values[fold] = evaluate(fit.first, fit.second, held.first, held.second);
  }
  result.mean = result.values.mean();
  result.deviation = std::sqrt((result.values.array() - result.mean).square().sum() /
                               static_cast<double>(folds.folds() - 1));
  return result;
}

}  // namespace ballast
