// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/class_distribution.hpp>

namespace ballast {

/// The samples of a data set grouped by class: what class-wise sampling walks over.
///
/// Within a class the samples keep the order of the data set. O(N + C) to build, one Index per sample and per
/// class; classes without samples are accepted. Immutable, shareable by threads.
///
/// Converts from a label vector, so that whatever takes a SamplesByClass also takes plain labels.
class SamplesByClass {
 public:
  /// All samples; the number of classes is the largest label plus one.
  /// @param labels  one per sample, integral, >= 0; at least one
  template <typename Derived>
  SamplesByClass(const Eigen::DenseBase<Derived>& labels)  // implicit: labels stand for their samples
      : SamplesByClass(labels, ClassDistribution(labels)) {}

  /// All samples, of `classes` known classes.
  /// @param labels   one per sample, integral, in [0, classes)
  /// @param classes  >= 1
  template <typename Derived>
  SamplesByClass(const Eigen::DenseBase<Derived>& labels, Index classes)
      : SamplesByClass(labels, ClassDistribution(labels, classes)) {}

  /// Only the samples `subset`, e.g. the train part of a split; samples keep their position in the whole data
  /// set. Labels outside the subset are not looked at. A position given twice counts as two samples.
  /// @param labels   one per sample of the whole data set, integral
  /// @param classes  >= 1
  /// @param subset   positions in `labels`, any integral vector
  /// @throws std::invalid_argument naming the first position, or label of the subset, outside its range
  template <typename Labels, typename Subset>
  SamplesByClass(const Eigen::DenseBase<Labels>& labels, Index classes,
                 const Eigen::DenseBase<Subset>& subset)
      : SamplesByClass(labels_of(labels, classes, subset), classes) {
    bound_ = 0;
    for (Index& sample : order_) {
      sample = static_cast<Index>(subset.derived().coeff(sample));
      bound_ = std::max(bound_, sample + 1);
    }
  }

  [[nodiscard]] Index classes() const noexcept { return begin_.size() - 1; }
  /// Samples over all classes.
  [[nodiscard]] Index size() const noexcept { return order_.size(); }
  /// Every sample's position in the data set is below this.
  [[nodiscard]] Index bound() const noexcept { return bound_; }
  /// n_j.
  [[nodiscard]] Index count(Index class_index) const {
    eigen_assert(class_index >= 0 && class_index < classes());
    return begin_[class_index + 1] - begin_[class_index];
  }

  /// Positions in the data set, class after class: class j owns order()[begin()[j]] up to, without,
  /// order()[begin()[j + 1]].
  [[nodiscard]] const IndexVector& order() const noexcept { return order_; }
  /// One more than there are classes.
  [[nodiscard]] const IndexVector& begin() const noexcept { return begin_; }

 private:
  template <typename Derived>
  SamplesByClass(const Eigen::DenseBase<Derived>& labels, const ClassDistribution& distribution)
      : order_(labels.size()), begin_(distribution.classes() + 1), bound_(labels.size()) {
    begin_[0] = 0;
    for (Index j = 0; j < classes(); ++j) {
      begin_[j + 1] = begin_[j] + static_cast<Index>(distribution.counts()[j]);
    }
    IndexVector next = begin_;
    for (Index i = 0; i < labels.size(); ++i) {
      order_[next[detail::label_index(labels.derived().coeff(i))]++] = i;
    }
  }

  template <typename Labels, typename Subset>
  static IndexVector labels_of(const Eigen::DenseBase<Labels>& labels, Index classes,
                               const Eigen::DenseBase<Subset>& subset) {
    detail::assert_label_type<Labels>();
    detail::assert_label_type<Subset>();
    IndexVector result(subset.size());
    for (Index i = 0; i < subset.size(); ++i) {
      const Index sample = detail::label_index(subset.derived().coeff(i));
      detail::require(sample >= 0 && sample < labels.size(), "SamplesByClass", "subset[", i, "] is ",
                      subset.derived().coeff(i), ", expected [0, ", labels.size(), ")");
      result[i] = detail::label_index(labels.derived().coeff(sample));
      detail::require(result[i] >= 0 && result[i] < classes, "SamplesByClass", "labels[", sample, "] is ",
                      labels.derived().coeff(sample), ", expected [0, ", classes, ")");
    }
    return result;
  }

  IndexVector order_;
  IndexVector begin_;
  Index bound_;
};

}  // namespace ballast
