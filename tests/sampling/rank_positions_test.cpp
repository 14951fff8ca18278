#include <ballast/sampling/rank_positions.hpp>

#include "support/catch.hpp"
#include "support/rejection.hpp"

using ballast::Index;
using ballast::Positions;
using ballast::rank_positions;

TEST_CASE("rank_positions: parts are disjoint, in order, even, and together the whole", "[sampling]") {
  for (const Index size : {0, 1, 5, 64, 1000}) {
    for (const Index ranks : {1, 2, 3, 7, 64}) {
      CAPTURE(size, ranks);
      Index at = 17;
      for (Index rank = 0; rank < ranks; ++rank) {
        const Positions part = rank_positions({17, size}, rank, ranks);
        CHECK(part.begin == at);
        CHECK(part.size >= size / ranks);
        CHECK(part.size <= size / ranks + 1);
        at += part.size;
      }
      CHECK(at == 17 + size);
    }
  }
}

TEST_CASE("rank_positions: rejects what is no rank", "[sampling][errors]") {
  CHECK(rejects([] { return rank_positions({0, 8}, 2, 2); }, {"rank_positions: rank is 2", "[0, 2)"}));
  CHECK(rejects([] { return rank_positions({0, 8}, -1, 2); }, {"rank is -1"}));
  CHECK(rejects([] { return rank_positions({0, 8}, 0, 0); }, {"ranks is 0"}));
  CHECK(rejects([] { return rank_positions({-1, 8}, 0, 1); }, {"begin is -1"}));
  CHECK(rejects([] { return rank_positions({0, -8}, 0, 1); }, {"size is -8"}));
}
