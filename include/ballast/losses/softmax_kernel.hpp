// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/losses/shapes.hpp>

/// The softmax losses, one row at a time and in full generality: any shape, hard, soft or two targets,
/// smoothing, masked classes. Scalar code that says what is computed; the fast paths say the same for the
/// common cases, and are tested against it.
namespace ballast::detail {

/// Most rows in a block: what is one number per row is kept on the stack.
inline constexpr Index softmax_block_rows = 1024;

/// A matrix of either storage order.
template <typename Scalar>
struct StridedMatrix {
  Scalar* data = nullptr;  ///< null: absent
  Index row_stride = 0;
  Index col_stride = 0;

  StridedMatrix() = default;
  template <int Order>
  StridedMatrix(const MatrixView<Scalar, Order>& view)
      : data(view.data),
        row_stride(view.row_major ? view.stride : 1),
        col_stride(view.row_major ? 1 : view.stride) {}

  Scalar& operator()(Index row, Index col) const { return data[row * row_stride + col * col_stride]; }
  void skip_rows(Index rows) {
    if (data != nullptr) data += rows * row_stride;
  }
};

/// The vectors of a loss; a null one is the identity. There is an offset, if of zeros, where there is no
/// pairwise margin.
template <typename Scalar>
struct SoftmaxParameters {
  Index classes = 0;
  const Scalar* weights = nullptr;
  const Scalar* scale = nullptr;
  const Scalar* offset = nullptr;
  const Scalar* target_offset = nullptr;  ///< null: the offset
  const Scalar* pairwise = nullptr;       ///< classes x classes, row = label
  Scalar smoothing = 0;
  const Scalar* smoothing_target = nullptr;   ///< r; null: uniform
  const Scalar* smoothing_weights = nullptr;  ///< eps r_k alpha_k
  Scalar smoothing_total = 0;                 ///< their sum
  bool labels_stay_in_range = true;           ///< b_y is not far below a_y, see SoftmaxLoss

  [[nodiscard]] Scalar weight(Index k) const { return weights != nullptr ? weights[k] : Scalar(1); }

  /// u_y of a sample labelled y.
  [[nodiscard]] Scalar label_logit(Index y, Scalar logit) const {
    const Scalar u = scale != nullptr ? scale[y] * logit : logit;
    if (target_offset != nullptr) return u + target_offset[y];
    return offset != nullptr ? u + offset[y] : u;  // Delta(y, y) = 0
  }
};

/// A weight of 0 silences an infinite loss.
template <typename Scalar, typename Shape>
EIGEN_ALWAYS_INLINE ShapeValue<Scalar> weighted_shape(const Shape& shape,
                                                      const Likelihood<Scalar>& likelihood, Scalar weight) {
  const ShapeValue<Scalar> at = shape(likelihood, weight);
  const Scalar nothing = likelihood.p - likelihood.p;  // 0, or the NaN of the row
  return {weight == 0 ? nothing : at.value, weight == 0 ? Scalar(0) : at.slope};
}

/// Target of one row: a label, or a distribution over the classes.
template <typename Scalar>
struct SoftmaxTarget {
  Index label = -1;
  const Scalar* distribution = nullptr;
  Index stride = 0;

  /// The target distribution before smoothing.
  Scalar operator()(Index k) const {
    return distribution != nullptr ? distribution[k * stride] : k == label ? Scalar(1) : Scalar(0);
  }
};

/// One row against one target: value, and derivative with respect to any logit. The logits are read twice,
/// so that a gradient may overwrite them class by class.
template <typename Scalar, typename Shape>
class SoftmaxRow {
 public:
  SoftmaxRow(const SoftmaxParameters<Scalar>& parameters, const Shape& shape,
             const SoftmaxTarget<Scalar>& target, const Scalar* logits, Index stride)
      : parameters_(parameters), shape_(shape), target_(target) {
    reduce(logits, stride);
    for (Index k = 0; k < parameters_.classes; ++k) {
      const ShapeValue<Scalar> at = term(k, margin_logit(k, logits[k * stride]));
      value_ += static_cast<double>(at.value);
      slope_ += static_cast<double>(at.slope);
    }
    if (poisoned_) value_ = std::numeric_limits<double>::quiet_NaN();
  }

  /// sum_j q_j alpha_j phi(l_j)
  [[nodiscard]] double value() const { return value_; }

  /// dL/df_k = s_k (G_k (1 - p_k) - p_k sum_{j != k} G_j),  G_j = q_j alpha_j phi'(l_j)
  [[nodiscard]] Scalar derivative(Index k, Scalar logit) const {
    if (poisoned_) return std::numeric_limits<Scalar>::quiet_NaN();
    const Scalar u = margin_logit(k, logit);
    const Likelihood<Scalar> at = likelihood(k, u);
    const Scalar slope = term(k, u).slope;
    const Scalar others = static_cast<Scalar>(slope_ - static_cast<double>(slope));
    const Scalar derivative = slope * at.miss - at.p * others;
    return parameters_.scale != nullptr ? parameters_.scale[k] * derivative : derivative;
  }

 private:
  Scalar margin_logit(Index k, Scalar logit) const {
    const Scalar u = parameters_.scale != nullptr ? parameters_.scale[k] * logit : logit;
    if (parameters_.pairwise != nullptr) {
      return u + parameters_.pairwise[target_.label * parameters_.classes + k];
    }
    if (k == target_.label) return parameters_.label_logit(k, logit);
    return parameters_.offset != nullptr ? u + parameters_.offset[k] : u;
  }

  /// A logit of -inf takes its class out, except where the target has mass.
  bool masked(Index k, Scalar u) const {
    return u == -std::numeric_limits<Scalar>::infinity() && !(target_(k) > 0);
  }

  Scalar smoothing_mass(Index k) const {
    return parameters_.smoothing_target != nullptr ? parameters_.smoothing_target[k] : Scalar(1);
  }

  /// Largest u, the sum of exp(u - largest) over the others, and the smoothing mass that is not masked.
  void reduce(const Scalar* logits, Index stride) {
    double mass = 0;
    for (Index k = 0; k < parameters_.classes; ++k) {
      const Scalar u = margin_logit(k, logits[k * stride]);
      if (!(u < std::numeric_limits<Scalar>::infinity())) poisoned_ = true;
      if (u > largest_) {
        largest_ = u;
        top_ = k;
      }
      if (!masked(k, u)) mass += static_cast<double>(smoothing_mass(k));
    }
    if (mass > 0) smoothing_ = parameters_.smoothing;
    inverse_mass_ = mass > 0 ? static_cast<Scalar>(1 / mass) : Scalar(0);
    if (top_ < 0 || poisoned_) {  // no class is left: every p is 0
      largest_ = 0;
      return;
    }
    double rest = 0;
    for (Index k = 0; k < parameters_.classes; ++k) {
      if (k != top_) rest += static_cast<double>(std::exp(margin_logit(k, logits[k * stride]) - largest_));
    }
    log_sum_ = static_cast<Scalar>(std::log1p(rest));
    inverse_sum_ = static_cast<Scalar>(1 / (1 + rest));
    top_miss_ = static_cast<Scalar>(rest / (1 + rest));
  }

  Likelihood<Scalar> likelihood(Index k, Scalar u) const {
    const Scalar p = std::exp(u - largest_) * inverse_sum_;
    return {(u - largest_) - log_sum_, p, k == top_ ? top_miss_ : 1 - p};
  }

  /// q_k alpha_k phi(l_k) and q_k alpha_k phi'(l_k)
  ShapeValue<Scalar> term(Index k, Scalar u) const {
    Scalar q = target_(k) * (1 - smoothing_);
    if (smoothing_ > 0 && !masked(k, u)) q += smoothing_ * smoothing_mass(k) * inverse_mass_;
    const Scalar weight = parameters_.weight(k);
    if (q == 0 || weight == 0 || poisoned_) return {0, 0};  // 0 * inf is 0 here
    const ShapeValue<Scalar> at = shape_(likelihood(k, u), weight);
    return {q * at.value, q * at.slope};
  }

  const SoftmaxParameters<Scalar>& parameters_;
  const Shape& shape_;
  SoftmaxTarget<Scalar> target_;
  bool poisoned_ = false;  // a NaN or +inf: value and gradient are NaN
  Index top_ = -1;
  Scalar largest_ = -std::numeric_limits<Scalar>::infinity();
  Scalar log_sum_ = 0;
  Scalar inverse_sum_ = 1;
  Scalar top_miss_ = 0;
  Scalar smoothing_ = 0;
  Scalar inverse_mass_ = 0;
  double value_ = 0;
  double slope_ = 0;
};

/// A batch, as its kernels read it: rows of logits and what each is held against.
template <typename Scalar>
struct SoftmaxBatch {
  StridedMatrix<const Scalar> logits;
  StridedMatrix<const Scalar> distributions;  ///< soft targets, or absent
  const Index* labels = nullptr;              ///< -1: ignored
  const Index* other_labels = nullptr;        ///< mixup, or null
  const Scalar* sample_weights = nullptr;     ///< null: 1
  double factor = 1;                          ///< of the labels' loss, 1 / normaliser included
  double other_factor = 0;                    ///< of the other labels' loss
  StridedMatrix<Scalar> gradient;             ///< or absent
  Scalar* values = nullptr;                   ///< each row's own loss, or null

  /// What a row's loss and gradient are multiplied by.
  [[nodiscard]] double weight(Index row) const {
    return sample_weights != nullptr ? factor * static_cast<double>(sample_weights[row]) : factor;
  }

  /// The batch from one row on; its labels are the caller's to set.
  [[nodiscard]] SoftmaxBatch from(Index row) const {
    SoftmaxBatch part = *this;
    part.logits.skip_rows(row);
    part.distributions.skip_rows(row);
    part.gradient.skip_rows(row);
    if (sample_weights != nullptr) part.sample_weights += row;
    if (values != nullptr) part.values += row;
    return part;
  }
};

/// factor * sample weight * loss; a weight of 0 silences a loss of +inf, not a NaN.
inline double weighted_loss(double weight, double loss) {
  return weight == 0 && !std::isnan(loss) ? 0.0 : weight * loss;
}

/// One row: writes its gradient and value, returns its share of the total.
template <typename Scalar, typename Shape>
[[gnu::noinline]] double softmax_row(const SoftmaxParameters<Scalar>& parameters, const Shape& shape,
                                     const SoftmaxBatch<Scalar>& batch, Index row) {
  const Scalar* logits = &batch.logits(row, 0);
  const Index stride = batch.logits.col_stride;
  SoftmaxTarget<Scalar> targets[2];
  double factors[2];
  int count = 0;
  const double weight =
      batch.sample_weights != nullptr ? static_cast<double>(batch.sample_weights[row]) : 1.0;
  if (batch.distributions.data != nullptr) {
    targets[count] = {-1, &batch.distributions(row, 0), batch.distributions.col_stride};
    factors[count++] = batch.factor * weight;
  } else if (batch.labels[row] >= 0) {
    targets[count].label = batch.labels[row];
    factors[count++] = batch.factor * weight;
  }
  if (batch.other_labels != nullptr && batch.other_labels[row] >= 0) {
    targets[count].label = batch.other_labels[row];
    factors[count++] = batch.other_factor * weight;
  }

  using Row = SoftmaxRow<Scalar, Shape>;
  double total = 0;
  if (count == 2) {
    const Row first(parameters, shape, targets[0], logits, stride);
    const Row second(parameters, shape, targets[1], logits, stride);
    total = weighted_loss(factors[0], first.value()) + weighted_loss(factors[1], second.value());
    for (Index k = 0; batch.gradient.data != nullptr && k < parameters.classes; ++k) {
      const Scalar logit = logits[k * stride];
      batch.gradient(row, k) = static_cast<Scalar>(factors[0]) * first.derivative(k, logit) +
                               static_cast<Scalar>(factors[1]) * second.derivative(k, logit);
    }
  } else if (count == 1) {
    const Row only(parameters, shape, targets[0], logits, stride);
    total = weighted_loss(factors[0], only.value());
    for (Index k = 0; batch.gradient.data != nullptr && k < parameters.classes; ++k) {
      batch.gradient(row, k) = static_cast<Scalar>(factors[0]) * only.derivative(k, logits[k * stride]);
    }
  } else {
    for (Index k = 0; batch.gradient.data != nullptr && k < parameters.classes; ++k) {
      batch.gradient(row, k) = 0;
    }
  }
  if (batch.values != nullptr) batch.values[row] = static_cast<Scalar>(total);
  return total;
}

/// Row against a label where the margin is already in it: `data` holds u, and is overwritten with the
/// gradient. Returns the loss, without the weight.
template <typename Scalar, typename Shape>
[[gnu::noinline]] Scalar softmax_after_margin(const SoftmaxParameters<Scalar>& parameters, const Shape& shape,
                                              Index label, Scalar row_weight, Scalar* data, Index stride) {
  SoftmaxParameters<Scalar> plain = parameters;
  plain.scale = plain.offset = plain.target_offset = plain.pairwise = nullptr;
  SoftmaxTarget<Scalar> target;
  target.label = label;
  const SoftmaxRow<Scalar, Shape> row(plain, shape, target, data, stride);
  for (Index k = 0; k < parameters.classes; ++k) {
    const Scalar scale = parameters.scale != nullptr ? parameters.scale[k] : Scalar(1);
    data[k * stride] = row_weight * scale * row.derivative(k, data[k * stride]);
  }
  return static_cast<Scalar>(row.value());
}

}  // namespace ballast::detail
