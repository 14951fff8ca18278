#include <ballast/core/parallel.hpp>

#include <vector>

#include <Eigen/Core>

#include "support/catch.hpp"
#include "support/random_data.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace {

using ballast::Index;
using ballast::detail::Blocks;
using ballast::detail::parallel_for;

/// Calls `body` under 1, 2, 3 and 8 threads where the build has OpenMP, else once.
template <typename Body>
void for_thread_counts(const Body& body) {
#if defined(_OPENMP)
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3, 8}) {
    CAPTURE(threads);
    omp_set_num_threads(threads);
    body();
  }
  omp_set_num_threads(before);
#else
  body();
#endif
}

}  // namespace

TEST_CASE("parallel: blocks cover a range once, in order, in multiples", "[core]") {
  for (const Index size : {0, 1, 7, 8, 63, 64, 65, 1000, 4097}) {
    for (const Index most : {1, 2, 7, 64}) {
      for (const Index multiple : {1, 8, 64}) {
        CAPTURE(size, most, multiple);
        const Blocks blocks(size, most, multiple);
        REQUIRE(blocks.count() <= most);
        CHECK(blocks.block % multiple == 0);
        Index at = 0;
        for (Index i = 0; i < blocks.count(); ++i) {
          CHECK(blocks.begin(i) == at);
          CHECK(blocks.end(i) > at);
          at = blocks.end(i);
          if (i + 1 < blocks.count()) CHECK(blocks.end(i) - blocks.begin(i) == blocks.block);
        }
        CHECK(at == size);
      }
    }
  }
}

TEST_CASE("parallel: every block runs once, whatever the work and the threads", "[core]") {
  for (const Index work :
       {Index(0), ballast::detail::parallel_threshold - 1, ballast::detail::parallel_threshold}) {
    for (const Index blocks : {0, 1, 2, 37}) {
      CAPTURE(work, blocks);
      for_thread_counts([&] {
        std::vector<int> runs(static_cast<std::size_t>(blocks), 0);
        parallel_for(blocks, work, [&](Index block) { ++runs[static_cast<std::size_t>(block)]; });
        for (const int count : runs) CHECK(count == 1);
      });
    }
  }
}

TEST_CASE("parallel: a sum by blocks has the same bits for every number of threads", "[core]") {
  const std::uint64_t seed = 4;
  CAPTURE(seed);
  const Index size = 2 * ballast::detail::parallel_threshold + 13;
  const Eigen::VectorXd values = RandomData(seed).vector<double>(size, -1, 1);
  const Blocks blocks(size, 64);
  std::vector<double> sums;
  for_thread_counts([&] {
    Eigen::VectorXd partial(blocks.count());
    parallel_for(blocks.count(), size, [&](Index block) {
      double sum = 0;
      for (Index i = blocks.begin(block); i < blocks.end(block); ++i) sum += values[i];
      partial[block] = sum;
    });
    double sum = 0;
    for (const double part : partial) sum += part;
    sums.push_back(sum);
  });
  for (const double sum : sums) CHECK(sum == sums.front());
}
