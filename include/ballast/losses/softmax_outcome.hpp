// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include <Eigen/Core>

#include <ballast/core/exp.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/losses/shapes.hpp>

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
EIGEN_STRONG_INLINE SoftmaxOutcome<Scalar> softmax_outcome(Packet<Scalar> rest, const Packet<Scalar>& shift,
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
  const P log_total = log_corrected<Scalar>(total, pselect(on_top, others, psub(total, one)));
  return {padd(pselect(on_top, zero, difference), log_total), pmul(pselect(on_top, power, one), inverse),
          pmul(own, inverse), pmul(others, inverse)};
}

}  // namespace ballast::detail
