// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
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
#include <ballast/losses/softmax_outcome.hpp>

namespace ballast::detail {

enum class OffsetKind { per_class, pairwise };

/// Value and gradient of a strip of rows whose columns are contiguous, a lane per row: Packets packets of
/// rows go through the three passes together, class by class. Everything that is one number per row is a
/// vector instruction here.
///
/// The output is the only workspace, and the label is kept out of the sum, as in SoftmaxRowPipeline.
template <typename Scalar, typename Shape, bool Scaled, OffsetKind Offset, bool Smooth, int Packets>
class SoftmaxStrip {
  using P = Packet<Scalar>;
  static constexpr Index width = packet_size<Scalar>;
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

 public:
  static constexpr Index rows = Packets * width;

  /// @param count  rows in use; all but the last strip have all of them
  SoftmaxStrip(const SoftmaxParameters<Scalar>& parameters, const Shape& shape,
               const SoftmaxBatch<Scalar>& batch, Index first, Index count)
      : parameters_(parameters),
        shape_(shape),
        batch_(batch),
        labels_(batch.labels + first),
        first_(first),
        count_(count) {}

  /// @param in, out     class k of row r at [k * stride + r]; may be the same
  /// @param losses      the loss of each row, without its weight
  [[gnu::noinline]] void run(const Scalar* in, Index in_stride, Scalar* out, Index out_stride,
                             Scalar* losses) {
    keep_label_logits(in, in_stride);
    margin_pass(in, in_stride, out, out_stride);
    if (Smooth && irregular_) {
      for (Index r = 0; r < count_; ++r) {
        if (labels_[r] < 0) continue;
        losses[r] = softmax_after_margin(parameters_, shape_, labels_[r],
                                         group_.row_weight[static_cast<std::size_t>(r)], out + r, out_stride);
      }
    } else {
      exp_pass(out, out_stride);
      weigh(losses);
      scale_pass(out, out_stride);
    }
    finish_labels(out, out_stride, losses);
  }

 private:
  EIGEN_ALWAYS_INLINE P load_lanes(const Scalar* from, int i) const {
    if constexpr (Packets == 1) {
      if (count_ < width) return packet::load_first(from, count_, Scalar(0));
    }
    return packet::load(from + i * width);
  }
  EIGEN_ALWAYS_INLINE void store_lanes(Scalar* to, int i, const P& value) const {
    if constexpr (Packets == 1) {
      if (count_ < width) return packet::store_first(to, value, count_);
    }
    packet::store(to + i * width, value);
  }
  static EIGEN_ALWAYS_INLINE P lanes_of(const std::array<Scalar, std::size_t(rows)>& scalars, int i) {
    return packet::load(scalars.data() + i * width);
  }

  void keep_label_logits(const Scalar* in, Index stride) {
    for (Index r = 0; r < count_; ++r) {
      const Index label = std::max(labels_[r], Index(0));
      group_.set(r, parameters_, label, in[label * stride + r], batch_.weight(first_ + r));
    }
  }

  /// Offsets of class k, one per row of packet i.
  EIGEN_ALWAYS_INLINE P pairwise_offset(Index k, int i) const {
    Lanes<Scalar> lanes{};
    for (Index r = 0; r < std::min(width, count_ - i * width); ++r) {
      const Index label = std::max(labels_[i * width + r], Index(0));
      lanes[static_cast<std::size_t>(r)] = parameters_.pairwise[label * parameters_.classes + k];
    }
    return packet::load(lanes.data());
  }

  EIGEN_ALWAYS_INLINE P with_margin(const P& f, Index k, int i) const {
    P u = f;
    if constexpr (Scaled) u = packet::pmul(u, packet::broadcast(parameters_.scale[k]));
    if constexpr (Offset == OffsetKind::per_class) {
      u = packet::padd(u, packet::broadcast(parameters_.offset[k]));
    } else if constexpr (Offset == OffsetKind::pairwise) {
      u = packet::padd(u, pairwise_offset(k, i));
    }
    return u;
  }

  EIGEN_ALWAYS_INLINE void margin_pass(const Scalar* in, Index in_stride, Scalar* out, Index out_stride) {
    P largest[std::size_t(Packets)];
    P zeros = packet::broadcast(Scalar(0));  // NaN once a value was not finite, see MarginPass
    for (P& lanes : largest) lanes = packet::broadcast(-infinity);
    for (Index k = 0; k < parameters_.classes; ++k) {
      for (int i = 0; i < Packets; ++i) {
        const P u = with_margin(load_lanes(in + k * in_stride, i), k, i);
        store_lanes(out + k * out_stride, i, u);
        largest[i] = packet::max(u, largest[i]);
        if constexpr (Smooth) zeros = packet::pmadd(u, packet::broadcast(Scalar(0)), zeros);
      }
    }
    for (int i = 0; i < Packets; ++i) {
      shift_[i] = largest[i];
      if constexpr (Smooth) shift_[i] = packet::max(shift_[i], lanes_of(group_.label_logit, i));
      const P none = packet::pcmp_eq(shift_[i], packet::broadcast(-infinity));
      shift_[i] = packet::pselect(none, packet::broadcast(Scalar(0)), shift_[i]);
    }
    bool labels_finite = true;
    for (Index r = 0; r < count_; ++r) {
      if (labels_[r] < 0) continue;
      const Scalar logit = group_.label_logit[static_cast<std::size_t>(r)];
      out[labels_[r] * out_stride + r] = Smooth ? logit : -infinity;
      labels_finite = labels_finite && std::isfinite(logit);
    }
    if constexpr (Smooth) irregular_ = !labels_finite || !(packet::sum_lanes(zeros) == 0);
  }

  EIGEN_ALWAYS_INLINE void exp_pass(Scalar* out, Index stride) {
    for (int i = 0; i < Packets; ++i) sum_[i] = weighted_[i] = packet::broadcast(Scalar(0));
    for (Index k = 0; k < parameters_.classes; ++k) {
      for (int i = 0; i < Packets; ++i) {
        const P difference = packet::psub(load_lanes(out + k * stride, i), shift_[i]);
        const P power = exp_nonpositive<Scalar>(difference);
        store_lanes(out + k * stride, i, power);
        sum_[i] = packet::padd(power, sum_[i]);
        if constexpr (Smooth) {
          weighted_[i] =
              packet::pmadd(packet::broadcast(-parameters_.smoothing_weights[k]), difference, weighted_[i]);
        }
      }
    }
  }

  /// Losses, and what the gradient is made of, from the sums.
  EIGEN_ALWAYS_INLINE void weigh(Scalar* losses) {
    for (int i = 0; i < Packets; ++i) {
      packet::store(group_.sum.data() + i * width, sum_[i]);
      packet::store(group_.shift.data() + i * width, shift_[i]);
      if constexpr (Smooth) packet::store(group_.smoothed.data() + i * width, weighted_[i]);
    }
    group_.weigh(parameters_, shape_, count_);
    std::copy_n(group_.loss.begin(), count_, losses);
  }

  EIGEN_ALWAYS_INLINE void scale_pass(Scalar* out, Index stride) const {
    P factor[std::size_t(Packets)], weight[std::size_t(Packets)];
    for (int i = 0; i < Packets; ++i) {
      factor[i] = lanes_of(group_.factor, i);
      if constexpr (Smooth) weight[i] = lanes_of(group_.row_weight, i);
    }
    for (Index k = 0; k < parameters_.classes; ++k) {
      for (int i = 0; i < Packets; ++i) {
        P result = packet::pmul(load_lanes(out + k * stride, i), factor[i]);
        if constexpr (Smooth) {
          result = packet::pmadd(packet::broadcast(-parameters_.smoothing_weights[k]), weight[i], result);
        }
        if constexpr (Scaled) result = packet::pmul(result, packet::broadcast(parameters_.scale[k]));
        store_lanes(out + k * stride, i, result);
      }
    }
  }

  /// The label's entry of each row; nothing but zeros where the row is ignored.
  void finish_labels(Scalar* out, Index stride, Scalar* losses) const {
    for (Index r = 0; r < count_; ++r) {
      if (labels_[r] < 0) {
        losses[r] = 0;
        for (Index k = 0; k < parameters_.classes; ++k) out[k * stride + r] = 0;
      } else if (!Smooth) {
        out[labels_[r] * stride + r] = group_.label_gradient[static_cast<std::size_t>(r)];
      } else if (!irregular_) {
        out[labels_[r] * stride + r] += group_.label_gradient[static_cast<std::size_t>(r)];
      }
    }
  }

  const SoftmaxParameters<Scalar>& parameters_;
  const Shape& shape_;
  const SoftmaxBatch<Scalar>& batch_;
  const Index* labels_;
  Index first_;  // row of the batch
  Index count_;
  bool irregular_ = false;  // smoothing, and a logit that is not finite
  P shift_[std::size_t(Packets)];
  P sum_[std::size_t(Packets)];
  P weighted_[std::size_t(Packets)];
  SoftmaxGroup<Scalar, Shape, Scaled, Smooth, int(rows)> group_;
};

}  // namespace ballast::detail
