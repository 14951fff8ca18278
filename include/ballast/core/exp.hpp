// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/packet.hpp>
#include <ballast/core/types.hpp>

/// Packet exponential of arguments <= 0, and the logarithm of a sum: what softmax needs, several times faster
/// than the general functions.
namespace ballast::detail {

/// exp(x) = 2^n exp(r), n = round(x / log 2), |r| <= log(2) / 2. The polynomials interpolate
/// (exp(r) - 1 - r) / r^2 at Chebyshev nodes: relative error of the whole 1.1e-8 (float), 1.7e-17 (double).
template <typename Scalar>
struct ExpConstants;

template <>
struct ExpConstants<float> {
  static constexpr int mantissa = 23;
  static constexpr int bias = 127;
  static constexpr int shift = 64;  // 2^(n + shift) is normal for every n that counts
  static constexpr float down = 0x1p-64f;
  static constexpr float round = 0x1.8p23f;
  static constexpr float coefficients[] = {1.0f,
                                           1.0f,
                                           0.5f,
                                           0.16666576845993977f,
                                           0.04166655443768594f,
                                           0.008363202971575855f,
                                           0.0013926213466332444f};
};

template <>
struct ExpConstants<double> {
  static constexpr int mantissa = 52;
  static constexpr int bias = 1023;
  static constexpr int shift = 512;
  static constexpr double down = 0x1p-512;
  static constexpr double round = 0x1.8p52;
  static constexpr double coefficients[] = {1.0,
                                            1.0,
                                            0.5000000000000001,
                                            0.16666666666666669,
                                            0.04166666666662399,
                                            0.008333333333330051,
                                            0.0013888888917281794,
                                            0.00019841269863105968,
                                            2.480152119021773e-05,
                                            2.7557268378684192e-06,
                                            2.7620138719733994e-07,
                                            2.5100424157005067e-08};
};

/// exp(x) in each lane for x <= 0, within 2 ulp, results below the normal range included; exp(0) = 1 exactly,
/// exp(-inf) = 0, exp(NaN) = NaN. Also right for 0 < x < 40.
///
/// n + bias + shift is added in the low bits of the rounding constant, and moved to the exponent by one
/// integer shift. The 2^-shift that undoes the offset is part of the coefficients, so that the one
/// multiplication at the end rounds a subnormal result once. An x so small that the exponent reaches its
/// lowest is clamped there: the power is then +0, and so is the result, without subnormal arithmetic.
template <typename Scalar>
EIGEN_ALWAYS_INLINE Packet<Scalar> exp_nonpositive(const Packet<Scalar>& argument) {
  using Constants = ExpConstants<Scalar>;
  using packet::broadcast;
  using packet::pmadd;
  using P = Packet<Scalar>;
  constexpr Scalar offset = Scalar(Constants::bias + Constants::shift);
  constexpr Scalar log_2 = Scalar(0.69314718055994530942);
  // log 2 in two parts, the first of 15 bits: n * log_2_high is exact with and without fused operations.
  constexpr Scalar log_2_high = Scalar(0.693145751953125);
  constexpr Scalar log_2_low = Scalar(1.42860682030941723212e-6);

  const P x = packet::max(argument, broadcast(-offset * log_2));
  const P rounded = pmadd(x, broadcast(Scalar(1.44269504088896340736)), broadcast(Constants::round + offset));
  const P n = packet::psub(rounded, broadcast(Constants::round + offset));
  P r = pmadd(n, broadcast(-log_2_high), x);
  r = pmadd(n, broadcast(-log_2_low), r);

  constexpr int degree = static_cast<int>(std::extent_v<decltype(Constants::coefficients)>) - 1;
  P result = broadcast(Constants::coefficients[degree] * Constants::down);
  for (int k = degree - 1; k >= 0; --k) {
    result = pmadd(result, r, broadcast(Constants::coefficients[k] * Constants::down));
  }
  return packet::pmul(result, packet::shift_bits_left<Constants::mantissa, Scalar>(rounded));
}

/// exp(x) of one scalar x <= 0 by the same arithmetic.
template <typename Scalar>
EIGEN_ALWAYS_INLINE Scalar exp_nonpositive_scalar(Scalar x) {
  return packet::first_lane(exp_nonpositive<Scalar>(packet::broadcast(x)));
}

/// log(1 + x) in each lane from u, which is 1 + x rounded, and 1 / u: log u plus what the rounding lost,
/// (x - (u - 1)) / u. Within a few ulp for x next to 0 too. With x = u - 1 it is log u. u > 0 or NaN.
template <typename Scalar>
EIGEN_ALWAYS_INLINE Packet<Scalar> log_corrected(const Packet<Scalar>& u, const Packet<Scalar>& x,
                                                 const Packet<Scalar>& inverse_u) {
  const Packet<Scalar> lost = packet::psub(x, packet::psub(u, packet::broadcast(Scalar(1))));
  return packet::pmadd(lost, inverse_u, Eigen::internal::plog(u));
}

}  // namespace ballast::detail
