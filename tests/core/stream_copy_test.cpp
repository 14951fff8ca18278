#include <ballast/core/stream_copy.hpp>

#include <cstddef>
#include <vector>

#include "support/catch.hpp"

TEST_CASE("stream_copy: every length at every alignment, and nothing beside it", "[core]") {
  std::vector<unsigned char> from(400), to(400);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<unsigned char>(i * 37 + 1);
  for (std::size_t start = 0; start < 70; ++start) {
    for (const std::size_t bytes : {0u, 1u, 4u, 63u, 64u, 65u, 128u, 200u, 300u}) {
      CAPTURE(start, bytes);
      std::vector<unsigned char> expected(400, 0xee);
      to = expected;
      for (std::size_t i = 0; i < bytes; ++i) expected[start + i] = from[7 + i];
      ballast::detail::stream_copy(from.data() + 7, to.data() + start, bytes);
      ballast::detail::stream_fence();
      REQUIRE(to == expected);
    }
  }
}
