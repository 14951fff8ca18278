// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/newton.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/losses/margins.hpp>
#include <ballast/losses/shapes.hpp>
#include <ballast/losses/softmax_loss.hpp>

namespace ballast {

/// Whether a loss, minimised over all functions of x, predicts as the target prior's Bayes rule does.
enum class Consistency {
  proved,   ///< for every distribution with the given prior
  refuted,  ///< not for the distribution that comes with the answer
  unknown   ///< no proof known, and no such distribution found
};

/// A distribution on which the minimiser of a loss predicts the wrong class. It has two inputs, x and the
/// rest, and the prior in question: mass posterior + (1 - mass) rest = pi.
struct Misranking {
  double mass = 0.0;          ///< P(x)
  Eigen::VectorXd posterior;  ///< P(y | x)
  Eigen::VectorXd rest;       ///< P(y) off x
  /// Scores at x in the minimiser, post-hoc offsets included: found numerically with the loss itself. -inf
  /// for a class that does not occur at x.
  Eigen::VectorXd scores;
  Index predicted = 0;  ///< argmax of the scores
  Index optimal = 0;    ///< argmax of P(y | x) pi^t_y / pi_y, without a tie
};

/// The answer of `check_consistency`.
struct ConsistencyReport {
  Consistency verdict = Consistency::unknown;
  std::string reason;                        ///< in words: the theorem, or what goes wrong
  std::optional<Misranking> counterexample;  ///< exactly if refuted
  std::vector<std::string> warnings;         ///< parts that adjust for the prior a second time
};

/// What surrounds the loss.
struct ConsistencyOptions {
  Eigen::VectorXd target_prior;    ///< pi^t > 0, sums to 1; empty: uniform, i.e. the balanced error
  Eigen::VectorXd sampling_prior;  ///< > 0: class probabilities that batches are drawn with; empty: pi
  Eigen::VectorXd post_hoc;        ///< finite: added to the trained logits before the argmax; empty: 0
  double tolerance = 1e-5;         ///< > 0: logarithms this close count as equal (priors may be floats)
};

namespace detail {

inline CrossEntropy in_double(const CrossEntropy& shape) {
  return shape;
}
template <typename Scalar>
Focal<double> in_double(const Focal<Scalar>& shape) {
  return {static_cast<double>(shape.gamma)};
}
template <typename Scalar>
WeightInsideFocal<double> in_double(const WeightInsideFocal<Scalar>& shape) {
  return {static_cast<double>(shape.gamma)};
}
template <typename Shape>
Shape in_double(const Shape& shape) {
  return shape;
}

/// Where the shape is -l, the theory is complete.
inline bool is_cross_entropy(const CrossEntropy&) {
  return true;
}
inline bool is_cross_entropy(const Focal<double>& shape) {
  return shape.gamma == 0.0;
}
template <typename Shape>
bool is_cross_entropy(const Shape&) {
  return false;
}

template <typename Shape>
inline constexpr bool is_focal = std::is_same_v<Shape, Focal<double>>;

/// mean over classes of the products of two vectors about their means
inline double covariance(const Eigen::VectorXd& a, const Eigen::VectorXd& b) {
  return ((a.array() - a.mean()) * (b.array() - b.mean())).mean();
}

/// The conditional risk at an input x, R(u) = sum_y eta_y e_y L_y(u), as a function of the scores of the
/// classes in `support`; all others stand at -inf. Evaluated by the loss itself.
template <typename Shape>
class ConditionalRisk {
 public:
  ConditionalRisk(const SoftmaxLoss<double, Shape>& loss, const Eigen::VectorXd& label_weights,
                  std::vector<Index> support)
      : loss_(loss),
        support_(std::move(support)),
        logits_(size(), loss.classes()),
        gradients_(size(), loss.classes()),
        labels_(size()),
        weights_(size()) {
    for (Index i = 0; i < size(); ++i) {
      labels_[i] = support_[static_cast<std::size_t>(i)];
      weights_[i] = label_weights[labels_[i]];
    }
    weights_ /= weights_.sum();
  }

  [[nodiscard]] Index size() const { return static_cast<Index>(support_.size()); }

  double operator()(const Eigen::VectorXd& x, Eigen::VectorXd& gradient, Eigen::VectorXd& diagonal) {
    at_ = x;
    diagonal.setOnes();
    return evaluate(x, gradient);
  }

  /// Central differences of the gradient: exact enough for a Newton step.
  void hessian_product(const Eigen::VectorXd& v, Eigen::VectorXd& result) const {
    const double step = 1e-5 / std::max(v.norm(), 1e-300);
    Eigen::VectorXd below(size());
    evaluate(at_ + step * v, result);
    evaluate(at_ - step * v, below);
    result = (result - below) / (2.0 * step);
  }

 private:
  double evaluate(const Eigen::VectorXd& x, Eigen::VectorXd& gradient) const {
    logits_.setConstant(-std::numeric_limits<double>::infinity());
    for (Index i = 0; i < size(); ++i) logits_.col(labels_[i]).setConstant(x[i]);
    const double risk = loss_(logits_, labels_, weights_, gradients_);
    for (Index i = 0; i < size(); ++i) gradient[i] = gradients_.col(labels_[i]).sum();
    return risk;
  }

  const SoftmaxLoss<double, Shape>& loss_;
  std::vector<Index> support_;
  mutable RowMatrixX<double> logits_, gradients_;
  IndexVector labels_;
  Eigen::VectorXd weights_;
  Eigen::VectorXd at_;
};

/// One question of consistency, with everything in double and in the space u of scaled logits, where a common
/// scale is 1.
template <typename Shape>
class ConsistencyProblem {
 public:
  template <typename Scalar, typename LossShape>
  ConsistencyProblem(const SoftmaxLoss<Scalar, LossShape>& loss, const ClassDistribution& distribution,
                     const ConsistencyOptions& options)
      : prior_(distribution.prior()), options_(options), loss_(unscaled(loss)) {
    const Index classes = loss.classes();
    const Eigen::VectorXd& target = options.target_prior;
    ratio_ = prior_.cwiseInverse();
    if (target.size() > 0) ratio_.array() *= target.array();
    sampling_ = Eigen::VectorXd::Ones(classes);
    if (options.sampling_prior.size() > 0) sampling_ = options.sampling_prior.cwiseQuotient(prior_);
    alpha_ = loss.weights().size() > 0 ? loss.weights().template cast<double>().eval()
                                       : Eigen::VectorXd::Ones(classes).eval();
    scale_ = loss.margin().scale.size() > 0 ? loss.margin().scale.template cast<double>().eval()
                                            : Eigen::VectorXd::Ones(classes).eval();
    post_hoc_ = options.post_hoc.size() > 0 ? options.post_hoc.cwiseProduct(scale_).eval()
                                            : Eigen::VectorXd::Zero(classes).eval();
    smoothing_ = static_cast<double>(loss.options().smoothing);
    smoothing_target_ = loss.options().smoothing_target.size() > 0
                            ? loss.options().smoothing_target.template cast<double>().eval()
                            : Eigen::VectorXd::Constant(classes, 1.0 / static_cast<double>(classes)).eval();
    set_delta(loss.margin());
  }

  [[nodiscard]] ConsistencyReport report() {
    ConsistencyReport report;
    report.warnings = warnings();
    if (scale_.maxCoeff() - scale_.minCoeff() > options_.tolerance * scale_.maxCoeff()) {
      refute_by_shift(report);
    } else if (const char* theorem = proof()) {
      report.verdict = Consistency::proved;
      report.reason = theorem;
    } else {
      search(report);
    }
    return report;
  }

 private:
  [[nodiscard]] Index classes() const { return prior_.size(); }

  template <typename Scalar, typename LossShape>
  static SoftmaxLoss<double, Shape> unscaled(const SoftmaxLoss<Scalar, LossShape>& loss) {
    Margin<double> margin;
    margin.offset = loss.margin().offset.template cast<double>();
    margin.target_offset = loss.margin().target_offset.template cast<double>();
    margin.pairwise = loss.margin().pairwise.template cast<double>();
    SoftmaxLossOptions<double> options;
    options.smoothing = static_cast<double>(loss.options().smoothing);
    options.smoothing_target = loss.options().smoothing_target.template cast<double>();
    options.ignore_index = -1;
    options.reduction = Reduction::sum;
    return SoftmaxLoss<double, Shape>(loss.classes(), loss.weights().template cast<double>(),
                                      std::move(margin), in_double(loss.shape()), std::move(options));
  }

  /// Delta of the decision scores v = u + post-hoc offsets: Delta(y, k) + c_y - c_k.
  template <typename Scalar>
  void set_delta(const Margin<Scalar>& margin) {
    delta_.setZero(classes(), classes());
    for (Index y = 0; y < classes(); ++y) {
      for (Index k = 0; k < classes(); ++k) {
        if (k == y) continue;
        const auto at = [](const VectorX<Scalar>& v, Index j) {
          return v.size() > 0 ? static_cast<double>(v[j]) : 0.0;
        };
        double value = 0.0;
        if (margin.pairwise.size() > 0) {
          value = static_cast<double>(margin.pairwise(y, k));
        } else {
          const VectorX<Scalar>& own = margin.target_offset.size() > 0 ? margin.target_offset : margin.offset;
          value = at(margin.offset, k) - at(own, y);
        }
        require(std::isfinite(value), "check_consistency", "the margin of label ", y, " masks class ", k,
                ", expected finite offsets");
        delta_(y, k) = value + post_hoc_[y] - post_hoc_[k];
      }
    }
    // The separable margin next to Delta: a_k - a_y for the antisymmetric part.
    offset_ = 0.5 * (delta_ - delta_.transpose()).colwise().mean().transpose();
    separable_ = true;
    for (Index y = 0; y < classes(); ++y) {
      for (Index k = 0; k < classes(); ++k) {
        const double gap = y == k ? 0.0 : delta_(y, k) - (offset_[k] - offset_[y]);
        separable_ = separable_ && std::abs(gap) <= options_.tolerance;
      }
    }
  }

  [[nodiscard]] bool equal_logs(const Eigen::VectorXd& values) const {
    return values.minCoeff() > 0.0 &&
           std::log(values.maxCoeff()) - std::log(values.minCoeff()) <= options_.tolerance;
  }

  /// The theorem that makes the loss consistent, if one does.
  [[nodiscard]] const char* proof() const {
    const Eigen::VectorXd strength = alpha_.array() * (-offset_).array().exp();  // delta_k^-1 alpha_k
    const Eigen::VectorXd bayes = (sampling_.array() * strength.array() / ratio_.array()).matrix();
    if (is_cross_entropy(loss_.shape())) {
      if (classes() == 2 && smoothing_ == 0.0) {
        if (std::abs(pair_deviation(0, 1)) <= options_.tolerance) {
          return "two classes: pi_+ alpha_+ sigma(Delta_+-) = pi_- alpha_- sigma(Delta_-+), the exact "
                 "condition "
                 "(Menon et al. 2021)";
        }
        return nullptr;
      }
      if (!separable_ || !equal_logs(bayes)) return nullptr;
      if (smoothing_ == 0.0) {
        return "alpha_y = delta_y pi^t_y / pi_y and Delta_yk = log(delta_k / delta_y): Theorem 1 of Menon et "
               "al. "
               "(2021)";
      }
      if (equal_logs(smoothing_target_.cwiseProduct(strength))) {
        return "Theorem 1 of Menon et al. (2021), and the smoothing adds the same to every class of the "
               "minimiser";
      }
      return nullptr;
    }
    const bool no_margin = delta_.cwiseAbs().maxCoeff() <= options_.tolerance;
    if (is_focal<Shape> && no_margin && smoothing_ == 0.0 && equal_logs(bayes)) {
      return "no margin, weights pi^t_y / pi_y: focal loss keeps the order of the weighted posterior "
             "(Charoenphakdee et al., CVPR 2021)";
    }
    return nullptr;
  }

  /// With all mass on classes i and j, cross-entropy's minimiser prefers i at equal P(y | x) pi^t_y / pi_y
  /// exactly if this is positive.
  [[nodiscard]] double pair_deviation(Index i, Index j) const {
    const auto pull = [this](Index y, Index k) {  // of label y's own score against k's, at equal scores
      return std::log(sampling_[y] * alpha_[y] / ratio_[y]) - std::log1p(std::exp(-delta_(y, k)));
    };
    return pull(i, j) - pull(j, i);
  }

  /// The minimiser for a posterior at x, if it is found and misranks beyond doubt. For a common scale.
  std::optional<Misranking> misranks(const Eigen::VectorXd& posterior) const {
    Index optimal = 0;
    const Eigen::VectorXd merit = posterior.cwiseProduct(ratio_);
    const double best = merit.maxCoeff(&optimal);
    std::vector<Index> support;
    for (Index k = 0; k < classes(); ++k) {
      if (posterior[k] > 0.0 || smoothing_ > 0.0) support.push_back(k);
      if (k != optimal && merit[k] >= best * (1.0 - 1e-9)) return std::nullopt;  // a tie
    }
    ConditionalRisk<Shape> risk(loss_, posterior.cwiseProduct(sampling_), support);
    Eigen::VectorXd u = Eigen::VectorXd::Zero(risk.size());
    const NewtonResult result = minimize_newton(risk, u, 1e-10, 200);
    if (!result.converged) return std::nullopt;
    Misranking found;
    found.scores = Eigen::VectorXd::Constant(classes(), -std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < support.size(); ++i) {
      found.scores[support[i]] = u[static_cast<Index>(i)] + post_hoc_[support[i]];
    }
    found.scores.maxCoeff(&found.predicted);
    if (!(found.scores[found.predicted] > found.scores[optimal] + 1e-7)) return std::nullopt;
    found.scores /= scale_[0];
    found.optimal = optimal;
    complete(found, posterior);
    return found;
  }

  /// The rest of the distribution, so that the whole has the prior.
  void complete(Misranking& found, const Eigen::VectorXd& posterior) const {
    found.posterior = posterior;
    found.mass = 0.5;
    for (Index k = 0; k < classes(); ++k) {
      if (posterior[k] > 0.0) found.mass = std::min(found.mass, prior_[k] / posterior[k]);
    }
    found.rest = ((prior_ - found.mass * posterior) / (1.0 - found.mass)).cwiseMax(0.0);
  }

  /// P(y | x) at which class j is better than i by the factor e^gap, and all others have `others` in all.
  [[nodiscard]] Eigen::VectorXd near_tie(Index i, Index j, double gap, double others) const {
    Eigen::VectorXd posterior = Eigen::VectorXd::Zero(classes());
    if (classes() > 2) posterior.setConstant(others / static_cast<double>(classes() - 2));
    const double at_i = 1.0 / ratio_[i], at_j = std::exp(gap) / ratio_[j];
    posterior[i] = (classes() > 2 ? 1.0 - others : 1.0) * at_i / (at_i + at_j);
    posterior[j] = (classes() > 2 ? 1.0 - others : 1.0) * at_j / (at_i + at_j);
    return posterior;
  }

  bool try_posterior(ConsistencyReport& report, const Eigen::VectorXd& posterior) const {
    std::optional<Misranking> found = misranks(posterior);
    if (!found) return false;
    std::ostringstream reason;
    reason.precision(4);
    reason << "where P(y | x) is " << posterior[found->optimal] << " for class " << found->optimal << " and "
           << posterior[found->predicted] << " for class " << found->predicted
           << ", the minimiser predicts class " << found->predicted
           << ", the target prior's Bayes rule class " << found->optimal;
    report.verdict = Consistency::refuted;
    report.reason = reason.str();
    report.counterexample = std::move(found);
    return true;
  }

  void search(ConsistencyReport& report) const {
    report.reason = "no theorem applies, and no distribution was found on which the minimiser misranks";
    if (smoothing_ > 0.0 && classes() > largest_smoothed) {
      report.reason = "no theorem applies; smoothing over so many classes was not searched";
      return;
    }
    if (smoothing_ > 0.0) {  // certain samples first: the plainest failure
      for (Index k = 0; k < classes(); ++k) {
        if (try_posterior(report, Eigen::VectorXd::Unit(classes(), k))) return;
      }
    }
    struct Pair {
      double deviation;
      Index favoured;
      Index other;
    };
    std::vector<Pair> pairs;
    for (Index i = 0; i < classes(); ++i) {
      for (Index j = i + 1; j < classes(); ++j) {
        const double deviation = pair_deviation(i, j);
        pairs.push_back(deviation >= 0.0 ? Pair{deviation, i, j} : Pair{-deviation, j, i});
      }
    }
    const std::size_t tried = std::min<std::size_t>(pairs.size(), 12);
    std::partial_sort(pairs.begin(), pairs.begin() + static_cast<std::ptrdiff_t>(tried), pairs.end(),
                      [](const Pair& a, const Pair& b) { return a.deviation > b.deviation; });
    pairs.resize(tried);
    for (const Pair& pair : pairs) {
      for (double gap = 1.0; gap > 0.3 * options_.tolerance; gap *= 0.25) {
        for (const double others : {0.0, 0.3}) {
          if (try_posterior(report, near_tie(pair.favoured, pair.other, gap, others))) return;
          if (try_posterior(report, near_tie(pair.other, pair.favoured, gap, others))) return;
        }
      }
    }
    if (classes() < 3) return;
    const RandomStream random(0x5eed);
    std::uint64_t position = 0;
    for (int attempt = 0; attempt < 300; ++attempt) {  // three classes near a tie
      Eigen::VectorXd posterior = Eigen::VectorXd::Zero(classes());
      for (int draw = 0; draw < 3; ++draw) {
        const Index k = static_cast<Index>(random.below(position, static_cast<std::uint64_t>(classes())));
        posterior[k] = std::exp(0.3 * random.normal(position + 1)) / ratio_[k];
        position += 2;
      }
      if (try_posterior(report, posterior / posterior.sum())) return;
    }
  }

  /// A common shift of u changes no loss, but with unequal scales it changes the order of f = (u + t) / s.
  void refute_by_shift(ConsistencyReport& report) const {
    Index smallest = 0, largest = 0;
    scale_.minCoeff(&smallest);
    scale_.maxCoeff(&largest);
    const Eigen::VectorXd posterior = near_tie(smallest, largest, 1.0, 0.0);
    Misranking found;
    found.optimal = largest;
    found.predicted = smallest;
    ConditionalRisk<Shape> risk(loss_, posterior.cwiseProduct(sampling_), {smallest, largest});
    Eigen::VectorXd u = Eigen::VectorXd::Zero(2);
    if (smoothing_ > 0.0 || !minimize_newton(risk, u, 1e-10, 200).converged) {
      report.reason = "the scales differ between classes, so minimisers differ in their order";
      return;
    }
    // f = (u + t) / s + h: the shift t at which `smallest` leads by 1.
    const Eigen::VectorXd h = post_hoc_.cwiseQuotient(scale_);
    const double per_shift = 1.0 / scale_[smallest] - 1.0 / scale_[largest];
    const double lead = u[0] / scale_[smallest] + h[smallest] - u[1] / scale_[largest] - h[largest];
    const double shift = (1.0 - lead) / per_shift;
    found.scores = Eigen::VectorXd::Constant(classes(), -std::numeric_limits<double>::infinity());
    found.scores[smallest] = (u[0] + shift) / scale_[smallest] + h[smallest];
    found.scores[largest] = (u[1] + shift) / scale_[largest] + h[largest];
    complete(found, posterior);
    report.verdict = Consistency::refuted;
    report.reason =
        "the scales differ between classes: a common shift of the scaled logits changes no loss, but the "
        "order "
        "of the logits, so not every minimiser predicts alike";
    report.counterexample = std::move(found);
  }

  /// How often each part alone adjusts from pi to pi^t: the slope of its effect on log scores in log pi^t /
  /// pi.
  [[nodiscard]] std::vector<std::string> warnings() const {
    const Eigen::VectorXd goal = ratio_.array().log();
    const double spread = covariance(goal, goal);
    if (spread <= options_.tolerance || alpha_.minCoeff() <= 0.0) return {};
    const auto slope = [&](const Eigen::VectorXd& effect) {
      return covariance(effect, goal) / spread;
    };
    const std::pair<const char*, double> parts[] = {{"class weights", slope(alpha_.array().log())},
                                                    {"sampling", slope(sampling_.array().log())},
                                                    {"the margin", slope(-offset_ - post_hoc_)},
                                                    {"the post-hoc offset", slope(post_hoc_)}};
    std::ostringstream list;
    list.precision(3);
    double total = 0.0;
    int adjusting = 0;
    for (const auto& [name, times] : parts) {
      total += times;
      if (times < 0.1) continue;
      list << (adjusting++ == 0 ? "" : " and ") << name << " (" << times << " times)";
    }
    if (adjusting < 2 || total < 1.1) return {};
    std::ostringstream warning;
    warning.precision(3);
    warning << "adjusted again: " << list.str() << " adjust for the prior " << total
            << " times together, expected once";
    return {warning.str()};
  }

  static constexpr Index largest_smoothed = 64;  ///< the search is over all classes at once under smoothing

  Eigen::VectorXd prior_;
  const ConsistencyOptions& options_;
  SoftmaxLoss<double, Shape> loss_;  ///< without scale, summed
  Eigen::VectorXd ratio_;            ///< pi^t / pi, up to a factor
  Eigen::VectorXd sampling_;         ///< probability of a class in a batch / pi
  Eigen::VectorXd alpha_;
  Eigen::VectorXd scale_;
  Eigen::VectorXd post_hoc_;  ///< in u
  double smoothing_ = 0.0;
  Eigen::VectorXd smoothing_target_;
  MatrixX<double> delta_;   ///< of the decision scores
  Eigen::VectorXd offset_;  ///< a of delta_, in its least-squares separable form
  bool separable_ = false;
};

}  // namespace detail

/// Does minimising this loss give the Bayes rule of the balanced error, or of another target prior?
///
/// The optimal prediction at x is argmax_y P(y | x) pi^t_y / pi_y. The loss is Fisher consistent if its
/// minimiser over all functions ranks that class first for every distribution with prior pi. Known:
///
/// - cross-entropy shape, no smoothing: alpha_y = delta_y pi^t_y / pi_y, Delta(y, k) = log(delta_k / delta_y)
///   for some delta > 0 is sufficient (Menon et al., ICLR 2021, Theorem 1), and necessary among separable
///   margins; for two classes the exact condition is pi_+ alpha_+ sigma(Delta_+-) / pi^t_+ =
///   pi_- alpha_- sigma(Delta_-+) / pi^t_-;
/// - smoothing towards r keeps this if r_y / delta_y alpha_y is the same for all classes (for the
///   logit-adjusted loss: r = pi; uniform smoothing breaks it);
/// - focal shape: with weights pi^t_y / pi_y and no margin (Charoenphakdee et al., CVPR 2021); not with a
///   margin.
///
/// Where nothing is known it looks for a counterexample: posteriors near ties of pairs, then of three
/// classes; the minimiser is found numerically with the loss itself, so that any shape and margin can be
/// refuted, but only the above be proved. Also warns where parts adjust for the prior more than once
/// together: weights, class-balanced sampling, margin, post-hoc offset.
///
/// @param loss     as trained, float or double; finite offsets (no masked class)
/// @param classes  the training distribution, every class with samples
/// @param options  the target prior, and what else surrounds the loss
/// Cost: seconds at most; O(C^2) memory.
/// @throws std::invalid_argument for a bad argument
template <typename Scalar, typename Shape>
[[nodiscard]] ConsistencyReport check_consistency(const SoftmaxLoss<Scalar, Shape>& loss,
                                                  const ClassDistribution& classes,
                                                  const ConsistencyOptions& options = {}) {
  constexpr const char* function = "check_consistency";
  detail::require_size(function, "classes", classes.classes(), loss.classes(), "classes of the loss");
  detail::require(loss.classes() >= 2, function, "the loss has one class, expected at least 2");
  classes.require_every_class(function);
  const auto positive_prior = [&](const char* argument, const Eigen::VectorXd& prior) {
    if (prior.size() == 0) return;
    detail::require_prior(function, argument, prior, loss.classes());
    for (Index j = 0; j < prior.size(); ++j) {
      detail::require(prior[j] > 0.0, function, argument, "[", j, "] is 0, expected > 0");
    }
  };
  positive_prior("target_prior", options.target_prior);
  positive_prior("sampling_prior", options.sampling_prior);
  if (options.post_hoc.size() > 0) {
    detail::require_size(function, "post_hoc", options.post_hoc.size(), loss.classes(), "one per class");
    detail::require_all_finite(function, "post_hoc", options.post_hoc);
  }
  detail::require(options.tolerance > 0.0, function, "tolerance is ", options.tolerance, ", expected > 0");
  using InDouble = decltype(detail::in_double(loss.shape()));
  return detail::ConsistencyProblem<InDouble>(loss, classes, options).report();
}

}  // namespace ballast
