// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/label_bins.hpp>
#include <ballast/smoothing/kernel.hpp>

namespace ballast {

/// What a sample's weight is the inverse of.
enum class Reweighting {
  inverse,             ///< the smoothed density
  inverse_square_root  ///< the smoothed square root of the density (`sqrt_inv` of the published code)
};

namespace detail {

/// Inverse of every density, scaled so that sum_b count_b w_b = sum_b count_b. Where that is not finite
/// (nothing near), the largest weight that is: a weight is never infinite or NaN.
inline Eigen::VectorXd inverse_weights(const Eigen::VectorXd& density, const CountVector& counts) {
  Eigen::VectorXd weights(density.size());
  double mass = 0, samples = 0;
  for (Index b = 0; b < density.size(); ++b) {
    weights[b] = 1 / density[b];
    if (counts[b] == 0) continue;  // 0 * inf
    mass += static_cast<double>(counts[b]) * weights[b];
    samples += static_cast<double>(counts[b]);
  }
  weights *= samples / mass;
  double largest = 0;
  for (const double weight : weights) largest = std::isfinite(weight) ? std::max(largest, weight) : largest;
  for (double& weight : weights) weight = std::isfinite(weight) ? weight : largest;
  return weights;
}

}  // namespace detail

/// Label distribution smoothing (Yang et al., ICML 2021, section 3.1): samples weighted by the inverse of a
/// label density in which neighbouring labels count.
///
///     p_b = n_b / v_b                     samples of bin b, v_b its volume relative to the mean bin's
///     q   = K p,  or  K sqrt(p)           the effective density, at the bins
///     w_i = s / q_{bin(y_i)}              s such that the mean over the samples is 1
///
/// Equal bins have v_b = 1 exactly, so that p is the counts. With SmoothingKernel::identity() this is plain
/// inverse (or inverse-square-root) re-weighting. A bin that no sample asks for costs nothing; a weight is
/// never infinite or NaN. Immutable; concurrent use is safe. O(B) memory.
class LabelDistributionSmoothing {
 public:
  struct Options {
    /// What the weight is the inverse of.
    Reweighting reweighting = Reweighting::inverse;
    /// Counts are clipped to [low_count, high_count] before all else; 0 <= low_count <= high_count,
    /// high_count > 0. The published code uses [5, 1000] for ages.
    double low_count = 0;
    double high_count = std::numeric_limits<double>::infinity();
  };

  /// Counts `labels` over `bins`, smooths, weights. O(N + B * entries in a row of K).
  /// @param labels  as for LabelBins::find; at least one not dropped
  /// @throws std::invalid_argument as LabelBins::find, for options out of range, for labels all dropped
  template <typename Labels>
  LabelDistributionSmoothing(const LabelBins& bins, const SmoothingKernel& kernel,
                             const Eigen::DenseBase<Labels>& labels)
      : LabelDistributionSmoothing(bins, kernel, labels, Options{}) {}

  template <typename Labels>
  LabelDistributionSmoothing(const LabelBins& bins, const SmoothingKernel& kernel,
                             const Eigen::DenseBase<Labels>& labels, const Options& options)
      : LabelDistributionSmoothing(from_counts(bins, kernel, bins.count(labels), options)) {}

  /// The same from counts, e.g. of shards added together.
  /// @param counts  samples per bin, >= 0, at least one sample
  [[nodiscard]] static LabelDistributionSmoothing from_counts(const LabelBins& bins,
                                                              const SmoothingKernel& kernel,
                                                              const CountVector& counts) {
    return from_counts(bins, kernel, counts, Options{});
  }

  [[nodiscard]] static LabelDistributionSmoothing from_counts(const LabelBins& bins,
                                                              const SmoothingKernel& kernel,
                                                              const CountVector& counts,
                                                              const Options& options) {
    require_counts(bins, counts);
    require_options(options);
    Eigen::VectorXd density = counts.cast<double>().cwiseMax(options.low_count).cwiseMin(options.high_count);
    density.array() /= relative_volumes(bins).array();
    if (options.reweighting == Reweighting::inverse_square_root) density = density.cwiseSqrt().eval();
    return LabelDistributionSmoothing(bins, counts, kernel.matrix(bins) * density);
  }

  /// The weights of the published code (`_prepare_weights`), to rounding, its quirks included:
  /// - `inverse`: counts clipped to [5, 1000], so that an empty bin counts 5; they are integers there, and so
  ///   is the result of the convolution: every smoothed count is truncated;
  /// - `inverse_square_root`: square roots of counts, not clipped, not truncated.
  /// Sums in SciPy's order, since the truncation makes their last bit matter. Counts are used whatever the
  /// widths of the bins.
  /// @param bins    published for ages: LabelBins::uniform(0, 121, 121); one axis
  /// @param kernel  a symmetric window; published: published_gaussian(5, 2, EdgeRule::zero,
  /// KernelScale::max), or
  ///                `identity()` for no LDS
  template <typename Labels>
  [[nodiscard]] static LabelDistributionSmoothing published(const LabelBins& bins,
                                                            const SmoothingKernel& kernel,
                                                            const Eigen::DenseBase<Labels>& labels,
                                                            Reweighting reweighting) {
    constexpr const char* function = "LabelDistributionSmoothing::published";
    detail::require(bins.dimensions() == 1, function, "bins has ", bins.dimensions(), " axes, expected 1");
    detail::require(!kernel.on_distance(), function,
                    "kernel is on label distance, expected a window over bin numbers");
    detail::require(kernel.edges() == EdgeRule::zero || kernel.window().size() == 1, function,
                    "kernel has another edge rule, expected EdgeRule::zero");
    detail::require(kernel.window() == kernel.window().reverse(), function,
                    "kernel has a window that is not symmetric, expected one of the published kernels");
    const CountVector counts = bins.count(labels);
    require_counts(bins, counts);
    const bool inverse = reweighting == Reweighting::inverse;
    const Eigen::VectorXd values = inverse ? counts.cast<double>().cwiseMax(5.0).cwiseMin(1000.0).eval()
                                           : counts.cast<double>().cwiseSqrt().eval();
    Eigen::VectorXd density = convolved_as_scipy(values, kernel.window());
    if (inverse) density = density.array().floor().matrix().eval();
    return LabelDistributionSmoothing(bins, counts, std::move(density));
  }

  [[nodiscard]] const LabelBins& bins() const noexcept { return bins_; }
  /// n_b, before clipping.
  [[nodiscard]] const CountVector& counts() const noexcept { return counts_; }
  /// q_b; under `inverse_square_root`, of the square roots.
  [[nodiscard]] const Eigen::VectorXd& effective_density() const noexcept { return density_; }
  /// w_b; its mean over the samples, sum_b n_b w_b / N, is 1.
  [[nodiscard]] const Eigen::VectorXd& bin_weights() const noexcept { return weights_; }

  /// w of every label's bin, 0 for a dropped label. O(N); uses threads.
  /// @param labels   as for LabelBins::find
  /// @param weights  out: a vector of float or double, one per sample
  template <typename Labels, typename Weights>
  void sample_weights(const Eigen::DenseBase<Labels>& labels, Weights&& weights) const {
    using Weight = typename std::decay_t<Weights>::Scalar;
    const double most = static_cast<double>(std::numeric_limits<Weight>::max());
    bins_.gather(labels, weights_.cwiseMin(most).template cast<Weight>().eval(), weights);
  }

  /// The same as a new vector in the labels' precision (double for integers).
  template <typename Labels>
  [[nodiscard]] VectorX<detail::LabelReal<typename Labels::Scalar>> sample_weights(
      const Eigen::DenseBase<Labels>& labels) const {
    VectorX<detail::LabelReal<typename Labels::Scalar>> weights(bins_.dimensions() == 1 ? labels.size()
                                                                                        : labels.rows());
    sample_weights(labels, weights);
    return weights;
  }

 private:
  LabelDistributionSmoothing(LabelBins bins, CountVector counts, Eigen::VectorXd density)
      : bins_(std::move(bins)),
        counts_(std::move(counts)),
        density_(std::move(density)),
        weights_(detail::inverse_weights(density_, counts_)) {}

  static void require_counts(const LabelBins& bins, const CountVector& counts) {
    constexpr const char* function = "LabelDistributionSmoothing";
    detail::require_size(function, "counts", counts.size(), bins.bins(), "bins");
    for (Index b = 0; b < counts.size(); ++b) {
      detail::require(counts[b] >= 0, function, "counts[", b, "] is ", counts[b], ", expected >= 0");
    }
    detail::require(counts.maxCoeff() > 0, function, "no label is in a bin, expected at least one");
  }

  static void require_options(const Options& options) {
    constexpr const char* function = "LabelDistributionSmoothing";
    detail::require(options.low_count >= 0 && std::isfinite(options.low_count), function, "low_count is ",
                    options.low_count, ", expected a finite number >= 0");
    detail::require(options.high_count >= options.low_count && options.high_count > 0, function,
                    "high_count is ", options.high_count,
                    ", expected > 0 and at least low_count = ", options.low_count);
  }

  /// Volume of every bin over the mean volume; 1 exactly along equal axes.
  static Eigen::VectorXd relative_volumes(const LabelBins& bins) {
    Eigen::VectorXd volumes = Eigen::VectorXd::Ones(1);
    for (Index d = 0; d < bins.dimensions(); ++d) {
      const Eigen::VectorXd widths = bins.widths(d);
      const Eigen::VectorXd relative = bins.uniform_axis(d) ? Eigen::VectorXd::Ones(widths.size()).eval()
                                                            : (widths / widths.mean()).eval();
      Eigen::VectorXd product(volumes.size() * relative.size());
      for (Index b = 0; b < product.size(); ++b) {
        product[b] = volumes[b / relative.size()] * relative[b % relative.size()];
      }
      volumes = std::move(product);
    }
    return volumes;
  }

  /// SciPy's `convolve1d` for a symmetric window, zeros outside: the middle first, then pairs from the
  /// outside in, every product rounded.
  static Eigen::VectorXd convolved_as_scipy(const Eigen::VectorXd& values, const Eigen::VectorXd& window) {
    const Index half = window.size() / 2;
    const auto at = [&values](Index b) {
      return b < 0 || b >= values.size() ? 0.0 : values[b];
    };
    Eigen::VectorXd result(values.size());
    for (Index b = 0; b < values.size(); ++b) {
      double sum = values[b] * window[half];
      for (Index d = half; d > 0; --d) {
        // volatile: fused into the sum it would round, and truncate, otherwise than there.
        const volatile double term = (at(b - d) + at(b + d)) * window[half + d];
        sum += term;
      }
      result[b] = sum;
    }
    return result;
  }

  LabelBins bins_;
  CountVector counts_;
  Eigen::VectorXd density_;
  Eigen::VectorXd weights_;
};

/// The same without bins: a kernel density estimate on the labels themselves.
///
///     q(y) = sum_j kappa(|y - y_j|) / m(y),   w_i = s / q(y_i)  or  s / sqrt(q(y_i)),   mean over samples 1
///
/// m(y) is 1, or under EdgeRule::renormalize the kernel's mass inside [min y_j, max y_j] over its whole mass
/// (midpoint rule, 1024 points). Exact: equal labels are counted together, and only pairs within the kernel's
/// reach are visited, O(N log N + U * pairs within reach) for U different labels. Immutable; concurrent use
/// is safe.
class LabelKernelDensity {
 public:
  /// @param kernel  one on label distance (SmoothingKernel::gaussian_distance, ...)
  /// @param labels  a vector, finite, at least one
  template <typename Labels>
  LabelKernelDensity(SmoothingKernel kernel, const Eigen::DenseBase<Labels>& labels,
                     Reweighting reweighting = Reweighting::inverse)
      : kernel_(std::move(kernel)), reweighting_(reweighting) {
    constexpr const char* function = "LabelKernelDensity";
    detail::require(kernel_.on_distance(), function,
                    "kernel is a window over bin numbers, expected one on label distance");
    detail::require(kernel_.density(0) > 0, function, "density(0) is 0, expected > 0");
    detail::require(labels.size() > 0 && (labels.rows() == 1 || labels.cols() == 1), function, "labels is ",
                    labels.rows(), " x ", labels.cols(), ", expected a vector of at least one label");
    Eigen::VectorXd sorted(labels.size());
    for (Index i = 0; i < sorted.size(); ++i) sorted[i] = value(labels.derived(), i);
    detail::require_all_finite(function, "labels", sorted);
    std::sort(sorted.data(), sorted.data() + sorted.size());
    count_distinct(sorted);
    full_mass_ = mass(-kernel_.reach(), kernel_.reach());
    Eigen::VectorXd densities(distinct_.size());
    for (Index u = 0; u < distinct_.size(); ++u) densities[u] = transformed(density(distinct_[u]));
    weights_ = detail::inverse_weights(densities, counts_);
    scale_ = weights_[0] * densities[0];
  }

  /// q(y), in samples per label unit. O(log U + pairs within reach).
  /// @param label  finite
  [[nodiscard]] double density(double label) const {
    detail::require_finite("LabelKernelDensity::density", "label", label);
    const double low = distinct_[0], high = distinct_[distinct_.size() - 1];
    double result = sum_around(label);
    if (kernel_.edges() == EdgeRule::reflect) {
      result += sum_around(2 * low - label) + sum_around(2 * high - label);
    } else if (kernel_.edges() == EdgeRule::renormalize && high > low) {
      const double left = std::max(low - label, -kernel_.reach()),
                   right = std::min(high - label, kernel_.reach());
      const double inside = left < right ? mass(left, right) : 0.0;
      if (inside > 0 && inside < full_mass_) result *= full_mass_ / inside;
    }
    return result;
  }

  /// w of any label; the largest weight of a training label where nothing is within reach. O(log U) for a
  /// training label, else as `density`.
  [[nodiscard]] double weight(double label) const {
    const double* const end = distinct_.data() + distinct_.size();
    const double* const found = std::lower_bound(distinct_.data(), end, label);
    if (found != end && *found == label) return weights_[found - distinct_.data()];
    const double result = scale_ / transformed(density(label));
    return std::isfinite(result) ? result : weights_.maxCoeff();
  }

  /// w of every label, in the labels' precision (double for integers).
  template <typename Labels>
  [[nodiscard]] VectorX<detail::LabelReal<typename Labels::Scalar>> sample_weights(
      const Eigen::DenseBase<Labels>& labels) const {
    using Real = detail::LabelReal<typename Labels::Scalar>;
    detail::require(labels.rows() == 1 || labels.cols() == 1, "LabelKernelDensity::sample_weights",
                    "labels is ", labels.rows(), " x ", labels.cols(), ", expected a vector");
    VectorX<Real> weights(labels.size());
    for (Index i = 0; i < labels.size(); ++i) {
      weights[i] = static_cast<Real>(std::min(weight(value(labels.derived(), i)),
                                              static_cast<double>(std::numeric_limits<Real>::max())));
    }
    return weights;
  }

 private:
  template <typename Labels>
  static double value(const Labels& labels, Index i) {
    return static_cast<double>(labels.rows() == 1 ? labels.coeff(0, i) : labels.coeff(i, 0));
  }

  [[nodiscard]] double transformed(double density) const {
    return reweighting_ == Reweighting::inverse ? density : std::sqrt(density);
  }

  void count_distinct(const Eigen::VectorXd& sorted) {
    distinct_.resize(sorted.size());
    counts_ = CountVector::Zero(sorted.size());
    Index size = 0;
    for (const double label : sorted) {
      if (size == 0 || distinct_[size - 1] != label) distinct_[size++] = label;
      ++counts_[size - 1];
    }
    distinct_.conservativeResize(size);
    counts_.conservativeResize(size);
  }

  [[nodiscard]] double sum_around(double label) const {
    const double* const begin = distinct_.data();
    const double* const end = begin + distinct_.size();
    double sum = 0;
    for (const double* near = std::lower_bound(begin, end, label - kernel_.reach());
         near != end && *near - label <= kernel_.reach(); ++near) {
      sum += static_cast<double>(counts_[near - begin]) * kernel_.density(std::abs(*near - label));
    }
    return sum;
  }

  /// Integral of kappa from `low` to `high`, signed distances.
  [[nodiscard]] double mass(double low, double high) const {
    constexpr int points = 1024;
    const double step = (high - low) / points;
    double sum = 0;
    for (int i = 0; i < points; ++i) sum += kernel_.density(std::abs(low + (i + 0.5) * step));
    return sum * step;
  }

  SmoothingKernel kernel_;
  Reweighting reweighting_;
  Eigen::VectorXd distinct_;
  CountVector counts_;
  Eigen::VectorXd weights_;
  double full_mass_ = 0;
  double scale_ = 0;
};

}  // namespace ballast
