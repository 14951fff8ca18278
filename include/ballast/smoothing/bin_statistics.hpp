// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/label_bins.hpp>
#include <ballast/smoothing/bin_groups.hpp>
#include <ballast/smoothing/moments.hpp>

namespace ballast {

/// How much of the second moments is kept: one variance per feature, or all D x D of them.
enum class Covariance { diagonal, full };

/// Mean and covariance of the features of each label bin, streamed:
///
///     mu_b = 1/N_b sum_i z_i,   Sigma_b = M2_b / (N_b - 1),   M2_b = sum_i (z_i - mu_b)(z_i - mu_b)^T
///
/// over the samples i of bin b; of Sigma_b the diagonal form keeps the diagonal. One pass over the batches,
/// never the features of an epoch: a batch is sorted by bin, each group of at most 512 rows is summed in
/// Scalar after subtraction of its first row, and groups are combined in double (Chan, Golub and LeVeque
/// 1979), so that a mean of 1e6 with a deviation of 1 keeps ten digits of the variance in double. Shards,
/// threads and ranks accumulate apart and `merge`. The split into batches changes the result by rounding
/// only, the number of threads not by a bit.
///
/// Memory O(B D) or O(B D^2), with a workspace that grows to the largest batch; then nothing is allocated.
/// An update costs O(N D) or O(N D^2).
template <typename Scalar, Covariance Form = Covariance::diagonal>
class BinStatistics {
 public:
  static constexpr bool full = Form == Covariance::full;

  /// Everything that was accumulated. A bin without samples has mean 0 and M2 0.
  struct State {
    CountVector counts;       ///< N_b, one per bin
    RowMatrixX<double> mean;  ///< bins x dimension
    RowMatrixX<double> m2;    ///< diagonal: bins x dimension; full: the M2_b stacked, (bins * dimension) x
                              ///< dimension, symmetric
  };

  /// @param bins       B >= 1
  /// @param dimension  D >= 1, features per sample
  BinStatistics(Index bins, Index dimension) {
    detail::require(bins >= 1, "BinStatistics", "bins is ", bins, ", expected at least 1");
    detail::require(dimension >= 1, "BinStatistics", "dimension is ", dimension, ", expected at least 1");
    counts_ = CountVector::Zero(bins);
    mean_ = RowMatrixX<double>::Zero(bins, dimension);
    m2_ = RowMatrixX<double>::Zero(full ? bins * dimension : bins, dimension);
    clear_stage();
  }

  /// Continues from a saved state.
  /// @throws std::invalid_argument if `state` is not one that statistics can be in
  explicit BinStatistics(const State& state) : BinStatistics(valid(state).counts.size(), state.mean.cols()) {
    restore(state);
  }

  /// Adds a batch, given the bin of each row.
  /// @param features  samples x dimension, finite, of either storage order
  /// @param bins      one per row, integral, in [0, bins()), or -1 for a row to leave out
  /// @throws std::invalid_argument naming the first row with a bin outside or a feature that is not finite;
  ///         nothing is then added
  template <typename Features, typename Bins>
  void update(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Bins>& bins) {
    require_batch("BinStatistics::update", features, bins.size());
    groups_.sort("BinStatistics::update", bins, this->bins(), most_rows);
    accumulate("BinStatistics::update", detail::view<Scalar>(features));
  }

  /// Adds a batch, given the label of each row.
  /// @param label_bins  of as many bins as this; says what becomes of labels outside
  /// @param labels      one per row (samples x targets for a product of bins)
  /// @throws std::invalid_argument as above, and as LabelBins::find; nothing is then added
  template <typename Features, typename Labels>
  void update(const Eigen::MatrixBase<Features>& features, const LabelBins& label_bins,
              const Eigen::DenseBase<Labels>& labels) {
    detail::require_size("BinStatistics::update", "label_bins", label_bins.bins(), bins(), "bins");
    bin_of_row_.resize(static_cast<std::size_t>(features.rows()));
    Eigen::Map<BinVector> found(bin_of_row_.data(), features.rows());
    label_bins.find(labels, found);
    update(features, found);
  }

  /// Adds what another shard has accumulated. O(B D) or O(B D^2).
  /// @throws std::invalid_argument if `other` has other bins or another dimension
  void merge(const BinStatistics& other) {
    detail::require_size("BinStatistics::merge", "other", other.bins(), bins(), "bins");
    detail::require_size("BinStatistics::merge", "other", other.dimension(), dimension(), "features");
    Eigen::VectorXd delta(dimension());
    for (Index b = 0; b < bins(); ++b) {
      const Count added = other.counts_[b];
      if (added == 0) continue;
      const detail::MergeWeights merge(counts_[b], added);
      delta = (other.mean_.row(b) - mean_.row(b)).transpose();
      if constexpr (full) {
        const Eigen::MatrixXd theirs = other.m2(b);
        auto ours = block(m2_, b);
        ours += theirs;
        ours += merge.weight * delta * delta.transpose();
      } else {
        m2_.row(b) += other.m2_.row(b);
        m2_.row(b) += merge.weight * delta.cwiseAbs2().transpose();
      }
      mean_.row(b) += merge.share * delta.transpose();
      counts_[b] += added;
    }
  }

  /// Forgets everything; keeps the memory.
  void reset() {
    counts_.setZero();
    mean_.setZero();
    m2_.setZero();
    clear_stage();
  }

  [[nodiscard]] Index bins() const noexcept { return counts_.size(); }
  [[nodiscard]] Index dimension() const noexcept { return mean_.cols(); }
  /// N_b, one per bin.
  [[nodiscard]] const CountVector& counts() const noexcept { return counts_; }
  [[nodiscard]] Count samples() const { return counts_.sum(); }
  /// mu_b, one row per bin; 0 for a bin without samples.
  [[nodiscard]] const RowMatrixX<double>& mean() const noexcept { return mean_; }

  /// The diagonal of Sigma_b; 0 for a bin of fewer than two samples, which has no estimate.
  [[nodiscard]] Eigen::VectorXd variance(Index bin) const {
    require_bin("BinStatistics::variance", bin);
    if constexpr (full) {
      return m2(bin).diagonal() * inverse_freedom(bin);
    } else {
      return m2_.row(bin).transpose() * inverse_freedom(bin);
    }
  }

  /// Sigma_b; 0 for a bin of fewer than two samples, which has no estimate. O(D^2).
  template <Covariance Kept = Form>
  [[nodiscard]] Eigen::MatrixXd covariance(Index bin) const {
    static_assert(
        Kept == Covariance::full,
        "ballast: diagonal statistics keep no covariance; use BinStatistics<Scalar, Covariance::full>");
    require_bin("BinStatistics::covariance", bin);
    return m2(bin) * inverse_freedom(bin);
  }

  [[nodiscard]] State state() const {
    State result{counts_, mean_, m2_};
    if constexpr (full) {
      for (Index b = 0; b < bins(); ++b) block(result.m2, b) = m2(b);
    }
    return result;
  }

  /// Replaces what was accumulated by a saved state of the same bins and dimension.
  /// @throws std::invalid_argument if it is not a state of such statistics; nothing is then changed
  void restore(const State& state) {
    detail::require_size("BinStatistics::restore", "state.counts", state.counts.size(), bins(), "bins");
    detail::require_shape("BinStatistics::restore", "state.mean", state.mean, bins(), dimension());
    valid(state);
    counts_ = state.counts;
    mean_ = state.mean;
    m2_ = state.m2;
    clear_stage();
  }

 private:
  using BinVector = VectorX<std::int32_t>;

  /// Rows summed in Scalar before they enter the double state.
  static constexpr Index most_rows = 512;
  /// Lines of the workspace per group, and parts into which a batch is cut for the threads.
  static constexpr Index lines = 3;
  static constexpr Index most_blocks = 16;
  /// Columns copied at a time from a column-major batch, and rows that wait in a bin's stage.
  static constexpr Index tile = 16;
  static constexpr Index stage_rows = 64;

  static constexpr Index round_up(Index size, Index multiple) {
    return (size + multiple - 1) / multiple * multiple;
  }

  template <typename Matrix>
  static auto block(Matrix& stacked, Index bin) {
    return stacked.middleRows(bin * stacked.cols(), stacked.cols());
  }

  void require_bin(const char* function, Index bin) const {
    detail::require(bin >= 0 && bin < bins(), function, "bin is ", bin, ", expected [0, ", bins(), ")");
  }

  [[nodiscard]] double inverse_freedom(Index bin) const {
    return counts_[bin] < 2 ? 0.0 : 1.0 / static_cast<double>(counts_[bin] - 1);
  }

  /// M2_b with what still waits in the stage, both triangles.
  [[nodiscard]] Eigen::MatrixXd m2(Index bin) const {
    const Index cols = dimension();
    RowMatrixX<double> result = block(m2_, bin);
    detail::add_outer_products(stage_row(bin, 0), stage_.cols(), staged_[static_cast<std::size_t>(bin)], cols,
                               result.data());
    result.template triangularView<Eigen::StrictlyLower>() = result.transpose();
    return result;
  }

  template <typename Features>
  void require_batch(const char* function, const Eigen::MatrixBase<Features>& features, Index rows) const {
    detail::require(features.cols() == dimension(), function, "features is ", features.rows(), " x ",
                    features.cols(), ", expected samples x ", dimension());
    detail::require_size(function, "bins", rows, features.rows(), "rows of features");
  }

  /// Adds the rows that `groups_` has sorted. First all sums, which show whether any may be not finite;
  /// then the state.
  template <int Order>
  void accumulate(const char* function, const detail::MatrixView<const Scalar, Order>& features) {
    sum_groups(features);
    const auto last = safe_.begin() + static_cast<std::ptrdiff_t>(groups_.groups().size());
    if (std::find(safe_.begin(), last, char(0)) != last) {
      require_finite_rows(function, features);
    }
    const auto& runs = groups_.runs();
    const detail::Blocks blocks(static_cast<Index>(runs.size()), 64);
    const Index work = groups_.kept() * dimension() * (full ? dimension() : 1);
    detail::parallel_for(blocks.count(), work, [&](Index block) {
      for (Index r = blocks.begin(block); r < blocks.end(block); ++r) {
        const auto& run = runs[static_cast<std::size_t>(r)];
        for (Index g = run.begin; g < run.end; ++g) merge_group(g, features);
      }
    });
  }

  /// Shifted sums of every group into `moments_`: a line each for sum, square and, of a column-major batch,
  /// the shift.
  template <int Order>
  void sum_groups(const detail::MatrixView<const Scalar, Order>& features) {
    constexpr bool row_major = Order == Eigen::RowMajor;
    const auto& groups = groups_.groups();
    const detail::Blocks blocks(static_cast<Index>(groups.size()), most_blocks);
    // Sized for any fall of so many rows into the bins, so that later batches find room.
    const Index most_groups = detail::BinGroups::most_groups(bins(), most_rows, features.rows);
    const Index tile_size = std::min(most_rows, features.rows) * tile;
    reserve(moments_, most_groups * lines * dimension());
    reserve(safe_, most_groups);
    if constexpr (!row_major) {
      reserve(tiles_, std::min(most_blocks, most_groups) * tile_size);
      if (identity_.empty()) {
        for (Index i = 0; i < most_rows; ++i) identity_.push_back(i);
      }
    }
    detail::parallel_for(blocks.count(), groups_.kept() * dimension(), [&](Index block) {
      for (Index g = blocks.begin(block); g < blocks.end(block); ++g) {
        const Index* const order = groups_.order() + groups[static_cast<std::size_t>(g)].begin;
        const Index rows = groups[static_cast<std::size_t>(g)].rows();
        Scalar* const sum = moments(g, 0);
        Scalar* const square = moments(g, 1);
        bool safe = true;
        if constexpr (row_major) {
          safe = detail::group_moments<Scalar>({features.data, features.stride, order, rows}, dimension(),
                                               sum, square);
        } else {
          Scalar* const copy = tiles_.data() + block * tile_size;
          for (Index first = 0; first < dimension(); first += tile) {
            const Index cols = std::min(tile, dimension() - first);
            copy_tile(features, order, rows, first, cols, copy);
            safe &= detail::group_moments<Scalar>({copy, tile, identity_.data(), rows}, cols, sum + first,
                                                  square + first);
            std::copy(copy, copy + cols, moments(g, 2) + first);
          }
        }
        safe_[static_cast<std::size_t>(g)] = static_cast<char>(safe);
      }
    });
  }

  /// Some columns of some rows of a column-major batch, row by row.
  static void copy_tile(const detail::MatrixView<const Scalar, Eigen::ColMajor>& features, const Index* order,
                        Index rows, Index first, Index cols, Scalar* copy) {
    for (Index d = 0; d < cols; ++d) {
      const Scalar* const column = features.line(first + d);
      for (Index i = 0; i < rows; ++i) copy[i * tile + d] = column[order[i]];
    }
  }

  /// Names the first row with a feature that is not finite, or too large for its square. What merely
  /// overflows float is left to merge_row.
  template <int Order>
  void require_finite_rows(const char* function,
                           const detail::MatrixView<const Scalar, Order>& features) const {
    constexpr double largest = static_cast<double>(detail::safe_feature<Scalar>);
    Index row = features.rows, column = 0;
    for (Index i = 0; i < groups_.kept(); ++i) {
      const Index candidate = groups_.order()[i];
      for (Index d = 0; d < dimension() && candidate < row; ++d) {
        if (std::abs(static_cast<double>(features(candidate, d))) <= largest) continue;
        row = candidate;
        column = d;
      }
    }
    if (row == features.rows) return;
    detail::reject(function, "features(", row, ", ", column, ") is ", features(row, column),
                   ", expected a finite number of magnitude at most ", largest);
  }

  template <int Order>
  void merge_group(Index g, const detail::MatrixView<const Scalar, Order>& features) {
    const auto& group = groups_.groups()[static_cast<std::size_t>(g)];
    const Index* const order = groups_.order() + group.begin;
    const Index rows = group.rows();
    if (!safe_[static_cast<std::size_t>(g)]) {
      for (Index i = 0; i < rows; ++i) merge_row(group.bin, order[i], features);
      return;
    }
    const Scalar* shift = moments(g, 2);
    if constexpr (Order == Eigen::RowMajor) shift = features.line(order[0]);
    const detail::MergeWeights merge(counts_[group.bin], rows);
    if constexpr (full) {
      stage_group(group, shift, moments(g, 0), merge, features);
    } else {
      detail::merge_group(shift, moments(g, 0), moments(g, 1), dimension(), rows, merge, &mean_(group.bin, 0),
                          &m2_(group.bin, 0));
    }
    counts_[group.bin] += rows;
  }

  /// The same in double, a row at a time: for features whose squares overflow float.
  template <int Order>
  void merge_row(Index bin, Index row, const detail::MatrixView<const Scalar, Order>& features) {
    const detail::MergeWeights merge(counts_[bin], 1);
    for (Index i = 0; i < dimension(); ++i) {
      const double delta = static_cast<double>(features(row, i)) - mean_(bin, i);
      if constexpr (full) {
        for (Index j = i; j < dimension(); ++j) {
          m2_(bin * dimension() + i, j) +=
              merge.weight * delta * (static_cast<double>(features(row, j)) - mean_(bin, j));
        }
      } else {
        m2_(bin, i) += merge.weight * delta * delta;
      }
    }
    for (Index i = 0; i < dimension(); ++i) {
      mean_(bin, i) += merge.share * (static_cast<double>(features(row, i)) - mean_(bin, i));
    }
    ++counts_[bin];
  }

  /// Full form: the rows of a group about their mean, and the step between the means as one row more, are
  /// vectors v with M2 += sum v v^T. They wait in the bin's stage until there are enough to be worth a pass
  /// over its D x D matrix.
  template <int Order>
  void stage_group(const detail::BinGroups::Group& group, const Scalar* shift, Scalar* offset,
                   const detail::MergeWeights& merge,
                   const detail::MatrixView<const Scalar, Order>& features) {
    const Index* const order = groups_.order() + group.begin;
    const Index cols = dimension();
    const Scalar inverse = Scalar(1) / static_cast<Scalar>(group.rows());
    for (Index d = 0; d < cols; ++d) offset[d] *= inverse;
    if (group.rows() > 1) {
      for (Index i = 0; i < group.rows(); ++i) {
        Scalar* const v = next_stage_row(group.bin);
        for (Index d = 0; d < cols; ++d) v[d] = (features(order[i], d) - shift[d]) - offset[d];
      }
    }
    stage_step(group.bin, shift, offset, merge.weight);
    double* const mean = &mean_(group.bin, 0);
    for (Index d = 0; d < cols; ++d) mean[d] += step(shift, offset, mean, d) * merge.share;
  }

  [[nodiscard]] static double step(const Scalar* shift, const Scalar* offset, const double* mean, Index d) {
    return (static_cast<double>(shift[d]) + static_cast<double>(offset[d])) - mean[d];
  }

  /// M2 += weight * (step between the means) (the same)^T; in double at once where float would overflow.
  void stage_step(Index bin, const Scalar* shift, const Scalar* offset, double weight) {
    if (weight == 0) return;
    const double* const mean = &mean_(bin, 0);
    const double scale = std::sqrt(weight);
    double most = 0;
    for (Index d = 0; d < dimension(); ++d) most = std::max(most, std::abs(step(shift, offset, mean, d)));
    if (most * scale * most * scale <= static_cast<double>(detail::safe_square<Scalar>)) {
      Scalar* const v = next_stage_row(bin);
      for (Index d = 0; d < dimension(); ++d)
        v[d] = static_cast<Scalar>(step(shift, offset, mean, d) * scale);
      return;
    }
    for (Index i = 0; i < dimension(); ++i) {
      for (Index j = i; j < dimension(); ++j) {
        m2_(bin * dimension() + i, j) += weight * step(shift, offset, mean, i) * step(shift, offset, mean, j);
      }
    }
  }

  Scalar* next_stage_row(Index bin) {
    Index& staged = staged_[static_cast<std::size_t>(bin)];
    if (staged == stage_rows) {
      detail::add_outer_products(stage_row(bin, 0), stage_.cols(), staged, dimension(),
                                 &m2_(bin * dimension(), 0));
      staged = 0;
    }
    return stage_row(bin, staged++);
  }

  [[nodiscard]] Scalar* stage_row(Index bin, Index row) { return &stage_(bin * stage_rows + row, 0); }
  [[nodiscard]] const Scalar* stage_row(Index bin, Index row) const {
    return &stage_(bin * stage_rows + row, 0);
  }

  void clear_stage() {
    if constexpr (full) {
      // A line of the cache more than the packets need: powers of two would share few sets.
      stage_.setZero(bins() * stage_rows, round_up(dimension(), tile) + tile);
      staged_.assign(static_cast<std::size_t>(bins()), 0);
    }
  }

  [[nodiscard]] Scalar* moments(Index group, Index line) {
    return moments_.data() + (lines * group + line) * dimension();
  }

  template <typename T>
  static void reserve(std::vector<T>& workspace, Index size) {
    if (workspace.size() < static_cast<std::size_t>(size)) workspace.resize(static_cast<std::size_t>(size));
  }

  static const State& valid(const State& state) {
    constexpr const char* function = "BinStatistics::restore";
    const Index bins = state.counts.size();
    const Index cols = state.mean.cols();
    detail::require(bins >= 1 && cols >= 1, function, "state is of ", bins, " bins and ", cols,
                    " features, expected at least 1 of both");
    detail::require_shape(function, "state.mean", state.mean, bins, cols);
    detail::require_shape(function, "state.m2", state.m2, full ? bins * cols : bins, cols);
    for (Index b = 0; b < bins; ++b) {
      detail::require(state.counts[b] >= 0, function, "state.counts[", b, "] is ", state.counts[b],
                      ", expected >= 0");
      for (Index d = 0; d < cols; ++d) {
        const double mean = state.mean(b, d);
        const double square = state.m2(full ? b * cols + d : b, d);
        detail::require(std::isfinite(mean) && (state.counts[b] > 0 || mean == 0), function, "state.mean(", b,
                        ", ", d, ") is ", mean, " for ", state.counts[b],
                        " samples, expected a finite number, 0 without samples");
        detail::require(std::isfinite(square) && square >= 0 && (state.counts[b] > 1 || square == 0),
                        function, "the sum of squares of bin ", b, ", feature ", d, " in state.m2 is ",
                        square, " for ", state.counts[b],
                        " samples, expected a finite number >= 0, 0 below two samples");
      }
    }
    if constexpr (full) {
      for (Index b = 0; b < bins; ++b) {
        const auto m2 = block(state.m2, b);
        for (Index i = 0; i < cols; ++i) {
          for (Index j = 0; j < i; ++j) {
            detail::require(std::isfinite(m2(i, j)) && m2(i, j) == m2(j, i), function, "state.m2 of bin ", b,
                            " has ", m2(i, j), " at (", i, ", ", j, ") and ", m2(j, i), " at (", j, ", ", i,
                            "), expected a finite, symmetric matrix");
          }
        }
      }
    }
    return state;
  }

  CountVector counts_;
  RowMatrixX<double> mean_;
  RowMatrixX<double> m2_;      // full: upper triangles
  RowMatrixX<Scalar> stage_;   // full: stage_rows per bin
  std::vector<Index> staged_;  // full: of which so many wait

  // Workspace of a batch.
  detail::BinGroups groups_;
  std::vector<std::int32_t> bin_of_row_;
  std::vector<Scalar> moments_;
  std::vector<Scalar> tiles_;
  std::vector<Index> identity_;
  std::vector<char> safe_;
};

}  // namespace ballast
