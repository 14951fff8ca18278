// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Core>
#include <Eigen/QR>

#include <ballast/core/check.hpp>
#include <ballast/core/rows.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/metrics/calibration.hpp>
#include <ballast/metrics/classification.hpp>

namespace ballast {

/// Which conditional probability softmax(logits) models.
enum class LogitsOf {
  posterior,  ///< P(y | x) under the training prior: cross-entropy on the data as they are
  balanced    ///< P(y | x) under equal priors, ~ P(x | y): trained with the logit-adjusted loss at tau = 1
};

namespace detail {

/// log sum_k exp(row_k + offset_k).
inline double log_sum_exp(const double* row, const Eigen::VectorXd& offset) {
  const Eigen::Map<const Eigen::ArrayXd> f(row, offset.size());
  const double largest = (f + offset.array()).maxCoeff();
  return largest + std::log((f + offset.array() - largest).exp().sum());
}

/// What is added to the logits inside the normaliser, and subtracted from them outside of it.
struct InformationOffsets {
  Eigen::VectorXd inside;
  Eigen::VectorXd outside;

  InformationOffsets(const ClassDistribution& classes, LogitsOf model)
      : inside(Eigen::VectorXd::Zero(classes.classes())), outside(inside) {
    (model == LogitsOf::posterior ? outside : inside) = classes.log_prior();
  }
};

}  // namespace detail

/// Pointwise mutual information of input and class, in nats, from a model's logits:
///
///     I(x, k) = log P(k | x) / P(k) = log softmax(f)_k - log pi_k        from a model of the posterior
///                                   = f_k - log sum_j pi_j exp(f_j)      from a balanced model
///
/// A logit of -inf gives -inf. O(samples * classes).
/// @param logits       samples x classes, float or double
/// @param classes      the training distribution, every class with samples
/// @param information  samples x classes in the storage order of `logits`, which it may be itself
/// @throws std::invalid_argument for a row without a softmax, a wrong shape or a class without samples
template <typename Logits, typename Information>
void pointwise_mutual_information(const Eigen::MatrixBase<Logits>& logits, const ClassDistribution& classes,
                                  LogitsOf model, Information&& information) {
  constexpr const char* function = "pointwise_mutual_information";
  using Scalar = typename Logits::Scalar;
  detail::assert_same_order<Logits, Information>();
  detail::require_shape(function, "logits", logits, logits.rows(), classes.classes());
  detail::require_shape(function, "information", information, logits.rows(), logits.cols());
  const detail::InformationOffsets offsets(classes, model);
  const auto in = detail::view<Scalar>(logits);
  const auto out = detail::mutable_view<Scalar>(information);
  detail::for_each_row(
      in, [&](Index i, const double* row) { detail::require_softmax(function, i, row, classes.classes()); });
  detail::for_each_row(in, [&](Index i, const double* row) {
    const double normalizer = detail::log_sum_exp(row, offsets.inside);
    for (Index k = 0; k < classes.classes(); ++k) {
      out(i, k) = static_cast<Scalar>(row[k] - offsets.outside[k] - normalizer);
    }
  });
}

/// Estimate of the mutual information I(X; Y) in nats: the mean of I(x_i, y_i) over samples of P(x, y).
/// Not clamped: an estimate from a poor model may be negative, or -inf.
/// @param logits  samples x classes, float or double; at least one sample
/// @param labels  one per sample, integral, in [0, classes)
/// @throws std::invalid_argument as `pointwise_mutual_information`, and naming the first label outside
template <typename Logits, typename Labels>
[[nodiscard]] double mutual_information(const Eigen::MatrixBase<Logits>& logits,
                                        const Eigen::DenseBase<Labels>& labels,
                                        const ClassDistribution& classes, LogitsOf model) {
  constexpr const char* function = "mutual_information";
  detail::require_shape(function, "logits", logits, logits.rows(), classes.classes());
  detail::require(logits.rows() >= 1, function, "logits has no rows, expected at least one sample");
  detail::require_size(function, "labels", labels.size(), logits.rows(), "one per row of logits");
  detail::require_labels(function, "labels", labels, classes.classes());
  const detail::InformationOffsets offsets(classes, model);
  double sum = 0.0;
  detail::for_each_row(detail::view<typename Logits::Scalar>(logits), [&](Index i, const double* row) {
    detail::require_softmax(function, i, row, classes.classes());
    const Index label = detail::label_index(labels.derived().coeff(i));
    sum += row[label] - offsets.outside[label] - detail::log_sum_exp(row, offsets.inside);
  });
  return sum / static_cast<double>(logits.rows());
}

/// Settings of `estimate_target_prior`.
struct PriorEstimateOptions {
  Index max_iterations = 10000;  ///< >= 1
  double tolerance = 1e-7;       ///< > 0, on `PriorEstimate::gap`
};

/// A prior estimated by expectation-maximisation, and how that ended.
struct PriorEstimate {
  Eigen::VectorXd prior;  ///< pi^t, sums to 1
  Index iterations = 0;
  /// Mean over samples of log(P(x | pi^t) / P(x | pi)), in nats: 0 for the training prior, >= 0 at the end.
  double log_likelihood = 0.0;
  /// An upper bound on how much larger `log_likelihood` could be with any prior.
  double gap = std::numeric_limits<double>::infinity();
  bool converged = false;  ///< gap <= tolerance
};

/// The class prior of unlabelled data, by expectation-maximisation over a classifier's outputs (Saerens,
/// Latinne and Decaestecker, Neural Computation 2002, eq. 2.9):
///
///     pi^t_k <- mean_i  p_ik (pi^t_k / pi_k) / sum_j p_ij (pi^t_j / pi_j)
///
/// maximises the likelihood of the outputs under P(x | y) unchanged, from pi^t = pi; concave, and no step
/// lowers it. The probabilities should be calibrated (`BiasCorrectedTemperature`): EM believes them.
/// O(iterations * samples * classes); allocates 8 bytes per probability.
///
/// @param probabilities  samples x classes, P(y | x) under the training prior, rows that sum to 1 (to 1e-3);
///                       float or double, either storage order; at least one sample
/// @param prior          pi, what the classifier was trained on; 0 only where every probability is 0
/// @throws std::invalid_argument naming the first row that is no distribution
template <typename Probabilities, typename Prior>
[[nodiscard]] PriorEstimate estimate_target_prior(const Eigen::MatrixBase<Probabilities>& probabilities,
                                                  const Eigen::DenseBase<Prior>& prior,
                                                  const PriorEstimateOptions& options = {}) {
  constexpr const char* function = "estimate_target_prior";
  const Index samples = probabilities.rows(), classes = probabilities.cols();
  detail::require_prior(function, "prior", prior, classes);
  detail::require(samples >= 1, function, "probabilities has no rows, expected at least one sample");
  detail::require(options.max_iterations >= 1, function, "max_iterations is ", options.max_iterations,
                  ", expected at least 1");
  detail::require(options.tolerance > 0.0, function, "tolerance is ", options.tolerance, ", expected > 0");

  Eigen::VectorXd training = prior.derived().template cast<double>();
  training /= training.sum();
  MatrixX<double> ratios(samples, classes);  // p_ik / pi_k: the likelihood of x_i in class k, up to a factor
  detail::for_each_row(
      detail::view<typename Probabilities::Scalar>(probabilities), [&](Index i, const double* row) {
        double sum = 0.0;
        for (Index k = 0; k < classes; ++k) {
          detail::require(row[k] >= 0.0 && row[k] <= 1.001, function, "probabilities(", i, ", ", k, ") is ",
                          row[k], ", expected [0, 1]: pass a softmax, not logits");
          detail::require(training[k] > 0.0 || row[k] == 0.0, function, "probabilities(", i, ", ", k, ") is ",
                          row[k], " where the prior is 0, expected 0");
          sum += row[k];
        }
        detail::require(std::abs(sum - 1.0) <= 1e-3, function, "probabilities row ", i, " sums to ", sum,
                        ", expected 1");
        for (Index k = 0; k < classes; ++k) {
          ratios(i, k) = training[k] > 0.0 ? row[k] / (sum * training[k]) : 0.0;
        }
      });

  PriorEstimate estimate;
  estimate.prior = training;
  Eigen::VectorXd mixture(samples), growth(classes);
  for (;;) {
    mixture.noalias() = ratios * estimate.prior;
    estimate.log_likelihood = mixture.array().log().mean();
    growth.noalias() = ratios.transpose() * mixture.cwiseInverse();
    growth /= static_cast<double>(samples);
    // The likelihood L is concave: L(q) - L(pi^t) <= grad L . (q - pi^t) = growth . q - 1 <= max growth - 1.
    estimate.gap = std::max(0.0, growth.maxCoeff() - 1.0);
    estimate.converged = estimate.gap <= options.tolerance;
    if (estimate.converged || estimate.iterations == options.max_iterations) return estimate;
    estimate.prior.array() *= growth.array();
    estimate.prior /= estimate.prior.sum();
    ++estimate.iterations;
  }
}

/// A prior estimated through a confusion matrix.
struct BlackBoxEstimate {
  Eigen::VectorXd prior;     ///< pi^t >= 0, sums to 1
  Eigen::VectorXd solution;  ///< of the linear system, before clipping
  /// The solution had negative values, which no prior has: they were set to 0 and the rest scaled to sum 1.
  bool clipped = false;
  /// Smallest over largest pivot of the confusion matrix: errors in the counts may grow by its inverse.
  double reciprocal_condition = 0.0;
};

/// The class prior of unlabelled data through a classifier's confusion matrix, "black-box shift estimation"
/// (Lipton, Wang and Smola, ICML 2018, eq. 2): solves
///
///     sum_j P(yhat = k | y = j) pi^t_j = P^t(yhat = k)      for every k
///
/// with the left side from labelled held-out data and the right side from predictions on the unlabelled data.
/// Needs no calibration, only that P(x | y) did not change. Soft predictions do as well: sums of
/// probabilities in place of counts, on both sides. O(C^3).
///
/// @param confusion  C x C; row = label, column = prediction; counts or sums >= 0, every row with a sum > 0
/// @param predicted  C; how often each class was predicted for the unlabelled data, or sums of its
///                   probabilities, >= 0
/// @throws std::invalid_argument naming a class without labelled samples; if the matrix is singular (to
///         1e-10), naming the classes never predicted if there are any
template <typename Confusion, typename Predicted>
[[nodiscard]] BlackBoxEstimate black_box_target_prior(const Eigen::MatrixBase<Confusion>& confusion,
                                                      const Eigen::DenseBase<Predicted>& predicted) {
  constexpr const char* function = "black_box_target_prior";
  const Index classes = confusion.rows();
  detail::require(classes >= 1 && confusion.cols() == classes, function, "confusion is ", classes, " x ",
                  confusion.cols(), ", expected classes x classes");
  detail::require_size(function, "predicted", predicted.size(), classes, "one per class");
  MatrixX<double> conditional = confusion.template cast<double>().transpose();  // column = label
  Eigen::VectorXd target = predicted.derived().template cast<double>();
  for (Index j = 0; j < classes; ++j) {
    for (Index k = 0; k < classes; ++k) {
      detail::require(conditional(k, j) >= 0.0 && std::isfinite(conditional(k, j)), function, "confusion(", j,
                      ", ", k, ") is ", conditional(k, j), ", expected a finite number >= 0");
    }
    detail::require(target[j] >= 0.0 && std::isfinite(target[j]), function, "predicted[", j, "] is ",
                    target[j], ", expected a finite number >= 0");
    const double samples = conditional.col(j).sum();
    detail::require(samples > 0.0, function, "class ", j, " has no labelled samples, expected at least one");
    conditional.col(j) /= samples;
  }
  detail::require(target.sum() > 0.0, function, "predicted sums to 0, expected at least one prediction");
  target /= target.sum();

  Eigen::ColPivHouseholderQR<MatrixX<double>> solver(conditional);
  BlackBoxEstimate estimate;
  estimate.reciprocal_condition = std::abs(solver.matrixQR()(classes - 1, classes - 1)) / solver.maxPivot();
  if (!(estimate.reciprocal_condition > 1e-10)) {
    for (Index k = 0; k < classes; ++k) {
      detail::require(conditional.row(k).maxCoeff() > 0.0, function, "confusion is singular: class ", k,
                      " was never predicted, expected at least once");
    }
    detail::reject(function, "confusion is singular (reciprocal condition ", estimate.reciprocal_condition,
                   "): the predictions do not tell some classes apart, expected > 1e-10");
  }
  estimate.solution = solver.solve(target);
  estimate.clipped = estimate.solution.minCoeff() < 0.0;
  estimate.prior = estimate.solution.cwiseMax(0.0);
  estimate.prior /= estimate.prior.sum();
  return estimate;
}

/// The same from counted predictions.
/// @param validation  labels and predictions on held-out data
/// @param predicted   how often each class was predicted for the unlabelled data
template <typename Predicted>
[[nodiscard]] BlackBoxEstimate black_box_target_prior(const ConfusionMatrix& validation,
                                                      const Eigen::DenseBase<Predicted>& predicted) {
  return black_box_target_prior(validation.counts(), predicted);
}

}  // namespace ballast
