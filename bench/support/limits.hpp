// SPDX-License-Identifier: MIT
// What no kernel of its kind can beat on the machine at hand, so that a goal can be read without a peer.
#pragma once

#include <cstdint>
#include <cstring>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

#include "support/paired.hpp"

namespace bench::limits {

using ballast::Index;

template <typename Scalar>
using PacketOf = typename Eigen::internal::packet_traits<Scalar>::type;

template <typename Scalar>
inline constexpr Index lanes = Eigen::internal::unpacket_traits<PacketOf<Scalar>>::size;

template <typename Scalar>
void copy(const Scalar* from, Index size, Scalar* to) {
  std::memcpy(to, from, static_cast<std::size_t>(size) * sizeof(Scalar));
}

/// Reads everything once, with the least arithmetic that cannot be left out.
template <typename Scalar>
void read_only(const Scalar* data, Index size) {
  namespace ei = Eigen::internal;
  using Packet = PacketOf<Scalar>;
  constexpr Index n = lanes<Scalar>;
  Packet sums[4];
  for (Packet& sum : sums) sum = ei::pset1<Packet>(Scalar(0));
  for (Index i = 0; i + 4 * n <= size; i += 4 * n) {
    for (Index j = 0; j < 4; ++j) sums[j] = ei::padd(sums[j], ei::ploadu<Packet>(data + i + j * n));
  }
  benchmark::DoNotOptimize(
      Scalar(ei::predux(ei::padd(ei::padd(sums[0], sums[1]), ei::padd(sums[2], sums[3])))));
}

/// As read_only, for labels.
inline void read_only(const std::int32_t* data, Index size) {
  std::uint32_t sum = 0;
  for (Index i = 0; i < size; ++i) sum += static_cast<std::uint32_t>(data[i]);
  benchmark::DoNotOptimize(sum);
}

/// The largest of (logit - offset) in each row, without its position. `classes` a multiple of 4 packets or
/// the rest is left out.
template <typename Scalar>
void max_only(const Scalar* logits, const Scalar* offset, Index samples, Index classes, Scalar* largest) {
  namespace ei = Eigen::internal;
  using Packet = PacketOf<Scalar>;
  constexpr Index n = lanes<Scalar>;
  for (Index i = 0; i < samples; ++i) {
    const Scalar* row = logits + i * classes;
    Packet best[4];
    for (Packet& packet : best) packet = ei::pset1<Packet>(row[0] - offset[0]);
    for (Index k = 0; k + 4 * n <= classes; k += 4 * n) {
      for (Index j = 0; j < 4; ++j) {
        best[j] = ei::pmax(
            best[j], ei::psub(ei::ploadu<Packet>(row + k + j * n), ei::ploadu<Packet>(offset + k + j * n)));
      }
    }
    largest[i] = ei::predux_max(ei::pmax(ei::pmax(best[0], best[1]), ei::pmax(best[2], best[3])));
  }
}

/// `count` fused multiply-adds (count / lanes of them, of a packet each) that wait for nothing: the peak of
/// the core, which twelve chains reach at a latency of 4-5 and two units.
template <typename Scalar>
void fma_peak(Index count) {
  namespace ei = Eigen::internal;
  using Packet = PacketOf<Scalar>;
  constexpr int chains = 12;
  Packet sums[chains];
  for (int j = 0; j < chains; ++j) sums[j] = ei::pset1<Packet>(Scalar(j));
  Packet a = ei::pset1<Packet>(Scalar(0.5));
  benchmark::DoNotOptimize(a);
  for (Index i = 0; i < count; i += chains * lanes<Scalar>) {
    for (int j = 0; j < chains; ++j) sums[j] = ei::pmadd(a, sums[j], a);
  }
  for (int j = 1; j < chains; ++j) sums[0] = ei::padd(sums[0], sums[j]);
  benchmark::DoNotOptimize(Scalar(ei::predux(sums[0])));
}

}  // namespace bench::limits
