// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>
#include <ballast/data/class_distribution.hpp>

namespace ballast {

/// What a loss does to the logits f before the softmax, as plain data. With label y:
///
///     u_k = s_k f_k + a_k  (k != y),   u_y = s_y f_y + b_y         separable
///     u_k = s_k f_k + Delta(y, k),     Delta(y, y) = 0             pairwise
///
/// A margin of one's own is this struct filled by hand; a part left empty is the identity. In the notation of
/// Menon et al. (ICLR 2021, eq. 11), Delta(y, k) = a_k - b_y. An offset of -inf masks its class out: the
/// class has probability exactly 0, and a sample labelled with it is an error.
template <typename Scalar>
struct Margin {
  VectorX<Scalar> scale;          ///< s, one per class, > 0 and finite; empty: 1
  VectorX<Scalar> offset;         ///< a, one per class, finite or -inf; empty: 0
  VectorX<Scalar> target_offset;  ///< b, one per class, finite or -inf; empty: b = a
  RowMatrixX<Scalar> pairwise;    ///< Delta, row = label; empty: none. Excludes offset and target_offset
};

namespace detail {

/// tau * log pi, where a masked class stays masked for every tau.
template <typename Scalar>
VectorX<Scalar> scaled_log(const Eigen::VectorXd& log_values, double tau) {
  VectorX<Scalar> result(log_values.size());
  for (Index j = 0; j < result.size(); ++j) {
    result[j] = static_cast<Scalar>(std::isinf(log_values[j]) ? log_values[j] : tau * log_values[j]);
  }
  return result;
}

}  // namespace detail

/// a_k = b_k = tau log pi_k: the logit-adjusted loss (Menon et al., ICLR 2021, eq. 10), "balanced softmax"
/// (Ren et al., NeurIPS 2020) at tau = 1.
/// @param tau         finite
/// @param zero_count  what a class without samples means
template <typename Scalar>
[[nodiscard]] Margin<Scalar> prior_margin(const ClassDistribution& classes, Scalar tau = 1,
                                          const ZeroCount& zero_count = ZeroCount::refuse()) {
  detail::require_finite("prior_margin", "tau", tau);
  Margin<Scalar> margin;
  margin.offset = detail::scaled_log<Scalar>(classes.log_prior(zero_count), static_cast<double>(tau));
  return margin;
}

/// a_k = b_k = tau (log pi_k - log pi^t_k): trains for a target prior pi^t; a uniform pi^t is
/// prior_margin but for a constant, which no softmax sees.
/// @param target_prior  one per class, > 0, sum 1 (to 1e-6)
template <typename Scalar>
[[nodiscard]] Margin<Scalar> target_prior_margin(const ClassDistribution& classes,
                                                 const Eigen::VectorXd& target_prior, Scalar tau = 1,
                                                 const ZeroCount& zero_count = ZeroCount::refuse()) {
  detail::require_finite("target_prior_margin", "tau", tau);
  detail::require_size("target_prior_margin", "target_prior", target_prior.size(), classes.classes(),
                       "classes");
  for (Index j = 0; j < target_prior.size(); ++j) {
    detail::require(target_prior[j] > 0, "target_prior_margin", "target_prior[", j, "] is ", target_prior[j],
                    ", expected > 0");
  }
  detail::require(std::abs(target_prior.sum() - 1) <= 1e-6, "target_prior_margin", "target_prior sums to ",
                  target_prior.sum(), ", expected 1");
  const Eigen::VectorXd shift = classes.log_prior(zero_count).array() - target_prior.array().log();
  Margin<Scalar> margin;
  margin.offset = detail::scaled_log<Scalar>(shift, static_cast<double>(tau));
  return margin;
}

/// u_k = s f_k, u_y = s (f_y - m_y) with m_j = n_j^(-1/4), scaled so that the largest is `largest_margin`:
/// LDAM (Cao et al., NeurIPS 2019, eq. 13). Meant for cosine logits in [-1, 1].
/// @param largest_margin  >= 0, finite; published 0.5
/// @param scale           s > 0, finite; published 30
/// @throws std::invalid_argument naming the first class without samples
template <typename Scalar>
[[nodiscard]] Margin<Scalar> ldam_margin(const ClassDistribution& classes,
                                         Scalar largest_margin = Scalar(0.5), Scalar scale = 30) {
  detail::require(largest_margin >= 0 && std::isfinite(largest_margin), "ldam_margin", "largest_margin is ",
                  largest_margin, ", expected a finite number >= 0");
  detail::require(scale > 0 && std::isfinite(scale), "ldam_margin", "scale is ", scale,
                  ", expected a finite number > 0");
  classes.require_every_class("ldam_margin");
  const Eigen::VectorXd margins = classes.counts().cast<double>().array().pow(-0.25);
  const double factor = static_cast<double>(scale) * static_cast<double>(largest_margin) / margins.maxCoeff();
  Margin<Scalar> margin;
  margin.scale = VectorX<Scalar>::Constant(classes.classes(), scale);
  margin.offset = VectorX<Scalar>::Zero(classes.classes());
  margin.target_offset = (-factor * margins).cast<Scalar>();
  return margin;
}

/// Delta(y, k) = pi_y^(-1/4), i.e. b_y = -pi_y^(-1/4): the adaptive margin as Menon et al. state it (ICLR
/// 2021, section 3), without scale or normalisation.
/// @throws std::invalid_argument naming the first class without samples
template <typename Scalar>
[[nodiscard]] Margin<Scalar> adaptive_margin(const ClassDistribution& classes) {
  classes.require_every_class("adaptive_margin");
  Margin<Scalar> margin;
  margin.offset = VectorX<Scalar>::Zero(classes.classes());
  margin.target_offset = (-classes.prior().array().pow(-0.25)).matrix().template cast<Scalar>();
  return margin;
}

/// Delta(y, k) = log F(pi_k), i.e. a_k = log F(pi_k), b_y = 0: the equalised loss (Tan et al., CVPR 2020, in
/// the form of Menon et al.).
/// @param transform  F: double -> double, non-decreasing, positive on (0, 1]
/// @param zero_count  what a class without samples means
template <typename Scalar, typename Transform>
[[nodiscard]] Margin<Scalar> equalized_margin(const ClassDistribution& classes, const Transform& transform,
                                              const ZeroCount& zero_count = ZeroCount::refuse()) {
  const Eigen::VectorXd log_prior = classes.log_prior(zero_count);
  Margin<Scalar> margin;
  margin.offset.resize(classes.classes());
  margin.target_offset.setZero(classes.classes());
  for (Index j = 0; j < classes.classes(); ++j) {
    if (std::isinf(log_prior[j])) {
      margin.offset[j] = margin.target_offset[j] = -std::numeric_limits<Scalar>::infinity();
      continue;
    }
    const double value = transform(std::exp(log_prior[j]));
    detail::require(value > 0 && std::isfinite(value), "equalized_margin", "F(pi[", j, "]) is ", value,
                    ", expected a finite number > 0");
    margin.offset[j] = static_cast<Scalar>(std::log(value));
  }
  return margin;
}

/// The equalised margin with F the identity: a_k = log pi_k, b_y = 0.
template <typename Scalar>
[[nodiscard]] Margin<Scalar> equalized_margin(const ClassDistribution& classes,
                                              const ZeroCount& zero_count = ZeroCount::refuse()) {
  return equalized_margin<Scalar>(
      classes, [](double prior) { return prior; }, zero_count);
}

/// s_k = (n_k / n_max)^gamma, a_k = b_k = tau log pi_k: the vector-scaling loss (Kini et al., NeurIPS 2021,
/// eq. 2).
/// @param gamma  finite; published 0 to 0.3
/// @param tau    finite
template <typename Scalar>
[[nodiscard]] Margin<Scalar> vector_scaling_margin(const ClassDistribution& classes, Scalar gamma,
                                                   Scalar tau = 1,
                                                   const ZeroCount& zero_count = ZeroCount::refuse()) {
  detail::require_finite("vector_scaling_margin", "gamma", gamma);
  Margin<Scalar> margin = prior_margin<Scalar>(classes, tau, zero_count);
  const Eigen::VectorXd log_prior = classes.log_prior(zero_count);
  const double largest = log_prior.maxCoeff();
  margin.scale.resize(classes.classes());
  for (Index j = 0; j < classes.classes(); ++j) {
    // A masked class takes no part, whatever its scale.
    const double log_scale =
        std::isinf(log_prior[j]) ? 0.0 : static_cast<double>(gamma) * (log_prior[j] - largest);
    margin.scale[j] = static_cast<Scalar>(std::exp(log_scale));
  }
  return margin;
}

/// Any Delta(y, k), C x C, row = label: finite or -inf off the diagonal, 0 on it. Copied.
template <typename Derived>
[[nodiscard]] Margin<typename Derived::Scalar> pairwise_margin(const Eigen::MatrixBase<Derived>& delta) {
  Margin<typename Derived::Scalar> margin;
  margin.pairwise = delta;
  return margin;
}

namespace detail {

template <typename Scalar>
void require_offsets(const char* function, const char* argument, const VectorX<Scalar>& offsets,
                     Index classes) {
  if (offsets.size() == 0) return;
  require_size(function, argument, offsets.size(), classes, "classes");
  for (Index j = 0; j < classes; ++j) {
    require(offsets[j] < std::numeric_limits<Scalar>::infinity(), function, argument, "[", j, "] is ",
            offsets[j], ", expected a finite number, or -inf to mask the class");
  }
}

/// What Margin documents of its parts.
template <typename Scalar>
void require_margin(const char* function, const Margin<Scalar>& margin, Index classes) {
  if (margin.scale.size() > 0) {
    require_size(function, "margin.scale", margin.scale.size(), classes, "classes");
    for (Index j = 0; j < classes; ++j) {
      require(margin.scale[j] > 0 && std::isfinite(margin.scale[j]), function, "margin.scale[", j, "] is ",
              margin.scale[j], ", expected a finite number > 0");
    }
  }
  require_offsets(function, "margin.offset", margin.offset, classes);
  require_offsets(function, "margin.target_offset", margin.target_offset, classes);
  if (margin.pairwise.size() == 0) return;
  require(margin.offset.size() == 0 && margin.target_offset.size() == 0, function,
          "margin has offsets beside pairwise, expected either (fold the offsets into Delta)");
  require_shape(function, "margin.pairwise", margin.pairwise, classes, classes);
  for (Index j = 0; j < classes; ++j) {
    for (Index k = 0; k < classes; ++k) {
      const Scalar value = margin.pairwise(j, k);
      require(j == k ? value == 0 : value < std::numeric_limits<Scalar>::infinity(), function,
              "margin.pairwise(", j, ", ", k, ") is ", value, ", expected ",
              j == k ? "0 on the diagonal" : "a finite number, or -inf to mask the class");
    }
  }
}

}  // namespace detail

}  // namespace ballast
