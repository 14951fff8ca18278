// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/packet.hpp>
#include <ballast/core/softmax_passes.hpp>
#include <ballast/core/types.hpp>
#include <ballast/losses/softmax_kernel.hpp>
#include <ballast/losses/softmax_outcome.hpp>

namespace ballast::detail {

/// Value and gradient of contiguous rows against hard labels, as a pipeline: one loop takes the margin and
/// the largest of a row, exponentiates the row before it, and scales a row of the group before that. What is
/// one number per row is computed a group at a time.
///
/// The gradient's rows are the only workspace. They hold u, then exp(u - shift), then the gradient; the
/// label's own entry is taken out between the first two (exp(-inf) = 0), see softmax_outcome. With smoothing
/// it stays in: the loss has a term for every class then, and there is nothing small to keep.
///
/// @tparam Smooth  smoothing; for cross-entropy alone
template <typename Scalar, typename Shape, bool Scaled, bool Smooth>
class SoftmaxRowPipeline {
 public:
  /// @param losses  the loss of each row, without its weight
  SoftmaxRowPipeline(const SoftmaxParameters<Scalar>& parameters, const Shape& shape,
                     const SoftmaxBatch<Scalar>& batch, Scalar* losses)
      : parameters_(parameters),
        shape_(shape),
        batch_(batch),
        losses_(losses),
        packets_(parameters.classes),
        long_rows_(parameters.classes * Index(sizeof(Scalar)) >= 2048),
        log_size_(log_group_size(parameters.classes)),
        group_size_(Index(1) << log_size_) {}

  [[gnu::noinline]] void run(Index rows) {
    const Index active = take_active(rows);
    for (Index i = -1; i < active + group_size_; ++i) {
      const Index before = i - group_size_;  // its group is complete
      if (i >= 0 && i + 1 < active && before >= 0 && regular(i) && regular(before)) {
        Margin margin = margin_pass(i + 1, std::min(i + 2, active - 1));
        Exp exp = exp_pass(i);
        Scale scale = scale_pass(before);
        packets_.run(margin, exp, scale);
        end(margin, i + 1);
        end(exp, i);
        end(scale, before);
      } else {
        // The ends of the pipeline: each pass by itself.
        if (i + 1 < active) run_margin(i + 1);
        if (i >= 0 && i < active && regular(i)) run_exp(i);
        if (before >= 0 && regular(before)) run_scale(before);
      }
      if (i >= 0 && i < active && (slot(i + 1) == 0 || i + 1 == active)) end_group(i);
    }
  }

 private:
  using Margin = MarginPass<Scalar, Scaled, Smooth>;
  using Exp = ExpPass<Scalar, Smooth>;
  using Scale = ScalePass<Scalar, Scaled, Smooth>;
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();
  static constexpr int capacity = 16;
  using Group = SoftmaxGroup<Scalar, Shape, Scaled, Smooth, capacity>;

  /// A power of 2. A group's rows stay in the first-level cache until they are scaled.
  static int log_group_size(Index classes) {
    constexpr Index cached = 8192 / Index(sizeof(Scalar));
    int log_size = 0;
    while ((2 << log_size) <= capacity && (classes << (log_size + 1)) <= cached) ++log_size;
    return log_size;
  }

  /// Lists the rows that have a label, zeroes the gradient of the others.
  Index take_active(Index rows) {
    Index active = 0;
    for (Index row = 0; row < rows; ++row) {
      if (batch_.labels[row] >= 0) {
        rows_[static_cast<std::size_t>(active++)] = static_cast<std::int32_t>(row);
      } else {
        losses_[row] = 0;
        std::fill_n(&batch_.gradient(row, 0), parameters_.classes, Scalar(0));
      }
    }
    return active;
  }

  Index row(Index i) const { return rows_[static_cast<std::size_t>(i)]; }
  Index label(Index i) const { return batch_.labels[row(i)]; }
  Scalar* data(Index i) const { return &batch_.gradient(row(i), 0); }
  /// Groups in turn: that of the rows being scaled, and that of the rows being exponentiated. A row's margin
  /// may be the first of the next, which is by then done with.
  Group& group(Index i) { return groups_[static_cast<std::size_t>((i >> log_size_) & 3)]; }
  std::size_t slot(Index i) const { return static_cast<std::size_t>(i & (group_size_ - 1)); }
  bool regular(Index i) { return !Smooth || group(i).shift[slot(i)] < infinity; }

  [[gnu::noinline]] void run_margin(Index i) {
    Margin pass = margin_pass(i, i);
    packets_.run(pass);
    end(pass, i);
  }
  [[gnu::noinline]] void run_exp(Index i) {
    Exp pass = exp_pass(i);
    packets_.run(pass);
    end(pass, i);
  }
  [[gnu::noinline]] void run_scale(Index i) {
    Scale pass = scale_pass(i);
    packets_.run(pass);
    end(pass, i);
  }

  EIGEN_ALWAYS_INLINE Margin margin_pass(Index i, Index ahead) {
    group(i).set(i & (group_size_ - 1), parameters_, label(i), batch_.logits(row(i), label(i)),
                 batch_.weight(row(i)));
    const Scalar* offset = parameters_.pairwise != nullptr
                               ? parameters_.pairwise + label(i) * parameters_.classes
                               : parameters_.offset;
    return Margin(packets_, &batch_.logits(row(i), 0), data(i), {parameters_.scale, offset},
                  long_rows_ ? &batch_.logits(row(ahead), 0) : nullptr, data(ahead));
  }

  EIGEN_ALWAYS_INLINE void end(Margin& pass, Index i) {
    const Scalar label_logit = group(i).label_logit[slot(i)];
    Scalar& shift = group(i).shift[slot(i)];
    shift = pass.finish();
    data(i)[label(i)] = Smooth ? label_logit : -infinity;
    if constexpr (Smooth) {
      shift = std::max(shift, label_logit);
      if (!pass.all_finite() || !std::isfinite(label_logit)) {
        // Smoothing over a masked class, or a row that is to be NaN: the general kernel goes on from u.
        losses_[row(i)] = softmax_after_margin(parameters_, shape_, label(i),
                                               static_cast<Scalar>(batch_.weight(row(i))), data(i), Index(1));
        shift = infinity;
      }
    }
    if (shift == -infinity) shift = 0;
  }

  EIGEN_ALWAYS_INLINE Exp exp_pass(Index i) {
    return Exp(packets_, data(i), group(i).shift[slot(i)], parameters_.smoothing_weights);
  }

  EIGEN_ALWAYS_INLINE void end(Exp& pass, Index i) {
    group(i).sum[slot(i)] = pass.finish();
    if constexpr (Smooth) group(i).smoothed[slot(i)] = pass.weighted();
  }

  /// Row i was the last of its group.
  void end_group(Index i) {
    const Index count = (i & (group_size_ - 1)) + 1;
    group(i).weigh(parameters_, shape_, count);
    for (Index j = i + 1 - count; j <= i; ++j) {
      if (regular(j)) losses_[row(j)] = group(j).loss[slot(j)];
    }
  }

  EIGEN_ALWAYS_INLINE Scale scale_pass(Index i) {
    return Scale(packets_, data(i), group(i).factor[slot(i)], parameters_.scale, group(i).row_weight[slot(i)],
                 parameters_.smoothing_weights);
  }

  EIGEN_ALWAYS_INLINE void end(Scale& pass, Index i) {
    pass.finish();
    const Scalar gradient = group(i).label_gradient[slot(i)];
    if constexpr (Smooth) {
      data(i)[label(i)] += gradient;
    } else {
      data(i)[label(i)] = gradient;
    }
  }

  const SoftmaxParameters<Scalar>& parameters_;
  const Shape& shape_;
  const SoftmaxBatch<Scalar>& batch_;
  Scalar* losses_;
  RowPackets<Scalar> packets_;
  bool long_rows_;  // worth asking for in advance
  int log_size_;
  Index group_size_;
  std::array<Group, 4> groups_;
  std::array<std::int32_t, std::size_t(softmax_block_rows)> rows_;  // those with a label
};

}  // namespace ballast::detail
