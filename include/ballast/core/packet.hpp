// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

/// The vector instructions of the build, through Eigen's packets: every use of Eigen's internals is here, so
/// that a change in them touches one file. A packet is the widest register of the build's instruction set, or
/// one scalar where Eigen does not vectorise.
namespace ballast::detail {

template <typename Scalar>
using Packet = typename Eigen::internal::packet_traits<Scalar>::type;

/// Scalars in a packet.
template <typename Scalar>
inline constexpr Index packet_size = Index(Eigen::internal::unpacket_traits<Packet<Scalar>>::size);

/// The scalars of a packet, in memory.
template <typename Scalar>
using Lanes = std::array<Scalar, std::size_t(packet_size<Scalar>)>;

namespace packet {

using Eigen::internal::padd;
using Eigen::internal::pand;
using Eigen::internal::pcmp_eq;
using Eigen::internal::pcmp_le;
using Eigen::internal::pcmp_lt;
using Eigen::internal::pdiv;
using Eigen::internal::pmadd;
using Eigen::internal::pmul;
using Eigen::internal::pselect;
using Eigen::internal::psub;

template <typename Scalar>
EIGEN_ALWAYS_INLINE Packet<Scalar> broadcast(Scalar value) {
  return Eigen::internal::pset1<Packet<Scalar>>(value);
}

/// first, first + 1, ... in lane order.
template <typename Scalar>
EIGEN_STRONG_INLINE Packet<Scalar> count_from(Scalar first) {
  return Eigen::internal::plset<Packet<Scalar>>(first);
}

template <typename Scalar>
EIGEN_ALWAYS_INLINE Packet<std::remove_const_t<Scalar>> load(Scalar* from) {
  return Eigen::internal::ploadu<Packet<std::remove_const_t<Scalar>>>(from);
}

template <typename Scalar>
EIGEN_ALWAYS_INLINE void store(Scalar* to, const Packet<Scalar>& value) {
  Eigen::internal::pstoreu(to, value);
}

/// The first `count` scalars; the other lanes are `fill`. For the ends of ranges.
template <typename Scalar>
EIGEN_ALWAYS_INLINE Packet<Scalar> load_first(const Scalar* from, Index count, Scalar fill) {
  Lanes<Scalar> lanes;
  lanes.fill(fill);
  std::copy_n(from, count, lanes.begin());
  return load(lanes.data());
}

template <typename Scalar>
EIGEN_ALWAYS_INLINE void store_first(Scalar* to, const Packet<Scalar>& value, Index count) {
  Lanes<Scalar> lanes;
  store(lanes.data(), value);
  std::copy_n(lanes.begin(), count, to);
}

/// The larger in each lane. Where b alone is NaN the result may be either; where a is NaN it is NaN.
template <typename P>
EIGEN_ALWAYS_INLINE P max(const P& a, const P& b) {
  return Eigen::internal::pmax(a, b);
}

/// The smaller in each lane. Where b alone is NaN the result may be either; where a is NaN it is NaN.
template <typename P>
EIGEN_ALWAYS_INLINE P min(const P& a, const P& b) {
  return Eigen::internal::pmin(a, b);
}

/// Sum, largest, smallest and first of the lanes.
template <typename P>
EIGEN_ALWAYS_INLINE auto sum_lanes(const P& a) {
  return Eigen::internal::predux(a);
}
template <typename P>
EIGEN_ALWAYS_INLINE auto max_lane(const P& a) {
  return Eigen::internal::predux_max(a);
}
template <typename P>
EIGEN_ALWAYS_INLINE auto min_lane(const P& a) {
  return Eigen::internal::predux_min(a);
}
template <typename P>
EIGEN_ALWAYS_INLINE auto first_lane(const P& a) {
  return Eigen::internal::pfirst(a);
}

/// A packet of at most four lanes, the widest: for decltype.
template <typename P>
auto up_to_four_lanes(const P& packet) {
  using Traits = Eigen::internal::unpacket_traits<P>;
  if constexpr (Traits::size > 4) {
    return up_to_four_lanes(typename Traits::half{});
  } else {
    return packet;
  }
}

/// to[j * to_stride + i] = from[i * from_stride + j] for i < lines, j < size: lines become columns. Square
/// tiles in registers; the last tile of a direction overlaps the one before. The ranges do not overlap.
template <typename Scalar>
inline void transpose(const Scalar* from, Index from_stride, Index lines, Index size, Scalar* to,
                      Index to_stride) {
  using P = decltype(up_to_four_lanes(broadcast(Scalar(0))));
  constexpr int lanes = int(Eigen::internal::unpacket_traits<P>::size);
  if (lines < lanes || size < lanes) {
    for (Index i = 0; i < lines; ++i) {
      for (Index j = 0; j < size; ++j) to[j * to_stride + i] = from[i * from_stride + j];
    }
    return;
  }
  for (Index i = 0; i < lines; i += lanes) {
    const Index line = std::min(i, lines - lanes);
    for (Index j = 0; j < size; j += lanes) {
      const Index column = std::min(j, size - lanes);
      Eigen::internal::PacketBlock<P, lanes> tile;
      for (int l = 0; l < lanes; ++l) {
        tile.packet[l] = Eigen::internal::ploadu<P>(from + (line + l) * from_stride + column);
      }
      Eigen::internal::ptranspose(tile);
      for (int l = 0; l < lanes; ++l) {
        Eigen::internal::pstoreu(to + (column + l) * to_stride + line, tile.packet[l]);
      }
    }
  }
}

/// The bits of each lane, shifted left by Shift, as an integer of the lane's size.
template <int Shift, typename Scalar>
EIGEN_ALWAYS_INLINE Packet<Scalar> shift_bits_left(const Packet<Scalar>& a) {
  using Bits = std::conditional_t<sizeof(Scalar) == 4, std::uint32_t, std::uint64_t>;
  static_assert(sizeof(Scalar) == sizeof(Bits));
  Packet<Scalar> result;
#if defined(__GNUC__)
  typedef Bits Lanes __attribute__((vector_size(sizeof(Packet<Scalar>))));
  Lanes lanes;
#else
  Bits lanes[sizeof(Packet<Scalar>) / sizeof(Bits)];
#endif
  std::memcpy(&lanes, &a, sizeof a);
#if defined(__GNUC__)
  lanes <<= Shift;
#else
  for (Bits& lane : lanes) lane <<= Shift;
#endif
  std::memcpy(&result, &lanes, sizeof a);
  return result;
}

}  // namespace packet

}  // namespace ballast::detail
