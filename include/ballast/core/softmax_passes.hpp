// SPDX-License-Identifier: MIT
#pragma once

#include <limits>

#include <Eigen/Core>

#include <ballast/core/exp.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/core/prefetch.hpp>
#include <ballast/core/types.hpp>

/// The three passes of a softmax over one contiguous row, cut into steps of a few packets. A pass alone is
/// bound by its loads (the largest), its arithmetic (the exponentials) or its stores (the scaling); steps of
/// three passes over three rows, interleaved in one loop, keep all of the processor busy.
///
/// A row need not be a multiple of the packet: its last packet overlaps the one before. Each pass reads the
/// overlapping packet before its first step and writes it after its last, so that what it overlaps is seen
/// as it was.
namespace ballast::detail {

/// How a row falls into packets; size >= the packet's.
template <typename Scalar>
struct RowPackets {
  using P = Packet<Scalar>;
  static constexpr Index width = packet_size<Scalar>;

  Index whole;    ///< scalars in whole packets
  Index last;     ///< where the overlapping packet begins
  bool overlaps;  ///< whether there is one
  P fresh;        ///< 1 in its lanes that no whole packet covers, else 0

  explicit RowPackets(Index size) : whole(size / width * width), last(size - width), overlaps(whole < size) {
    Lanes<Scalar> lanes;
    for (Index i = 0; i < width; ++i)
      lanes[static_cast<std::size_t>(i)] = last + i < whole ? Scalar(0) : Scalar(1);
    fresh = packet::load(lanes.data());
  }

  /// Steps every pass along the row, in one loop.
  template <typename... Passes>
  EIGEN_ALWAYS_INLINE void run(Passes&... passes) const {
    Index at = 0;
    for (; at + 2 * width <= whole; at += 2 * width) (passes.template step<2>(at), ...);
    if (at < whole) (passes.template step<1>(at), ...);
  }
};

/// What a margin does to a row: s f + a.
template <typename Scalar>
struct RowMargin {
  const Scalar* scale = nullptr;  ///< Scaled only
  const Scalar* offset = nullptr;
};

/// out = s in + a, and its largest; CheckFinite: whether all of it is finite too. Asks the caches for the
/// rows that are next.
template <typename Scalar, bool Scaled, bool CheckFinite = false>
class MarginPass {
  using P = Packet<Scalar>;
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

 public:
  EIGEN_ALWAYS_INLINE MarginPass(const RowPackets<Scalar>& packets, const Scalar* in, Scalar* out,
                                 const RowMargin<Scalar>& margin, const Scalar* next_in,
                                 const Scalar* next_out)
      : packets_(packets), in_(in), out_(out), margin_(margin), next_in_(next_in), next_out_(next_out) {
    largest_[0] = largest_[1] = packet::broadcast(-infinity);
    zeros_ = packet::broadcast(Scalar(0));
    if (packets_.overlaps) {
      tail_ = apply(packets_.last);
      largest_[0] = tail_;
      if constexpr (CheckFinite) zeros_ = packet::pmul(tail_, zeros_);
    }
  }

  template <int Count>
  EIGEN_ALWAYS_INLINE void step(Index at) {
    for (int i = 0; i < Count; ++i) {
      if (next_in_ != nullptr) {
        prefetch(next_in_ + at + i * packets_.width);
        prefetch(next_out_ + at + i * packets_.width);
      }
      const P u = apply(at + i * packets_.width);
      packet::store(out_ + at + i * packets_.width, u);
      largest_[i] = packet::max(u, largest_[i]);
      // 0 u is NaN for an infinity and a NaN, and a sum keeps it: a minimum may lose what came before a NaN.
      if constexpr (CheckFinite) zeros_ = packet::pmadd(u, packet::broadcast(Scalar(0)), zeros_);
    }
  }

  /// The largest, NaN left aside or not; -inf if nothing is larger.
  EIGEN_ALWAYS_INLINE Scalar finish() {
    if (packets_.overlaps) packet::store(out_ + packets_.last, tail_);
    return packet::max_lane(packet::max(largest_[0], largest_[1]));
  }
  EIGEN_ALWAYS_INLINE bool all_finite() const { return packet::sum_lanes(zeros_) == 0; }

 private:
  EIGEN_ALWAYS_INLINE P apply(Index at) const {
    const P f = packet::load(in_ + at);
    const P offset = packet::load(margin_.offset + at);
    if constexpr (Scaled) {
      return packet::pmadd(packet::load(margin_.scale + at), f, offset);
    } else {
      return packet::padd(f, offset);
    }
  }

  const RowPackets<Scalar>& packets_;
  const Scalar* in_;
  Scalar* out_;
  RowMargin<Scalar> margin_;
  const Scalar* next_in_;
  const Scalar* next_out_;
  P largest_[2];
  P zeros_;
  P tail_;
};

/// data = exp(data - shift), and its sum. Weighted adds up weight * (shift - data) beside it.
template <typename Scalar, bool Weighted = false>
class ExpPass {
  using P = Packet<Scalar>;

 public:
  EIGEN_ALWAYS_INLINE ExpPass(const RowPackets<Scalar>& packets, Scalar* data, Scalar shift,
                              const Scalar* weights = nullptr)
      : packets_(packets), data_(data), weights_(weights), shift_(packet::broadcast(shift)) {
    sum_[0] = sum_[1] = weighted_ = packet::broadcast(Scalar(0));
    if (!packets_.overlaps) return;
    const P difference = packet::psub(packet::load(data_ + packets_.last), shift_);
    tail_ = exp_nonpositive<Scalar>(difference);
    sum_[0] = packet::pmul(tail_, packets_.fresh);
    if constexpr (Weighted) {
      const P weight = packet::pmul(packet::load(weights_ + packets_.last), packets_.fresh);
      weighted_ = packet::pmul(weight, difference);
    }
  }

  template <int Count>
  EIGEN_ALWAYS_INLINE void step(Index at) {
    for (int i = 0; i < Count; ++i) {
      Scalar* const data = data_ + at + i * packets_.width;
      const P difference = packet::psub(packet::load(data), shift_);
      const P power = exp_nonpositive<Scalar>(difference);
      packet::store(data, power);
      sum_[i] = packet::padd(power, sum_[i]);
      if constexpr (Weighted) {
        weighted_ = packet::pmadd(packet::load(weights_ + at + i * packets_.width), difference, weighted_);
      }
    }
  }

  EIGEN_ALWAYS_INLINE Scalar finish() {
    if (packets_.overlaps) packet::store(data_ + packets_.last, tail_);
    return packet::sum_lanes(packet::padd(sum_[0], sum_[1]));
  }
  EIGEN_ALWAYS_INLINE Scalar weighted() const { return -packet::sum_lanes(weighted_); }

 private:
  const RowPackets<Scalar>& packets_;
  Scalar* data_;
  const Scalar* weights_;
  P shift_;
  P sum_[2];
  P weighted_;
  P tail_;
};

/// data = s (factor * data - weight * w), s and w (Weighted) one per class.
template <typename Scalar, bool Scaled = false, bool Weighted = false>
class ScalePass {
  using P = Packet<Scalar>;

 public:
  EIGEN_ALWAYS_INLINE ScalePass(const RowPackets<Scalar>& packets, Scalar* data, Scalar factor,
                                const Scalar* scale = nullptr, Scalar weight = 0,
                                const Scalar* weights = nullptr)
      : packets_(packets),
        data_(data),
        scale_(scale),
        weights_(weights),
        factor_(packet::broadcast(factor)),
        weight_(packet::broadcast(-weight)) {
    if (packets_.overlaps) tail_ = apply(packets_.last);
  }

  template <int Count>
  EIGEN_ALWAYS_INLINE void step(Index at) {
    for (int i = 0; i < Count; ++i) {
      packet::store(data_ + at + i * packets_.width, apply(at + i * packets_.width));
    }
  }

  EIGEN_ALWAYS_INLINE void finish() {
    if (packets_.overlaps) packet::store(data_ + packets_.last, tail_);
  }

 private:
  EIGEN_ALWAYS_INLINE P apply(Index at) const {
    P result = packet::pmul(packet::load(data_ + at), factor_);
    if constexpr (Weighted) result = packet::pmadd(packet::load(weights_ + at), weight_, result);
    if constexpr (Scaled) result = packet::pmul(result, packet::load(scale_ + at));
    return result;
  }

  const RowPackets<Scalar>& packets_;
  Scalar* data_;
  const Scalar* scale_;
  const Scalar* weights_;
  P factor_;
  P weight_;
  P tail_;
};

}  // namespace ballast::detail
