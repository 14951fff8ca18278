// SPDX-License-Identifier: MIT
#pragma once

#include <Eigen/Core>

#include <ballast/core/packet.hpp>
#include <ballast/core/softmax_passes.hpp>
#include <ballast/core/types.hpp>
#include <ballast/losses/shapes.hpp>
#include <ballast/losses/softmax_kernel.hpp>
#include <ballast/losses/softmax_outcome.hpp>

namespace ballast::detail {

/// Value and gradient of contiguous rows against hard labels, three rows at a time: while the margin and the
/// largest of one row are taken, the one before is exponentiated and the one before that scaled.
///
/// The gradient's rows are the only workspace. They hold u, then exp(u - shift), then the gradient; the
/// label's own entry is taken out between the first two (exp(-inf) = 0), see softmax_outcome. With smoothing
/// it stays in: the loss has a term for every class then, and there is nothing small to keep.
///
/// @tparam Smooth  smoothing; for cross-entropy alone
template <typename Scalar, typename Shape, bool Scaled, bool Smooth>
class SoftmaxRowPipeline {
 public:
  SoftmaxRowPipeline(const SoftmaxParameters<Scalar>& parameters, const Shape& shape,
                     const SoftmaxBatch<Scalar>& batch)
      : parameters_(parameters), shape_(shape), batch_(batch), packets_(parameters.classes) {}

  /// @param losses  the loss of each row, without its weight
  void run(Index rows, Scalar* losses) const {
    Row margin, power, scale;  // the row in each pass
    for (Index i = 0; i < rows || power.active || scale.active; ++i) {
      margin = i < rows ? begin(i) : Row();
      if (margin.active && power.active && scale.active) {
        Margin_ first = margin_pass(margin);
        Exp_ second = exp_pass(power);
        Scale_ third = scale_pass(scale);
        packets_.run(first, second, third);
        end_margin(first, margin);
        end_exp(second, power, losses);
        end_scale(third, scale);
      } else {
        if (margin.active) {
          Margin_ pass = margin_pass(margin);
          packets_.run(pass);
          end_margin(pass, margin);
        }
        if (power.active) {
          Exp_ pass = exp_pass(power);
          packets_.run(pass);
          end_exp(pass, power, losses);
        }
        if (scale.active) {
          Scale_ pass = scale_pass(scale);
          packets_.run(pass);
          end_scale(pass, scale);
        }
      }
      if (margin.irregular) losses[margin.index] = general(margin);
      scale = power;
      power = margin;
      power.active = margin.active && !margin.irregular;
    }
  }

 private:
  using Margin_ = MarginPass<Scalar, Scaled, Smooth>;
  using Exp_ = ExpPass<Scalar, Smooth>;
  using Scale_ = ScalePass<Scalar, Scaled, Smooth>;
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

  struct Row {
    bool active = false;
    bool irregular = false;  // smoothing over a masked class
    Index index = 0;
    Index label = 0;
    Scalar* data = nullptr;
    Scalar label_logit = 0;  // u_y
    Scalar shift = 0;
    Scalar weight = 0;          // of the sample, over the normaliser
    Scalar factor = 0;          // gradient of the others over exp(u - shift)
    Scalar label_gradient = 0;  // at the label; Smooth: what is added there
  };

  Row begin(Index i) const {
    Row row;
    row.index = i;
    row.label = batch_.labels[i];
    row.data = &batch_.gradient(i, 0);
    if (row.label < 0) {
      for (Index k = 0; k < parameters_.classes; ++k) row.data[k] = 0;
      return row;
    }
    row.active = true;
    row.label_logit = parameters_.label_logit(row.label, batch_.logits(i, row.label));
    row.weight = static_cast<Scalar>(batch_.weight(i));
    return row;
  }

  EIGEN_STRONG_INLINE Margin_ margin_pass(const Row& row) const {
    const Scalar* offset = parameters_.pairwise != nullptr
                               ? parameters_.pairwise + row.label * parameters_.classes
                               : parameters_.offset;
    return Margin_(packets_, &batch_.logits(row.index, 0), row.data, {parameters_.scale, offset});
  }

  EIGEN_STRONG_INLINE void end_margin(Margin_& pass, Row& row) const {
    row.shift = pass.finish();
    row.data[row.label] = Smooth ? row.label_logit : -infinity;
    if constexpr (Smooth) {
      row.shift = row.label_logit > row.shift ? row.label_logit : row.shift;
      row.irregular = pass.smallest() == -infinity || row.label_logit == -infinity;
    }
    if (row.shift == -infinity) row.shift = 0;
  }

  EIGEN_STRONG_INLINE Exp_ exp_pass(const Row& row) const {
    return Exp_(packets_, row.data, row.shift, parameters_.smoothing_weights);
  }

  EIGEN_STRONG_INLINE void end_exp(Exp_& pass, Row& row, Scalar* losses) const {
    const Scalar sum = pass.finish();
    const Scalar weight = parameters_.weight(row.label);
    const Scalar scale = Scaled ? parameters_.scale[row.label] : Scalar(1);
    if constexpr (Smooth) {
      const Scalar label_weight = (1 - parameters_.smoothing) * weight;
      const Scalar total_weight = label_weight + parameters_.smoothing_total;
      losses[row.index] =
          total_weight * std::log(sum) + pass.weighted() + label_weight * (row.shift - row.label_logit);
      row.factor = row.weight * total_weight / sum;
      row.label_gradient = -row.weight * label_weight * scale;
    } else {
      const auto outcome = softmax_outcome<Scalar>(packet::broadcast(sum), packet::broadcast(row.shift),
                                                   packet::broadcast(row.label_logit));
      const Scalar miss = packet::first_lane(outcome.miss);
      const Likelihood<Scalar> likelihood{-packet::first_lane(outcome.loss), packet::first_lane(outcome.p),
                                          miss};
      const ShapeValue<Scalar> value = weighted_shape(shape_, likelihood, weight);
      losses[row.index] = value.value;
      row.factor = -row.weight * value.slope * packet::first_lane(outcome.factor);
      row.label_gradient = row.weight * value.slope * miss * scale;
    }
  }

  EIGEN_STRONG_INLINE Scale_ scale_pass(const Row& row) const {
    return Scale_(packets_, row.data, row.factor, parameters_.scale, row.weight,
                  parameters_.smoothing_weights);
  }

  EIGEN_STRONG_INLINE void end_scale(Scale_& pass, const Row& row) const {
    pass.finish();
    if constexpr (Smooth) {
      row.data[row.label] += row.label_gradient;
    } else {
      row.data[row.label] = row.label_gradient;
    }
  }

  /// A row whose u holds -inf, with smoothing: the general kernel goes on from u.
  [[gnu::noinline]] Scalar general(const Row& row) const {
    return softmax_after_margin(parameters_, shape_, row.label, row.weight, row.data, Index(1));
  }

  const SoftmaxParameters<Scalar>& parameters_;
  const Shape& shape_;
  const SoftmaxBatch<Scalar>& batch_;
  RowPackets<Scalar> packets_;
};

}  // namespace ballast::detail
