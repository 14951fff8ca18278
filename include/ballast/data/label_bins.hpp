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
#include <ballast/data/bin_tally.hpp>

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

/// Labels in flight: what is looked up at a time, on the stack. A constant, and short blocks padded, so that
/// every loop over a block has a length that the compiler knows.
inline constexpr Index label_block = 64;

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
    scale_ = static_cast<Scalar>(1 / width);
    if (!std::isfinite(scale_) || inner_.size() >= Index(1) << (std::numeric_limits<Scalar>::digits - 2))
      return;
    start_ = low_;
    if (guess_is_within(0)) {
      lookup_ = Lookup::guess;
      return;
    }
    start_ = static_cast<Scalar>(edges[0] + width / 2);  // guesses low: the bin or the one below
    if (guess_is_within(1)) lookup_ = Lookup::guess_and_compare;
  }

  /// Whether the bins are low, low + 1, ..., so that those of whole-numbered labels are a subtraction away.
  [[nodiscard]] bool whole_numbers() const {
    constexpr Scalar limit = 1 << 30;
    return lookup_ == Lookup::guess && scale_ == 1 && low_ == std::floor(low_) && low_ > -limit &&
           high_ < limit;
  }
  [[nodiscard]] std::int64_t first_whole_number() const { return static_cast<std::int64_t>(low_); }

  [[nodiscard]] bool outside(Scalar label) const { return !(label >= low_ && label < high_); }

  /// Bins of `label_block` labels, none of them NaN.
  void find(const Scalar* labels, std::int32_t* bins) const {
    if (lookup_ == Lookup::search) {
      for (Index i = 0; i < label_block; ++i) bins[i] = search(labels[i]);
      return;
    }
    const Scalar top = static_cast<Scalar>(inner_.size() - (lookup_ == Lookup::guess ? 0 : 1));
    for (Index i = 0; i < label_block; ++i) bins[i] = guess_of(labels[i], top);
    if (lookup_ == Lookup::guess) return;
    const Scalar* const inner = inner_.data();
    for (Index i = 0; i < label_block; ++i) {
      bins[i] += static_cast<std::int32_t>(labels[i] >= inner[bins[i]]);
    }
  }

 private:
  enum class Lookup { guess, guess_and_compare, search };

  /// Of equal bins. Subtract, then multiply: nothing a compiler may contract, so the same in every loop.
  [[nodiscard]] std::int32_t guess_of(Scalar label, Scalar top) const {
    Scalar position = (label - start_) * scale_;
    position = position > 0 ? position : Scalar(0);
    position = position < top ? position : top;
    return static_cast<std::int32_t>(position);
  }

  /// Whether the guess is everywhere the bin or at most `slack` below it. It never decreases with the label,
  /// so it is enough to look on both sides of every inner edge. False for unequal bins, and for bins too
  /// narrow for the precision.
  [[nodiscard]] bool guess_is_within(std::int32_t slack) const {
    if (inner_.size() < slack) return false;
    const Scalar top = static_cast<Scalar>(inner_.size() - slack);
    for (Index k = 0; k < inner_.size(); ++k) {
      const Scalar below = std::nextafter(inner_[k], -std::numeric_limits<Scalar>::infinity());
      if (guess_of(inner_[k], top) < k + 1 - slack || guess_of(below, top) > k) return false;
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
  Scalar start_ = 0;
  Scalar scale_ = 0;
  VectorX<Scalar> inner_;
  Lookup lookup_ = Lookup::search;
};

}  // namespace detail

/// Bins over a continuous label, or over a vector of labels as the product of one set of bins per target.
///
///     bin b = [edge_b, edge_{b+1}),   b = 0 .. B - 1
///
/// A label is compared with the edges in its own precision (the edges rounded to float for float labels,
/// integers taken as double), so that 0.3f and 0.3 both start bin 3 of tenths. Equal bins are found by one
/// multiplication, checked by a comparison where rounding asks for it, others by binary search; all exact.
/// NaN is always refused.
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
    visit("LabelBins::find", labels, samples,
          [&bins](Index sample, std::int32_t bin) { bins.coeffRef(sample) = static_cast<Bin>(bin); });
  }

  /// values_i = table[bin of label i], 0 where the label is dropped. O(N); no allocation; uses threads.
  /// @param labels  as for `find`
  /// @param table   one value per bin
  /// @param values  out: a vector of the table's scalar, one per sample; not aliasing `labels`
  /// @throws std::invalid_argument as `find`
  template <typename Labels, typename Table, typename Values>
  void gather(const Eigen::DenseBase<Labels>& labels, const Eigen::DenseBase<Table>& table,
              Values&& values) const {
    using Value = typename Table::Scalar;
    static_assert(std::is_same_v<typename std::decay_t<Values>::Scalar, Value>,
                  "ballast: values have the scalar type of the table");
    const Index samples = samples_of("LabelBins::gather", labels);
    detail::require_size("LabelBins::gather", "table", table.size(), bins_, "bins");
    detail::require_size("LabelBins::gather", "values", values.size(), samples, "samples");
    visit("LabelBins::gather", labels, samples, [&](Index sample, std::int32_t bin) {
      values.coeffRef(sample) = bin < 0 ? Value(0) : table.derived().coeff(bin);
    });
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
    std::vector<detail::BinTally> tallies(static_cast<std::size_t>(parts.count()), detail::BinTally(bins_));
    std::vector<char> valid(tallies.size());
    detail::parallel_for(parts.count(), samples, [&](Index part) {
      const std::size_t at = static_cast<std::size_t>(part);
      valid[at] = count_part(labels.derived(), parts.begin(part), parts.end(part), tallies[at]) ? 1 : 0;
    });
    if (std::find(valid.begin(), valid.end(), char(0)) != valid.end()) {
      require_valid("LabelBins::count", labels, samples);
    }
    CountVector counts = CountVector::Zero(bins_);
    for (detail::BinTally& tally : tallies) counts += tally.counts();
    return counts;
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
  static constexpr Index block = detail::label_block;
  static_assert(block == detail::BinTally::block);

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

  /// Copies a stretch of one axis into a buffer of one block, whatever the expression, stride or integer
  /// type; zeros in the place of NaN and after the end. False if there is a NaN.
  template <typename Labels, typename Real>
  bool load(const Labels& labels, Index first, Index count, Index axis, Real* buffer) const {
    if (dimensions() == 1 && labels.rows() == 1) {
      for (Index i = 0; i < count; ++i) buffer[i] = static_cast<Real>(labels.coeff(0, first + i));
    } else {
      for (Index i = 0; i < count; ++i) buffer[i] = static_cast<Real>(labels.coeff(first + i, axis));
    }
    std::fill(buffer + count, buffer + block, Real(0));
    unsigned nan = 0;
    for (Index i = 0; i < block; ++i) {
      nan |= static_cast<unsigned>(buffer[i] != buffer[i]);
      buffer[i] = buffer[i] == buffer[i] ? buffer[i] : Real(0);
    }
    return nan == 0;
  }

  /// Bins of a block of at most `block` labels; false if one is NaN or refused.
  template <typename Labels>
  bool find_block(const Labels& labels, Index first, Index count, std::int32_t* bins) const {
    bool valid = find_along(labels, first, count, 0, bins);
    for (Index d = 1; d < dimensions(); ++d) {
      std::int32_t along[block];
      valid = find_along(labels, first, count, d, along) && valid;
      const std::int32_t stride = static_cast<std::int32_t>(axis_bins(d));
      for (Index i = 0; i < block; ++i) {
        bins[i] = bins[i] < 0 || along[i] < 0 ? -1 : bins[i] * stride + along[i];
      }
    }
    return valid;
  }

  template <typename Label>
  static constexpr bool fits_int64 = std::is_integral_v<Label> &&
                                     (std::is_signed_v<Label> || sizeof(Label) < 8);

  /// The bins of a whole block of integers, clamped; in 32 bits where the labels fit.
  template <typename Labels>
  void subtract(const Labels& labels, Index first, std::int64_t first_label, std::int32_t* bins) const {
    using Label = typename Labels::Scalar;
    using Wide = std::conditional_t<(sizeof(Label) < 4 || std::is_same_v<Label, std::int32_t>), std::int32_t,
                                    std::int64_t>;
    const Wide low = static_cast<Wide>(first_label), high = static_cast<Wide>(first_label + bins_ - 1);
    for (Index i = 0; i < block; ++i) {
      const Wide label = static_cast<Wide>(labels.coeff(first + i, 0));
      bins[i] = static_cast<std::int32_t>((label < low ? low : label > high ? high : label) - low);
    }
  }

  template <typename Labels>
  bool find_along(const Labels& labels, Index first, Index count, Index d, std::int32_t* bins) const {
    using Real = detail::LabelReal<typename Labels::Scalar>;
    const Axis& axis = axes_[static_cast<std::size_t>(d)];
    const detail::EdgeTable<Real>& table = axis.template table<Real>();
    if constexpr (fits_int64<typename Labels::Scalar>) {
      if (axis.outside == Outside::clamp && count == block && dimensions() == 1 && labels.cols() == 1 &&
          table.whole_numbers()) {
        subtract(labels, first, table.first_whole_number(), bins);
        return true;
      }
    }
    Real buffer[block];
    const bool numbers = load(labels, first, count, d, buffer);
    table.find(buffer, bins);
    if (axis.outside == Outside::clamp) return numbers;
    for (Index i = 0; i < block; ++i) bins[i] = table.outside(buffer[i]) ? -1 : bins[i];
    return numbers && (axis.outside == Outside::drop || std::find(bins, bins + count, -1) == bins + count);
  }

  /// Calls sink(sample, bin) for every sample, once all labels are known to be valid.
  template <typename Labels, typename Sink>
  void visit(const char* function, const Eigen::DenseBase<Labels>& labels, Index samples,
             const Sink& sink) const {
    require_valid(function, labels, samples);
    const detail::Blocks parts(samples, 16, block << 10);
    detail::parallel_for(parts.count(), samples, [&](Index part) {
      std::int32_t found[block];
      for (Index first = parts.begin(part); first < parts.end(part); first += block) {
        const Index count = std::min(block, parts.end(part) - first);
        find_block(labels.derived(), first, count, found);
        for (Index i = 0; i < count; ++i) sink(first + i, found[i]);
      }
    });
  }

  /// Counts labels [begin, end); false if one is NaN or refused.
  template <typename Labels>
  bool count_part(const Labels& labels, Index begin, Index end, detail::BinTally& tally) const {
    std::int32_t found[block];
    bool valid = true;
    for (Index first = begin; first < end; first += block) {
      const Index size = std::min(block, end - first);
      valid = find_block(labels, first, size, found) && valid;
      tally.add(found, size);
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
      if (std::is_integral_v<typename Labels::Scalar> && !refuse) continue;  // never NaN
      for (Index first = 0; first < samples; first += block) {
        const Index count = std::min(block, samples - first);
        bool valid = load(labels.derived(), first, count, d, buffer);
        for (Index i = 0; refuse && i < count; ++i) valid = valid && !table.outside(buffer[i]);
        for (Index i = 0; !valid && i < count; ++i) {
          require_label(function, axis, labels.derived(), first + i, d);
        }
      }
    }
  }

  template <typename Labels>
  void require_label(const char* function, const Axis& axis, const Labels& labels, Index sample,
                     Index d) const {
    using Real = detail::LabelReal<typename Labels::Scalar>;
    const bool lying = dimensions() == 1 && labels.rows() == 1;
    const Real value = static_cast<Real>(lying ? labels.coeff(0, sample) : labels.coeff(sample, d));
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
