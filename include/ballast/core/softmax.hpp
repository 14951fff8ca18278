// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/exp.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast {

namespace detail {

/// Largest and sum of exp(u - largest) over a line in lanes, kept together as the line is read once. Lanes of
/// -inf alone have largest -inf and sum 0.
template <typename Scalar>
struct OnlineSoftmax {
  using P = Packet<Scalar>;
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

  P largest = packet::broadcast(-infinity);
  P sum = packet::broadcast(Scalar(0));

  /// What exponents are taken against: the largest, or 0 where nothing is larger than -inf.
  [[nodiscard]] P shift() const {
    return packet::pselect(packet::pcmp_eq(largest, packet::broadcast(-infinity)),
                           packet::broadcast(Scalar(0)), largest);
  }
  /// Takes in `count` packets.
  template <typename Load>
  EIGEN_ALWAYS_INLINE void add(int count, const Load& load) {
    P most = largest;
    for (int i = 0; i < count; ++i) most = packet::max(load(i), most);
    const P before = largest;
    largest = most;
    const P against = shift();
    sum = packet::pmul(sum, exp_nonpositive<Scalar>(packet::psub(before, against)));
    for (int i = 0; i < count; ++i) {
      sum = packet::padd(sum, exp_nonpositive<Scalar>(packet::psub(load(i), against)));
    }
  }
};

/// log(sum) + largest, which is -inf where there is nothing but -inf.
template <typename Scalar>
Scalar log_sum(Scalar largest, Scalar sum) {
  return largest == -std::numeric_limits<Scalar>::infinity() && sum == 0 ? largest : largest + std::log(sum);
}

/// Largest and sum of exp(u - largest) of a contiguous line.
template <typename Scalar>
void softmax_of_line(const Scalar* line, Index size, Scalar& largest, Scalar& sum) {
  constexpr Index width = packet_size<Scalar>;
  constexpr int unrolled = 8;
  OnlineSoftmax<Scalar> lanes;
  Index at = 0;
  for (; at + unrolled * width <= size; at += unrolled * width) {
    lanes.add(unrolled, [&](int i) { return packet::load(line + at + i * width); });
  }
  for (; at + width <= size; at += width) {
    lanes.add(1, [&](int) { return packet::load(line + at); });
  }
  if (at < size) {
    const auto rest = packet::load_first(line + at, size - at, -OnlineSoftmax<Scalar>::infinity);
    lanes.add(1, [&](int) { return rest; });
  }
  // Lanes into one; a lane of NaN has a sum of NaN, whatever its largest.
  Lanes<Scalar> largests, sums;
  packet::store(largests.data(), lanes.largest);
  packet::store(sums.data(), lanes.sum);
  largest = packet::max_lane(lanes.largest);
  const Scalar against = largest == -OnlineSoftmax<Scalar>::infinity ? Scalar(0) : largest;
  sum = 0;
  for (std::size_t i = 0; i < sums.size(); ++i) sum += sums[i] * std::exp(largests[i] - against);
}

/// out = exp(in - shift) * factor along a contiguous line.
template <typename Scalar>
void exp_of_line(const Scalar* in, Index size, Scalar shift, Scalar factor, Scalar* out) {
  constexpr Index width = packet_size<Scalar>;
  const auto apply = [&](const Packet<Scalar>& u) {
    return packet::pmul(exp_nonpositive<Scalar>(packet::psub(u, packet::broadcast(shift))),
                        packet::broadcast(factor));
  };
  Index at = 0;
  for (; at + width <= size; at += width) packet::store(out + at, apply(packet::load(in + at)));
  if (at < size) {
    packet::store_first(out + at, apply(packet::load_first(in + at, size - at, Scalar(0))), size - at);
  }
}

/// The same down the contiguous columns of a strip, a lane per row: `count` rows, at most a packet of them.
template <typename Scalar>
OnlineSoftmax<Scalar> softmax_of_strip(const Scalar* first, Index stride, Index classes, Index count) {
  constexpr int unrolled = 8;
  const auto load = [&](Index k) {
    const Scalar* lanes = first + k * stride;
    return count < packet_size<Scalar> ? packet::load_first(lanes, count, Scalar(0)) : packet::load(lanes);
  };
  OnlineSoftmax<Scalar> result;
  Index k = 0;
  for (; k + unrolled <= classes; k += unrolled) {
    result.add(unrolled, [&](int i) { return load(k + i); });
  }
  for (; k < classes; ++k) result.add(1, [&](int) { return load(k); });
  return result;
}

/// Rows in a unit of parallel work; whole packets, independent of the number of threads.
template <typename Scalar>
Blocks softmax_blocks(Index rows) {
  return Blocks(rows, 64, 4 * packet_size<Scalar>);
}

template <typename Scalar, int Order>
void log_sum_exp_kernel(const MatrixView<const Scalar, Order>& logits, Scalar* result) {
  const Blocks blocks = softmax_blocks<Scalar>(logits.rows);
  parallel_for(blocks.count(), logits.rows * logits.cols, [&](Index block) {
    if constexpr (Order == Eigen::RowMajor) {
      for (Index row = blocks.begin(block); row < blocks.end(block); ++row) {
        Scalar largest, sum;
        softmax_of_line(logits.line(row), logits.cols, largest, sum);
        result[row] = log_sum(largest, sum);
      }
    } else {
      for (Index row = blocks.begin(block); row < blocks.end(block); row += packet_size<Scalar>) {
        const Index count = std::min(packet_size<Scalar>, blocks.end(block) - row);
        const auto strip = softmax_of_strip(logits.data + row, logits.stride, logits.cols, count);
        Lanes<Scalar> largest, sum;
        packet::store(largest.data(), strip.largest);
        packet::store(sum.data(), strip.sum);
        for (std::size_t r = 0; r < static_cast<std::size_t>(count); ++r) {
          result[row + static_cast<Index>(r)] = log_sum(largest[r], sum[r]);
        }
      }
    }
  });
}

template <typename Scalar, int Order>
void softmax_kernel(const MatrixView<const Scalar, Order>& logits, const MatrixView<Scalar, Order>& result) {
  constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();
  const Blocks blocks = softmax_blocks<Scalar>(logits.rows);
  parallel_for(blocks.count(), logits.rows * logits.cols, [&](Index block) {
    if constexpr (Order == Eigen::RowMajor) {
      for (Index row = blocks.begin(block); row < blocks.end(block); ++row) {
        Scalar largest, sum;
        softmax_of_line(logits.line(row), logits.cols, largest, sum);
        exp_of_line(logits.line(row), logits.cols, largest == -infinity ? Scalar(0) : largest, 1 / sum,
                    result.line(row));
      }
    } else {
      for (Index row = blocks.begin(block); row < blocks.end(block); row += packet_size<Scalar>) {
        const Index count = std::min(packet_size<Scalar>, blocks.end(block) - row);
        const auto strip = softmax_of_strip(logits.data + row, logits.stride, logits.cols, count);
        const auto inverse = packet::pdiv(packet::broadcast(Scalar(1)), strip.sum);
        const auto shift = strip.shift();
        for (Index k = 0; k < logits.cols; ++k) {
          const Scalar* in = logits.line(k) + row;
          Scalar* out = result.line(k) + row;
          const bool whole = count == packet_size<Scalar>;
          const auto u = whole ? packet::load(in) : packet::load_first(in, count, Scalar(0));
          const auto p = packet::pmul(exp_nonpositive<Scalar>(packet::psub(u, shift)), inverse);
          if (whole) {
            packet::store(out, p);
          } else {
            packet::store_first(out, p, count);
          }
        }
      }
    }
  });
}

}  // namespace detail

/// p_ik = exp(f_ik) / sum_j exp(f_ij): softmax of every row, shifted by the row's largest, so that it neither
/// overflows nor loses small probabilities. A logit of -inf has probability exactly 0; +inf or NaN, or
/// nothing but -inf, makes its row NaN and touches no other.
///
/// O(rows * columns), no allocation; with OpenMP on, large matrices are split over threads, to the same bits
/// for any number of them. For the softmax of columns pass transposes.
///
/// @param logits         samples x classes, stored, of either order
/// @param probabilities  of the same shape and storage order, overwritten; may be the logits themselves
/// @throws std::invalid_argument if the shapes differ; nothing is then written
template <typename Logits, typename Probabilities>
void softmax(const Eigen::MatrixBase<Logits>& logits, Probabilities&& probabilities) {
  using Scalar = typename Logits::Scalar;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: softmax: Scalar is float or double");
  detail::assert_same_order<Logits, Probabilities>();
  detail::require_shape("softmax", "probabilities", probabilities, logits.rows(), logits.cols());
  detail::softmax_kernel(detail::view<Scalar>(logits), detail::mutable_view<Scalar>(probabilities));
}

/// log sum_k exp(f_ik) of every row, by the same arithmetic. A row of nothing but -inf, or of no class, gives
/// -inf; +inf or NaN gives NaN. Cost, threads and columns as softmax.
///
/// @param logits  samples x classes, stored, of either order
/// @param result  a vector, one per row, overwritten
/// @throws std::invalid_argument if result has another size; nothing is then written
template <typename Logits, typename Result>
void log_sum_exp(const Eigen::MatrixBase<Logits>& logits, Result&& result) {
  using Scalar = typename Logits::Scalar;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: log_sum_exp: Scalar is float or double");
  static_assert(std::decay_t<Result>::IsVectorAtCompileTime, "ballast: log_sum_exp: the result is a vector");
  detail::require_size("log_sum_exp", "result", result.size(), logits.rows(), "rows");
  detail::log_sum_exp_kernel(detail::view<Scalar>(logits), detail::mutable_view<Scalar>(result).data);
}

}  // namespace ballast
