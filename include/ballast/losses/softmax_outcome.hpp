// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/exp.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/core/types.hpp>
#include <ballast/losses/shapes.hpp>
#include <ballast/losses/softmax_kernel.hpp>

namespace ballast::detail {

/// What the label's own logit and the sum over the other classes make of a row, a lane each.
template <typename Scalar>
struct SoftmaxOutcome {
  Packet<Scalar> loss;    ///< -log p_y
  Packet<Scalar> factor;  ///< p_k of the others is this times their exp(u_k - shift)
  Packet<Scalar> p;       ///< p_y
  Packet<Scalar> miss;    ///< 1 - p_y
};

/// @param rest         sum over k != y of exp(u_k - shift)
/// @param label_logit  u_y
///
/// The label stays out of the sum, so that a small loss and 1 - p_y keep their digits: with d = shift - u_y,
///
///     loss = log(1 + rest e^d)            d <= 0, y is on top
///     loss = d + log(rest + e^-d)         d > 0
template <typename Scalar>
EIGEN_ALWAYS_INLINE SoftmaxOutcome<Scalar> softmax_outcome(Packet<Scalar> rest, const Packet<Scalar>& shift,
                                                           const Packet<Scalar>& label_logit) {
  using namespace packet;
  using P = Packet<Scalar>;
  const P zero = broadcast(Scalar(0));
  const P one = broadcast(Scalar(1));
  const P infinity = broadcast(std::numeric_limits<Scalar>::infinity());
  const P minus_infinity = broadcast(-std::numeric_limits<Scalar>::infinity());

  // Nothing beside the label: p_y is 1, or 0 if its logit is -inf. A label of +inf or NaN spoils the row.
  const P alone = pcmp_eq(rest, zero);
  const P masked = pcmp_eq(label_logit, minus_infinity);
  P difference = psub(shift, label_logit);
  difference = pselect(alone, pselect(masked, infinity, minus_infinity), difference);
  difference = pselect(pcmp_lt(label_logit, infinity), difference,
                       broadcast(std::numeric_limits<Scalar>::quiet_NaN()));
  rest = pselect(alone, one, rest);
  rest = pselect(pcmp_eq(difference, minus_infinity), zero, rest);

  const P on_top = pcmp_le(difference, zero);
  const P gap = pselect(on_top, difference, psub(zero, difference));
  const P power = exp_nonpositive<Scalar>(gap);
  const P others = pselect(on_top, pmul(rest, power), rest);
  const P own = pselect(on_top, one, power);
  const P total = padd(others, own);
  const P inverse = pdiv(one, total);
  const P log_total = log_corrected<Scalar>(total, pselect(on_top, others, psub(total, one)), inverse);
  return {padd(pselect(on_top, zero, difference), log_total), pmul(pselect(on_top, power, one), inverse),
          pmul(own, inverse), pmul(others, inverse)};
}

/// What is one number per row, for up to Capacity rows: from the label's logit and the sums of the passes to
/// the loss and to what the passes make the gradient of.
template <typename Scalar, typename Shape, bool Scaled, bool Smooth, int Capacity>
class SoftmaxGroup {
  static constexpr Index width = packet_size<Scalar>;
  static_assert(Capacity % width == 0);
  using RowScalars = std::array<Scalar, std::size_t(Capacity)>;

 public:
  // In: all of them set before weigh.
  RowScalars label_logit{};   ///< u_y
  RowScalars row_weight{};    ///< of the sample, over the normaliser
  RowScalars label_weight{};  ///< alpha_y
  RowScalars label_scale{};   ///< s_y, Scaled only
  RowScalars shift{};
  RowScalars sum{};       ///< of exp(u_k - shift): over k != y, or over all if Smooth
  RowScalars smoothed{};  ///< sum_k eps r_k alpha_k (shift - u_k), Smooth only
  // Out.
  RowScalars loss{};            ///< without the row's weight
  RowScalars factor{};          ///< gradient of the others over exp(u_k - shift)
  RowScalars label_gradient{};  ///< at the label; what is added there if Smooth

  /// Takes in a row: its label, that label's logit, its weight.
  EIGEN_ALWAYS_INLINE void set(Index row, const SoftmaxParameters<Scalar>& parameters, Index label,
                               Scalar logit, double weight) {
    const auto r = static_cast<std::size_t>(row);
    label_logit[r] = parameters.label_logit(label, logit);
    row_weight[r] = static_cast<Scalar>(weight);
    label_weight[r] = parameters.weight(label);
    if constexpr (Scaled) label_scale[r] = parameters.scale[label];
  }

  [[gnu::noinline]] void weigh(const SoftmaxParameters<Scalar>& parameters, const Shape& shape, Index count) {
    if constexpr (Smooth) {
      weigh_smooth(parameters, count);
    } else {
      weigh_label(shape, count);
    }
  }

 private:
  void weigh_label(const Shape& shape, Index count) {
    RowScalars log_p, p, miss;
    for (Index r = 0; r < count; r += width) {
      const auto outcome = softmax_outcome<Scalar>(
          packet::load(sum.data() + r), packet::load(shift.data() + r), packet::load(label_logit.data() + r));
      packet::store(log_p.data() + r, packet::psub(packet::broadcast(Scalar(0)), outcome.loss));
      packet::store(factor.data() + r, outcome.factor);
      packet::store(p.data() + r, outcome.p);
      packet::store(miss.data() + r, outcome.miss);
    }
    for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
      const ShapeValue<Scalar> value =
          weighted_shape(shape, Likelihood<Scalar>{log_p[r], p[r], miss[r]}, label_weight[r]);
      const Scalar slope = row_weight[r] * value.slope;
      loss[r] = value.value;
      factor[r] *= -slope;
      label_gradient[r] = slope * miss[r];
      if constexpr (Scaled) label_gradient[r] *= label_scale[r];
    }
  }

  void weigh_smooth(const SoftmaxParameters<Scalar>& parameters, Index count) {
    for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
      const Scalar weight = (1 - parameters.smoothing) * label_weight[r];
      const Scalar total = weight + parameters.smoothing_total;
      loss[r] = total * std::log(sum[r]) + smoothed[r] + weight * (shift[r] - label_logit[r]);
      factor[r] = row_weight[r] * total / sum[r];
      label_gradient[r] = -row_weight[r] * weight;
      if constexpr (Scaled) label_gradient[r] *= label_scale[r];
    }
  }
};

}  // namespace ballast::detail
