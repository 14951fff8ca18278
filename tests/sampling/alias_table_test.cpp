#include <ballast/sampling/alias_table.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::AliasTable;
using ballast::Index;
using ballast::RandomStream;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

/// The least number in [low, high] for which `holds`, a predicate that stays true once it is; `high` if none.
template <typename Predicate>
std::uint64_t first_where(std::uint64_t low, std::uint64_t high, const Predicate& holds) {
  while (low < high) {
    const std::uint64_t middle = low + (high - low) / 2;
    if (holds(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

/// The share of the 2^64 numbers that falls on each index, found by bisection: an alias table changes its
/// mind at most once between the numbers of one slot.
std::vector<long double> exact_shares(const AliasTable& table) {
  const auto size = static_cast<std::uint64_t>(table.size());
  constexpr std::uint64_t last = std::numeric_limits<std::uint64_t>::max();
  std::vector<long double> shares(size, 0.0L);
  std::uint64_t begin = 0;
  for (std::uint64_t slot = 0; slot < size; ++slot) {
    const auto beyond = [&](std::uint64_t bits) {
      return ballast::detail::multiply_wide(bits, size).first > slot;
    };
    const std::uint64_t end =
        slot + 1 == size ? last : first_where(begin, last, beyond) - 1;  // within the slot
    const Index low = table(begin), high = table(end);
    const std::uint64_t change =
        low == high ? end : first_where(begin, end, [&](std::uint64_t bits) { return table(bits) == high; });
    shares[static_cast<std::size_t>(low)] += static_cast<long double>(change - begin) * 0x1p-64L;
    shares[static_cast<std::size_t>(high)] += static_cast<long double>(end - change + 1) * 0x1p-64L;
    begin = end + 1;
  }
  return shares;
}

/// Every index has its probability to within the rounding of w / sum w in double, and of each slot's bounds
/// in 64 bits; the largest also bears the rounding of the others.
void check_exact(const Eigen::VectorXd& weights) {
  const AliasTable table(weights);
  REQUIRE(table.size() == weights.size());
  const std::vector<long double> shares = exact_shares(table);
  const double largest = weights.maxCoeff();
  long double sum = 0;
  for (const double weight : weights) sum += static_cast<long double>(weight / largest);
  for (Index j = 0; j < weights.size(); ++j) {
    CAPTURE(j, weights.size());
    const long double expected = static_cast<long double>(weights[j] / largest) / sum;
    const bool takes_the_rest = weights[j] == largest;
    const long double bound = 8 * static_cast<long double>(epsilon) * (takes_the_rest ? 1 : expected) +
                              static_cast<long double>(weights.size() + 8) * 0x1p-62L;
    CHECK(std::abs(shares[static_cast<std::size_t>(j)] - expected) <= bound);
    if (weights[j] == 0) CHECK(shares[static_cast<std::size_t>(j)] == 0);
  }
}

}  // namespace

TEST_CASE("alias_table: each index falls on its share of all 64-bit numbers", "[sampling]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  for (const Index size : {1, 2, 3, 4, 5, 7, 8, 9, 63, 64, 65, 300}) {
    check_exact(random.vector<double>(size, 0, 1));
    check_exact(random.vector<double>(size, -12, 12).array().exp());
    check_exact(Eigen::VectorXd::Ones(size));
    check_exact(Eigen::VectorXd::LinSpaced(size, 1, static_cast<double>(size)));
    check_exact(Eigen::VectorXd::Unit(size, size - 1) * 1e300);
  }
}

TEST_CASE("alias_table: an index of weight 0 is never drawn, at either end or between", "[sampling]") {
  Eigen::VectorXd weights(9);
  weights << 0, 0, 3, 0, 1, 1e-9, 0, 2, 0;
  check_exact(weights);
  const AliasTable table(weights);
  // The numbers at and around the bounds of the slots, where an error of one would show.
  for (std::uint64_t slot = 0; slot <= 9; ++slot) {
    const std::uint64_t bound = slot * (std::numeric_limits<std::uint64_t>::max() / 9);
    for (std::uint64_t offset = 0; offset < 40; ++offset) {
      CHECK(weights[table(bound + offset - 20)] > 0);
    }
  }
}

TEST_CASE("alias_table: weights of any finite size", "[sampling]") {
  const double huge = std::numeric_limits<double>::max();
  const double tiny = std::numeric_limits<double>::denorm_min();
  check_exact(Eigen::Vector4d(huge, huge, 0, huge));
  check_exact(Eigen::Vector3d(tiny, 2 * tiny, 0));
  check_exact(Eigen::Vector3d(1e-18, 1, 0));  // beyond the resolution of 32-bit thresholds
  check_exact(Eigen::Vector3d(huge, tiny, 1));
}

TEST_CASE("alias_table: a chance near 2^-60 is kept", "[sampling]") {
  const std::vector<long double> shares = exact_shares(AliasTable(Eigen::Vector2d(0x1p-60, 1)));
  CHECK(shares[0] > 0.7L * 0x1p-60L);
  CHECK(shares[0] < 1.3L * 0x1p-60L);
}

TEST_CASE("alias_table: takes weights of any type", "[sampling]") {
  const AliasTable expected(Eigen::Vector3d(1, 2, 5));
  const AliasTable floats(Eigen::RowVector3f(1, 2, 5));
  const AliasTable integers(ballast::CountVector(Eigen::Vector3i(1, 2, 5).cast<ballast::Count>()));
  const AliasTable expression(2 * Eigen::Vector3d(1, 2, 5));
  const RandomStream random(1);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t bits = random.bits(i);
    CHECK(floats(bits) == expected(bits));
    CHECK(integers(bits) == expected(bits));
    CHECK(expression(bits) == expected(bits));
  }
}

TEST_CASE("alias_table: draws have the frequencies of the weights", "[sampling]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  const Index size = 50;
  Eigen::VectorXd weights = RandomData(seed).vector<double>(size, 0.1, 1);
  weights[0] = weights[17] = weights[size - 1] = 0;
  const AliasTable table(weights);
  std::vector<Index> draws(200000);
  table.draw(RandomStream(seed), 5, draws.size(), draws.data());
  Eigen::VectorXd counts = Eigen::VectorXd::Zero(size);
  for (const Index j : draws) ++counts[j];
  CHECK(std::abs(chi_square_z(counts, weights / weights.sum())) < 4.5);
}

TEST_CASE("alias_table: a block of draws is the draws one by one", "[sampling]") {
  const AliasTable table(RandomData(1).vector<double>(1000, 0, 1));
  const RandomStream random(3);
  for (const std::size_t count : {0u, 1u, 63u, 64u, 65u, 200u}) {
    std::vector<Index> draws(count + 1, -1);
    table.draw(random, 77, count, draws.data());
    for (std::size_t i = 0; i < count; ++i) CHECK(draws[i] == table(random.bits(77 + i)));
    CHECK(draws[count] == -1);
  }
}

TEST_CASE("alias_table: a million indices", "[sampling]") {
  const std::uint64_t seed = 5;
  CAPTURE(seed);
  const Index size = 1000003;  // no power of two
  Eigen::VectorXd weights = RandomData(seed).vector<double>(size, -3, 3).array().exp();
  weights.head(1000).setZero();
  weights.tail(1000).setZero();
  const AliasTable table(weights);
  std::vector<Index> draws(2000000);
  table.draw(RandomStream(seed), 0, draws.size(), draws.data());
  const Index groups = 1000;
  Eigen::VectorXd counts = Eigen::VectorXd::Zero(groups), probabilities = Eigen::VectorXd::Zero(groups);
  bool positive = true;
  for (const Index j : draws) {
    positive = positive && weights[j] > 0;
    ++counts[j % groups];
  }
  for (Index j = 0; j < size; ++j) probabilities[j % groups] += weights[j];
  CHECK(positive);
  CHECK(std::abs(chi_square_z(counts, probabilities / probabilities.sum())) < 4.5);
}

TEST_CASE("alias_table: the table is pinned for every compiler and platform", "[sampling]") {
  Eigen::VectorXd weights(7);
  weights << 0.1, 3, 0, 1e-3, 0.7, 0.7, 2.0 / 3;
  const AliasTable table(weights);
  const std::array<Index, 32> expected = {1, 1, 1, 4, 6, 6, 5, 5, 1, 1, 5, 0, 1, 1, 1, 5,
                                          1, 6, 1, 1, 6, 6, 5, 1, 6, 1, 1, 1, 1, 4, 1, 1};
  std::array<Index, 32> came;
  table.draw(RandomStream(2020, 4), 100, came.size(), came.data());
  CHECK(came == expected);
}

TEST_CASE("alias_table: rejects what is no weighting", "[sampling][errors]") {
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(rejects([] { AliasTable(Eigen::VectorXd(0)); }, {"AliasTable", "weights is empty"}));
  CHECK(rejects([] { AliasTable(Eigen::Vector3d(0, 0, 0)); }, {"all 0"}));
  CHECK(rejects([] { AliasTable(Eigen::Vector3d(1, -1, 0)); }, {"weights[1] is -1", "finite number >= 0"}));
  CHECK(rejects([] { AliasTable(Eigen::Vector3i(1, 0, -2)); }, {"weights[2] is -2"}));
  CHECK(rejects([&] { AliasTable(Eigen::Vector3d(1, 0, infinity)); }, {"weights[2] is inf"}));
  CHECK(rejects([] { AliasTable(Eigen::Vector3d(std::nan(""), 0, 1)); }, {"weights[0] is nan"}));
}
