#include <ballast/data/bin_tally.hpp>

#include <algorithm>
#include <array>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Count;
using ballast::CountVector;
using ballast::Index;
using ballast::detail::BinTally;

}  // namespace

TEST_CASE("bin_tally: counts in pairs, in four tables, and what is left over", "[data]") {
  const Index bins = GENERATE(1, 2, 30, 127, 128, 5000);  // 127 slots squared still fit the pair table
  CAPTURE(bins);
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  BinTally tally(bins);
  CountVector expected = CountVector::Zero(bins);
  for (int step = 0; step < 300; ++step) {
    std::array<std::int32_t, BinTally::block> found;
    const Index count = step % 3 == 0 ? random.below(BinTally::block + 1) : BinTally::block;
    for (Index i = 0; i < count; ++i) {
      const Index bin = random.below(bins + 1) - 1;
      found[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(bin);
      if (bin >= 0) ++expected[bin];
    }
    tally.add(found.data(), count);
    if (step == 100) CHECK(tally.counts() == expected);  // reading does not disturb
  }
  CHECK(tally.counts() == expected);
}

TEST_CASE("bin_tally: one label a million times does not overflow 16 bits", "[data]") {
  std::array<std::int32_t, BinTally::block> found;
  found.fill(3);
  for (const Index bins : {Index(5), Index(1000)}) {
    BinTally tally(bins);
    for (int step = 0; step < 20000; ++step) tally.add(found.data(), BinTally::block);
    const CountVector counts = tally.counts();
    CHECK(counts[3] == Count(20000) * BinTally::block);
    CHECK(counts.sum() == counts[3]);
  }
}
