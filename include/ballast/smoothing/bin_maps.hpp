// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/packet.hpp>
#include <ballast/core/types.hpp>
#include <ballast/smoothing/unroll.hpp>

namespace ballast::detail {

/// One D x D matrix per bin, to be applied to a few rows at a time: X A. Kept as panels of columns, each
/// contiguous in the order in which the product reads it, so that a batch packs nothing.
template <typename Scalar>
class BinMaps {
 public:
  /// Columns in a panel, and rows that go through it together: what the registers hold.
  static constexpr Index panel = 2 * packet_size<Scalar>;
  static constexpr int rows = sizeof(Packet<Scalar>) == 64 ? 8 : 4;

  void resize(Index bins, Index dimension) {
    dimension_ = dimension;
    panels_ = (dimension + panel - 1) / panel;
    values_.setZero(bins * panels_ * dimension, panel);
  }

  void set(Index bin, const Eigen::MatrixXd& matrix) {
    for (Index p = 0; p < panels_; ++p) {
      const Index cols = std::min(panel, dimension_ - p * panel);
      values_.block(first(bin, p), 0, dimension_, cols) =
          matrix.middleCols(p * panel, cols).template cast<Scalar>();
    }
  }

  [[nodiscard]] Index panels() const { return panels_; }

  /// The columns of X A that panel p holds.
  /// @param x       dimension x `rows`: the rows of X side by side
  /// @param count   of which so many are wanted, 1 .. rows
  /// @param result  count x `panel`
  void multiply(Index bin, Index p, const Scalar* x, Index count, Scalar* result) const {
    static constexpr auto kernels = kernels_of(std::make_integer_sequence<int, rows>());
    kernels[static_cast<std::size_t>(count - 1)](&values_(first(bin, p), 0), dimension_, x, result);
  }

 private:
  using Kernel = void (*)(const Scalar* a, Index depth, const Scalar* x, Scalar* result);

  /// kernel<1> .. kernel<rows>.
  template <int... I>
  static constexpr std::array<Kernel, static_cast<std::size_t>(rows)> kernels_of(
      std::integer_sequence<int, I...>) {
    return {&kernel<I + 1>...};
  }

  template <int R>
  static void kernel(const Scalar* a, Index depth, const Scalar* x, Scalar* result) {
    constexpr Index width = packet_size<Scalar>;
    Packet<Scalar> left[extent(R)], right[extent(R)];
    unroll<R>([&](auto r) { left[r] = right[r] = packet::broadcast(Scalar(0)); });
    for (Index k = 0; k < depth; ++k, a += panel, x += rows) {
      const Packet<Scalar> first = packet::load(a), second = packet::load(a + width);
      unroll<R>([&](auto r) {
        const Packet<Scalar> factor = packet::broadcast(x[r]);
        left[r] = packet::pmadd(factor, first, left[r]);
        right[r] = packet::pmadd(factor, second, right[r]);
      });
    }
    unroll<R>([&](auto r) {
      packet::store(result + r * panel, left[r]);
      packet::store(result + r * panel + width, right[r]);
    });
  }

  [[nodiscard]] Index first(Index bin, Index p) const { return (bin * panels_ + p) * dimension_; }

  Index dimension_ = 0;
  Index panels_ = 0;
  RowMatrixX<Scalar> values_;
};

}  // namespace ballast::detail
