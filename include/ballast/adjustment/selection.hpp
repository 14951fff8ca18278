// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <ballast/classifiers/linear_head.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/row_norms.hpp>
#include <ballast/core/rows.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/metrics/calibration.hpp>
#include <ballast/metrics/classification.hpp>

namespace ballast {

/// By what a tau is chosen, on held-out data. `sharpness` is maximised, all else minimised.
enum class Criterion {
  balanced_error,    ///< error under the target prior; the balanced error under the uniform one
  log_loss,          ///< mean -log p_y
  brier,             ///< mean squared error of the probabilities
  sharpness,         ///< mean sum_k p_k^2: confidence alone, right or wrong
  calibration_error  ///< expected calibration error
};

/// What tau does. Both readings predict the same classes, with different probabilities.
enum class TauReading {
  subtract,    ///< f - tau log pi (Menon et al., ICLR 2021)
  temperature  ///< f / tau - log pi: tau first calibrates, the prior is then subtracted whole
};

/// Which population the criterion is a mean over.
enum class Weighting {
  target_prior,  ///< samples re-weighted by pi^t_y / pi_y, probabilities adjusted to pi^t
  plain          ///< samples as they are, probabilities softmax(f / tau) of the unadjusted model
};

/// Settings of the choice of tau.
struct TauSelectionOptions {
  TauReading reading = TauReading::subtract;
  Weighting weighting = Weighting::target_prior;
  /// The values to try, finite, in any order, > 0 for TauReading::temperature. Empty: 0, 0.1, ..., 2
  /// (0.1, 0.2, ..., 2.1 for a temperature).
  Eigen::VectorXd grid;
  /// pi^t, sums to 1. Empty: uniform. A class of target probability 0 is never predicted.
  Eigen::VectorXd target_prior;
  /// What a class with target probability but without held-out samples means.
  EmptyClass empty_class = EmptyClass::refuse;
  /// What a class without training samples means; a masked one is never predicted, labels of it are refused.
  ZeroCount zero_count = ZeroCount::refuse();
  Index bins = 15;  ///< of Criterion::calibration_error, >= 1
  Binning binning = Binning::equal_width;
};

/// The chosen tau and the whole curve it was chosen from.
struct TauSelection {
  double tau = 0.0;        ///< of the best value; of equal values the one nearest to 1, then the smaller
  double value = 0.0;      ///< of the criterion at `tau`
  Eigen::VectorXd taus;    ///< the grid
  Eigen::VectorXd values;  ///< of the criterion, at each
};

/// The best tau of a two-class problem, over all real numbers.
struct BinaryTauSelection {
  double tau =
      0.0;  ///< inside the interval: 1 if it holds 1, else its middle (1 beyond its end if unbounded)
  double error = 0.0;  ///< under the target prior, the least of all
  double lower = 0.0;  ///< every tau in (lower, upper) has this error; may be -inf
  double upper = 0.0;  ///< may be +inf
};

namespace detail {

/// A family of lines base_k + offset_k(tau) over a grid of tau, seen through samples that each have another
/// base: which classes can be a sample's argmax anywhere on the grid?
///
/// Let i and j win at the smallest and at the largest tau. Any other line lies below both lines at these
/// ends, up to rounding, so if it comes out on top anywhere in between, it does so where i and j cross, at
/// which max(i, j) has its only kink. One more pass collects the lines that are not below that point; all
/// others are never looked at again. The slack covers rounding at every point of the grid, so that what is
/// left always holds the winners that comparing the rounded scores themselves would find.
template <typename Scalar>
class TauLines {
 public:
  /// @param shift  d offset / d tau, one per class; -inf: never a winner
  TauLines(const Eigen::VectorXd& grid, const Eigen::VectorXd& shift)
      : first_(shift.size()), last_(shift.size()) {
    const double low = grid.minCoeff(), high = grid.maxCoeff();
    for (Index k = 0; k < shift.size(); ++k) {
      const bool masked = !std::isfinite(shift[k]);
      first_[k] = masked ? never : static_cast<Scalar>(low * shift[k]);
      last_[k] = masked ? never : static_cast<Scalar>(high * shift[k]);
      if (!masked) largest_ = std::max({largest_, std::abs(first_[k]), std::abs(last_[k])});
    }
    rest_ = last_ - first_;
    // A line within rounding of the winner at an end may rise above it next to that end without being seen at
    // the crossing, unless the slack there is larger in the ratio of the distances.
    double nearest = 1.0;
    for (const double tau : grid) {
      const double inside = std::min(tau - low, high - tau) / std::max(high - low, 1e-300);
      if (inside > 0.0) nearest = std::min(nearest, inside);
    }
    slack_ = static_cast<Scalar>(16.0 / nearest) * std::numeric_limits<Scalar>::epsilon();
    const Index groups = (shift.size() + group - 1) / group;
    group_first_.resize(groups * lanes);
    group_last_.resize(groups * lanes);
    candidates_.reserve(static_cast<std::size_t>(shift.size()));
  }

  /// The classes that can win, ascending; none if a base is NaN or +inf, or all that can win are -inf.
  /// @param base  one per class, contiguous
  const std::vector<Index>& candidates(const Scalar* base) {
    candidates_.clear();
    Index i = 0, j = 0;
    find_ends(base, i, j);
    const Scalar i_first = base[i] + first_[i], i_last = base[i] + last_[i];
    if (!(i_first > never / 2 && i_first < infinity) || !sound_) return candidates_;
    const Scalar lead = i_first - (base[j] + first_[j]), loss = base[j] + last_[j] - i_last;
    const Scalar part = lead + loss > 0 ? lead / (lead + loss) : Scalar(0.5);
    const Scalar height = i_first + part * rest_[i];
    const Scalar size = std::abs(height) + std::abs(base[i]) + std::abs(base[j]) + 2 * largest_;
    collect(base, part, height - slack_ * size);
    return candidates_;
  }

 private:
  using Packet = typename Eigen::internal::packet_traits<Scalar>::type;
  static constexpr Index lanes = Eigen::internal::packet_traits<Scalar>::size;
  static constexpr Index group = 8 * lanes;
  static constexpr Scalar never = Scalar(-1e30);
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

  static Packet sum(const Scalar* a, const VectorX<Scalar>& b, Index k) {
    namespace packet = Eigen::internal;
    return packet::padd(packet::ploadu<Packet>(a + k), packet::ploadu<Packet>(b.data() + k));
  }

  /// The first largest of base + first_ and of base + last_, in one pass that tracks the maxima of groups and
  /// looks the positions up afterwards. Sets sound_ unless there is a NaN.
  void find_ends(const Scalar* base, Index& i, Index& j) {
    namespace packet = Eigen::internal;
    const Index classes = first_.size(), packed = classes / lanes * lanes;
    Packet total[2] = {packet::pset1<Packet>(Scalar(0)), packet::pset1<Packet>(Scalar(0))};
    Packet largest_first = packet::pset1<Packet>(-infinity), largest_last = largest_first;
    for (Index k = 0, g = 0; k < packed; k += group, g += lanes) {
      Packet at_first[2] = {packet::pset1<Packet>(-infinity), packet::pset1<Packet>(-infinity)};
      Packet at_last[2] = {at_first[0], at_first[0]};
      const auto visit = [&](Index p, int chain) {  // two chains hide the latency of the maxima
        const Packet a = sum(base, first_, p);
        at_first[chain] = packet::pmax(at_first[chain], a);
        at_last[chain] = packet::pmax(at_last[chain], sum(base, last_, p));
        total[chain] = packet::padd(total[chain], a);
      };
      const Index end = std::min(k + group, packed);
      Index p = k;
      for (; p + 2 * lanes <= end; p += 2 * lanes) {
        visit(p, 0);
        visit(p + lanes, 1);
      }
      if (p < end) visit(p, 0);
      const Packet of_first = packet::pmax(at_first[0], at_first[1]);
      const Packet of_last = packet::pmax(at_last[0], at_last[1]);
      packet::pstoreu(group_first_.data() + g, of_first);
      packet::pstoreu(group_last_.data() + g, of_last);
      largest_first = packet::pmax(largest_first, of_first);
      largest_last = packet::pmax(largest_last, of_last);
    }
    Scalar check = packet::predux(packet::padd(total[0], total[1]));
    for (Index k = packed; k < classes; ++k) check += base[k];
    sound_ = !std::isnan(check) || !Eigen::Map<const VectorX<Scalar>>(base, classes).array().isNaN().any();
    i = first_of(base, first_, group_first_, packet::predux_max(largest_first));
    j = first_of(base, last_, group_last_, packet::predux_max(largest_last));
  }

  /// The first k with the largest base_k + offset_k: of the packed ones that is `largest`, to be found in a
  /// group whose maxima, lane by lane, hold it.
  static Index first_of(const Scalar* base, const VectorX<Scalar>& offset, const VectorX<Scalar>& groups,
                        Scalar largest) {
    namespace packet = Eigen::internal;
    const Index classes = offset.size(), packed = classes / lanes * lanes;
    const Packet wanted = packet::pset1<Packet>(largest);
    Index position = 0;
    if (packed > 0) {
      Index g = 0;
      while (g + lanes < groups.size() &&
             !packet::predux_any(packet::pcmp_eq(packet::ploadu<Packet>(groups.data() + g), wanted))) {
        g += lanes;
      }
      position = g * 8;
      while (position + lanes < packed &&
             !packet::predux_any(packet::pcmp_eq(sum(base, offset, position), wanted))) {
        position += lanes;
      }
      for (const Index end = position + lanes - 1;
           position < end && base[position] + offset[position] != largest;) {
        ++position;
      }
    }
    for (Index k = packed; k < classes; ++k) {
      if (base[k] + offset[k] > largest) {
        largest = base[k] + offset[k];
        position = k;
      }
    }
    return position;
  }

  /// Appends every k with base_k + first_k + part rest_k >= threshold: few, so that most groups are refused
  /// by one comparison.
  void collect(const Scalar* base, Scalar part, Scalar threshold) {
    namespace packet = Eigen::internal;
    const Index classes = first_.size(), packed = classes / lanes * lanes;
    const Packet parts = packet::pset1<Packet>(part), thresholds = packet::pset1<Packet>(threshold);
    const auto values = [&](Index k) {
      return packet::pmadd(parts, packet::ploadu<Packet>(rest_.data() + k), sum(base, first_, k));
    };
    const auto reaches = [&](const Packet& value) {
      return packet::predux_any(packet::pcmp_le(thresholds, value));
    };
    const auto visit = [&](Index begin, Index end) {
      for (Index k = begin; k < end; ++k) {
        if (base[k] + first_[k] + part * rest_[k] >= threshold) candidates_.push_back(k);
      }
    };
    for (Index k = 0; k < packed; k += group) {
      const Index end = std::min(k + group, packed);
      Packet even = values(k), odd = even;
      Index p = k + lanes;
      for (; p + 2 * lanes <= end; p += 2 * lanes) {
        even = packet::pmax(even, values(p));
        odd = packet::pmax(odd, values(p + lanes));
      }
      if (p < end) even = packet::pmax(even, values(p));
      if (!reaches(packet::pmax(even, odd))) continue;
      for (p = k; p < end; p += lanes) {
        if (reaches(values(p))) visit(p, p + lanes);
      }
    }
    visit(packed, classes);
  }

  VectorX<Scalar> first_;        ///< offsets at the smallest tau
  VectorX<Scalar> last_;         ///< at the largest
  VectorX<Scalar> rest_;         ///< last_ - first_
  VectorX<Scalar> group_first_;  ///< of the current sample: maxima over each group, lane by lane
  VectorX<Scalar> group_last_;
  Scalar largest_ = 0;
  Scalar slack_ = 0;
  bool sound_ = true;
  std::vector<Index> candidates_;
};

/// Right answers per point of the grid (row) and label (column).
using GridCounts = MatrixX<Count>;

/// Adds one sample: at which points of the grid is `label` the first largest of score(k, g), k a candidate?
template <typename Scalar, typename Score>
void count_right(const std::vector<Index>& candidates, Index label, const Score& score,
                 std::vector<Scalar>& best, std::vector<Count>& right, GridCounts& counts) {
  if (!std::binary_search(candidates.begin(), candidates.end(), label)) return;
  if (candidates.size() == 1) {
    counts.col(label).array() += 1;
    return;
  }
  std::fill(best.begin(), best.end(), -std::numeric_limits<Scalar>::infinity());
  for (const Index k : candidates) {
    for (std::size_t g = 0; g < best.size(); ++g) {
      const Scalar value = score(k, static_cast<Index>(g));
      if (value > best[g]) {
        best[g] = value;
        right[g] = k == label ? 1 : 0;
      }
    }
  }
  counts.col(label) += Eigen::Map<const CountVector>(right.data(), counts.rows());
}

/// Held-out labels, how they are weighted, and the grid: what every choice of tau has in common.
class TauProblem {
 public:
  /// @param classes  C
  /// @param masked   classes that are never predicted
  template <typename Labels>
  TauProblem(const char* function, const Eigen::DenseBase<Labels>& labels, Index samples, Index classes,
             const TauSelectionOptions& options, const Eigen::Array<bool, Eigen::Dynamic, 1>& masked)
      : function_(function), options_(options), labels_(samples), counts_(CountVector::Zero(classes)) {
    require(samples >= 1, function, "logits has no rows, expected at least one sample");
    require_size(function, "labels", labels.size(), samples, "one per row of logits");
    require_labels(function, "labels", labels, classes);
    require(options.bins >= 1, function, "bins is ", options.bins, ", expected at least 1");
    set_grid();
    for (Index i = 0; i < samples; ++i) {
      labels_[i] = label_index(labels.derived().coeff(i));
      ++counts_[labels_[i]];
      require(!masked[labels_[i]], function, "labels[", i, "] is ", labels_[i],
              ", a class that is masked out, expected a class that can be predicted");
    }
    set_weights(masked);
  }

  [[nodiscard]] const Eigen::VectorXd& grid() const { return grid_; }
  [[nodiscard]] Index label(Index i) const { return labels_[i]; }
  /// Of a sample, by its label; all samples' sum to 1.
  [[nodiscard]] const Eigen::VectorXd& weights() const { return weights_; }

  /// The error under the weights at each point of the grid.
  [[nodiscard]] Eigen::VectorXd errors(const GridCounts& right) const {
    Eigen::VectorXd errors = Eigen::VectorXd::Zero(right.rows());
    for (Index j = 0; j < right.cols(); ++j) {
      errors.array() += weights_[j] * (counts_[j] - right.col(j).array()).template cast<double>();
    }
    return errors;
  }

  [[nodiscard]] TauSelection select(Eigen::VectorXd values, Criterion criterion) const {
    const double sign = criterion == Criterion::sharpness ? -1.0 : 1.0;
    Index best = 0;
    for (Index g = 1; g < grid_.size(); ++g) {
      const double gain = sign * (values[best] - values[g]);
      const double nearer = std::abs(grid_[best] - 1.0) - std::abs(grid_[g] - 1.0);
      if (gain > 0.0 || (gain == 0.0 && (nearer > 0.0 || (nearer == 0.0 && grid_[g] < grid_[best]))))
        best = g;
    }
    return {grid_[best], values[best], grid_, std::move(values)};
  }

  /// A criterion of probabilities, from one pass over the logits: adapt(row, g, out) gives the logits at
  /// point g of the grid.
  template <typename View, typename Adapt>
  [[nodiscard]] Eigen::VectorXd measure(const View& logits, Criterion criterion, const Adapt& adapt) const {
    const Index classes = logits.cols;
    Eigen::VectorXd values = Eigen::VectorXd::Zero(grid_.size());
    Eigen::VectorXd adapted(classes), scratch(classes);
    const bool binned = criterion == Criterion::calibration_error;
    std::vector<std::vector<WeightedOutcome>> outcomes(binned ? static_cast<std::size_t>(grid_.size()) : 0);
    for_each_row(logits, [&](Index i, const double* row) {
      require_softmax(function_, i, row, classes);
      const double weight = weights_[label(i)];
      for (Index g = 0; g < grid_.size(); ++g) {
        adapt(row, g, adapted);
        require_softmax(function_, i, adapted.data(), classes);
        const SampleScores scores = score_row(adapted.data(), classes, label(i), scratch.data());
        if (binned) {
          outcomes[static_cast<std::size_t>(g)].push_back({scores.confidence, weight, scores.right});
        } else if (weight > 0.0) {
          values[g] += weight * (criterion == Criterion::log_loss ? scores.log_loss
                                 : criterion == Criterion::brier  ? scores.brier
                                                                  : scores.sharpness);
        }
      }
    });
    for (std::size_t g = 0; g < outcomes.size(); ++g) {
      values[static_cast<Index>(g)] =
          expected_calibration_error(reliability(outcomes[g], options_.bins, options_.binning));
    }
    return values;
  }

 private:
  void set_grid() {
    const bool temperature = options_.reading == TauReading::temperature;
    grid_ = options_.grid;
    if (grid_.size() == 0) {
      grid_.resize(21);
      for (Index g = 0; g < 21; ++g) grid_[g] = static_cast<double>(temperature ? g + 1 : g) / 10.0;
    }
    for (Index g = 0; g < grid_.size(); ++g) {
      require(std::isfinite(grid_[g]) && (!temperature || grid_[g] > 0.0), function_, "grid[", g, "] is ",
              grid_[g], ", expected a finite number", temperature ? " > 0" : "");
    }
  }

  /// Plain: 1 / N. Target prior: pi^t_j / n_j, over the classes that can be predicted and have samples.
  void set_weights(const Eigen::Array<bool, Eigen::Dynamic, 1>& masked) {
    const Index classes = counts_.size();
    if (options_.weighting == Weighting::plain) {
      weights_ = Eigen::VectorXd::Constant(classes, 1.0 / static_cast<double>(labels_.size()));
      return;
    }
    weights_.setZero(classes);
    double total = 0.0;
    for (Index j = 0; j < classes; ++j) {
      const double target = options_.target_prior.size() == 0 ? 1.0 : options_.target_prior[j];
      if (masked[j] || target == 0.0) continue;
      require(counts_[j] > 0 || options_.empty_class == EmptyClass::skip, function_, "class ", j,
              " has no held-out samples, expected at least one (or choose EmptyClass::skip)");
      if (counts_[j] == 0) continue;
      weights_[j] = target / static_cast<double>(counts_[j]);
      total += target;
    }
    require(total > 0.0, function_, "the samples have no weight under the target prior");
    weights_ /= total;
  }

  const char* function_;
  const TauSelectionOptions& options_;
  Eigen::VectorXd grid_;
  IndexVector labels_;
  CountVector counts_;
  Eigen::VectorXd weights_;
};

/// log pi^t_k - log pi_k, up to a constant; -inf for a class that is never predicted.
inline Eigen::VectorXd prior_shift(const char* function, const ClassDistribution& classes,
                                   const TauSelectionOptions& options) {
  Eigen::VectorXd shift = -classes.log_prior(options.zero_count);
  const Eigen::VectorXd& target = options.target_prior;
  if (target.size() != 0) require_prior(function, "target_prior", target, classes.classes());
  for (Index k = 0; k < shift.size(); ++k) {
    const bool masked = std::isinf(shift[k]) || (target.size() != 0 && target[k] == 0.0);
    if (masked) {
      shift[k] = -std::numeric_limits<double>::infinity();
    } else if (target.size() != 0) {
      shift[k] += std::log(target[k]);
    }
  }
  require(shift.maxCoeff() > -std::numeric_limits<double>::infinity(), function,
          "every class is masked out, expected one that can be predicted");
  return shift;
}

/// Some questions answer themselves, whatever the data.
inline void require_meaning(const char* function, Criterion criterion, const TauSelectionOptions& options) {
  const bool plain = options.weighting == Weighting::plain;
  require(!(plain && criterion == Criterion::balanced_error), function,
          "the error weighted plainly is the question of which prior to predict for, not of tau; expected "
          "Weighting::target_prior, with the samples' own prior as target_prior if that is meant");
  require(!(plain && options.reading == TauReading::subtract), function,
          "a plain criterion of softmax(f - tau log pi) on data with the training prior would always answer "
          "tau = 0: the probabilities are meant for another prior; expected Weighting::target_prior, or "
          "TauReading::temperature");
  require(!(options.reading == TauReading::temperature && criterion == Criterion::sharpness), function,
          "sharpness of softmax(f / tau) grows as tau falls and would always answer the smallest; expected "
          "another criterion, or TauReading::subtract");
}

}  // namespace detail

/// Chooses tau of a logit adjustment on held-out logits, by a criterion that the caller names.
///
/// Error: of argmax_k f_k + tau (log pi^t_k - log pi_k), in both readings; agrees with `LogitAdjustment` at
/// every point of the grid, ties and rounding included. Criteria of probabilities are means over the
/// population that `options.weighting` names, of
///
///     softmax(f + tau (log pi^t - log pi))      subtract,    target_prior
///     softmax(f / tau + log pi^t - log pi)      temperature, target_prior
///     softmax(f / tau)                          temperature, plain
///
/// Combinations whose answer does not depend on the data are refused: a plain criterion of softmax(f - tau
/// log pi), sharpness under a temperature, and the error weighted plainly.
///
/// One pass over the logits for the whole grid. The error costs about three argmax passes however many values
/// are tried (see detail::TauLines); the other criteria one softmax per sample and value.
///
/// @param logits   samples x classes, float or double, either storage order; < +inf, in each row one of a
///                 class that can be predicted finite
/// @param labels   one per sample, integral, in [0, classes)
/// @param classes  the training distribution, whose prior is adjusted for
/// @throws std::invalid_argument naming the first bad row, label or class; for a refused
///         combination, with the reason
template <typename Logits, typename Labels>
[[nodiscard]] TauSelection select_tau(const Eigen::MatrixBase<Logits>& logits,
                                      const Eigen::DenseBase<Labels>& labels,
                                      const ClassDistribution& classes,
                                      Criterion criterion = Criterion::balanced_error,
                                      const TauSelectionOptions& options = {}) {
  constexpr const char* function = "select_tau";
  using Scalar = typename Logits::Scalar;
  const Index count = classes.classes();
  detail::require_shape(function, "logits", logits, logits.rows(), count);
  detail::require_meaning(function, criterion, options);
  const Eigen::VectorXd shift = detail::prior_shift(function, classes, options);
  const auto masked = (shift.array() == -std::numeric_limits<double>::infinity()).eval();
  const detail::TauProblem problem(function, labels, logits.rows(), count, options, masked);
  const Eigen::VectorXd& grid = problem.grid();
  const auto view = detail::view<Scalar>(logits);

  if (criterion != Criterion::balanced_error) {
    const bool subtract = options.reading == TauReading::subtract;
    const bool plain = options.weighting == Weighting::plain;
    return problem.select(
        problem.measure(view, criterion,
                        [&](const double* row, Index g, Eigen::VectorXd& out) {
                          const double scale = subtract ? 1.0 : 1.0 / grid[g];
                          const double part = plain ? 0.0 : subtract ? grid[g] : 1.0;
                          for (Index k = 0; k < count; ++k) {
                            out[k] = masked[k] ? shift[k] : scale * row[k] + (plain ? 0.0 : part * shift[k]);
                          }
                        }),
        criterion);
  }

  const Eigen::VectorXd rounded = grid.cast<Scalar>().template cast<double>();
  detail::TauLines<Scalar> lines(rounded, shift);
  detail::GridCounts right = detail::GridCounts::Zero(grid.size(), count);
  std::vector<Scalar> best(static_cast<std::size_t>(grid.size()));
  std::vector<Count> hits(best.size());
  detail::for_each_row<Scalar>(view, [&](Index i, const Scalar* row) {
    const std::vector<Index>& candidates = lines.candidates(row);
    detail::require(!candidates.empty(), function, "logits row ", i,
                    " holds a NaN or +inf, or only -inf where a class can be predicted, expected numbers");
    detail::count_right(
        candidates, problem.label(i),
        [&](Index k, Index g) { return row[k] + static_cast<Scalar>(rounded[g] * shift[k]); }, best, hits,
        right);
  });
  return problem.select(problem.errors(right), criterion);
}

/// Chooses tau of a tau-normalised classifier, w_k / |w_k|^tau without bias (Kang et al., ICLR 2020), on
/// held-out logits of the classifier as it was trained:
///
///     argmax_k f_k / |w_k|^tau,   f_k = w_k . z
///
/// Among classes with f_k > 0 that is the largest of the lines log f_k - tau log |w_k|; if all f_k are
/// negative, the smallest of log |f_k| - tau log |w_k|. So one pass serves the whole grid, as in
/// `select_tau`. Criteria of probabilities are those of softmax(f_k / |w_k|^tau). Options as there, but
/// `zero_count` has no meaning, and a reading or weighting other than the default is refused.
///
/// @param logits  samples x classes, W z without bias, finite
/// @param labels  one per sample, integral, in [0, classes)
/// @param norms   |w_k|, one per class, >= 0 and finite; a class of norm 0 is left as it is
template <typename Logits, typename Labels, typename Norms>
[[nodiscard]] TauSelection select_tau_normalization(const Eigen::MatrixBase<Logits>& logits,
                                                    const Eigen::DenseBase<Labels>& labels,
                                                    const Eigen::DenseBase<Norms>& norms,
                                                    Criterion criterion = Criterion::balanced_error,
                                                    const TauSelectionOptions& options = {}) {
  constexpr const char* function = "select_tau_normalization";
  using Scalar = typename Logits::Scalar;
  const Index classes = logits.cols();
  detail::require_size(function, "norms", norms.size(), classes, "one per class");
  detail::require(options.weighting == Weighting::target_prior, function,
                  "weighting is plain, expected Weighting::target_prior: normalisation moves the prior");
  detail::require(options.reading == TauReading::subtract, function,
                  "reading is temperature, expected TauReading::subtract: nothing is subtracted here");
  if (options.target_prior.size() != 0) {
    detail::require_prior(function, "target_prior", options.target_prior, classes);
  }
  Eigen::VectorXd slope(classes);  // of log f_k / |w_k|^tau
  for (Index k = 0; k < classes; ++k) {
    const double norm = static_cast<double>(norms.derived().coeff(k));
    detail::require(norm >= 0.0 && std::isfinite(norm), function, "norms[", k, "] is ", norm,
                    ", expected a finite number >= 0");
    slope[k] = norm > 0.0 ? -std::log(norm) : 0.0;
  }
  const Eigen::Array<bool, Eigen::Dynamic, 1> none =
      Eigen::Array<bool, Eigen::Dynamic, 1>::Constant(classes, false);
  const detail::TauProblem problem(function, labels, logits.rows(), classes, options, none);
  const Eigen::VectorXd& grid = problem.grid();
  const MatrixX<double> factors = (slope * grid.transpose()).transpose().array().exp();  // grid x classes
  const auto view = detail::view<Scalar>(logits);

  if (criterion != Criterion::balanced_error) {
    return problem.select(problem.measure(view, criterion,
                                          [&](const double* row, Index g, Eigen::VectorXd& out) {
                                            const Eigen::Map<const Eigen::ArrayXd> f(row, classes);
                                            out = f * factors.row(g).transpose().array();
                                          }),
                          criterion);
  }

  const MatrixX<Scalar> scales = factors.cast<Scalar>();
  detail::TauLines<Scalar> above(grid, slope), below(grid, -slope);
  detail::GridCounts right = detail::GridCounts::Zero(grid.size(), classes);
  std::vector<Scalar> best(static_cast<std::size_t>(grid.size()));
  std::vector<Count> hits(best.size());
  Eigen::Array<Scalar, Eigen::Dynamic, 1> base(classes);
  detail::for_each_row<Scalar>(view, [&](Index i, const Scalar* row) {
    const Eigen::Map<const Eigen::Array<Scalar, Eigen::Dynamic, 1>> f(row, classes);
    detail::require(std::isfinite(f.sum()), function, "logits row ", i,
                    " is not finite, expected finite numbers");
    const Index label = problem.label(i);
    const Scalar largest = f.maxCoeff();
    if (largest == 0) {  // no tau changes a 0, and nothing beats it
      if ((f.head(label) == Scalar(0)).any() || f[label] != 0) return;
      right.col(label).array() += 1;
      return;
    }
    base = largest > 0 ? f.cwiseMax(Scalar(0)).log().eval() : (-((-f).log())).eval();
    detail::count_right((largest > 0 ? above : below).candidates(base.data()), label,
                        [&](Index k, Index g) { return row[k] * scales(g, k); }, best, hits, right);
  });
  return problem.select(problem.errors(right), criterion);
}

/// The same for a head: its logits without bias are computed from the features, allocating samples x classes.
/// @param features  samples x head.dimensions(), of the head's Scalar
template <typename Features, typename Labels, typename Scalar>
[[nodiscard]] TauSelection select_tau_normalization(const Eigen::MatrixBase<Features>& features,
                                                    const Eigen::DenseBase<Labels>& labels,
                                                    const LinearHead<Scalar>& head,
                                                    Criterion criterion = Criterion::balanced_error,
                                                    const TauSelectionOptions& options = {}) {
  Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, detail::storage_order<Features>> logits(
      features.rows(), head.classes());
  LinearHead<Scalar>(head.weights()).forward(features, logits);
  Eigen::VectorXd norms(head.classes());
  detail::row_norms(detail::view<Scalar>(head.weights()), norms.data());
  return select_tau_normalization(logits, labels, norms, criterion, options);
}

/// The tau of a two-class logit adjustment with the least error under the target prior, over all real tau:
/// the prediction of a sample changes at one tau only, and the error is evaluated between all of them.
/// O(N log N). Exact: no grid, and no rounding but that of each sample's breakpoint.
///
/// @param logits   samples x 2, float or double; not NaN, the two of a row not both infinite
/// @param labels   one per sample, 0 or 1
/// @param classes  the training distribution of the two classes
/// @param options  `target_prior` and `empty_class` are used
template <typename Logits, typename Labels>
[[nodiscard]] BinaryTauSelection select_binary_tau(const Eigen::MatrixBase<Logits>& logits,
                                                   const Eigen::DenseBase<Labels>& labels,
                                                   const ClassDistribution& classes,
                                                   const TauSelectionOptions& options = {}) {
  constexpr const char* function = "select_binary_tau";
  constexpr double infinity = std::numeric_limits<double>::infinity();
  detail::require_size(function, "classes", classes.classes(), 2, "classes");
  detail::require_shape(function, "logits", logits, logits.rows(), 2);
  detail::require_meaning(function, Criterion::balanced_error, options);
  const Eigen::VectorXd shift = detail::prior_shift(function, classes, options);
  const auto masked = (shift.array() == -infinity).eval();
  detail::require(!masked.any(), function, "class ", masked[0] ? 0 : 1,
                  " is masked out, expected two classes that can be predicted");
  const detail::TauProblem problem(function, labels, logits.rows(), 2, options, masked);

  // Class 1 is predicted where (f_1 - f_0) + tau slope > 0. To walk with growing tau in either case, let
  // `later` be the class that gains.
  const double slope = shift[1] - shift[0];
  const Index later = slope >= 0.0 ? 1 : 0;
  struct Breakpoint {
    double tau;
    Index label;
  };
  std::vector<Breakpoint> breakpoints;
  Count right[2] = {0, 0}, counts[2] = {0, 0};
  const auto view = detail::view<typename Logits::Scalar>(logits);
  for (Index i = 0; i < view.rows; ++i) {
    const double margin = static_cast<double>(view(i, 1)) - static_cast<double>(view(i, 0));
    detail::require(!std::isnan(margin), function, "logits row ", i,
                    " holds a NaN or two infinities, expected numbers");
    const Index label = problem.label(i);
    ++counts[label];
    const bool fixed = slope == 0.0 || std::isinf(margin);
    const Index at_start = fixed ? (margin > 0.0 ? 1 : 0) : 1 - later;
    right[label] += label == at_start ? 1 : 0;
    if (!fixed) breakpoints.push_back({-margin / slope, label});
  }
  std::sort(breakpoints.begin(), breakpoints.end(),
            [](const Breakpoint& a, const Breakpoint& b) { return a.tau < b.tau; });

  const auto distance = [](double lower, double upper) {
    return std::max({0.0, lower - 1.0, 1.0 - upper});
  };
  BinaryTauSelection best{0.0, infinity, -infinity, infinity};
  double lower = -infinity;
  for (std::size_t next = 0; next <= breakpoints.size();) {
    const double upper = next < breakpoints.size() ? breakpoints[next].tau : infinity;
    const double error = static_cast<double>(counts[0] - right[0]) * problem.weights()[0] +
                         static_cast<double>(counts[1] - right[1]) * problem.weights()[1];
    if (error < best.error ||
        (error == best.error && distance(lower, upper) < distance(best.lower, best.upper))) {
      best = {0.0, error, lower, upper};
    }
    if (next == breakpoints.size()) break;
    for (; next < breakpoints.size() && breakpoints[next].tau == upper; ++next) {
      right[breakpoints[next].label] += breakpoints[next].label == later ? 1 : -1;
    }
    lower = upper;
  }
  best.tau = best.lower < 1.0 && 1.0 < best.upper ? 1.0
             : best.lower == -infinity            ? best.upper - 1.0
             : best.upper == infinity             ? best.lower + 1.0
                                                  : best.lower + 0.5 * (best.upper - best.lower);
  return best;
}

}  // namespace ballast
