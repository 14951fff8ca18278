#include <ballast/sampling/shuffled_cycle.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::IndexVector;
using ballast::PowerLawSampler;
using ballast::ProgressiveSampler;
using ballast::ShuffledCycle;

PowerLawSampler::Options power(double q, std::uint64_t seed) {
  PowerLawSampler::Options options;
  options.q = q;
  options.seed = seed;
  return options;
}

template <typename Sampler>
IndexVector plan_of(ShuffledCycle<Sampler>& cycle, Index epoch, Index draws) {
  IndexVector order(draws);
  cycle.plan(epoch, order);
  return order;
}

/// Whenever a sample is drawn, none of its class has been drawn less often.
void check_rounds(const Eigen::VectorXi& labels, const IndexVector& order) {
  Eigen::VectorXi times = Eigen::VectorXi::Zero(labels.size());
  for (Index i = 0; i < order.size(); ++i) {
    const int own = labels[order[i]];
    int least = times[order[i]];
    for (Index k = 0; k < labels.size(); ++k) {
      if (labels[k] == own) least = std::min(least, times[k]);
    }
    REQUIRE(times[order[i]] == least);  // none twice before each once
    ++times[order[i]];
  }
}

}  // namespace

TEST_CASE("shuffled_cycle: no sample of a class twice before every one once", "[sampling]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  const Eigen::VectorXi labels =
      RandomData(seed).labels(60, 4).array().square();  // classes 2, 3, 5, ... empty
  ShuffledCycle balanced{PowerLawSampler(labels, power(0.0, seed))};
  ShuffledCycle progressive{ProgressiveSampler(labels, 3, seed)};
  for (Index epoch = 0; epoch < 3; ++epoch) {
    check_rounds(labels, plan_of(balanced, epoch, 500));
    check_rounds(labels, plan_of(progressive, epoch, 500));
  }
}

TEST_CASE("shuffled_cycle: draws the classes of its sampler", "[sampling]") {
  const Eigen::VectorXi labels = RandomData(3).labels(60, 4);
  ShuffledCycle cycle{PowerLawSampler(labels, power(0.5, 3))};
  const IndexVector order = plan_of(cycle, 4, 300);
  IndexVector classes(300);
  cycle.sampler().draw_classes(4, 0, classes);
  for (Index i = 0; i < 300; ++i) CHECK(labels[order[i]] == classes[i]);
}

TEST_CASE("shuffled_cycle: every order of a class is equally probable, in every round", "[sampling]") {
  ShuffledCycle cycle{PowerLawSampler(Eigen::VectorXi::Zero(3), power(0.0, 9))};
  Eigen::VectorXd first = Eigen::VectorXd::Zero(6), second = Eigen::VectorXd::Zero(6),
                  both = Eigen::VectorXd::Zero(36);
  const auto code = [](Index a, Index b) {
    return 2 * a + (b > a ? b - 1 : b);
  };
  for (Index epoch = 0; epoch < 20000; ++epoch) {
    const IndexVector order = plan_of(cycle, epoch, 6);
    const Index one = code(order[0], order[1]), two = code(order[3], order[4]);
    ++first[one];
    ++second[two];
    ++both[6 * one + two];
  }
  CHECK(std::abs(chi_square_z(first)) < 4.5);
  CHECK(std::abs(chi_square_z(second)) < 4.5);
  CHECK(std::abs(chi_square_z(both)) < 4.5);
}

TEST_CASE("shuffled_cycle: a plan depends on seed and epoch alone, a longer one begins with it",
          "[sampling]") {
  const Eigen::VectorXi labels = RandomData(5).labels(100, 6);
  ShuffledCycle cycle{PowerLawSampler(labels, power(0.0, 7))};
  const IndexVector plan = plan_of(cycle, 2, 250);
  plan_of(cycle, 3, 400);  // leaves no trace
  plan_of(cycle, 0, 1);
  CHECK(plan_of(cycle, 2, 250) == plan);
  CHECK(plan_of(cycle, 2, 90) == plan.head(90));
  CHECK(plan_of(cycle, 2, 0).size() == 0);
  ShuffledCycle other{PowerLawSampler(labels, power(0.0, 7))};
  CHECK(plan_of(other, 2, 250) == plan);
  CHECK(plan_of(cycle, 3, 250) != plan);

  ShuffledCycle pinned{PowerLawSampler(Eigen::VectorXi::LinSpaced(12, 0, 11) / 4, power(0.0, 7))};
  const IndexVector order = plan_of(pinned, 1, 24);
  const std::array<Index, 24> expected = {3, 10, 6, 1, 2, 4,  8, 7, 11, 5, 0, 9,
                                          5, 8,  3, 6, 0, 10, 2, 4, 1,  7, 1, 0};
  CHECK(std::equal(order.begin(), order.end(), expected.begin()));
}

TEST_CASE("shuffled_cycle: of a part of a data set, to any integral vector", "[sampling]") {
  const Eigen::Matrix<int, 6, 1> labels = (Eigen::Matrix<int, 6, 1>() << 0, 1, 0, 1, 0, 1).finished();
  const ballast::SamplesByClass samples(labels, 2, Eigen::Vector3i(5, 0, 2));
  ShuffledCycle cycle{PowerLawSampler(samples)};
  Eigen::Matrix<std::uint8_t, Eigen::Dynamic, 1> order(40);
  cycle.plan(0, order);
  for (const auto sample : order) CHECK((sample == 5 || sample == 0 || sample == 2));
  CHECK(order.cast<Index>() == plan_of(cycle, 0, 40));
}

TEST_CASE("shuffled_cycle: rejects, and writes nothing", "[sampling][errors]") {
  ShuffledCycle cycle{PowerLawSampler(Eigen::VectorXi::Zero(200))};
  IndexVector order = IndexVector::Constant(10, -7);
  CHECK(rejects([&] { cycle.plan(-1, order); }, {"epoch is -1"}));
  CHECK((order.array() == -7).all());
  Eigen::Matrix<std::int8_t, 4, 1> small(1, 2, 3, 4);
  CHECK(rejects([&] { cycle.plan(0, small); }, {"plan: order holds integers up to 127, expected up to 199"}));
  CHECK(small == Eigen::Matrix<std::int8_t, 4, 1>(1, 2, 3, 4));
}
