// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast::detail {

/// Transposes a square of packets: `Lanes` columns of `from` become that many rows of `to`. The first
/// argument only names the packet type (deduced: named in a template argument it draws a warning from g++).
template <int Lanes, typename Packet, typename Scalar>
void transpose_tile(const Packet&, const Scalar* from, Index from_stride, Scalar* to, Index to_stride) {
  namespace packet = Eigen::internal;
  packet::PacketBlock<Packet, Lanes> tile;
  for (Index i = 0; i < Lanes; ++i) tile.packet[i] = packet::ploadu<Packet>(from + i * from_stride);
  packet::ptranspose(tile);
  for (Index i = 0; i < Lanes; ++i) packet::pstoreu(to + i * to_stride, tile.packet[i]);
}

/// rows = the transpose of `columns` (count x cols, column-major), packed; by tiles of packets where the
/// types are the same.
template <typename Value, typename Scalar>
void transpose_strip(const Scalar* columns, Index stride, Index count, Index cols, Value* rows) {
  Index col = 0;
  if constexpr (std::is_same_v<Value, Scalar>) {
    using Packet = typename Eigen::internal::packet_traits<Scalar>::type;
    constexpr int lanes = Eigen::internal::packet_traits<Scalar>::size;
    const Packet zero = Eigen::internal::pset1<Packet>(Scalar(0));
    for (; count == lanes && col + lanes <= cols; col += lanes) {
      transpose_tile<lanes>(zero, columns + col * stride, stride, rows + col, cols);
    }
  }
  for (; col < cols; ++col) {
    for (Index i = 0; i < count; ++i) rows[i * cols + col] = static_cast<Value>(columns[col * stride + i]);
  }
}

/// Calls body(row, values) for every row in order, `values` the row's contiguous coefficients as `Value`.
/// Fits and measures, which are not in a training step, so have one kernel for both storage orders, and in
/// double for every scalar. Copies what is not row-major in that type, a strip of rows at a time that is one
/// packet high: about a cache line of each column, which is not needed again. Reads the matrix once.
template <typename Value = double, typename Scalar, int Order, typename Body>
void for_each_row(const MatrixView<const Scalar, Order>& matrix, const Body& body) {
  if constexpr (Order == Eigen::RowMajor && std::is_same_v<Scalar, Value>) {
    for (Index i = 0; i < matrix.rows; ++i) body(i, matrix.line(i));
  } else if constexpr (Order == Eigen::RowMajor) {
    VectorX<Value> row(matrix.cols);
    for (Index i = 0; i < matrix.rows; ++i) {
      for (Index k = 0; k < matrix.cols; ++k) row[k] = static_cast<Value>(matrix.line(i)[k]);
      body(i, row.data());
    }
  } else {
    constexpr Index strip = std::max<Index>(4, Eigen::internal::packet_traits<Scalar>::size);
    RowMatrixX<Value> rows(strip, matrix.cols);
    for (Index begin = 0; begin < matrix.rows; begin += strip) {
      const Index count = std::min(strip, matrix.rows - begin);
      transpose_strip(matrix.data + begin, matrix.stride, count, matrix.cols, rows.data());
      for (Index i = 0; i < count; ++i) body(begin + i, rows.data() + i * matrix.cols);
    }
  }
}

}  // namespace ballast::detail
