// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>

namespace ballast {

/// What happens to a label outside the bins.
enum class Outside {
  clamp,  ///< it joins the nearest edge bin
  drop,   ///< it belongs to no bin: index -1, not counted, weight 0
  refuse  ///< an error that names it
};

namespace detail {

/// Labels are looked up in their own precision: float as float, everything else (integers too) as double.
template <typename Label>
using LabelReal = std::conditional_t<std::is_same_v<Label, float>, float, double>;

/// The edges of one axis, rounded to the precision of the labels, and the fastest lookup that is exact there.
/// The bin of y is the number of inner edges <= y; below the first or above the last edge that clamps.
template <typename Scalar>
class EdgeTable {
 public:
  explicit EdgeTable(const Eigen::VectorXd& edges)
      : low_(static_cast<Scalar>(edges[0])),
        high_(static_cast<Scalar>(edges[edges.size() - 1])),
        inner_(edges.segment(1, edges.size() - 2).cast<Scalar>()) {
    const double width = (edges[edges.size() - 1] - edges[0]) / static_cast<double>(edges.size() - 1);
    start_ = static_cast<Scalar>(edges[0] + width / 2);
    scale_ = static_cast<Scalar>(1 / width);
    regular_ = guess_is_close();
  }

  [[nodiscard]] bool outside(Scalar label) const { return !(label >= low_ && label < high_); }

  void find(const Scalar* labels, Index count, std::int32_t* bins) const {
    if (regular_) {
      for (Index i = 0; i < count; ++i) {
        const std::int32_t guess = guess_of(labels[i]);
        bins[i] = guess + static_cast<std::int32_t>(labels[i] >= inner_.data()[guess]);
      }
    } else {
      for (Index i = 0; i < count; ++i) bins[i] = search(labels[i]);
    }
  }

 private:
  /// Of equal bins: the bin of y, or the one below. Subtract, then multiply: nothing a compiler may contract.
  [[nodiscard]] std::int32_t guess_of(Scalar label) const {
    const Scalar top = static_cast<Scalar>(inner_.size() - 1);
    Scalar position = (label - start_) * scale_;
    position = position > 0 ? position : Scalar(0);
    position = position < top ? position : top;
    return static_cast<std::int32_t>(position);
  }

  /// guess_of does not decrease with the label, so that being right on both sides of every inner edge makes
  /// it right everywhere. False for unequal bins, and for bins too narrow for the precision.
  [[nodiscard]] bool guess_is_close() const {
    if (inner_.size() == 0 || inner_.size() >= (Index(1) << (std::numeric_limits<Scalar>::digits - 2)) ||
        !std::isfinite(scale_)) {
      return false;
    }
    for (Index k = 0; k < inner_.size(); ++k) {
      const Scalar below = std::nextafter(inner_[k], -std::numeric_limits<Scalar>::infinity());
      if (guess_of(inner_[k]) < k || guess_of(below) > k) return false;
    }
    return true;
  }

  /// Branch-free binary search.
  [[nodiscard]] std::int32_t search(Scalar label) const {
    const Scalar* base = inner_.data();
    Index left = inner_.size();
    while (left > 1) {
      const Index half = left / 2;
      base += base[half - 1] <= label ? half : 0;
      left -= half;
    }
    const Index last = left == 1 && *base <= label ? 1 : 0;
    return static_cast<std::int32_t>(base - inner_.data() + last);
  }

  Scalar low_;
  Scalar high_;
  Scalar start_;
  Scalar scale_;
  VectorX<Scalar> inner_;
  bool regular_;
};

}  // namespace detail

/// Bins over a continuous label, or over a vector of labels as the product of one set of bins per target.
///
///     bin b = [edge_b, edge_{b+1}),   b = 0 .. B - 1
///
/// A label is compared with the edges in its own precision (the edges rounded to float for float labels,
/// integers taken as double), so that 0.3f and 0.3 both start bin 3 of tenths. Equal bins are found by one
/// multiplication and one comparison, others by binary search; both are exact. NaN is always refused.
///
/// Immutable; concurrent use is safe. O(B) memory, no allocation in lookups.
class LabelBins {
 public:
  /// `bins` equal bins of [low, high). Edge k is (low (B - k) + high k) / B, the correctly rounded value
  /// wherever the two products are exact: tenths of [0, 1) have the edges a user writes.
  /// @param low, high  finite, low < high; negative and fractional are as good as any
  /// @param bins       1 .. 2^31 - 1, and few enough for the edges to differ
  [[nodiscard]] static LabelBins uniform(double low, double high, Index bins,
                                         Outside outside = Outside::clamp) {
    constexpr const char* function = "LabelBins::uniform";
    detail::require_finite(function, "low", low);
    detail::require_finite(function, "high", high);
    detail::require(low < high, function, "high is ", high, ", expected more than low = ", low);
    detail::require_between(function, "bins", bins, Index(1), most_bins);
    const double total = static_cast<double>(bins);
    Eigen::VectorXd edges(bins + 1);
    for (Index k = 0; k <= bins; ++k) {
      const double step = static_cast<double>(k);
      edges[k] = (low * (total - step) + high * step) / total;
    }
    edges[0] = low;
    edges[bins] = high;
    return LabelBins(function, std::move(edges), outside, true);
  }

  /// Bins between edges of the caller's own.
  /// @param edges  B + 1 finite numbers, strictly increasing, B >= 1
  template <typename Derived>
  [[nodiscard]] static LabelBins from_edges(const Eigen::DenseBase<Derived>& edges,
                                            Outside outside = Outside::clamp) {
    constexpr const char* function = "LabelBins::from_edges";
    detail::require(edges.size() >= 2, function, "edges has size ", edges.size(), ", expected at least 2");
    detail::require_between(function, "the number of bins", edges.size() - 1, Index(1), most_bins);
    Eigen::VectorXd copy(edges.size());
    for (Index k = 0; k < copy.size(); ++k) copy[k] = static_cast<double>(edges.derived().coeff(k));
    return LabelBins(function, std::move(copy), outside, false);
  }

  /// Bins that hold about equally many of `labels`: edges at the k / B quantiles (linear between order
  /// statistics, Hyndman and Fan's type 7), the last one just above the largest label. Where ties make edges
  /// coincide they are merged, so that there may be fewer than `bins` bins. O(N log N); copies the labels.
  /// @param labels  a vector, finite, at least one
  /// @param bins    at least 1
  template <typename Derived>
  [[nodiscard]] static LabelBins quantiles(const Eigen::DenseBase<Derived>& labels, Index bins,
                                           Outside outside = Outside::clamp) {
    constexpr const char* function = "LabelBins::quantiles";
    using Real = detail::LabelReal<typename Derived::Scalar>;
    detail::require(labels.size() > 0, function, "labels is empty, expected at least one");
    detail::require_between(function, "bins", bins, Index(1), most_bins);
    VectorX<Real> sorted(labels.size());
    for (Index i = 0; i < sorted.size(); ++i) sorted[i] = static_cast<Real>(labels.derived().coeff(i));
    detail::require_all_finite(function, "labels", sorted);
    std::sort(sorted.data(), sorted.data() + sorted.size());

    std::vector<double> edges;
    for (Index k = 0; k < bins; ++k) {
      const double at =
          static_cast<double>(k) / static_cast<double>(bins) * static_cast<double>(sorted.size() - 1);
      const Index lower = static_cast<Index>(at);
      const double below = static_cast<double>(sorted[lower]);
      const double above = static_cast<double>(sorted[std::min(lower + 1, sorted.size() - 1)]);
      const double edge = below + (at - static_cast<double>(lower)) * (above - below);
      if (edges.empty() || edge > edges.back()) edges.push_back(edge);
    }
    const Real last =
        std::nextafter(sorted[sorted.size() - 1], std::numeric_limits<Real>::infinity());  // in its precision
    edges.push_back(static_cast<double>(last));
    return from_edges(Eigen::Map<const Eigen::VectorXd>(edges.data(), static_cast<Index>(edges.size())),
                      outside);
  }

  /// Bins over label vectors: the product of the axes, the last axis fastest, as in a row-major array. Each
  /// axis keeps its rule for labels outside; dropped on one axis is dropped.
  /// @param axes  at least one; B_1 * B_2 * ... <= 2^31 - 1
  [[nodiscard]] static LabelBins product(const std::vector<LabelBins>& axes) {
    constexpr const char* function = "LabelBins::product";
    detail::require(!axes.empty(), function, "axes is empty, expected at least one");
    LabelBins result;
    for (const LabelBins& axis : axes) {
      detail::require(axis.bins() <= most_bins / result.bins_, function, "the product has more than ",
                      most_bins, " bins");
      result.bins_ *= axis.bins_;
      result.axes_.insert(result.axes_.end(), axis.axes_.begin(), axis.axes_.end());
    }
    return result;
  }

  /// B, over all axes together.
  [[nodiscard]] Index bins() const noexcept { return bins_; }
  /// Labels per sample: 1, or the number of axes of a product.
  [[nodiscard]] Index dimensions() const noexcept { return static_cast<Index>(axes_.size()); }
  /// Bins along one axis.
  [[nodiscard]] Index axis_bins(Index axis) const { return edges(axis).size() - 1; }
  /// The bins() + 1 edges of an axis, in double.
  [[nodiscard]] const Eigen::VectorXd& edges(Index axis = 0) const { return at(axis).edges; }
  /// Middles of the bins of an axis.
  [[nodiscard]] Eigen::VectorXd centers(Index axis = 0) const {
    const Eigen::VectorXd& e = edges(axis);
    return (e.head(e.size() - 1) + e.tail(e.size() - 1)) / 2;
  }
  /// Widths of the bins of an axis; of `uniform` bins all the same number.
  [[nodiscard]] Eigen::VectorXd widths(Index axis = 0) const {
    const Eigen::VectorXd& e = edges(axis);
    const Index count = e.size() - 1;
    if (at(axis).uniform) {
      return Eigen::VectorXd::Constant(count, (e[count] - e[0]) / static_cast<double>(count));
    }
    return e.tail(count) - e.head(count);
  }
  /// True if the axis was made by `uniform`.
  [[nodiscard]] bool uniform_axis(Index axis = 0) const { return at(axis).uniform; }
  [[nodiscard]] Outside outside(Index axis = 0) const { return at(axis).outside; }

  /// The bin of one label, -1 if it is dropped.
  /// @param label  a number; not NaN
  template <typename Label>
  [[nodiscard]] std::enable_if_t<std::is_arithmetic_v<Label>, Index> bin(Label label) const {
    return bin(Eigen::Matrix<Label, 1, 1>::Constant(label));
  }

  /// The bin of one label vector, -1 if it is dropped.
  /// @param label  1 x dimensions()
  template <typename Derived>
  [[nodiscard]] Index bin(const Eigen::DenseBase<Derived>& label) const {
    Eigen::Matrix<std::int32_t, 1, 1> result;
    find(label, result);
    return result[0];
  }

  /// The bin of every label, -1 where it is dropped. O(N) for equal bins, O(N log B) for others; no
  /// allocation.
  /// @param labels  samples x dimensions() of any arithmetic type; a vector of either orientation if
  ///                dimensions() is 1
  /// @param bins    out: a vector of a signed integral type, one per sample; not aliasing `labels`
  /// @throws std::invalid_argument naming the first label that is NaN, or outside under Outside::refuse;
  ///         nothing is then written
  template <typename Labels, typename Bins>
  void find(const Eigen::DenseBase<Labels>& labels, Bins&& bins) const {
    using Bin = typename std::decay_t<Bins>::Scalar;
    static_assert(std::is_integral_v<Bin> && std::is_signed_v<Bin>,
                  "ballast: bins go to a vector of a signed integer type (-1 is a dropped label)");
    const Index samples = samples_of("LabelBins::find", labels);
    detail::require_size("LabelBins::find", "bins", bins.size(), samples, "samples");
    detail::require(bins_ - 1 <= static_cast<Index>(std::numeric_limits<Bin>::max()) || sizeof(Bin) >= 8,
                    "LabelBins::find", "bins has a type too small for ", bins_, " bins");
    require_valid("LabelBins::find", labels, samples);
    std::int32_t found[block];
    for (Index first = 0; first < samples; first += block) {
      const Index count = std::min(block, samples - first);
      find_block(labels.derived(), first, count, found);
      for (Index i = 0; i < count; ++i) bins.coeffRef(first + i) = static_cast<Bin>(found[i]);
    }
  }

  /// Samples per bin; dropped labels are not counted. O(N + B), one pass over the labels; uses threads. The
  /// counts of shards add.
  /// @param labels  as for `find`
  /// @throws std::invalid_argument as `find`
  template <typename Labels>
  [[nodiscard]] CountVector count(const Eigen::DenseBase<Labels>& labels) const {
    const Index samples = samples_of("LabelBins::count", labels);
    const Index most = std::clamp(samples / (4 * bins_), Index(1), Index(16));  // bounds the tables' memory
    const detail::Blocks parts(samples, most, block << 10);
    Eigen::Matrix<Count, Eigen::Dynamic, Eigen::Dynamic> counts =
        Eigen::Matrix<Count, Eigen::Dynamic, Eigen::Dynamic>::Zero(bins_, parts.count());
    std::vector<char> valid(static_cast<std::size_t>(parts.count()));
    // Four tables side by side: runs of one label, the rule in long-tailed data, do not wait for the store
    // of the one before. A slot more per table, for the dropped.
    RowMatrixX<std::uint32_t> tables = RowMatrixX<std::uint32_t>::Zero(parts.count(), 4 * (bins_ + 1));
    detail::parallel_for(parts.count(), samples, [&](Index part) {
      valid[static_cast<std::size_t>(part)] = static_cast<char>(count_part(
          labels.derived(), parts.begin(part), parts.end(part), &tables(part, 0), counts.col(part)));
    });
    if (std::find(valid.begin(), valid.end(), char(0)) != valid.end()) {
      require_valid("LabelBins::count", labels, samples);
    }
    return counts.rowwise().sum();
  }

 private:
  struct Axis {
    Eigen::VectorXd edges;
    Outside outside;
    bool uniform;
    detail::EdgeTable<float> single;
    detail::EdgeTable<double> precise;

    template <typename Real>
    [[nodiscard]] const detail::EdgeTable<Real>& table() const {
      if constexpr (std::is_same_v<Real, float>) {
        return single;
      } else {
        return precise;
      }
    }
  };

  static constexpr Index most_bins = std::numeric_limits<std::int32_t>::max();
  /// Labels in flight: what is looked up at a time, on the stack.
  static constexpr Index block = 64;
  /// Labels after which the 32-bit tables are emptied.
  static constexpr Index flush = Index(1) << 30;

  LabelBins() = default;

  LabelBins(const char* function, Eigen::VectorXd edges, Outside outside, bool uniform)
      : bins_(edges.size() - 1) {
    detail::require_all_finite(function, "edges", edges);
    for (Index k = 0; k < bins_; ++k) {
      detail::require(edges[k] < edges[k + 1], function, "edges[", k + 1, "] is ", edges[k + 1],
                      ", expected more than edges[", k, "] = ", edges[k]);
    }
    const detail::EdgeTable<float> single(edges);
    const detail::EdgeTable<double> precise(edges);
    axes_.push_back(Axis{std::move(edges), outside, uniform, single, precise});
  }

  [[nodiscard]] const Axis& at(Index axis) const {
    detail::require(axis >= 0 && axis < dimensions(), "LabelBins", "axis is ", axis, ", expected [0, ",
                    dimensions(), ")");
    return axes_[static_cast<std::size_t>(axis)];
  }

  template <typename Labels>
  [[nodiscard]] Index samples_of(const char* function, const Eigen::DenseBase<Labels>& labels) const {
    static_assert(std::is_arithmetic_v<typename Labels::Scalar>, "ballast: labels are real numbers");
    if (dimensions() == 1) {
      detail::require(labels.rows() == 1 || labels.cols() == 1 || labels.size() == 0, function, "labels is ",
                      labels.rows(), " x ", labels.cols(), ", expected a vector, one label per sample");
      return labels.size();
    }
    detail::require(labels.cols() == dimensions(), function, "labels is ", labels.rows(), " x ",
                    labels.cols(), ", expected samples x ", dimensions());
    return labels.rows();
  }

  /// Copies a stretch of one axis into a buffer, whatever the expression, stride or integer type.
  template <typename Labels, typename Real>
  void load(const Labels& labels, Index first, Index count, Index axis, Real* buffer) const {
    if (dimensions() == 1 && labels.rows() == 1) {
      for (Index i = 0; i < count; ++i) buffer[i] = static_cast<Real>(labels.coeff(0, first + i));
    } else {
      for (Index i = 0; i < count; ++i) buffer[i] = static_cast<Real>(labels.coeff(first + i, axis));
    }
  }

  /// Bins of a block of at most `block` labels; false if one is NaN or refused.
  template <typename Labels>
  bool find_block(const Labels& labels, Index first, Index count, std::int32_t* bins) const {
    using Real = detail::LabelReal<typename Labels::Scalar>;
    Real buffer[block];
    std::int32_t along[block];
    bool valid = true;
    for (Index d = 0; d < dimensions(); ++d) {
      const Axis& axis = axes_[static_cast<std::size_t>(d)];
      const detail::EdgeTable<Real>& table = axis.template table<Real>();
      std::int32_t* const target = d == 0 ? bins : along;
      load(labels, first, count, d, buffer);
      unsigned nan = 0;
      for (Index i = 0; i < count; ++i) {
        nan |= static_cast<unsigned>(buffer[i] != buffer[i]);
        buffer[i] = buffer[i] == buffer[i] ? buffer[i] : Real(0);  // a NaN has no place in integers
      }
      valid = valid && nan == 0;
      table.find(buffer, count, target);
      if (axis.outside != Outside::clamp) {
        for (Index i = 0; i < count; ++i) {
          if (table.outside(buffer[i])) target[i] = -1;
        }
      }
      if (axis.outside == Outside::refuse)
        valid = valid && std::find(target, target + count, -1) == target + count;
      if (d > 0) {
        const std::int32_t stride = static_cast<std::int32_t>(axis.edges.size() - 1);
        for (Index i = 0; i < count; ++i) {
          bins[i] = bins[i] < 0 || along[i] < 0 ? -1 : bins[i] * stride + along[i];
        }
      }
    }
    return valid;
  }

  /// Counts labels [begin, end) into `counts` by way of the zeroed `tables`; false if one is NaN or refused.
  template <typename Labels, typename Counts>
  bool count_part(const Labels& labels, Index begin, Index end, std::uint32_t* tables,
                  Counts&& counts) const {
    const Index stride = bins_ + 1;
    std::int32_t found[block];
    bool valid = true;
    for (Index start = begin; start < end; start += flush) {
      const Index stop = std::min(end, start + flush);
      for (Index first = start; first < stop; first += block) {
        const Index size = std::min(block, stop - first);
        valid = find_block(labels, first, size, found) && valid;
        Index i = 0;
        for (; i + 4 <= size; i += 4) {
          for (Index t = 0; t < 4; ++t) ++tables[t * stride + found[i + t] + 1];
        }
        for (; i < size; ++i) ++tables[found[i] + 1];
      }
      for (Index t = 0; t < 4; ++t) {
        for (Index b = 0; b < bins_; ++b) counts[b] += static_cast<Count>(tables[t * stride + b + 1]);
      }
      std::fill(tables, tables + 4 * stride, 0u);
    }
    return valid;
  }

  /// Names the first label that is NaN or refused. One pass per axis.
  template <typename Labels>
  void require_valid(const char* function, const Eigen::DenseBase<Labels>& labels, Index samples) const {
    using Real = detail::LabelReal<typename Labels::Scalar>;
    Real buffer[block];
    for (Index d = 0; d < dimensions(); ++d) {
      const Axis& axis = axes_[static_cast<std::size_t>(d)];
      const detail::EdgeTable<Real>& table = axis.template table<Real>();
      const bool refuse = axis.outside == Outside::refuse;
      for (Index first = 0; first < samples; first += block) {
        const Index count = std::min(block, samples - first);
        load(labels.derived(), first, count, d, buffer);
        unsigned bad = 0;
        for (Index i = 0; i < count; ++i) {
          bad |= static_cast<unsigned>(buffer[i] != buffer[i]) |
                 static_cast<unsigned>(refuse && table.outside(buffer[i]));
        }
        for (Index i = 0; bad != 0 && i < count; ++i) require_label(function, axis, buffer[i], first + i, d);
      }
    }
  }

  template <typename Real>
  void require_label(const char* function, const Axis& axis, Real value, Index sample, Index d) const {
    const std::string comma = dimensions() == 1 ? "" : ", " + std::to_string(d);
    detail::require(value == value, function, "labels[", sample, comma, "] is nan, expected a number");
    detail::require(axis.outside != Outside::refuse || !axis.template table<Real>().outside(value), function,
                    "labels[", sample, comma, "] is ", value, ", expected [", axis.edges[0], ", ",
                    axis.edges[axis.edges.size() - 1], ") (or choose Outside::clamp or Outside::drop)");
  }

  Index bins_ = 1;
  std::vector<Axis> axes_;
};

}  // namespace ballast
