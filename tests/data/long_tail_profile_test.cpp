#include <ballast/data/long_tail_profile.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Count;
using ballast::CountVector;
using ballast::exponential_profile;
using ballast::Index;
using ballast::IndexVector;
using ballast::pareto_profile;
using ballast::step_profile;
using ballast::subsample;

CountVector sizes_of(std::initializer_list<Count> values) {
  CountVector result(static_cast<Index>(values.size()));
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

/// `each` samples of every class, interleaved.
Eigen::VectorXi balanced_labels(int classes, Index each) {
  Eigen::VectorXi labels(classes * each);
  for (Index i = 0; i < labels.size(); ++i) labels[i] = static_cast<int>(i % classes);
  return labels;
}

}  // namespace

TEST_CASE("long_tail_profile: the published sizes", "[data]") {
  const CountVector cifar10 = exponential_profile(10, 5000, 100);
  CHECK(cifar10 == sizes_of({5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50}));
  CHECK(cifar10.sum() == 12406);
  CHECK(exponential_profile(100, 500, 100).sum() == 10847);
  CHECK(pareto_profile(10, 5000, 100) == sizes_of({5000, 1250, 555, 312, 200, 138, 102, 78, 61, 50}));
  CHECK(step_profile(10, 5000, 100) == sizes_of({5000, 5000, 5000, 5000, 5000, 50, 50, 50, 50, 50}));
  CHECK(step_profile(5, 500, 10) == sizes_of({500, 500, 500, 50, 50}));
}

TEST_CASE("long_tail_profile: a size that is an integer loses none to rounding", "[data]") {
  // largest * ratio^(-j / (C - 1)) = base^(C - 1 - j) exactly.
  for (const Count base : {2, 3, 7, 10}) {
    for (Index classes = 2; classes <= 11; ++classes) {
      CAPTURE(base, classes);
      Count largest = 1;
      for (Index j = 1; j < classes; ++j) largest *= base;
      CountVector expected(classes);
      Count size = largest;
      for (Index j = 0; j < classes; ++j, size /= base) expected[j] = size;
      CHECK(exponential_profile(classes, largest, static_cast<double>(largest)) == expected);
    }
  }
  for (Count ratio = 1; ratio <= 1000; ++ratio) {
    for (const Count tail : {1, 3, 49, 1000003}) {
      const Count largest = ratio * tail;
      REQUIRE(exponential_profile(7, largest, static_cast<double>(ratio))[6] == tail);
      REQUIRE(step_profile(7, largest, static_cast<double>(ratio))[6] == tail);
      REQUIRE(pareto_profile(7, largest, static_cast<double>(ratio))[6] == tail);
    }
  }
  // ratio = C^2: n_j = largest / (j + 1)^2
  CHECK(pareto_profile(10, 100 * 6350400, 100)[6] == 100 * 6350400 / 49);
  CHECK(step_profile(2, 11, 1.1)[1] == 10);  // 1.1 is stored as a little more
}

TEST_CASE("long_tail_profile: one below an integer stays below", "[data]") {
  CHECK(exponential_profile(2, 4999, 100)[1] == 49);
  CHECK(step_profile(2, (Count(1) << 40) - 1, 2)[1] == (Count(1) << 39) - 1);
}

TEST_CASE("long_tail_profile: one class, no imbalance, and tails of nothing", "[data]") {
  for (const auto& profile : {exponential_profile, step_profile, pareto_profile}) {
    CHECK(profile(1, 70, 100) == sizes_of({70}));
    CHECK(profile(3, 70, 1) == sizes_of({70, 70, 70}));
    CHECK(profile(2, 70, 100) == sizes_of({70, 0}));
    const CountVector sizes = profile(50, 1000, 37.5);
    CHECK(std::is_sorted(sizes.begin(), sizes.end(), [](Count a, Count b) { return a > b; }));
    CHECK(sizes[0] == 1000);
    CHECK(sizes[49] == 26);
  }
}

TEST_CASE("long_tail_profile: the subsample has the sizes and each sample once", "[data]") {
  const std::uint64_t seed = GENERATE(0u, 1u);
  CAPTURE(seed);
  const Eigen::VectorXi labels = balanced_labels(10, 50);
  const CountVector sizes = exponential_profile(10, 50, 100);
  const IndexVector subset = subsample(labels, sizes, seed);
  REQUIRE(subset.size() == sizes.sum());
  CountVector counts = CountVector::Zero(10);
  for (Index i = 0; i < subset.size(); ++i) {
    if (i > 0) REQUIRE(subset[i] > subset[i - 1]);
    ++counts[labels[subset[i]]];
  }
  CHECK(counts == sizes);
  CHECK(subsample(labels, sizes.cast<std::uint8_t>(), seed) == subset);
}

TEST_CASE("long_tail_profile: the subsample is uniform, and independent between classes", "[data]") {
  const Eigen::VectorXi labels = balanced_labels(2, 6);
  Eigen::VectorXd first = Eigen::VectorXd::Zero(36), both = Eigen::VectorXd::Zero(36);
  for (std::uint64_t seed = 0; seed < 20000; ++seed) {
    const IndexVector pair = subsample(labels, Eigen::Vector2i(2, 0), seed) / 2;
    ++first[6 * pair[0] + pair[1]];
    const IndexVector one_each = subsample(labels, Eigen::Vector2i(1, 1), seed);
    Index even = one_each[0], odd = one_each[1];
    if (even % 2 == 1) std::swap(even, odd);
    ++both[6 * (even / 2) + odd / 2];
  }
  Eigen::VectorXd expected(36);
  for (Index k = 0; k < 36; ++k) expected[k] = k / 6 < k % 6 ? 1.0 / 15 : 0.0;
  CHECK(std::abs(chi_square_z(first, expected)) < 4.5);
  CHECK(std::abs(chi_square_z(both)) < 4.5);
}

TEST_CASE("long_tail_profile: the subsample is pinned for every compiler; seeds differ", "[data]") {
  const Eigen::VectorXi labels = balanced_labels(4, 20);
  const CountVector sizes = sizes_of({8, 4, 2, 1});
  const IndexVector subset = subsample(labels, sizes, 7);
  const std::array<Index, 15> expected = {0, 5, 8, 13, 24, 36, 41, 50, 52, 56, 62, 64, 72, 73, 79};
  REQUIRE(subset.size() == 15);
  CHECK(std::equal(subset.begin(), subset.end(), expected.begin()));
  CHECK(subsample(labels, sizes, 8) != subset);
}

TEST_CASE("long_tail_profile: a larger subsample of the same seed contains a smaller", "[data]") {
  const Eigen::VectorXi labels = balanced_labels(3, 40);
  const IndexVector small = subsample(labels, sizes_of({10, 5, 0}), 3);
  const IndexVector large = subsample(labels, sizes_of({30, 5, 7}), 3);
  CHECK(std::includes(large.begin(), large.end(), small.begin(), small.end()));
  CHECK(subsample(labels, sizes_of({40, 40, 40}), 3) == IndexVector::LinSpaced(120, 0, 119));
  CHECK(subsample(labels, sizes_of({0, 0, 0}), 3).size() == 0);
}

TEST_CASE("long_tail_profile: rejects what has no profile, and classes that are too small",
          "[data][errors]") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(rejects([] { return exponential_profile(0, 10, 2); }, {"exponential_profile: classes is 0"}));
  CHECK(rejects([] { return step_profile(3, 0, 2); }, {"step_profile: largest is 0"}));
  CHECK(rejects([] { return pareto_profile(3, (Count(1) << 40) + 1, 2); }, {"pareto_profile: largest is"}));
  CHECK(rejects([] { return exponential_profile(3, 10, 0.5); }, {"ratio is 0.5"}));
  CHECK(rejects([] { return step_profile(3, 10, std::nan("")); }, {"ratio is nan"}));
  CHECK(rejects([&] { return pareto_profile(3, 10, infinity); }, {"ratio is inf"}));

  const Eigen::VectorXi labels = balanced_labels(3, 4);
  CHECK(rejects([&] { return subsample(labels, Eigen::Vector3i(4, 5, 9), 0); },
                {"subsample: class 1 has 4 samples, expected at least 5"}));
  CHECK(rejects([&] { return subsample(labels, Eigen::Vector3i(4, 2, -1), 0); }, {"sizes[2] is -1"}));
  CHECK(
      rejects([&] { return subsample(labels, Eigen::Vector2i(4, 2), 0); }, {"sizes has size 2, expected 3"}));
}
