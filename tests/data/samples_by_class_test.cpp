#include <ballast/data/samples_by_class.hpp>

#include <cstdint>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::IndexVector;
using ballast::SamplesByClass;

}  // namespace

TEMPLATE_TEST_CASE("samples_by_class: groups samples, in the order of the data set", "[data]", std::int8_t,
                   int, std::uint64_t) {
  Eigen::Matrix<TestType, Eigen::Dynamic, 1> labels(7);
  labels << 2, 0, 2, 4, 0, 2, 4;
  const SamplesByClass samples(labels, 6);
  CHECK(samples.classes() == 6);
  CHECK(samples.size() == 7);
  CHECK(samples.bound() == 7);
  CHECK(samples.order() == (IndexVector(7) << 1, 4, 0, 2, 5, 3, 6).finished());
  CHECK(samples.begin() == (IndexVector(7) << 0, 2, 2, 5, 5, 7, 7).finished());
  for (Index j = 0; j < 6; ++j)
    CHECK(samples.count(j) == (labels.array() == static_cast<TestType>(j)).count());
  CHECK(SamplesByClass(labels).classes() == 5);
}

TEST_CASE("samples_by_class: of a subset, by positions in the whole", "[data]") {
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  const Eigen::VectorXi labels = RandomData(seed).labels(50, 4);
  const Eigen::Matrix<std::uint8_t, 5, 1> subset(40, 3, 49, 7, 3);  // 3 twice
  const SamplesByClass samples(labels, 4, subset);
  CHECK(samples.size() == 5);
  CHECK(samples.bound() == 50);
  for (Index j = 0; j < 4; ++j) {
    for (Index i = samples.begin()[j]; i < samples.begin()[j + 1]; ++i)
      CHECK(labels[samples.order()[i]] == j);
  }
  IndexVector sorted = samples.order();
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == (IndexVector(5) << 3, 3, 7, 40, 49).finished());
}

TEST_CASE("samples_by_class: no samples", "[data]") {
  const SamplesByClass none(Eigen::VectorXi(0), 3);
  CHECK(none.classes() == 3);
  CHECK(none.size() == 0);
  CHECK(none.bound() == 0);
  CHECK(none.count(2) == 0);
  CHECK(SamplesByClass(Eigen::Vector2i(0, 1), 3, Eigen::VectorXi(0)).size() == 0);
}

TEST_CASE("samples_by_class: rejects the first label or position outside", "[data][errors]") {
  const Eigen::Vector3i labels(0, 3, -1);
  CHECK(rejects([&] { SamplesByClass{labels}; }, {"labels[2] is -1"}));
  CHECK(rejects([&] { SamplesByClass(labels, 3); }, {"labels[1] is 3", "[0, 3)"}));
  CHECK(rejects([&] { SamplesByClass(labels, 0); }, {"classes is 0"}));
  CHECK(rejects([&] { SamplesByClass(labels, 4, Eigen::Vector2i(0, 3)); }, {"subset[1] is 3", "[0, 3)"}));
  CHECK(rejects([&] { SamplesByClass(labels, 4, Eigen::Vector2i(-1, 0)); }, {"subset[0] is -1"}));
  CHECK(rejects([&] { SamplesByClass(labels, 4, Eigen::Vector2i(1, 2)); },
                {"SamplesByClass: labels[2] is -1"}));
  CHECK_NOTHROW(SamplesByClass(labels, 4, Eigen::Vector2i(1, 0)));
}
