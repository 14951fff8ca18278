// SPDX-License-Identifier: MIT
#pragma once

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>

namespace ballast {

/// Consecutive draws of an epoch.
struct Positions {
  Index begin = 0;
  Index size = 0;
};

/// The part of `positions` that rank `rank` of `ranks` draws in data-parallel training. The parts are
/// disjoint, in order of rank, of sizes that differ by at most one, and together they are `positions` for
/// every number of ranks: with the global batch as `positions`, the ranks see together what a single process
/// would.
///
///     const auto part = ballast::rank_positions({step * global_batch, global_batch}, rank, ranks);
///     batch.resize(part.size);
///     sampler.draw(epoch, part.begin, batch);
///
/// @param positions  begin >= 0, size >= 0
/// @param rank       in [0, ranks)
/// @param ranks      >= 1
[[nodiscard]] inline Positions rank_positions(Positions positions, Index rank, Index ranks) {
  detail::require(positions.begin >= 0, "rank_positions", "begin is ", positions.begin, ", expected >= 0");
  detail::require(positions.size >= 0, "rank_positions", "size is ", positions.size, ", expected >= 0");
  detail::require(ranks >= 1, "rank_positions", "ranks is ", ranks, ", expected at least 1");
  detail::require(rank >= 0 && rank < ranks, "rank_positions", "rank is ", rank, ", expected [0, ", ranks,
                  ")");
  const Index even = positions.size / ranks;
  const Index longer = positions.size % ranks;  // the first ranks take one more each
  return {positions.begin + rank * even + (rank < longer ? rank : longer), even + (rank < longer ? 1 : 0)};
}

}  // namespace ballast
