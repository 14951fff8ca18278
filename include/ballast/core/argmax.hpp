// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/prefetch.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast {

/// What a row without an answer is given, as the label type holds it (an unsigned type: its largest value).
/// No range of classes contains it, so that whatever counts predictions refuses it.
inline constexpr Index no_prediction = -1;

namespace detail {

/// The rule, one score after another; `stride` is between scores of a row.
template <typename Scalar>
Index argmax_of(const Scalar* scores, Index stride, const Scalar* offset, Index size) {
  Scalar best = -std::numeric_limits<Scalar>::infinity();
  Index position = no_prediction;
  for (Index k = 0; k < size; ++k) {
    const Scalar score = offset == nullptr ? scores[k * stride] : scores[k * stride] + offset[k];
    if (score != score) return no_prediction;
    if (score > best) {
      best = score;
      position = k;
    }
  }
  return position;
}

/// Running maximum of each lane with the position where it first stood, held as a Scalar (exact up to
/// 2^digits). The sum of the scores is NaN if one of them is (or if +inf meets -inf, which the slow path
/// then tells apart): one addition instead of a test.
template <typename Scalar>
struct LaneMaxima {
  Packet<Scalar> best = packet::broadcast(-std::numeric_limits<Scalar>::infinity());
  Packet<Scalar> position = packet::broadcast(Scalar(0));
  Packet<Scalar> sum = packet::broadcast(Scalar(0));

  void update(const Packet<Scalar>& score, const Packet<Scalar>& at) {
    position = packet::pselect(packet::pcmp_lt(best, score), at, position);
    best = packet::max(best, score);
    sum = packet::padd(sum, score);
  }
};

template <typename Scalar, bool HasOffset>
Index argmax_of_line(const Scalar* scores, const Scalar* offset, Index size) {
  constexpr Index lanes = packet_size<Scalar>;
  constexpr Index ahead = 2048 / Index(sizeof(Scalar));  // hardware prefetch stops at the end of a page
  if (size < lanes) return argmax_of(scores, Index(1), offset, size);

  const auto score = [&](Index k) {
    const Packet<Scalar> raw = packet::load(scores + k);
    if constexpr (HasOffset)
      return packet::padd(raw, packet::load(offset + k));
    else
      return raw;
  };
  LaneMaxima<Scalar> m0, m1, m2, m3;
  Index k = 0;
  for (; k + 4 * lanes <= size; k += 4 * lanes) {
    const Packet<Scalar> at =
        packet::broadcast(static_cast<Scalar>(k));  // m1 .. m3: of the group, not the packet
    for (Index line = 0; line < 4; ++line) prefetch(scores + k + ahead + line * lanes);
    m0.update(score(k), at);
    m1.update(score(k + lanes), at);
    m2.update(score(k + 2 * lanes), at);
    m3.update(score(k + 3 * lanes), at);
  }
  for (; k + lanes <= size; k += lanes) m0.update(score(k), packet::broadcast(static_cast<Scalar>(k)));
  // The last packet overlaps the one before: a score met twice has the same position both times.
  if (k < size) m0.update(score(size - lanes), packet::broadcast(static_cast<Scalar>(size - lanes)));

  const Scalar sum =
      packet::sum_lanes(packet::padd(packet::padd(m0.sum, m1.sum), packet::padd(m2.sum, m3.sum)));
  if (sum != sum) return argmax_of(scores, Index(1), offset, size);
  const Scalar best =
      packet::max_lane(packet::max(packet::max(m0.best, m1.best), packet::max(m2.best, m3.best)));
  if (best == -std::numeric_limits<Scalar>::infinity()) return no_prediction;

  const Packet<Scalar> all_best = packet::broadcast(best);
  const Packet<Scalar> nowhere = packet::broadcast(std::numeric_limits<Scalar>::max());
  const auto first = [&](const LaneMaxima<Scalar>& m, Index group_offset) {
    const Packet<Scalar> position =
        packet::padd(m.position, packet::count_from(static_cast<Scalar>(group_offset)));
    return packet::pselect(packet::pcmp_eq(m.best, all_best), position, nowhere);
  };
  return static_cast<Index>(packet::min_lane(packet::min(
      packet::min(first(m0, 0), first(m1, lanes)), packet::min(first(m2, 2 * lanes), first(m3, 3 * lanes)))));
}

/// Rows of a column-major matrix, a row per lane: a few columns are read for each visit of the running
/// maxima, which stay in L1.
template <typename Scalar, bool HasOffset>
void argmax_of_columns(const MatrixView<const Scalar, Eigen::ColMajor>& scores, const Scalar* offset,
                       Index* positions) {
  constexpr Index lanes = packet_size<Scalar>;
  constexpr Index strip = 512, columns = 8;
  alignas(64) Scalar best[strip];
  alignas(64) Scalar position[strip];
  alignas(64) Scalar sum[strip];

  for (Index begin = 0; begin < scores.rows; begin += strip) {
    const Index rows = std::min(strip, scores.rows - begin);
    const Index packed = rows / lanes * lanes;
    const auto visit = [&](Index row, Index col, auto count) {
      LaneMaxima<Scalar> maxima;
      if (col > 0) {
        maxima.best = packet::load(best + row);
        maxima.position = packet::load(position + row);
        maxima.sum = packet::load(sum + row);
      }
      for (Index k = col; k < col + count; ++k) {
        prefetch(scores.line(k + columns) + begin + row);
        Packet<Scalar> score = packet::load(scores.line(k) + begin + row);
        if constexpr (HasOffset) score = packet::padd(score, packet::broadcast(offset[k]));
        maxima.update(score, packet::broadcast(static_cast<Scalar>(k)));
      }
      packet::store(best + row, maxima.best);
      packet::store(position + row, maxima.position);
      packet::store(sum + row, maxima.sum);
    };
    Index col = 0;
    for (; col + columns <= scores.cols; col += columns) {
      for (Index row = 0; row < packed; row += lanes)
        visit(row, col, std::integral_constant<Index, columns>());
    }
    for (; col < scores.cols; ++col) {
      for (Index row = 0; row < packed; row += lanes) visit(row, col, std::integral_constant<Index, 1>());
    }
    for (Index row = 0; row < rows; ++row) {
      Index& answer = positions[begin + row];
      if (row >= packed || sum[row] != sum[row]) {
        answer = argmax_of(scores.data + begin + row, scores.stride, offset, scores.cols);
      } else {
        const bool none = best[row] == -std::numeric_limits<Scalar>::infinity();
        answer = none ? no_prediction : static_cast<Index>(position[row]);
      }
    }
  }
}

/// positions[i] = argmax_k scores(i, k) + offset[k]; `offset` may be null.
template <typename Scalar, int Order>
void argmax_rows(const MatrixView<const Scalar, Order>& scores, const Scalar* offset, Index* positions) {
  if (scores.cols > Index(1) << std::numeric_limits<Scalar>::digits) {
    for (Index i = 0; i < scores.rows; ++i) {
      positions[i] =
          argmax_of(&scores(i, 0), scores.row_major ? Index(1) : scores.stride, offset, scores.cols);
    }
  } else if constexpr (Order == Eigen::RowMajor) {
    for (Index i = 0; i < scores.rows; ++i) {
      positions[i] = offset == nullptr ? argmax_of_line<Scalar, false>(scores.line(i), offset, scores.cols)
                                       : argmax_of_line<Scalar, true>(scores.line(i), offset, scores.cols);
    }
  } else {
    offset == nullptr ? argmax_of_columns<Scalar, false>(scores, offset, positions)
                      : argmax_of_columns<Scalar, true>(scores, offset, positions);
  }
}

template <typename Predictions>
void require_predictions(const char* function, const Predictions& predictions, Index samples, Index classes) {
  using Label = typename Predictions::Scalar;
  assert_label_type<Predictions>();
  require_size(function, "predictions", predictions.size(), samples, "samples");
  require(static_cast<std::uintmax_t>(classes - 1) <=
              static_cast<std::uintmax_t>(std::numeric_limits<Label>::max()),
          function, "predictions cannot hold class ", classes - 1, ", expected a larger integer type");
}

/// Checks, cuts into strips of rows, and writes labels of the caller's type.
template <typename Scalar, int Order, typename Predictions>
void predict_rows(const char* function, const MatrixView<const Scalar, Order>& scores, const Scalar* offset,
                  Predictions& predictions) {
  using Label = typename Predictions::Scalar;
  require(scores.cols >= 1, function, "scores has no column, expected at least one class");
  require_predictions(function, predictions, scores.rows, scores.cols);
  constexpr Index strip = 512;
  parallel_for((scores.rows + strip - 1) / strip, scores.rows * scores.cols, [&](Index block) {
    Index positions[strip];
    const Index begin = block * strip, rows = std::min(strip, scores.rows - begin);
    argmax_rows(MatrixView<const Scalar, Order>{&scores(begin, 0), rows, scores.cols, scores.stride}, offset,
                positions);
    for (Index i = 0; i < rows; ++i) predictions.coeffRef(begin + i) = static_cast<Label>(positions[i]);
  });
}

}  // namespace detail

/// The class of the largest score of each row: argmax_k scores(i, k).
///
/// Of equal scores the first. A row that holds a NaN, or nothing above -inf, has no answer and gets
/// `no_prediction`; a score of -inf is never chosen, +inf may be. O(samples classes), vectorised in both
/// storage orders, no allocation.
/// @param scores       samples x classes (logits, probabilities, similarities)
/// @param predictions  one per sample, any integral vector that can hold classes - 1; overwritten
/// @throws std::invalid_argument if the size or the integer type of `predictions` does not fit
template <typename Scores, typename Predictions>
void argmax_rows(const Eigen::MatrixBase<Scores>& scores, Predictions&& predictions) {
  using Scalar = typename Scores::Scalar;
  detail::predict_rows<Scalar>("argmax_rows", detail::view<Scalar>(scores), nullptr, predictions);
}

}  // namespace ballast
