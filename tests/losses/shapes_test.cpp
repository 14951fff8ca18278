#include <ballast/losses/shapes.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::CrossEntropy;
using ballast::Focal;
using ballast::Likelihood;
using ballast::ShapeValue;
using ballast::WeightInsideFocal;

template <typename Scalar>
Likelihood<Scalar> at(long double log_p) {
  return {static_cast<Scalar>(log_p), static_cast<Scalar>(std::exp(log_p)),
          static_cast<Scalar>(-std::expm1(log_p))};
}

}  // namespace

TEMPLATE_TEST_CASE("shapes: value and slope of the formulas", "[losses]", float, double) {
  const auto epsilon = static_cast<long double>(std::numeric_limits<TestType>::epsilon());
  for (const long double log_p : {-1e-12L, -1e-6L, -0.1L, -1.0L, -5.0L, -40.0L}) {
    for (const double gamma : {0.0, 0.5, 1.0, 2.0, 2.5, 5.0, 20.0}) {
      CAPTURE(log_p, gamma);
      const auto l = static_cast<long double>(static_cast<TestType>(log_p));
      const long double miss = -std::expm1(l);
      const long double value = -std::pow(miss, static_cast<long double>(gamma)) * l;
      const long double slope = -std::pow(miss, static_cast<long double>(gamma)) +
                                static_cast<long double>(gamma) *
                                    std::pow(miss, static_cast<long double>(gamma) - 1) * std::exp(l) * l;
      const auto came = Focal<TestType>{static_cast<TestType>(gamma)}(at<TestType>(l), TestType(3));
      // miss is rounded once, the power makes that gamma roundings.
      const long double bound = (8 + 4 * static_cast<long double>(gamma)) * epsilon;
      const auto tiny = static_cast<long double>(std::numeric_limits<TestType>::min());
      CHECK(std::abs(static_cast<long double>(came.value) - 3 * value) <= bound * 3 * value + tiny);
      CHECK(std::abs(static_cast<long double>(came.slope) - 3 * slope) <= -bound * 3 * slope + tiny);
    }
  }
  const auto plain = CrossEntropy{}(at<TestType>(-2), TestType(3));
  CHECK(plain.value == 6);
  CHECK(plain.slope == -3);
}

TEMPLATE_TEST_CASE("shapes: the weight inside focal is inside", "[losses]", float, double) {
  for (const double gamma : {0.5, 1.0, 2.0}) {
    const TestType g = static_cast<TestType>(gamma);
    const auto inside = WeightInsideFocal<TestType>{g}(at<TestType>(-0.7L), TestType(2));
    const auto doubled = Focal<TestType>{g}(at<TestType>(-1.4L), TestType(1));
    const TestType bound = 16 * std::numeric_limits<TestType>::epsilon();
    CHECK(std::abs(inside.value - doubled.value) <= bound);
    CHECK(std::abs(inside.slope - 2 * doubled.slope) <= bound);
  }
}

TEMPLATE_TEST_CASE("shapes: the ends of the range", "[losses]", float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  const Likelihood<TestType> certain{0, 1, 0};
  const Likelihood<TestType> impossible{-infinity, 0, 1};
  for (const double gamma : {0.0, 0.3, 1.0, 3.0}) {
    const Focal<TestType> focal{static_cast<TestType>(gamma)};
    CHECK(focal(certain, TestType(1)).value == 0);
    CHECK(focal(certain, TestType(1)).slope == (gamma == 0 ? -1 : 0));
    CHECK(focal(impossible, TestType(1)).value == infinity);
    CHECK(focal(impossible, TestType(1)).slope == -1);
    const WeightInsideFocal<TestType> inside{static_cast<TestType>(gamma)};
    CHECK(inside(impossible, TestType(2)).value == infinity);
    CHECK(inside(impossible, TestType(2)).slope == -2);
  }
  CHECK(rejects([] { Focal<double>{-0.5}.check(); }, {"Focal", "gamma is -0.5"}));
  CHECK(rejects([] { WeightInsideFocal<double>{std::nan("")}.check(); },
                {"WeightInsideFocal", "gamma is nan"}));
}
