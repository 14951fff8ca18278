// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/packet.hpp>
#include <ballast/core/types.hpp>
#include <ballast/losses/shapes.hpp>
#include <ballast/losses/softmax_kernel.hpp>
#include <ballast/losses/softmax_rows.hpp>
#include <ballast/losses/softmax_strips.hpp>

/// A block of rows through the kernel that suits it: pipelined rows where a row is contiguous and long,
/// strips where a column is contiguous or the rows are short, the general kernel for everything that is not a
/// hard label with a gradient.
namespace ballast::detail {

/// Rows shorter than this are transposed into strips. The transposed strip is on the stack.
inline constexpr Index softmax_short_row = 17;

template <typename Scalar, typename Shape>
class SoftmaxBlock {
 public:
  SoftmaxBlock(const SoftmaxParameters<Scalar>& parameters, const Shape& shape,
               const SoftmaxBatch<Scalar>& batch, Index rows)
      : parameters_(parameters), shape_(shape), batch_(batch), rows_(rows) {}

  /// Writes gradients and values, returns the weighted sum of the losses.
  double run() {
    const bool hard = batch_.distributions.data == nullptr && batch_.other_labels == nullptr;
    constexpr bool smoothable = std::is_same_v<Shape, CrossEntropy>;
    if (!hard || !parameters_.labels_stay_in_range || (parameters_.smoothing > 0 && !smoothable)) {
      return general();
    }
    if (batch_.gradient.data == nullptr) return value_alone();
    if (parameters_.scale != nullptr) {
      with_scale<true>();
    } else {
      with_scale<false>();
    }
    return total();
  }

 private:
  static constexpr Index width = packet_size<Scalar>;

  [[gnu::noinline]] double general() const {
    double total = 0;
    for (Index row = 0; row < rows_; ++row) total += softmax_row(parameters_, shape_, batch_, row);
    return total;
  }

  /// A value alone: with a gradient that goes to the stack, a few rows at a time.
  [[gnu::noinline]] double value_alone() const {
    std::array<Scalar, 16384> gradient;
    const Index rows = Index(gradient.size()) / parameters_.classes / width * width;
    if (rows == 0) return general();
    double total = 0;
    for (Index row = 0; row < rows_; row += rows) {
      SoftmaxBatch<Scalar> part = batch_.from(row);
      part.labels = batch_.labels + row;
      part.gradient.data = gradient.data();
      part.gradient.row_stride = part.logits.col_stride == 1 ? parameters_.classes : 1;
      part.gradient.col_stride = part.logits.col_stride == 1 ? 1 : rows;
      total += SoftmaxBlock(parameters_, shape_, part, std::min(rows, rows_ - row)).run();
    }
    return total;
  }

  template <bool Scaled>
  void with_scale() {
    if (parameters_.pairwise != nullptr) {
      with_offset<Scaled, OffsetKind::pairwise>();
    } else {
      with_offset<Scaled, OffsetKind::per_class>();
    }
  }

  template <bool Scaled, OffsetKind Offset>
  void with_offset() {
    if constexpr (std::is_same_v<Shape, CrossEntropy>) {
      if (parameters_.smoothing > 0) return with_smoothing<Scaled, Offset, true>();
    }
    with_smoothing<Scaled, Offset, false>();
  }

  template <bool Scaled, OffsetKind Offset, bool Smooth>
  void with_smoothing() {
    const bool columns = batch_.logits.row_stride == 1 && batch_.gradient.row_stride == 1;
    const bool rows_contiguous = batch_.logits.col_stride == 1 && batch_.gradient.col_stride == 1;
    if (rows_contiguous && parameters_.classes >= std::max(softmax_short_row, width)) {
      SoftmaxRowPipeline<Scalar, Shape, Scaled, Smooth>(parameters_, shape_, batch_, losses_.data())
          .run(rows_);
      return;
    }
    Index row = 0;
    constexpr int strip_packets = Offset == OffsetKind::per_class ? 4 : 1;
    for (; row + strip_packets * width <= rows_; row += strip_packets * width) {
      strip<Scaled, Offset, Smooth, strip_packets>(row, strip_packets * width, columns);
    }
    for (; row < rows_; row += width) {
      strip<Scaled, Offset, Smooth, 1>(row, std::min(width, rows_ - row), columns);
    }
  }

  template <bool Scaled, OffsetKind Offset, bool Smooth, int Packets>
  void strip(Index row, Index count, bool columns) {
    using Strip = SoftmaxStrip<Scalar, Shape, Scaled, Offset, Smooth, Packets>;
    Strip strip(parameters_, shape_, batch_, row, count);
    Scalar* losses = losses_.data() + row;
    if (columns) {
      strip.run(&batch_.logits(row, 0), batch_.logits.col_stride, &batch_.gradient(row, 0),
                batch_.gradient.col_stride, losses);
      return;
    }
    std::array<Scalar, std::size_t(Strip::rows * std::max(softmax_short_row, width))> tile;
    packet::transpose(&batch_.logits(row, 0), batch_.logits.row_stride, count, parameters_.classes,
                      tile.data(), Strip::rows);
    strip.run(tile.data(), Strip::rows, tile.data(), Strip::rows, losses);
    packet::transpose(tile.data(), Strip::rows, parameters_.classes, count, &batch_.gradient(row, 0),
                      batch_.gradient.row_stride);
  }

  /// Weighted sum of the losses, those of ignored rows being 0.
  double total() const {
    double sums[4] = {0, 0, 0, 0};  // one running sum would wait for each addition
    for (Index row = 0; row < rows_; ++row) {
      const double loss = static_cast<double>(losses_[static_cast<std::size_t>(row)]);
      const double weighted = batch_.weight(row) * loss;
      if (batch_.values != nullptr) batch_.values[row] = static_cast<Scalar>(weighted);
      sums[row % 4] += weighted;
    }
    const double total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    return std::isnan(total) ? careful_total() : total;
  }

  /// The same where some loss is not finite: a weight of 0 silences an infinite one.
  [[gnu::noinline]] double careful_total() const {
    double total = 0;
    for (Index row = 0; row < rows_; ++row) {
      const double loss = static_cast<double>(losses_[static_cast<std::size_t>(row)]);
      const double weighted = weighted_loss(batch_.weight(row), loss);
      if (batch_.values != nullptr) batch_.values[row] = static_cast<Scalar>(weighted);
      total += weighted;
    }
    return total;
  }

  const SoftmaxParameters<Scalar>& parameters_;
  const Shape& shape_;
  const SoftmaxBatch<Scalar>& batch_;
  Index rows_;
  std::array<Scalar, std::size_t(softmax_block_rows)> losses_;
};

}  // namespace ballast::detail
