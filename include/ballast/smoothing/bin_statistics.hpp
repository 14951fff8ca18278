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
  /// Columns of a column-major batch summed at a time.
  static constexpr int column_tile = 4;
  /// Rows that wait in a bin's stage; a larger group goes to the bin's matrix at once.
  static constexpr Index stage_rows = 128;
  static constexpr Index scratch_rows = most_rows + 1;

  /// Rows on their way to the M2 of a bin, padded with zeros.
  struct Stage {
    Index bin;
    Scalar* rows;
    Index capacity;
    Index& filled;
  };

  static constexpr std::size_t size(Index index) { return static_cast<std::size_t>(index); }

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
    detail::add_outer_products<Scalar>({stage_of(bin), stage_stride(), staged_[size(bin)]}, cols,
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
    const detail::Blocks blocks(static_cast<Index>(runs.size()), most_blocks);
    if (full && features.rows >= stage_rows) {
      const Index rows = scratch_rows * detail::most_threads();
      if (scratch_.rows() < rows) scratch_.setZero(rows, stage_stride());
    }
    const Index work = groups_.kept() * dimension() * (full ? dimension() : 1);
    detail::parallel_for(blocks.count(), work, [&](Index block) {
      for (Index r = blocks.begin(block); r < blocks.end(block); ++r) {
        const auto& run = runs[size(r)];
        for (Index g = run.begin; g < run.end; ++g) merge_group(g, features);
      }
    });
  }

  /// Shifted sums of every group into `moments_`, and whether they can be used into `safe_`. Both are sized
  /// for any fall of so many rows into the bins, so that later batches find room.
  template <int Order>
  void sum_groups(const detail::MatrixView<const Scalar, Order>& features) {
    const Index most_groups = detail::BinGroups::most_groups(bins(), most_rows, features.rows);
    if (moments_.size() < most_groups * lines * dimension())
      moments_.resize(most_groups * lines * dimension());
    if (safe_.size() < size(most_groups)) safe_.resize(size(most_groups));
    if constexpr (Order == Eigen::ColMajor) sum_columns(features);
    const detail::Blocks blocks(static_cast<Index>(groups_.groups().size()), most_blocks);
    detail::parallel_for(blocks.count(), groups_.kept() * dimension(), [&](Index block) {
      for (Index g = blocks.begin(block); g < blocks.end(block); ++g) {
        if constexpr (Order == Eigen::RowMajor) {
          const auto& group = groups_.groups()[size(g)];
          detail::group_moments<Scalar>(
              {features.data, features.stride, groups_.order() + group.begin, group.rows()}, dimension(),
              moments(g, 0), moments(g, 1));
        }
        safe_[size(g)] =
            static_cast<char>(detail::safe_moments(shift_of(g, features), moments(g, 1), dimension()));
      }
    });
  }

  /// A few columns at a time through all groups; these columns stay in cache.
  void sum_columns(const detail::MatrixView<const Scalar, Eigen::ColMajor>& features) {
    const detail::Blocks blocks(dimension(), most_blocks, column_tile);
    detail::parallel_for(blocks.count(), groups_.kept() * dimension(), [&](Index block) {
      const Index end = blocks.end(block);
      Index d = blocks.begin(block);
      for (; d + column_tile <= end; d += column_tile) sum_column_tile<column_tile>(features, d);
      for (; d < end; ++d) sum_column_tile<1>(features, d);
    });
  }

  template <int C>
  void sum_column_tile(const detail::MatrixView<const Scalar, Eigen::ColMajor>& features, Index first) {
    Index g = 0;
    for (const auto& group : groups_.groups()) {
      detail::column_moments<C>(features, first, groups_.order() + group.begin, group.rows(), moments(g, 2),
                                moments(g, 0), moments(g, 1));
      ++g;
    }
  }

  /// The first row of a group.
  template <int Order>
  [[nodiscard]] const Scalar* shift_of(Index g, const detail::MatrixView<const Scalar, Order>& features) {
    if constexpr (Order == Eigen::RowMajor) {
      return features.line(groups_.order()[groups_.groups()[size(g)].begin]);
    } else {
      return moments(g, 2);
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
    const auto& group = groups_.groups()[size(g)];
    const Index* const order = groups_.order() + group.begin;
    const Index rows = group.rows();
    if (!safe_[size(g)]) {
      for (Index i = 0; i < rows; ++i) merge_row(group.bin, order[i], features);
      return;
    }
    const Scalar* const shift = shift_of(g, features);
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
  /// vectors v with M2 += sum v v^T. Those of a small group wait in the bin's stage until there are enough to
  /// be worth a pass over its D x D matrix.
  template <int Order>
  void stage_group(const detail::BinGroups::Group& group, const Scalar* shift, Scalar* offset,
                   const detail::MergeWeights& merge,
                   const detail::MatrixView<const Scalar, Order>& features) {
    const Index cols = dimension();
    const Scalar inverse = Scalar(1) / static_cast<Scalar>(group.rows());
    for (Index d = 0; d < cols; ++d) offset[d] *= inverse;
    Index filled = 0;
    const bool large = group.rows() >= stage_rows;
    Stage stage =
        large ? Stage{group.bin, &scratch_(scratch_rows * detail::this_thread(), 0), scratch_rows, filled}
              : Stage{group.bin, stage_of(group.bin), stage_rows, staged_[size(group.bin)]};
    if (group.rows() > 1) stage_rows_of(group, shift, offset, features, stage);
    if (merge.weight > 0) stage_step(shift, offset, merge.weight, stage);
    if (large) add_stage(stage);
    double* const mean = &mean_(group.bin, 0);
    for (Index d = 0; d < cols; ++d) mean[d] += step(shift, offset, mean, d) * merge.share;
  }

  template <int Order>
  void stage_rows_of(const detail::BinGroups::Group& group, const Scalar* shift, const Scalar* offset,
                     const detail::MatrixView<const Scalar, Order>& features, Stage& stage) {
    for (Index i = group.begin; i < group.end; ++i) {
      const Index row = groups_.order()[i];
      Scalar* const v = next_row(stage);
      Index d = 0;
      if constexpr (Order == Eigen::RowMajor) {
        d = detail::center_packets(features.line(row), shift, offset, dimension(), v);
      }
      for (; d < dimension(); ++d) v[d] = (features(row, d) - shift[d]) - offset[d];
    }
  }

  [[nodiscard]] static double step(const Scalar* shift, const Scalar* offset, const double* mean, Index d) {
    return (static_cast<double>(shift[d]) + static_cast<double>(offset[d])) - mean[d];
  }

  /// M2 += weight * (step between the means) (the same)^T; in double at once where float would overflow.
  void stage_step(const Scalar* shift, const Scalar* offset, double weight, Stage& stage) {
    const double* const mean = &mean_(stage.bin, 0);
    const double scale = std::sqrt(weight);
    Scalar* const v = next_row(stage);
    for (Index d = 0; d < dimension(); ++d) v[d] = static_cast<Scalar>(step(shift, offset, mean, d) * scale);
    if (detail::all_safe(v, dimension())) return;
    std::fill(v, v + dimension(), Scalar(0));
    for (Index i = 0; i < dimension(); ++i) {
      for (Index j = i; j < dimension(); ++j) {
        m2_(stage.bin * dimension() + i, j) +=
            weight * step(shift, offset, mean, i) * step(shift, offset, mean, j);
      }
    }
  }

  Scalar* next_row(Stage& stage) {
    if (stage.filled == stage.capacity) add_stage(stage);
    return stage.rows + stage_stride() * stage.filled++;
  }

  void add_stage(Stage& stage) {
    detail::add_outer_products<Scalar>({stage.rows, stage_stride(), stage.filled}, dimension(),
                                       &m2_(stage.bin * dimension(), 0));
    stage.filled = 0;
  }

  /// Padded to whole packets; a line of the cache more where powers of two would share few sets of it.
  [[nodiscard]] Index stage_stride() const {
    constexpr Index line = 16;
    const Index padded = (dimension() + line - 1) / line * line;
    return padded % 128 == 0 ? padded + line : padded;
  }

  [[nodiscard]] Scalar* stage_of(Index bin) { return &stage_(bin * stage_rows, 0); }
  [[nodiscard]] const Scalar* stage_of(Index bin) const { return &stage_(bin * stage_rows, 0); }

  void clear_stage() {
    if constexpr (full) {
      stage_.setZero(bins() * stage_rows, stage_stride());
      staged_.assign(size(bins()), 0);
    }
  }

  [[nodiscard]] Scalar* moments(Index group, Index line) {
    return moments_.data() + (lines * group + line) * dimension();
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
  VectorX<Scalar> moments_;
  RowMatrixX<Scalar> scratch_;  // full: scratch_rows per thread, zero where rows are padded
  std::vector<char> safe_;
};

}  // namespace ballast
