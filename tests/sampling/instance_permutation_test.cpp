#include <ballast/sampling/instance_permutation.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::IndexVector;
using ballast::InstancePermutation;

IndexVector plan_of(const InstancePermutation& permutation, Index epoch) {
  IndexVector order(permutation.size());
  permutation.plan(epoch, order);
  return order;
}

IndexVector sorted(IndexVector values) {
  std::sort(values.begin(), values.end());
  return values;
}

}  // namespace

TEST_CASE("instance_permutation: every sample once", "[sampling]") {
  for (const Index size : {0, 1, 2, 63, 64, 65, 1000}) {
    CAPTURE(size);
    const InstancePermutation permutation(size, 3);
    CHECK(permutation.size() == size);
    const IndexVector order = sorted(plan_of(permutation, 0));
    for (Index i = 0; i < size; ++i) CHECK(order[i] == i);
  }
}

TEST_CASE("instance_permutation: every order is equally probable", "[sampling]") {
  const InstancePermutation permutation(4, 3);
  Eigen::VectorXd orders = Eigen::VectorXd::Zero(256);
  for (Index epoch = 0; epoch < 24000; ++epoch) {
    const IndexVector order = plan_of(permutation, epoch);
    ++orders[order[0] + 4 * order[1] + 16 * order[2] + 64 * order[3]];
  }
  Eigen::VectorXd expected(256);
  for (Index code = 0; code < 256; ++code) {
    std::array<Index, 4> digits = {code % 4, code / 4 % 4, code / 16 % 4, code / 64};
    std::sort(digits.begin(), digits.end());
    expected[code] = digits == std::array<Index, 4>{0, 1, 2, 3} ? 1.0 / 24 : 0.0;
  }
  CHECK(std::abs(chi_square_z(orders, expected)) < 4.5);
}

TEST_CASE("instance_permutation: a sample comes anywhere in a long epoch", "[sampling]") {
  const Index size = 200;
  const InstancePermutation permutation(size, 5);
  Eigen::VectorXd places = Eigen::VectorXd::Zero(size * size);
  for (Index epoch = 0; epoch < 2000; ++epoch) {
    const IndexVector order = plan_of(permutation, epoch);
    for (Index i = 0; i < size; ++i) ++places[size * i + order[i]];
  }
  CHECK(std::abs(chi_square_z(places)) < 4.5);
}

TEST_CASE("instance_permutation: pinned for every compiler, anew for each epoch and seed", "[sampling]") {
  const IndexVector order = plan_of(InstancePermutation(16, 7), 2);
  const std::array<Index, 16> expected = {8, 2, 4, 15, 13, 14, 9, 5, 1, 0, 3, 7, 6, 10, 11, 12};
  CHECK(std::equal(order.begin(), order.end(), expected.begin()));
  CHECK(plan_of(InstancePermutation(16, 7), 2) == order);
  CHECK(plan_of(InstancePermutation(16, 7), 3) != order);
  CHECK(plan_of(InstancePermutation(16, 8), 2) != order);
}

TEST_CASE("instance_permutation: of a part of a data set", "[sampling]") {
  const Eigen::Vector4i subset(30, 4, 100, 7);
  const InstancePermutation permutation = InstancePermutation::of_subset(subset, 1);
  CHECK(permutation.size() == 4);
  const IndexVector places = plan_of(InstancePermutation(4, 1), 6), samples = plan_of(permutation, 6);
  for (Index i = 0; i < 4; ++i) CHECK(samples[i] == subset[places[i]]);
  CHECK(plan_of(InstancePermutation::of_subset(Eigen::VectorXi(0)), 0).size() == 0);
}

TEMPLATE_TEST_CASE("instance_permutation: writes to any integral vector", "[sampling]", std::uint8_t, int,
                   std::uint64_t) {
  const InstancePermutation permutation(100, 1);
  const IndexVector expected = plan_of(permutation, 4);
  Eigen::Matrix<TestType, Eigen::Dynamic, Eigen::Dynamic> matrix(3, 100);
  permutation.plan(4, matrix.row(2));
  CHECK(matrix.row(2).transpose().template cast<Index>() == expected);
}

TEST_CASE("instance_permutation: rejects, and writes nothing", "[sampling][errors]") {
  CHECK(rejects([] { InstancePermutation(-1); }, {"InstancePermutation: samples is -1"}));
  CHECK(rejects([] { return InstancePermutation::of_subset(Eigen::Vector2i(1, -4)); }, {"subset[1] is -4"}));
  const InstancePermutation permutation(200);
  IndexVector order = IndexVector::Constant(200, -7);
  CHECK(rejects([&] { permutation.plan(-1, order); }, {"plan: epoch is -1"}));
  CHECK(rejects([&] { permutation.plan(0, order.head(199)); }, {"order has size 199, expected 200"}));
  CHECK((order.array() == -7).all());
  Eigen::Matrix<std::int8_t, 200, 1> small;
  CHECK(rejects([&] { permutation.plan(0, small); }, {"order holds integers up to 127, expected up to 199"}));
}
