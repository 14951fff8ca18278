#include <ballast/data/class_distribution.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::CountVector;
using ballast::Index;
using ballast::Shot;
using ballast::ShotThresholds;
using ballast::ZeroCount;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

CountVector counts_of(std::initializer_list<ballast::Count> values) {
  CountVector result(static_cast<Index>(values.size()));
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

bool close(double came, long double expected, double ulps) {
  return std::abs(static_cast<long double>(came) - expected) <=
         static_cast<long double>(ulps * epsilon) * std::abs(expected);
}

}  // namespace

TEMPLATE_TEST_CASE("class_distribution: counts labels of any integral type", "[data]", std::int8_t,
                   std::uint8_t, std::int16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t) {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  Eigen::VectorXi labels = random.labels(500, 7);
  labels[0] = 6;
  const ClassDistribution classes(labels.cast<TestType>().eval());

  REQUIRE(classes.classes() == 7);
  CHECK(classes.samples() == 500);
  for (Index j = 0; j < 7; ++j) CHECK(classes.counts()[j] == (labels.array() == static_cast<int>(j)).count());
}

TEST_CASE("class_distribution: prior and log prior are the formulas", "[data]") {
  const auto classes = ClassDistribution::from_counts(counts_of({1, 999999999999, 37}));
  const long double total = 1.0L + 999999999999.0L + 37.0L;
  for (Index j = 0; j < 3; ++j) {
    const long double prior = static_cast<long double>(classes.counts()[j]) / total;
    CHECK(close(classes.prior()[j], prior, 1));
    // log n and log N each round once; their difference keeps that absolute error.
    CHECK(std::abs(static_cast<long double>(classes.log_prior()[j]) - std::log(prior)) <=
          static_cast<long double>(28 * 2 * epsilon));
  }
}

TEST_CASE("class_distribution: a class without samples follows the chosen policy", "[data]") {
  const auto classes = ClassDistribution::from_counts(counts_of({3, 0, 1}));
  CHECK(classes.prior()[1] == 0.0);

  CHECK(rejects([&] { return classes.log_prior(); }, {"log_prior", "class 1 has no samples"}));
  CHECK(rejects([&] { return classes.log_prior(ZeroCount::refuse()); }, {"class 1"}));

  const Eigen::VectorXd masked = classes.log_prior(ZeroCount::mask());
  CHECK(masked[1] == -std::numeric_limits<double>::infinity());
  CHECK(close(masked[0], std::log(0.75L), 4));

  const Eigen::VectorXd smoothed = classes.log_prior(ZeroCount::smooth(0.5));
  CHECK(close(smoothed[0], std::log(3.5L / 5.5L), 8));
  CHECK(close(smoothed[1], std::log(0.5L / 5.5L), 4));
  CHECK(close(smoothed.array().exp().sum(), 1.0L, 8));
}

TEST_CASE("class_distribution: effective numbers hold next to beta = 1", "[data]") {
  const auto classes = ClassDistribution::from_counts(counts_of({0, 1, 10, 5000}));
  for (const double beta : {0.9, 0.9999, 1.0 - 1e-12}) {
    CAPTURE(beta);
    for (Index j = 0; j < 4; ++j) {
      const auto b = static_cast<long double>(beta);
      const long double n = static_cast<long double>(classes.counts()[j]);
      const long double expected = std::expm1(n * std::log1p(b - 1)) / (b - 1);
      CHECK(close(classes.effective_numbers(beta)[j], expected, 8));
    }
  }
  CHECK(classes.effective_numbers(1.0) == Eigen::Vector4d(0, 1, 10, 5000));
  CHECK(classes.effective_numbers(0.0) == Eigen::Vector4d(0, 1, 1, 1));
}

TEST_CASE("class_distribution: imbalance ratio", "[data]") {
  CHECK(ClassDistribution::from_counts(counts_of({5000, 50, 100})).imbalance_ratio() == 100.0);
  CHECK(std::isinf(ClassDistribution::from_counts(counts_of({5, 0})).imbalance_ratio()));
}

TEST_CASE("class_distribution: shots split at the field's thresholds, ends in medium", "[data]") {
  const auto classes = ClassDistribution::from_counts(counts_of({101, 100, 20, 19, 0}));
  CHECK(classes.shot(0) == Shot::many);
  CHECK(classes.shot(1) == Shot::medium);
  CHECK(classes.shot(2) == Shot::medium);
  CHECK(classes.shot(3) == Shot::few);
  CHECK(classes.shot(4) == Shot::few);
  ShotThresholds thresholds;
  thresholds.many_above = 19;
  thresholds.few_below = 1;
  CHECK(classes.shot(2, thresholds) == Shot::many);
  CHECK(classes.shot(3, thresholds) == Shot::medium);
}

TEST_CASE("class_distribution: shards merge to the whole in any order", "[data]") {
  const std::uint64_t seed = 3;
  CAPTURE(seed);
  const Eigen::VectorXi labels = RandomData(seed).labels(300, 9);
  const ClassDistribution whole(labels, 9);
  ClassDistribution first(labels.head(100), 9);
  ClassDistribution rest(labels.segment(100, 50), 9);
  rest.update(labels.tail(150));
  ClassDistribution backwards = rest;
  first.merge(rest);
  CHECK(first.counts() == whole.counts());
  CHECK(first.samples() == whole.samples());
  backwards.merge(ClassDistribution(labels.head(100), 9));
  CHECK(backwards.counts() == whole.counts());
}

TEST_CASE("class_distribution: an empty shard is a distribution, without a prior", "[data][errors]") {
  const ClassDistribution empty(Eigen::VectorXi(0), 4);
  CHECK(empty.samples() == 0);
  CHECK(empty.counts() == CountVector::Zero(4));
  CHECK(rejects([&] { return empty.prior(); }, {"prior", "no samples"}));
  CHECK(rejects([&] { return empty.log_prior(ZeroCount::mask()); }, {"no samples"}));
  CHECK(rejects([&] { return empty.imbalance_ratio(); }, {"no samples"}));
  CHECK(empty.log_prior(ZeroCount::smooth(1.0)).isApproxToConstant(-std::log(4.0)));
}

TEST_CASE("class_distribution: rejects what cannot be counted and keeps what was", "[data][errors]") {
  ClassDistribution classes(Eigen::Vector3i(0, 1, 1));
  const CountVector before = classes.counts();
  CHECK(rejects([&] { classes.update(Eigen::Vector3i(0, 2, 1)); }, {"labels[1] is 2", "[0, 2)"}));
  CHECK(rejects([&] { classes.update(Eigen::Vector3i(0, 1, -5)); }, {"labels[2] is -5"}));
  CHECK(rejects([&] { classes.merge(ClassDistribution(Eigen::Vector2i(0, 2))); },
                {"merge", "size 3", "expected 2"}));
  CHECK(classes.counts() == before);
  CHECK(classes.samples() == 3);

  CHECK(rejects([] { ClassDistribution(Eigen::VectorXi(0)); }, {"labels is empty"}));
  CHECK(rejects([] { ClassDistribution(Eigen::VectorXi(0), 0); }, {"classes is 0"}));
  CHECK(rejects([] { ClassDistribution(Eigen::Vector2i(0, -1)); }, {"labels[1] is -1"}));
  CHECK(rejects([] { return ClassDistribution::from_counts(Eigen::Vector2i(4, -1)); }, {"counts[1] is -1"}));
  CHECK(rejects(
      [] {
        return ClassDistribution::from_counts(counts_of({1, std::numeric_limits<std::int64_t>::max()}));
      },
      {"counts[1]", "2^63"}));
  CHECK(rejects([&] { return classes.effective_numbers(1.5); }, {"beta is 1.5", "[0, 1]"}));
  CHECK(rejects([&] { return classes.effective_numbers(std::nan("")); }, {"beta is nan"}));
  CHECK(rejects([] { return ZeroCount::smooth(0.0); }, {"a is 0"}));
  CHECK(rejects([&] { return classes.shot(2); }, {"class_index is 2"}));
  CHECK(rejects([] { ClassDistribution(Eigen::Matrix<std::uint64_t, 2, 1>(0u, ~0ull), 3); }, {"labels[1]"}));
}
