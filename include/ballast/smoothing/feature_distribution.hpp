// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <ballast/core/check.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/label_bins.hpp>
#include <ballast/smoothing/bin_groups.hpp>
#include <ballast/smoothing/bin_maps.hpp>
#include <ballast/smoothing/bin_mixing.hpp>
#include <ballast/smoothing/bin_statistics.hpp>
#include <ballast/smoothing/covariance_map.hpp>
#include <ballast/smoothing/kernel.hpp>
#include <ballast/smoothing/shrinkage.hpp>

namespace ballast {

/// Feature distribution smoothing (Yang et al., "Delving into Deep Imbalanced Regression", ICML 2021, section
/// 3.2): features of nearby labels should have nearby statistics, so the statistics of each label bin are
/// smoothed over the bins and every feature is moved from its bin's own to the smoothed ones:
///
///     mu'_b = sum_b' kappa(b, b') mu_b',   Sigma'_b = sum_b' kappa(b, b') Sigma_b'
///     z' = A_b (z - mu_b) + mu'_b,         A_b = Sigma'_b^{1/2} Sigma_b^{-1/2}
///
/// of which the diagonal form keeps the diagonal, A_b = diag sqrt(clamp(v'_b / v_b, lowest, highest)). A
/// feature without variance in a bin passes unchanged.
///
/// An epoch: for every batch `smooth` the features, `backward` the gradient, `update` with the raw features;
/// then `finish_epoch`. During an epoch features are calibrated with the statistics frozen when the last one
/// was finished; in the first epoch they pass unchanged. Smoothing is for training only: with
/// `set_training(false)` everything passes.
///
/// Options::paper() is the above; Options::published() is the code published with the paper, quirk by quirk.
///
/// Memory O(B D), or O(B D^2) for the full form. A batch costs O(N D) or O(N D^2) and allocates nothing once
/// the workspace has grown to the largest one; `finish_epoch` of the full form takes the roots of B matrices
/// in double, O(B D^3). Results do not depend on the number of threads. Not for use by two threads at once.
template <typename Scalar, Covariance Form = Covariance::diagonal>
class FeatureDistributionSmoothing {
 public:
  static constexpr bool full = Form == Covariance::full;
  using Statistics = BinStatistics<Scalar, Form>;

  /// The schedule of the published code (`FDS` of imdb-wiki-dir, diagonal form, whole-numbered labels in bins
  /// of width 1). What it does differently:
  /// - every bin starts at mean 0, variance 1; a bin first seen after epoch `start_update` is averaged from
  ///   there, and a bin without samples enters the smoothing so;
  /// - the smoothed statistics are those of the end of the epoch before the last: they lag by one, so that
  ///   epoch start_update + 1 still passes features unchanged. The source statistics are `aliased` to the
  ///   running ones, hence those of the last epoch;
  /// - a bin of one sample has variance 0; bins whose variances sum to less than 1e-10 pass unchanged;
  /// - labels below the first or above the last label are skipped, but join the edge bin of a call in which
  ///   its exact label occurs (for the statistics: of an epoch, which the published loop gives in one call);
  /// - the statistics roll over in `finish_epoch(e)` only if e is the next epoch in turn.
  struct PublishedCode {
    Index start_update = 0;  ///< first epoch whose features count; >= 0
    Index start_smooth = 1;  ///< first epoch that is smoothed; >= 0
    bool aliased = true;     ///< false: source statistics are a copy, and lag like the smoothed ones
    /// The published training loop smooths in place, so that its statistics are of smoothed features: true
    /// makes `update` smooth the raw features it is given before it counts them.
    bool statistics_of_smoothed = false;
  };

  struct Options {
    /// Weight in [0, 1) of the old statistics in the average over epochs; the first epoch of a bin is taken
    /// whole. None: cumulative, each epoch weighted by its samples of the bin.
    std::optional<double> momentum = 0.9;
    /// Diagonal form: bounds on v'_b / v_b, 0 <= lowest <= 1 <= highest; infinity for no bound. Published:
    /// [0.1, 10] for ages, [0.5, 2] for text, [0.2, 5] for depth.
    double lowest_ratio = 0.1;
    double highest_ratio = 10.0;
    /// Bins without samples; for variances also bins of one sample. `fill` is for one-dimensional bins.
    EmptyBins empty_bins = EmptyBins::skip;
    /// Full form: applied to Sigma_b and Sigma'_b of a bin of at most D samples (in the latest epoch that had
    /// any), whose Sigma_b has no inverse.
    Shrinkage shrinkage = Shrinkage::oas();
    /// Full form.
    CovarianceRoot root = CovarianceRoot::symmetric;
    /// Set by `published`.
    std::optional<PublishedCode> published_code;

    [[nodiscard]] static Options paper() { return {}; }
    [[nodiscard]] static Options published(const PublishedCode& code = PublishedCode()) {
      Options options;
      options.empty_bins = EmptyBins::unit;
      options.published_code = code;
      return options;
    }
  };

  /// Everything that was learnt; with the constructor's arguments it determines all that follows.
  struct State {
    Index epoch = 0;                 ///< epochs finished, which is the number of the one under way
    Count batches = 0;               ///< given to `update` in the epoch under way
    CountVector samples;             ///< of each bin, over all epochs
    CountVector covariance_samples;  ///< the same over epochs that gave it a covariance
    CountVector latest;              ///< in the latest of these
    RowMatrixX<double> mean;         ///< mu_b over epochs, bins x dimension
    RowMatrixX<double> covariance;   ///< v_b, bins x dimension; full: Sigma_b stacked, (bins * dimension) x
                                     ///< dimension
    typename Statistics::State statistics;  ///< of the epoch under way

    // Of the published code; else 0 and empty.
    Index rolled = 0;                ///< epoch in which the statistics last rolled over
    RowMatrixX<double> rolled_mean;  ///< as they were then
    RowMatrixX<double> rolled_variance;
    bool first_label = false;  ///< the exact label of the first bin occurred in the epoch under way
    bool last_label = false;
  };

  /// @param dimension  D >= 1, features per sample
  /// @param bins       over the labels; in the published behaviour of one dimension, with whole-numbered
  ///                   edges and width 1, and its own rule for labels outside
  /// @param kernel     over the bins; SmoothingKernel::published_gaussian(5, 2, EdgeRule::mirror) is the
  ///                   published default
  FeatureDistributionSmoothing(Index dimension, const LabelBins& bins, const SmoothingKernel& kernel)
      : FeatureDistributionSmoothing(dimension, bins, kernel, Options()) {}
  FeatureDistributionSmoothing(Index dimension, const LabelBins& bins, const SmoothingKernel& kernel,
                               const Options& options)
      : bins_(bins),
        kernel_(kernel.matrix(bins)),
        options_(valid(options, bins)),
        statistics_(slots(bins, options), dimension) {
    const Index count = bins.bins();
    state_.samples = state_.covariance_samples = state_.latest = CountVector::Zero(count);
    state_.mean = RowMatrixX<double>::Zero(count, dimension);
    state_.covariance = RowMatrixX<double>::Zero(full ? count * dimension : count, dimension);
    if (published()) {
      state_.covariance.setOnes();
      state_.rolled = code().start_update;
      state_.rolled_mean = state_.mean;
      state_.rolled_variance = state_.covariance;
    }
    freeze();
  }

  /// z -> z' for every row.
  /// @param features  samples x dimension, of either storage order
  /// @param labels    one per row (samples x targets for a product of bins); not read outside training
  /// @param smoothed  of the shape and storage order of `features`, which it may be itself; a row whose label
  ///                  is dropped or whose bin has no statistics is copied
  /// @throws std::invalid_argument on other shapes, and as LabelBins::find; nothing is then written
  template <typename Features, typename Labels, typename Smoothed>
  void smooth(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels,
              Smoothed&& smoothed) {
    transform<Direction::forward>("FeatureDistributionSmoothing::smooth", "features", features, labels,
                                  "smoothed", std::forward<Smoothed>(smoothed));
    smoothed_ = smoothed_ || training_;
  }

  /// dL/dz = A_b^T dL/dz' for every row, the statistics held constant: G A_b where a sample is a row.
  /// @param gradient         dL/dz', samples x dimension
  /// @param labels           as given to `smooth` in this epoch
  /// @param input_gradient   dL/dz, of the shape and storage order of `gradient`, which it may be itself
  /// @throws std::invalid_argument as `smooth`, and if nothing was smoothed in this epoch
  template <typename Gradient, typename Labels, typename InputGradient>
  void backward(const Eigen::MatrixBase<Gradient>& gradient, const Eigen::DenseBase<Labels>& labels,
                InputGradient&& input_gradient) {
    constexpr const char* function = "FeatureDistributionSmoothing::backward";
    detail::require(smoothed_ || !training_, function, "nothing was smoothed in epoch ", epoch(),
                    ", expected smooth before backward");
    transform<Direction::backward>(function, "gradient", gradient, labels, "input_gradient",
                                   std::forward<InputGradient>(input_gradient));
  }

  /// Streams a batch into the statistics of the epoch under way.
  /// @param features  raw, never smoothed; samples x dimension, finite
  /// @param labels    one per row
  /// @throws std::invalid_argument naming the first row with a feature that is not finite, or as
  ///         LabelBins::find, or outside training; nothing is then added
  template <typename Features, typename Labels>
  void update(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels) {
    constexpr const char* function = "FeatureDistributionSmoothing::update";
    require_training(function);
    require_rows(function, "features", features, labels);
    const Edges edges = find_bins(function, labels);
    if (published() && code().statistics_of_smoothed && calibrating()) {
      update_with_smoothed(features, edges);
    } else {
      statistics_.update(features, found_bins(features.rows()));
    }
    state_.first_label = state_.first_label || edges.first;
    state_.last_label = state_.last_label || edges.last;
    if (features.rows() > 0) ++state_.batches;
  }

  /// Adds the batches that another rank has streamed into the epoch under way.
  /// @throws std::invalid_argument if `other` has other bins or another dimension, or is in another epoch
  void merge(const FeatureDistributionSmoothing& other) {
    detail::require(other.epoch() == epoch(), "FeatureDistributionSmoothing::merge", "other is in epoch ",
                    other.epoch(), ", expected ", epoch());
    statistics_.merge(other.statistics_);
    state_.first_label = state_.first_label || other.state_.first_label;
    state_.last_label = state_.last_label || other.state_.last_label;
    state_.batches += other.state_.batches;
  }

  /// Ends the epoch: averages its statistics into those of the epochs before, smooths them over the bins and
  /// freezes the calibration of the next epoch.
  /// @throws std::invalid_argument if nothing was given to `update` in this epoch, or outside training
  void finish_epoch() { finish_epoch(epoch()); }

  /// The same, for a loop that counts epochs itself.
  /// @param epoch  of a paper schedule epoch() or an error; the published code takes any, and rolls its
  ///               statistics over only if it is the next one in turn
  void finish_epoch(Index epoch) {
    constexpr const char* function = "FeatureDistributionSmoothing::finish_epoch";
    require_training(function);
    if (published()) {
      detail::require(epoch >= 0, function, "epoch is ", epoch, ", expected >= 0");
    } else {
      detail::require(epoch == this->epoch(), function, "epoch is ", epoch, ", expected ", this->epoch(),
                      ", the one under way");
    }
    const bool counted = !published() || epoch >= state_.rolled;
    detail::require(!counted || state_.batches > 0, function, "no batch was given to update in epoch ", epoch,
                    ", expected at least one");
    if (published()) {
      finish_published(epoch);
    } else {
      for (Index b = 0; b < bins_.bins(); ++b) average_bin(b);
    }
    state_.epoch = epoch + 1;
    start_epoch();
    freeze();
  }

  /// Outside training features and gradients pass unchanged, and nothing is learnt.
  void set_training(bool training) noexcept { training_ = training; }
  [[nodiscard]] bool training() const noexcept { return training_; }

  [[nodiscard]] Index dimension() const noexcept { return state_.mean.cols(); }
  [[nodiscard]] const LabelBins& bins() const noexcept { return bins_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }
  /// The number of the epoch under way, from 0.
  [[nodiscard]] Index epoch() const noexcept { return state_.epoch; }
  /// Whether `smooth` changes features in the epoch under way.
  [[nodiscard]] bool calibrating() const {
    return published() ? epoch() >= code().start_smooth : epoch() > 0;
  }

  /// What was streamed in the epoch under way; in the published behaviour with two bins more, for labels
  /// below and above.
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }
  /// Samples of each bin over all epochs.
  [[nodiscard]] const CountVector& samples() const noexcept { return state_.samples; }
  /// mu_b over the finished epochs, one row per bin.
  [[nodiscard]] const RowMatrixX<double>& mean() const noexcept { return state_.mean; }
  /// mu'_b, one row per bin; 0 where there is none.
  [[nodiscard]] const RowMatrixX<double>& smoothed_mean() const noexcept { return smoothed_mean_; }
  /// The diagonal of Sigma_b over the finished epochs.
  [[nodiscard]] Eigen::VectorXd variance(Index bin) const {
    require_bin("FeatureDistributionSmoothing::variance", bin);
    if constexpr (full) {
      return own_covariance(bin).diagonal();
    } else {
      return state_.covariance.row(bin).transpose();
    }
  }
  /// The diagonal of Sigma'_b; 0 where there is none.
  [[nodiscard]] Eigen::VectorXd smoothed_variance(Index bin) const {
    require_bin("FeatureDistributionSmoothing::smoothed_variance", bin);
    if constexpr (full) {
      return mixed_covariance(target_, bin).diagonal();
    } else {
      return smoothed_variance_.row(bin).transpose();
    }
  }
  /// Sigma_b over the finished epochs. O(D^2).
  template <Covariance Kept = Form>
  [[nodiscard]] Eigen::MatrixXd covariance(Index bin) const {
    static_assert(Kept == Covariance::full,
                  "ballast: the diagonal form keeps variances only; use Covariance::full");
    require_bin("FeatureDistributionSmoothing::covariance", bin);
    return own_covariance(bin);
  }
  /// Sigma'_b, before shrinkage; 0 where there is none. O(D^2).
  template <Covariance Kept = Form>
  [[nodiscard]] Eigen::MatrixXd smoothed_covariance(Index bin) const {
    static_assert(Kept == Covariance::full,
                  "ballast: the diagonal form keeps variances only; use Covariance::full");
    require_bin("FeatureDistributionSmoothing::smoothed_covariance", bin);
    return mixed_covariance(target_, bin);
  }

  [[nodiscard]] State state() const {
    State result = state_;
    result.statistics = statistics_.state();
    return result;
  }

  /// Continues from a saved state of the same dimension, bins, kernel and options.
  /// @throws std::invalid_argument if it is not one that this can be in; nothing is then changed
  void restore(const State& state) {
    require_valid(state);
    statistics_.restore(state.statistics);  // validates, then changes
    state_ = state;
    state_.statistics = typename Statistics::State();
    smoothed_ = false;
    freeze();
  }

 private:
  enum class Direction { forward, backward };
  using BinVector = VectorX<std::int32_t>;
  using Maps = detail::BinMaps<Scalar>;

  /// Parts into which a batch is cut for the threads.
  static constexpr Index most_blocks = 16;

  /// Whether the exact first and last labels are among the labels of a call (published code).
  struct Edges {
    bool first = false;
    bool last = false;
  };

  static const Options& valid(const Options& options, const LabelBins& bins) {
    constexpr const char* function = "FeatureDistributionSmoothing";
    if (options.momentum) {
      detail::require(*options.momentum >= 0 && *options.momentum < 1, function, "momentum is ",
                      *options.momentum, ", expected [0, 1), or none for cumulative statistics");
    }
    detail::require_between(function, "lowest_ratio", options.lowest_ratio, 0.0, 1.0);
    detail::require(options.highest_ratio >= 1, function, "highest_ratio is ", options.highest_ratio,
                    ", expected >= 1");
    detail::require(options.empty_bins != EmptyBins::fill || bins.dimensions() == 1, function,
                    "empty_bins is EmptyBins::fill over bins of ", bins.dimensions(),
                    " dimensions, expected 1");
    if (options.published_code) valid_published(options, bins);
    return options;
  }

  static void valid_published(const Options& options, const LabelBins& bins) {
    constexpr const char* function = "FeatureDistributionSmoothing";
    const PublishedCode& code = *options.published_code;
    detail::require(!full, function,
                    "the published behaviour was asked of full covariances, expected the diagonal form");
    detail::require(code.start_update >= 0 && code.start_smooth >= 0, function, "start_update is ",
                    code.start_update, " and start_smooth is ", code.start_smooth, ", expected >= 0");
    detail::require(options.empty_bins == EmptyBins::unit, function,
                    "the published behaviour has empty_bins other than EmptyBins::unit; start from "
                    "Options::published()");
    detail::require(bins.dimensions() == 1, function, "the published behaviour was asked of bins of ",
                    bins.dimensions(), " dimensions, expected 1");
    const Eigen::VectorXd& edges = bins.edges();
    for (Index b = 0; b < bins.bins(); ++b) {
      detail::require(edges[b] == std::floor(edges[b]) && edges[b + 1] - edges[b] == 1, function, "bin ", b,
                      " is [", edges[b], ", ", edges[b + 1],
                      "), expected whole-numbered edges and width 1 in the published behaviour");
    }
  }

  /// Bins of the streamed statistics: in the published behaviour labels below and above wait in two more.
  static Index slots(const LabelBins& bins, const Options& options) {
    return bins.bins() + (options.published_code ? 2 : 0);
  }

  [[nodiscard]] bool published() const { return options_.published_code.has_value(); }
  [[nodiscard]] const PublishedCode& code() const { return *options_.published_code; }

  void require_bin(const char* function, Index bin) const {
    detail::require(bin >= 0 && bin < bins_.bins(), function, "bin is ", bin, ", expected [0, ", bins_.bins(),
                    ")");
  }

  void require_training(const char* function) const {
    detail::require(training_, function, "called outside training, expected set_training(true)");
  }

  template <typename Features, typename Labels>
  void require_rows(const char* function, const char* argument, const Eigen::MatrixBase<Features>& features,
                    const Eigen::DenseBase<Labels>& labels) const {
    detail::require(features.cols() == dimension(), function, argument, " is ", features.rows(), " x ",
                    features.cols(), ", expected samples x ", dimension());
    if (!training_) return;
    detail::require(bins_.dimensions() > 1 || labels.rows() <= 1 || labels.cols() <= 1, function,
                    "labels is ", labels.rows(), " x ", labels.cols(),
                    ", expected a vector, one label per sample");
    const Index rows = bins_.dimensions() == 1 ? labels.size() : labels.rows();
    detail::require(rows == features.rows(), function, "labels is of ", rows, " samples, expected ",
                    features.rows(), " (the rows of ", argument, ")");
  }

  // ---- From labels to bins

  [[nodiscard]] Eigen::Map<BinVector> found_bins(Index rows) { return {bin_of_row_.data(), rows}; }

  /// The slot of every row, into `bin_of_row_`.
  template <typename Labels>
  Edges find_bins(const char* function, const Eigen::DenseBase<Labels>& labels) {
    const Index rows = bins_.dimensions() == 1 ? labels.size() : labels.rows();
    if (static_cast<Index>(bin_of_row_.size()) < rows) bin_of_row_.resize(static_cast<std::size_t>(rows));
    if (published()) return find_published_bins(function, labels);
    bins_.find(labels, found_bins(rows));
    return {};
  }

  /// B for labels below the first, B + 1 above the last.
  template <typename Labels>
  Edges find_published_bins(const char* function, const Eigen::DenseBase<Labels>& labels) {
    const double first = bins_.edges()[0], last = bins_.edges()[bins_.bins() - 1];
    const bool by_column = labels.cols() == 1;
    Edges edges;
    for (Index i = 0; i < labels.size(); ++i) {
      const double label =
          static_cast<double>(by_column ? labels.derived().coeff(i, 0) : labels.derived().coeff(0, i));
      const bool inside = label >= first && label <= last;
      detail::require(label == label && (!inside || label == std::floor(label)), function, "labels[", i,
                      "] is ", label, ", expected a whole number in the published behaviour");
      edges.first = edges.first || label == first;
      edges.last = edges.last || (label == last && last > first);
      bin_of_row_[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(
          inside ? static_cast<Index>(label - first) : bins_.bins() + (label > last));
    }
    return edges;
  }

  /// From slots to bins for a call that has seen these edges.
  void settle_outside(Edges edges, Index rows) {
    if (!published()) return;
    const std::int32_t below = static_cast<std::int32_t>(bins_.bins());
    for (std::int32_t& bin : found_bins(rows)) {
      if (bin == below) bin = edges.first ? 0 : -1;
      if (bin == below + 1) bin = edges.last ? below - 1 : -1;
    }
  }

  // ---- Calibration of a batch

  template <Direction Way, typename Input, typename Labels, typename Output>
  void transform(const char* function, const char* input_name, const Eigen::MatrixBase<Input>& input,
                 const Eigen::DenseBase<Labels>& labels, const char* output_name, Output&& output) {
    detail::assert_same_order<Input, Output>();
    require_rows(function, input_name, input, labels);
    detail::require_shape(function, output_name, output, input.rows(), input.cols());
    const auto from = detail::view<Scalar>(input);
    const auto to = detail::mutable_view<Scalar>(output);
    if (!training_) return copy_all(from, to);
    const Edges edges = find_bins(function, labels);
    if (!calibrating()) return copy_all(from, to);
    settle_outside(edges, input.rows());
    calibrate<Way>(from, to);
  }

  template <int Order>
  static void copy_all(const detail::MatrixView<const Scalar, Order>& from,
                       const detail::MatrixView<Scalar, Order>& to) {
    if (from.data == to.data) return;
    const Index lines = to.row_major ? from.rows : from.cols;
    const Index length = to.row_major ? from.cols : from.rows;
    for (Index i = 0; i < lines; ++i) std::copy(from.line(i), from.line(i) + length, to.line(i));
  }

  template <Direction Way, int Order>
  void calibrate(const detail::MatrixView<const Scalar, Order>& from,
                 const detail::MatrixView<Scalar, Order>& to) {
    if constexpr (full) {
      map_groups<Way>(from, to);
    } else if constexpr (Order == Eigen::RowMajor) {
      scale_rows<Way>(from, to);
    } else {
      scale_columns<Way>(from, to);
    }
  }

  /// (z - mu) s + mu', or g s.
  template <Direction Way>
  static Scalar scaled(Scalar value, Scalar mean, Scalar scale, Scalar target) {
    return Way == Direction::forward ? (value - mean) * scale + target : value * scale;
  }

  /// The same as far as whole packets go. @return how far
  template <Direction Way>
  static Index scale_packets(const Scalar* values, const Scalar* mean, const Scalar* scale,
                             const Scalar* target, Index cols, Scalar* result) {
    namespace packet = detail::packet;
    constexpr Index width = detail::packet_size<Scalar>;
    Index d = 0;
    for (; d + width <= cols; d += width) {
      const detail::Packet<Scalar> value = packet::load(values + d), factor = packet::load(scale + d);
      if constexpr (Way == Direction::forward) {
        const auto e = packet::psub(value, packet::load(mean + d));
        packet::store(result + d, packet::pmadd(e, factor, packet::load(target + d)));
      } else {
        packet::store(result + d, packet::pmul(value, factor));
      }
    }
    return d;
  }

  template <Direction Way>
  void scale_rows(const detail::MatrixView<const Scalar, Eigen::RowMajor>& from,
                  const detail::MatrixView<Scalar, Eigen::RowMajor>& to) {
    const Index cols = dimension();
    const detail::Blocks blocks(from.rows, most_blocks);
    detail::parallel_for(blocks.count(), from.rows * cols, [&](Index block) {
      for (Index i = blocks.begin(block); i < blocks.end(block); ++i) {
        const Scalar* const mean = affine_row(bin_of_row_[static_cast<std::size_t>(i)]);
        const Scalar *const scale = mean + cols, *const target = scale + cols;
        const Scalar* const z = from.line(i);
        Scalar* const result = to.line(i);
        Index d = scale_packets<Way>(z, mean, scale, target, cols, result);
        for (; d < cols; ++d) result[d] = scaled<Way>(z[d], mean[d], scale[d], target[d]);
      }
    });
  }

  template <Direction Way>
  void scale_columns(const detail::MatrixView<const Scalar, Eigen::ColMajor>& from,
                     const detail::MatrixView<Scalar, Eigen::ColMajor>& to) {
    const Index slots = bins_.bins() + 1;
    const detail::Blocks blocks(from.cols, most_blocks);
    Scalar* const scratch = reserve_scratch(blocks.count() * 3 * slots);
    detail::parallel_for(blocks.count(), from.rows * from.cols, [&](Index block) {
      Scalar* const constants = scratch + block * 3 * slots;  // of one column, bin by bin; from bin -1 on
      for (Index d = blocks.begin(block); d < blocks.end(block); ++d) {
        for (Index b = 0; b < slots; ++b) {
          for (Index k = 0; k < 3; ++k) constants[3 * b + k] = affine_(b, k * dimension() + d);
        }
        const Scalar* const z = from.line(d);
        Scalar* const result = to.line(d);
        for (Index i = 0; i < from.rows; ++i) {
          const Scalar* const c = constants + 3 * (bin_of_row_[static_cast<std::size_t>(i)] + 1);
          result[i] = scaled<Way>(z[i], c[0], c[1], c[2]);
        }
      }
    });
  }

  /// Some rows of one bin at a time, so that its matrix is read once for them.
  static constexpr Index group_rows = 8 * Maps::rows;

  template <Direction Way, int Order>
  void map_groups(const detail::MatrixView<const Scalar, Order>& from,
                  const detail::MatrixView<Scalar, Order>& to) {
    groups_.sort("FeatureDistributionSmoothing", found_bins(from.rows), bins_.bins(), group_rows);
    const auto& groups = groups_.groups();
    const detail::Blocks blocks(static_cast<Index>(groups.size()), most_blocks);
    const Index size = dimension() * group_rows + Maps::rows * Maps::panel;
    Scalar* const scratch = reserve_scratch(most_blocks * size);
    detail::parallel_for(blocks.count(), from.rows * dimension() * dimension(), [&](Index block) {
      for (Index g = blocks.begin(block); g < blocks.end(block); ++g) {
        const auto& group = groups[static_cast<std::size_t>(g)];
        if (mapped_[static_cast<std::size_t>(group.bin)]) {
          map_group<Way>(group, from, to, scratch + block * size);
        } else {
          for (Index i = group.begin; i < group.end; ++i) copy_row(groups_.order()[i], from, to);
        }
      }
    });
    for (Index i = groups_.kept(); i < from.rows; ++i) copy_row(groups_.order()[i], from, to);
  }

  /// X = Z - mu, then X A^T + mu' panel by panel; or G A. All rows are read before the first is written.
  template <Direction Way, int Order>
  void map_group(const detail::BinGroups::Group& group, const detail::MatrixView<const Scalar, Order>& from,
                 const detail::MatrixView<Scalar, Order>& to, Scalar* scratch) const {
    constexpr bool forward = Way == Direction::forward;
    const Index* const order = groups_.order() + group.begin;
    const Index cols = dimension();
    const Scalar* const mean = affine_row(static_cast<std::int32_t>(group.bin));
    const Scalar* const target = mean + 2 * cols;
    const Maps& maps = forward ? forward_ : backward_;
    Scalar* const product = scratch + cols * group_rows;
    for (Index i = 0; i < group.rows(); ++i) {
      Scalar* const x = scratch + i / Maps::rows * Maps::rows * cols + i % Maps::rows;
      for (Index k = 0; k < cols; ++k) {
        x[k * Maps::rows] = forward ? from(order[i], k) - mean[k] : from(order[i], k);
      }
    }
    for (Index p = 0; p < maps.panels(); ++p) {
      const Index first = p * Maps::panel, count = std::min(Maps::panel, cols - first);
      for (Index i = 0; i < group.rows(); i += Maps::rows) {
        const Index rows = std::min(Index(Maps::rows), group.rows() - i);
        maps.multiply(group.bin, p, scratch + i * cols, rows, product);
        for (Index r = 0; r < rows; ++r) {
          const Scalar* const values = product + r * Maps::panel;
          for (Index c = 0; c < count; ++c) {
            to(order[i + r], first + c) = forward ? values[c] + target[first + c] : values[c];
          }
        }
      }
    }
  }

  template <int Order>
  static void copy_row(Index row, const detail::MatrixView<const Scalar, Order>& from,
                       const detail::MatrixView<Scalar, Order>& to) {
    for (Index d = 0; d < from.cols; ++d) to(row, d) = from(row, d);
  }

  /// [mu | s | mu'] of a bin; of bin -1 the identity.
  [[nodiscard]] const Scalar* affine_row(std::int32_t bin) const { return &affine_(bin + 1, 0); }

  Scalar* reserve_scratch(Index size) {
    if (static_cast<Index>(scratch_.size()) < size) scratch_.resize(static_cast<std::size_t>(size));
    return scratch_.data();
  }

  // ---- Statistics over epochs

  /// Published option: what a loop that smooths in place would have counted.
  template <typename Features>
  void update_with_smoothed(const Eigen::MatrixBase<Features>& features, Edges edges) {
    using Stored = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, detail::storage_order<Features>>;
    in_place_.resize(static_cast<std::size_t>(features.size()));
    slots_.assign(bin_of_row_.begin(), bin_of_row_.begin() + features.rows());
    Eigen::Map<Stored> copy(in_place_.data(), features.rows(), features.cols());
    settle_outside(edges, features.rows());
    calibrate<Direction::forward>(detail::view<Scalar>(features), detail::mutable_view<Scalar>(copy));
    statistics_.update(copy, Eigen::Map<const BinVector>(slots_.data(), features.rows()));
  }

  /// Average of an old and a new value; with no old weight the old value is not looked at.
  template <typename Old, typename New>
  static void average(double old_weight, const New& latest, Old&& value) {
    if (old_weight == 0) {
      value = latest;
    } else {
      value = old_weight * value + (1 - old_weight) * latest;
    }
  }

  /// @param total  samples so far, with the `added` ones
  [[nodiscard]] double old_weight(Count added, Count total) const {
    if (added == total) return 0.0;
    return options_.momentum ? *options_.momentum
                             : 1.0 - static_cast<double>(added) / static_cast<double>(total);
  }

  /// Paper: the statistics of the epoch enter those of a bin.
  void average_bin(Index b) {
    const Count added = statistics_.counts()[b];
    if (added == 0) return;
    state_.samples[b] += added;
    average(old_weight(added, state_.samples[b]), statistics_.mean().row(b), state_.mean.row(b));
    if (added == 1) return;  // no covariance
    state_.covariance_samples[b] += added;
    state_.latest[b] = added;
    const double weight = old_weight(added, state_.covariance_samples[b]);
    if constexpr (full) {
      average(weight, statistics_.covariance(b), state_.covariance.middleRows(b * dimension(), dimension()));
    } else {
      average(weight, statistics_.variance(b).transpose(), state_.covariance.row(b));
    }
  }

  /// Published: `update_last_epoch_stats(epoch)`, then `update_running_stats(..., epoch)`.
  void finish_published(Index epoch) {
    if (epoch == state_.rolled + 1) {
      state_.rolled = epoch;
      state_.rolled_mean = state_.mean;
      state_.rolled_variance = state_.covariance;
    }
    if (epoch < state_.rolled) return;
    typename Statistics::State streamed = statistics_.state();
    const Index bins = bins_.bins();
    if (state_.first_label) merge_bins(streamed, bins, 0);
    if (state_.last_label) merge_bins(streamed, bins + 1, bins - 1);
    for (Index b = 0; b < bins; ++b) {
      const Count added = streamed.counts[b];
      if (added == 0) continue;
      state_.samples[b] += added;
      state_.covariance_samples[b] += added;
      state_.latest[b] = added;
      const double cumulative = 1.0 - static_cast<double>(added) / static_cast<double>(state_.samples[b]);
      const double weight = epoch == code().start_update ? 0.0 : options_.momentum.value_or(cumulative);
      average(weight, streamed.mean.row(b), state_.mean.row(b));
      average(weight, streamed.m2.row(b) / static_cast<double>(std::max(added - 1, Count(1))),
              state_.covariance.row(b));
    }
  }

  static void merge_bins(typename Statistics::State& state, Index from, Index into) {
    if (state.counts[from] == 0) return;
    const detail::MergeWeights merge(state.counts[into], state.counts[from]);
    const Eigen::RowVectorXd delta = state.mean.row(from) - state.mean.row(into);
    state.mean.row(into) += merge.share * delta;
    state.m2.row(into) += state.m2.row(from) + merge.weight * delta.cwiseAbs2();
    state.counts[into] += state.counts[from];
  }

  void start_epoch() {
    statistics_.reset();
    state_.batches = 0;
    state_.first_label = state_.last_label = false;
    smoothed_ = false;
  }

  // ---- From statistics to the calibration of an epoch

  void freeze() {
    const Index bins = bins_.bins();
    affine_.setZero(bins + 1, 3 * dimension());
    affine_.middleCols(dimension(), dimension()).setOnes();
    if (published()) {
      freeze_published();
    } else {
      freeze_paper();
    }
  }

  void freeze_paper() {
    const detail::BinMixing own_mean = detail::own_statistics(present(state_.samples), options_.empty_bins);
    source_ = detail::own_statistics(present(state_.covariance_samples), options_.empty_bins);
    target_ = detail::smoothed(kernel_, source_);
    const RowMatrixX<double> mean = own_mean(state_.mean, 0.0);
    smoothed_mean_ = detail::smoothed(kernel_, own_mean)(state_.mean, 0.0);
    if constexpr (full) {
      freeze_maps(mean);
    } else {
      const RowMatrixX<double> variance = source_(state_.covariance, 1.0);
      smoothed_variance_ = target_(state_.covariance, 1.0);
      for (Index b = 0; b < bins_.bins(); ++b) freeze_scales(b, mean, variance);
    }
  }

  void freeze_published() {
    const bool rolled = state_.rolled > code().start_update;
    if (rolled) {
      smoothed_mean_ = kernel_ * state_.rolled_mean;
      smoothed_variance_ = kernel_ * state_.rolled_variance;
    } else {
      smoothed_mean_ = state_.rolled_mean;
      smoothed_variance_ = state_.rolled_variance;
    }
    const bool aliased = rolled && code().aliased;
    const RowMatrixX<double>& mean = aliased ? state_.mean : state_.rolled_mean;
    const RowMatrixX<double>& variance = aliased ? state_.covariance : state_.rolled_variance;
    for (Index b = 0; b < bins_.bins(); ++b) {
      if (variance.row(b).sum() >= 1e-10) freeze_scales(b, mean, variance);
    }
  }

  static std::vector<char> present(const CountVector& samples) {
    std::vector<char> result;
    for (const Count count : samples) result.push_back(static_cast<char>(count > 0));
    return result;
  }

  /// The diagonal form's scales of a bin; a feature without variance keeps the identity.
  void freeze_scales(Index b, const RowMatrixX<double>& mean, const RowMatrixX<double>& variance) {
    for (Index d = 0; d < dimension(); ++d) {
      const double ratio = std::clamp(smoothed_variance_(b, d) / variance(b, d), options_.lowest_ratio,
                                      options_.highest_ratio);
      if (!(variance(b, d) > 0) || !std::isfinite(ratio)) continue;
      set_affine(b, d, mean(b, d), std::sqrt(ratio), smoothed_mean_(b, d));
    }
  }

  void set_affine(Index b, Index d, double mean, double scale, double target) {
    affine_(b + 1, d) = static_cast<Scalar>(mean);
    affine_(b + 1, dimension() + d) = static_cast<Scalar>(scale);
    affine_(b + 1, 2 * dimension() + d) = static_cast<Scalar>(target);
  }

  /// The full form's A_b, on the features that have variance in the bin.
  void freeze_maps(const RowMatrixX<double>& mean) {
    const Index bins = bins_.bins();
    mapped_.assign(static_cast<std::size_t>(bins), 0);
    if (epoch() == 0) return;
    forward_.resize(bins, dimension());
    backward_.resize(bins, dimension());
    detail::parallel_for(bins, bins * dimension() * dimension() * dimension(), [&](Index b) {
      if (source_.known(b)) freeze_map(b, mean);
    });
  }

  void freeze_map(Index b, const RowMatrixX<double>& mean) {
    const Eigen::MatrixXd source = mixed_covariance(source_, b), target = mixed_covariance(target_, b);
    std::vector<Index> varying;
    for (Index d = 0; d < dimension(); ++d) {
      if (source(d, d) > 0) varying.push_back(d);
    }
    if (varying.empty()) return;
    const Index count = static_cast<Index>(varying.size());
    Eigen::MatrixXd from(count, count), to(count, count);
    for (Index i = 0; i < count; ++i) {
      for (Index j = 0; j < count; ++j) {
        const Index row = varying[static_cast<std::size_t>(i)], col = varying[static_cast<std::size_t>(j)];
        from(i, j) = source(row, col);
        to(i, j) = target(row, col);
      }
    }
    const Count samples = samples_behind(b);
    if (samples <= count) {
      options_.shrinkage.apply(from, samples);
      options_.shrinkage.apply(to, samples);
    }
    const Eigen::MatrixXd map = detail::covariance_map(from, to, options_.root);
    Eigen::MatrixXd whole = Eigen::MatrixXd::Identity(dimension(), dimension());
    for (Index i = 0; i < count; ++i) {
      const Index row = varying[static_cast<std::size_t>(i)];
      set_affine(b, row, mean(b, row), 1.0, smoothed_mean_(b, row));
      for (Index j = 0; j < count; ++j) whole(row, varying[static_cast<std::size_t>(j)]) = map(i, j);
    }
    forward_.set(b, whole.transpose());
    backward_.set(b, whole);
    mapped_[static_cast<std::size_t>(b)] = 1;
  }

  /// N of the covariance that stands for a bin: of a filled one the fewest of its neighbours.
  [[nodiscard]] Count samples_behind(Index b) const {
    Count result = std::numeric_limits<Count>::max();
    for (detail::BinMixing::Weights::InnerIterator entry(source_.weights, b); entry; ++entry) {
      result = std::min(result, state_.latest[entry.col()]);
    }
    return source_.unit[b] != 0 ? 0 : result;
  }

  [[nodiscard]] auto own_covariance(Index bin) const {
    return state_.covariance.middleRows(bin * dimension(), dimension());
  }

  [[nodiscard]] Eigen::MatrixXd mixed_covariance(const detail::BinMixing& mixing, Index bin) const {
    Eigen::MatrixXd result = Eigen::MatrixXd::Zero(dimension(), dimension());
    for (detail::BinMixing::Weights::InnerIterator entry(mixing.weights, bin); entry; ++entry) {
      result += entry.value() * own_covariance(entry.col());
    }
    result.diagonal().array() += mixing.unit[bin];
    return result;
  }

  // ---- Saved states

  void require_valid(const State& state) const {
    constexpr const char* function = "FeatureDistributionSmoothing::restore";
    const Index bins = bins_.bins();
    detail::require(state.epoch >= 0 && state.batches >= 0, function, "state.epoch is ", state.epoch,
                    " and state.batches is ", state.batches, ", expected >= 0");
    require_counts(function, "state.samples", state.samples);
    require_counts(function, "state.covariance_samples", state.covariance_samples);
    require_counts(function, "state.latest", state.latest);
    for (Index b = 0; b < bins; ++b) {
      detail::require(
          state.latest[b] <= state.covariance_samples[b] && state.covariance_samples[b] <= state.samples[b] &&
              (state.latest[b] > 0) == (state.covariance_samples[b] > 0),
          function, "bin ", b, " has ", state.latest[b], " of ", state.covariance_samples[b], " of ",
          state.samples[b], " samples in state.latest, covariance_samples and samples, expected ",
          "no more of each than of the next, and none only together");
    }
    require_matrix(function, "state.mean", state.mean, bins);
    require_covariances(function, "state.covariance", state.covariance);
    if (published()) {
      detail::require(state.rolled >= code().start_update, function, "state.rolled is ", state.rolled,
                      ", expected at least start_update = ", code().start_update);
      require_matrix(function, "state.rolled_mean", state.rolled_mean, bins);
      require_covariances(function, "state.rolled_variance", state.rolled_variance);
    } else {
      detail::require(state.rolled == 0 && state.rolled_mean.size() == 0 && state.rolled_variance.size() == 0,
                      function, "state is one of the published behaviour, expected one of the paper's");
    }
  }

  void require_counts(const char* function, const char* argument, const CountVector& counts) const {
    detail::require_size(function, argument, counts.size(), bins_.bins(), "bins");
    for (Index b = 0; b < counts.size(); ++b) {
      detail::require(counts[b] >= 0, function, argument, "[", b, "] is ", counts[b], ", expected >= 0");
    }
  }

  void require_matrix(const char* function, const char* argument, const RowMatrixX<double>& matrix,
                      Index rows) const {
    detail::require_shape(function, argument, matrix, rows, dimension());
    for (Index i = 0; i < matrix.rows(); ++i) {
      for (Index d = 0; d < matrix.cols(); ++d) {
        detail::require(std::isfinite(matrix(i, d)), function, argument, "(", i, ", ", d, ") is ",
                        matrix(i, d), ", expected a finite number");
      }
    }
  }

  void require_covariances(const char* function, const char* argument,
                           const RowMatrixX<double>& matrix) const {
    const Index size = full ? dimension() : 1;  // rows of a bin
    require_matrix(function, argument, matrix, size * bins_.bins());
    for (Index i = 0; i < matrix.rows(); ++i) {
      for (Index d = 0; d < matrix.cols(); ++d) {
        if (!full || d == i % size) {
          detail::require(matrix(i, d) >= 0, function, argument, "(", i, ", ", d, ") is ", matrix(i, d),
                          ", expected a variance >= 0");
        } else {
          const Index mirror = i / size * size + d;
          detail::require(matrix(i, d) == matrix(mirror, i % size), function, argument, "(", i, ", ", d,
                          ") is ", matrix(i, d), ", expected ", matrix(mirror, i % size),
                          ", as in the other triangle");
        }
      }
    }
  }

  LabelBins bins_;
  detail::BinMixing::Weights kernel_;
  Options options_;
  Statistics statistics_;
  State state_;  // but for the statistics of the epoch under way
  bool training_ = true;
  bool smoothed_ = false;  // something, in the epoch under way

  // Frozen for the epoch under way.
  RowMatrixX<double> smoothed_mean_;
  RowMatrixX<double> smoothed_variance_;  // diagonal
  detail::BinMixing source_, target_;     // of covariances, paper
  RowMatrixX<Scalar> affine_;             // [mu | s | mu'] per bin, from bin -1 on
  Maps forward_, backward_;               // full: A_b^T, A_b
  std::vector<char> mapped_;              // full: whether a bin has them

  // Workspace of a batch.
  std::vector<std::int32_t> bin_of_row_;
  std::vector<std::int32_t> slots_;
  std::vector<Scalar> scratch_;
  std::vector<Scalar> in_place_;
  detail::BinGroups groups_;
};

}  // namespace ballast
