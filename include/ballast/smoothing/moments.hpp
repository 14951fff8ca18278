// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include <Eigen/Core>

#include <ballast/core/packet.hpp>
#include <ballast/core/prefetch.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/smoothing/unroll.hpp>

/// The kernels under BinStatistics: moments of one group of rows, and their combination (Chan, Golub and
/// LeVeque 1979).
namespace ballast::detail {

/// Rows scattered over a row-major buffer: row i starts at data + order[i] * stride.
template <typename Scalar>
struct ScatteredRows {
  const Scalar* data;
  Index stride;
  const Index* order;
  Index count;
  [[nodiscard]] const Scalar* operator[](Index i) const { return data + order[i] * stride; }
};

/// Sums of squares up to here, of rows up to there, keep every sum that is taken in Scalar finite.
template <typename Scalar>
inline constexpr Scalar safe_square = Scalar(1e35);
template <>
inline constexpr double safe_square<double> = 1e300;
template <typename Scalar>
inline constexpr Scalar safe_feature = std::numeric_limits<Scalar>::max();
template <>
inline constexpr double safe_feature<double> = 1e150;

/// Adds the shifted sums of R rows, element by element.
template <int R, typename Scalar>
EIGEN_STRONG_INLINE void add_shifted(const ScatteredRows<Scalar>& rows, Index first, Index cols, Scalar* sum,
                                     Scalar* square) {
  using Lane = Packet<Scalar>;
  constexpr Index width = packet_size<Scalar>;
  const Scalar* const shift = rows[0];
  const Scalar* row[extent(R)];
  const Scalar* next[extent(R)];  // fetched while these are added: rows of a bin lie far apart
  for (int r = 0; r < R; ++r) row[r] = rows[first + r];
  for (int r = 0; r < R; ++r) next[r] = rows[std::min(first + R + r, rows.count - 1)];
  Index d = 0;
  for (; d + width <= cols; d += width) {
    const Lane k = packet::load(shift + d);
    Lane sums = packet::load(sum + d), squares = packet::load(square + d);
    unroll<R>([&](auto r) {
      prefetch(next[r] + d);
      const Lane e = packet::psub(packet::load(row[r] + d), k);
      sums = packet::padd(sums, e);
      squares = packet::pmadd(e, e, squares);
    });
    packet::store(sum + d, sums);
    packet::store(square + d, squares);
  }
  for (; d < cols; ++d) {
    for (int r = 0; r < R; ++r) {
      const Scalar e = row[r][d] - shift[d];
      sum[d] += e;
      square[d] += e * e;
    }
  }
}

/// Sums over the rows of a group, shifted by its first row k so that a large mean costs no digits:
///
///     sum = sum_i (z_i - k),   square = sum_i (z_i - k)^2
///
/// In Scalar, hence for groups of bounded size.
template <typename Scalar>
void group_moments(const ScatteredRows<Scalar>& rows, Index cols, Scalar* sum, Scalar* square) {
  std::fill(sum, sum + cols, Scalar(0));
  std::fill(square, square + cols, Scalar(0));
  Index i = 1;
  for (; i + 4 <= rows.count; i += 4) add_shifted<4>(rows, i, cols, sum, square);
  for (; i < rows.count; ++i) add_shifted<1>(rows, i, cols, sum, square);
}

/// The same of C columns of a column-major batch.
template <int C, typename Scalar>
void column_moments(const MatrixView<const Scalar, Eigen::ColMajor>& features, Index first,
                    const Index* order, Index count, Scalar* shift, Scalar* sum, Scalar* square) {
  const Scalar* column[extent(C)];
  Scalar k[extent(C)], sums[extent(C)], squares[extent(C)];
  unroll<C>([&](auto c) {
    column[c] = features.line(first + c);
    k[c] = column[c][order[0]];
    sums[c] = squares[c] = Scalar(0);
  });
  for (Index i = 1; i < count; ++i) {
    const Index row = order[i];
    unroll<C>([&](auto c) {
      const Scalar e = column[c][row] - k[c];
      sums[c] += e;
      squares[c] += e * e;
    });
  }
  unroll<C>([&](auto c) {
    shift[first + c] = k[c];
    sum[first + c] = sums[c];
    square[first + c] = squares[c];
  });
}

/// False if a feature is not finite, or so large that sums in Scalar may overflow.
template <typename Scalar>
bool safe_moments(const Scalar* shift, const Scalar* square, Index cols) {
  Index safe = 0;  // counted, which takes no branch
  for (Index d = 0; d < cols; ++d) {
    safe += static_cast<Index>(square[d] <= safe_square<Scalar>) &
            static_cast<Index>(std::abs(shift[d]) <= safe_feature<Scalar>);
  }
  return safe == cols;
}

/// Whether the squares of all are safe.
template <typename Scalar>
bool all_safe(const Scalar* values, Index count) {
  Index safe = 0;
  for (Index d = 0; d < count; ++d) safe += static_cast<Index>(values[d] * values[d] <= safe_square<Scalar>);
  return safe == count;
}

/// What a group of n rows is worth to a bin that holds `before` samples: share = n / (before + n) moves the
/// mean, weight = before * share scales the spread between the two means.
struct MergeWeights {
  MergeWeights(Count before, Count added)
      : share(static_cast<double>(added) / static_cast<double>(before + added)),
        weight(static_cast<double>(before) * share) {}
  double share;
  double weight;
};

/// Merges a group, described by its shift and shifted sums, into the mean and the sums of squares of a bin.
template <typename Scalar>
void merge_group(const Scalar* shift, const Scalar* sum, const Scalar* square, Index cols, Index rows,
                 const MergeWeights& merge, double* mean, double* m2) {
  const Scalar inverse = Scalar(1) / static_cast<Scalar>(rows);
  for (Index d = 0; d < cols; ++d) {
    const Scalar offset = sum[d] * inverse;
    const double delta = (static_cast<double>(shift[d]) + static_cast<double>(offset)) - mean[d];
    mean[d] += delta * merge.share;
    m2[d] += static_cast<double>(square[d] - sum[d] * offset) + delta * delta * merge.weight;
  }
}

/// result = (row - shift) - offset, as far as whole packets go. @return how far
template <typename Scalar>
Index center_packets(const Scalar* row, const Scalar* shift, const Scalar* offset, Index cols,
                     Scalar* result) {
  constexpr Index width = packet_size<Scalar>;
  Index d = 0;
  for (; d + width <= cols; d += width) {
    const Packet<Scalar> e = packet::psub(packet::load(row + d), packet::load(shift + d));
    packet::store(result + d, packet::psub(e, packet::load(offset + d)));
  }
  return d;
}

/// Rows of equal stride whose columns from the last one on are 0 to a multiple of the packet.
template <typename Scalar>
struct PaddedRows {
  const Scalar* data;
  Index stride;
  Index count;
};

/// A square block of rows^T rows, from (row, col) on: what the tiles of a block add up in.
template <typename Scalar>
struct ProductBlock {
  static constexpr int size = 2 * static_cast<int>(packet_size<Scalar>);
  Index row;
  Index col;
  Scalar values[extent(size)][extent(size)];
};

/// Adds rows^T rows to R x (P packets) of a block, from (i, j) in it.
template <int R, int P, typename Scalar>
EIGEN_STRONG_INLINE void add_products_tile(const PaddedRows<Scalar>& rows, Index i, Index j,
                                           ProductBlock<Scalar>& block) {
  constexpr Index width = packet_size<Scalar>;
  Packet<Scalar> products[extent(R)][extent(P)];
  unroll<R>([&](auto r) {
    unroll<P>([&](auto p) { products[r][p] = packet::load(&block.values[i + r][j + p * width]); });
  });
  const Scalar* left = rows.data + block.row + i;
  const Scalar* right = rows.data + block.col + j;
  for (Index k = 0; k < rows.count; ++k, left += rows.stride, right += rows.stride) {
    Packet<Scalar> factors[extent(P)];
    unroll<P>([&](auto p) { factors[p] = packet::load(right + p * width); });
    unroll<R>([&](auto r) {
      const Packet<Scalar> factor = packet::broadcast(left[r]);
      unroll<P>([&](auto p) { products[r][p] = packet::pmadd(factor, factors[p], products[r][p]); });
    });
  }
  unroll<R>([&](auto r) {
    unroll<P>([&](auto p) { packet::store(&block.values[i + r][j + p * width], products[r][p]); });
  });
}

/// The same of rows [i, end) of a block, in the tallest tiles there is room for.
template <int R, int P, typename Scalar>
void add_products_strip(const PaddedRows<Scalar>& rows, Index i, Index end, Index j,
                        ProductBlock<Scalar>& block) {
  for (; i + R <= end; i += R) add_products_tile<R, P>(rows, i, j, block);
  if constexpr (R > 1) add_products_strip<(R == 6 ? 4 : R / 2), P>(rows, i, end, j, block);
}

/// m2 += rows^T rows on the upper triangle of a row-major cols x cols matrix. The double result is touched
/// once for all rows; these go through a block some at a time, so that they stay in cache.
template <typename Scalar>
void add_outer_products(const PaddedRows<Scalar>& rows, Index cols, double* m2) {
  constexpr Index width = packet_size<Scalar>;
  constexpr int height = sizeof(Packet<Scalar>) == 64 ? 8 : 6;  // fills 32 or 16 registers
  constexpr Index size = ProductBlock<Scalar>::size;
  constexpr Index some = 64;
  ProductBlock<Scalar> block;
  for (block.col = 0; block.col < cols; block.col += size) {
    const bool narrow = block.col + width >= cols;
    for (block.row = 0; block.row <= block.col; block.row += size) {
      const Index height_here = std::min(size, cols - block.row),
                  width_here = std::min(size, cols - block.col);
      std::fill(&block.values[0][0], &block.values[0][0] + size * size, Scalar(0));
      for (Index k = 0; k < rows.count; k += some) {
        const PaddedRows<Scalar> part{rows.data + k * rows.stride, rows.stride,
                                      std::min(some, rows.count - k)};
        if (narrow) {
          add_products_strip<height, 1>(part, 0, height_here, 0, block);
        } else if (block.row < block.col) {
          add_products_strip<height, 2>(part, 0, size, 0, block);
        } else {  // on the diagonal: not what is below it
          add_products_strip<height, 2>(part, 0, width, 0, block);
          add_products_strip<height, 1>(part, width, height_here, width, block);
        }
      }
      for (Index r = 0; r < height_here; ++r) {
        double* const to = m2 + (block.row + r) * cols + block.col;
        for (Index c = std::max(Index(0), block.row + r - block.col); c < width_here; ++c) {
          to[c] += static_cast<double>(block.values[r][c]);
        }
      }
    }
  }
}

}  // namespace ballast::detail
