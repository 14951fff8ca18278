// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <utility>
#include <vector>

#include <Eigen/Core>
#include <Eigen/SparseCore>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/label_bins.hpp>

namespace ballast {

/// What a kernel does at the ends of the label range, for bins 0 .. B - 1:
enum class EdgeRule {
  zero,        ///< nothing beyond the ends: mass is lost there (published LDS)
  reflect,     ///< ... b1 b0 | b0 b1 ...: the edge repeated (SciPy's `reflect`; published for depth maps)
  mirror,      ///< ... b2 b1 | b0 b1 ...: the edge not repeated (PyTorch's `reflect`; published FDS)
  renormalize  ///< the part inside the range scaled up to the mass of the whole kernel
};

/// What the values of a window are divided by.
enum class KernelScale { sum, max };

/// A kernel kappa over label bins, and the linear smoothing q = K p that it makes on given bins (Yang et al.,
/// "Delving into Deep Imbalanced Regression", ICML 2021, eqs. 1 and 2):
///
///     K(b, b') = kappa(b' - b)                       a window of odd size over bin numbers, or
///     K(b, b') = kappa(|c_b - c_b'|) w_b'            a density over label distance (c centres, w widths),
///
/// then the rule at the ends of the range. Immutable; concurrent use is safe.
class SmoothingKernel {
 public:
  /// No smoothing: K is the identity on any bins.
  [[nodiscard]] static SmoothingKernel identity() { return triangular(1); }

  /// kappa(d) = exp(-d^2 / (2 sigma^2)) for |d| <= size / 2: the true, truncated gaussian.
  /// @param size   odd, >= 1
  /// @param sigma  in bins, > 0
  [[nodiscard]] static SmoothingKernel gaussian(Index size, double sigma,
                                                EdgeRule edges = EdgeRule::renormalize,
                                                KernelScale scale = KernelScale::sum) {
    require_window("SmoothingKernel::gaussian", size, sigma);
    return tabulated(size, edges, scale, [sigma](double d) { return gaussian_shape(d / sigma); });
  }

  /// The gaussian of the published code: SciPy's `gaussian_filter1d` (truncate 4, reflect) applied to a unit
  /// impulse in an array of length `size`, whose tails therefore fold back into the window. Wider than
  /// `gaussian` unless sigma is small against `size`.
  /// @param size   odd, >= 1
  /// @param sigma  in bins, > 0
  [[nodiscard]] static SmoothingKernel published_gaussian(Index size, double sigma,
                                                          EdgeRule edges = EdgeRule::renormalize,
                                                          KernelScale scale = KernelScale::sum) {
    constexpr const char* function = "SmoothingKernel::published_gaussian";
    require_window(function, size, sigma);
    detail::require(sigma < 1e6, function, "sigma is ", sigma, ", expected less than 1e6");
    const Index radius = static_cast<Index>(4.0 * sigma + 0.5);
    Eigen::VectorXd filter(radius + 1);
    for (Index d = 0; d <= radius; ++d) filter[d] = gaussian_shape(static_cast<double>(d) / sigma);
    filter /= 2 * filter.sum() - filter[0];
    const auto impulse = [size](Index b) {
      return folded(b, size, EdgeRule::reflect) == size / 2 ? 1.0 : 0.0;
    };
    Eigen::VectorXd window(size);
    for (Index b = 0; b < size; ++b) {
      window[b] = impulse(b) * filter[0];
      for (Index d = radius; d > 0; --d) window[b] += (impulse(b - d) + impulse(b + d)) * filter[d];
    }
    return SmoothingKernel(std::move(window), edges, scale);
  }

  /// kappa(d) = 1 - |d| / (size / 2 + 1), size / 2 rounded down: SciPy's `triang`, without a zero in it.
  /// @param size  odd, >= 1
  [[nodiscard]] static SmoothingKernel triangular(Index size, EdgeRule edges = EdgeRule::renormalize,
                                                  KernelScale scale = KernelScale::sum) {
    require_window("SmoothingKernel::triangular", size, 1.0);
    const double reach = static_cast<double>(size / 2 + 1);
    return tabulated(size, edges, scale, [reach](double d) { return (reach - std::abs(d)) / reach; });
  }

  /// kappa(d) = exp(-|d| / sigma) / (2 sigma) for |d| <= size / 2.
  /// @param size   odd, >= 1
  /// @param sigma  in bins, > 0
  [[nodiscard]] static SmoothingKernel laplace(Index size, double sigma,
                                               EdgeRule edges = EdgeRule::renormalize,
                                               KernelScale scale = KernelScale::sum) {
    require_window("SmoothingKernel::laplace", size, sigma);
    return tabulated(size, edges, scale,
                     [sigma](double d) { return std::exp(-std::abs(d) / sigma) / (2 * sigma); });
  }

  /// A window of the caller's own: the weight of bin b + d in the smoothed value of bin b is element
  /// d + size / 2. It need not be symmetric.
  /// @param window  of odd size, finite, >= 0, its middle > 0
  template <typename Derived>
  [[nodiscard]] static SmoothingKernel window(const Eigen::DenseBase<Derived>& window,
                                              EdgeRule edges = EdgeRule::renormalize,
                                              KernelScale scale = KernelScale::sum) {
    constexpr const char* function = "SmoothingKernel::window";
    require_window(function, window.size(), 1.0);
    Eigen::VectorXd copy(window.size());
    for (Index d = 0; d < copy.size(); ++d) {
      copy[d] = static_cast<double>(window.derived().coeff(d));
      detail::require(std::isfinite(copy[d]) && copy[d] >= 0, function, "window[", d, "] is ", copy[d],
                      ", expected a finite number >= 0");
    }
    detail::require(copy[copy.size() / 2] > 0, function, "the middle of window is 0, expected > 0");
    return SmoothingKernel(std::move(copy), edges, scale);
  }

  /// A kernel on label distance, for unequal bins: an integral over labels, by the midpoint of each bin.
  /// @param density  kappa(d) for d >= 0, in label units; finite, >= 0, kappa(0) > 0; a density (its integral
  ///                 over the line is 1) unless the edges renormalise
  /// @param reach    > 0 and finite, in label units: kappa counts as 0 beyond
  /// @param edges    any but `mirror`, which is a rule for bin numbers; `reflect` mirrors at the range's ends
  [[nodiscard]] static SmoothingKernel distance(std::function<double(double)> density, double reach,
                                                EdgeRule edges = EdgeRule::renormalize) {
    constexpr const char* function = "SmoothingKernel::distance";
    detail::require(static_cast<bool>(density), function, "density is empty, expected a function");
    detail::require(reach > 0 && std::isfinite(reach), function, "reach is ", reach,
                    ", expected a finite number > 0");
    detail::require(edges != EdgeRule::mirror, function,
                    "edges is EdgeRule::mirror, expected a rule that has a meaning between labels: zero, "
                    "reflect or renormalize");
    SmoothingKernel result;
    result.axes_.push_back(Axis{Eigen::VectorXd(), std::move(density), reach, edges});
    return result;
  }

  /// exp(-d^2 / (2 sigma^2)) / (sigma sqrt(2 pi)) on label distance, to 4 sigma.
  /// @param sigma  in label units, > 0
  [[nodiscard]] static SmoothingKernel gaussian_distance(double sigma,
                                                         EdgeRule edges = EdgeRule::renormalize) {
    require_sigma("SmoothingKernel::gaussian_distance", sigma);
    const double peak = 0.398942280401432678 / sigma;  // 1 / sqrt(2 pi)
    return distance([=](double d) { return peak * gaussian_shape(d / sigma); }, 4 * sigma, edges);
  }

  /// (1 - d / reach) / reach on label distance.
  /// @param reach  in label units, > 0
  [[nodiscard]] static SmoothingKernel triangular_distance(double reach,
                                                           EdgeRule edges = EdgeRule::renormalize) {
    require_sigma("SmoothingKernel::triangular_distance", reach);
    return distance([=](double d) { return std::max(0.0, 1 - d / reach) / reach; }, reach, edges);
  }

  /// exp(-d / sigma) / (2 sigma) on label distance, to 10 sigma.
  /// @param sigma  in label units, > 0
  [[nodiscard]] static SmoothingKernel laplace_distance(double sigma,
                                                        EdgeRule edges = EdgeRule::renormalize) {
    require_sigma("SmoothingKernel::laplace_distance", sigma);
    return distance([=](double d) { return std::exp(-d / sigma) / (2 * sigma); }, 10 * sigma, edges);
  }

  /// A kernel for products of bins: one factor per axis. A kernel that is not a product is used on every
  /// axis.
  [[nodiscard]] static SmoothingKernel product(const std::vector<SmoothingKernel>& factors) {
    detail::require(!factors.empty(), "SmoothingKernel::product", "factors is empty, expected at least one");
    SmoothingKernel result;
    for (const SmoothingKernel& factor : factors) {
      result.axes_.insert(result.axes_.end(), factor.axes_.begin(), factor.axes_.end());
    }
    return result;
  }

  /// The window over bin numbers, scaled; empty for a kernel on distance.
  [[nodiscard]] const Eigen::VectorXd& window() const noexcept { return axes_.front().window; }
  [[nodiscard]] EdgeRule edges() const noexcept { return axes_.front().edges; }
  /// True if the kernel is one on label distance.
  [[nodiscard]] bool on_distance() const noexcept { return static_cast<bool>(axes_.front().density); }
  /// How far a kernel on label distance reaches, in label units; 0 for a window.
  [[nodiscard]] double reach() const noexcept { return axes_.front().reach; }
  /// kappa(d) of a kernel on label distance, 0 beyond its reach.
  /// @throws std::invalid_argument for a window, or if the caller's function is not finite and >= 0 at d
  [[nodiscard]] double density(double distance) const {
    detail::require(on_distance(), "SmoothingKernel::density",
                    "the kernel is a window over bin numbers, expected one on label distance");
    return density_of(axes_.front(), distance);
  }

  /// K, B x B, for the given bins; row b holds the weights of the bins that enter bin b. The Kronecker
  /// product over the axes of a product. Allocates O(B * entries in a row).
  /// @throws std::invalid_argument if a product of kernels has another number of factors than `bins` has
  ///         axes, or if a density is not finite and >= 0 at a distance between two bins
  [[nodiscard]] Eigen::SparseMatrix<double, Eigen::RowMajor> matrix(const LabelBins& bins) const {
    detail::require(axes_.size() == 1 || static_cast<Index>(axes_.size()) == bins.dimensions(),
                    "SmoothingKernel::matrix", "the kernel has ", axes_.size(), " factors, expected ",
                    bins.dimensions(), " (the axes of the bins)");
    Eigen::SparseMatrix<double, Eigen::RowMajor> result = along_axis(0, bins);
    for (Index d = 1; d < bins.dimensions(); ++d) result = kronecker(result, along_axis(d, bins));
    return result;
  }

 private:
  using Sparse = Eigen::SparseMatrix<double, Eigen::RowMajor>;

  struct Axis {
    Eigen::VectorXd window;                 // over bin numbers, or
    std::function<double(double)> density;  // over label distance,
    double reach;                           // to here
    EdgeRule edges;
  };

  SmoothingKernel() = default;

  SmoothingKernel(Eigen::VectorXd window, EdgeRule edges, KernelScale scale) {
    window /= scale == KernelScale::sum ? window.sum() : window.maxCoeff();
    axes_.push_back(Axis{std::move(window), nullptr, 0.0, edges});
  }

  static double gaussian_shape(double x) { return std::exp(-0.5 * x * x); }

  static void require_sigma(const char* function, double sigma) {
    detail::require(sigma > 0 && std::isfinite(sigma), function, "sigma is ", sigma,
                    ", expected a finite number > 0");
  }

  static void require_window(const char* function, Index size, double sigma) {
    detail::require(size >= 1 && size % 2 == 1, function, "size is ", size, ", expected an odd number >= 1");
    require_sigma(function, sigma);
  }

  template <typename Shape>
  static SmoothingKernel tabulated(Index size, EdgeRule edges, KernelScale scale, const Shape& shape) {
    Eigen::VectorXd window(size);
    for (Index d = 0; d < size; ++d) window[d] = shape(static_cast<double>(d - size / 2));
    return SmoothingKernel(std::move(window), edges, scale);
  }

  /// The bin inside [0, bins) that stands for bin b, -1 if none does. Any distance outside is folded as
  /// often as it takes.
  static Index folded(Index b, Index bins, EdgeRule edges) {
    if (b >= 0 && b < bins) return b;
    if (edges == EdgeRule::zero || edges == EdgeRule::renormalize) return -1;
    const bool repeated = edges == EdgeRule::reflect;
    const Index period = repeated ? 2 * bins : std::max(Index(1), 2 * bins - 2);
    b = (b % period + period) % period;
    return b < bins ? b : (repeated ? 2 * bins - 1 - b : 2 * bins - 2 - b);
  }

  Sparse along_axis(Index d, const LabelBins& bins) const {
    const Axis& axis = axes_.size() == 1 ? axes_.front() : axes_[static_cast<std::size_t>(d)];
    const Index count = bins.axis_bins(d);
    const Eigen::VectorXd centers = bins.centers(d), widths = bins.widths(d);
    Sparse result(count, count);
    Eigen::VectorXd row(count);
    for (Index b = 0; b < count; ++b) {
      row.setZero();
      if (axis.density) {
        add_distance_row(axis, bins.edges(d), centers, widths, b, row);
      } else {
        add_window_row(axis, b, row);
      }
      result.startVec(b);
      for (Index k = 0; k < count; ++k) {
        if (row[k] > 0) result.insertBack(b, k) = row[k];
      }
    }
    result.finalize();
    return result;
  }

  static void add_window_row(const Axis& axis, Index b, Eigen::VectorXd& row) {
    const Index half = axis.window.size() / 2;
    for (Index d = -half; d <= half; ++d) {
      const Index k = folded(b + d, row.size(), axis.edges);
      if (k >= 0) row[k] += axis.window[d + half];
    }
    if (axis.edges == EdgeRule::renormalize) row *= axis.window.sum() / row.sum();
  }

  static double density_of(const Axis& axis, double d) {
    if (d > axis.reach) return 0.0;
    const double value = axis.density(d);
    detail::require(std::isfinite(value) && value >= 0, "SmoothingKernel", "density(", d, ") is ", value,
                    ", expected a finite number >= 0");
    return value;
  }

  static void add_distance_row(const Axis& axis, const Eigen::VectorXd& edges, const Eigen::VectorXd& centers,
                               const Eigen::VectorXd& widths, Index b, Eigen::VectorXd& row) {
    const auto kappa = [&axis](double d) {
      return density_of(axis, d);
    };
    const double low = edges[0], high = edges[edges.size() - 1];
    for (Index k = 0; k < row.size(); ++k) {
      double value = kappa(std::abs(centers[b] - centers[k]));
      if (axis.edges == EdgeRule::reflect) {
        value += kappa(centers[b] + centers[k] - 2 * low) + kappa(2 * high - centers[b] - centers[k]);
      }
      row[k] = value * widths[k];
    }
    detail::require(row[b] > 0, "SmoothingKernel::matrix", "density(0) is ", row[b] / widths[b],
                    ", expected > 0");
    if (axis.edges == EdgeRule::renormalize) row /= row.sum();
  }

  static Sparse kronecker(const Sparse& outer, const Sparse& inner) {
    Sparse result(outer.rows() * inner.rows(), outer.cols() * inner.cols());
    result.reserve(outer.nonZeros() * inner.nonZeros());
    for (Index row = 0; row < result.rows(); ++row) {
      result.startVec(row);
      for (Sparse::InnerIterator a(outer, row / inner.rows()); a; ++a) {
        for (Sparse::InnerIterator b(inner, row % inner.rows()); b; ++b) {
          result.insertBack(row, a.col() * inner.cols() + b.col()) = a.value() * b.value();
        }
      }
    }
    result.finalize();
    return result;
  }

  std::vector<Axis> axes_;
};

}  // namespace ballast
