#include <ballast/core/exp.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Index;
using ballast::detail::Lanes;

template <typename Scalar>
void exp_lanes(const Scalar* from, Scalar* to) {
  ballast::detail::packet::store(
      to, ballast::detail::exp_nonpositive<Scalar>(ballast::detail::packet::load(from)));
}

/// log(1 + x)
template <typename Scalar>
void log_lanes(const Scalar* from, Scalar* to) {
  const auto x = ballast::detail::packet::load(from);
  const auto one = ballast::detail::packet::broadcast(Scalar(1));
  const auto u = ballast::detail::packet::padd(x, one);
  ballast::detail::packet::store(
      to, ballast::detail::log_corrected<Scalar>(u, x, ballast::detail::packet::pdiv(one, u)));
}

template <typename Scalar>
Scalar exp_of(Scalar x) {
  Lanes<Scalar> lanes;
  lanes.fill(x);
  exp_lanes(lanes.data(), lanes.data());
  for (const Scalar lane : lanes) {
    if (!(lane == lanes[0]) && !std::isnan(lane)) return -1;
  }
  return lanes[0];
}

/// Size of a unit in the last place of a result, that of the smallest subnormal included.
double float_ulp(double value) {
  const int exponent = std::max(std::ilogb(value), -126);
  return std::ldexp(1.0, exponent - 23);
}

// Every float where the result varies, one in 61 where it is constant; fewer in a build that checks each
// step.
#ifdef NDEBUG
constexpr std::uint32_t every = 1;
constexpr std::uint32_t sampled = 61;
#else
constexpr std::uint32_t every = 257;
constexpr std::uint32_t sampled = 10007;
#endif

/// Calls visit(x, exp(x)) for the floats with bit patterns first, first + stride, ... < last, packet by
/// packet.
template <typename Visit>
void for_floats(std::uint32_t first, std::uint32_t last, std::uint32_t stride, const Visit& visit) {
  Lanes<float> x, y;
  for (std::uint64_t bits = first; bits < last;) {
    for (float& lane : x) {
      const auto pattern = static_cast<std::uint32_t>(std::min<std::uint64_t>(bits, last - 1));
      std::memcpy(&lane, &pattern, sizeof pattern);
      bits += stride;
    }
    exp_lanes(x.data(), y.data());
    for (std::size_t i = 0; i < x.size(); ++i) visit(x[i], y[i]);
  }
}

std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

}  // namespace

TEST_CASE("exp: within 2 ulp for every float from -0 to -104, subnormal results included", "[core]") {
  // Below 2^-26 in size the result is 1 to half a unit: checked by comparison alone.
  Index far = 0;
  for_floats(bits_of(-0.0f), bits_of(-0x1p-26f), sampled, [&](float, float y) { far += y != 1.0f; });
  CHECK(far == 0);

  double worst = 0;
  float worst_at = 0;
  for_floats(bits_of(-0x1p-26f), bits_of(-104.5f), every, [&](float x, float y) {
    const double expected = std::exp(static_cast<double>(x));
    // One bound of the error for all of a binade first; the exact unit only near the limit.
    const double error = std::abs(static_cast<double>(y) - expected);
    if (error <= 0.5 * worst * 0x1p-24 * expected) return;
    const double ulps = error / float_ulp(expected);
    if (ulps > worst) {
      worst = ulps;
      worst_at = x;
    }
  });
  CAPTURE(worst_at);
  CHECK(worst <= 2);
  CHECK(worst > 0.4);  // the comparison compares: correct rounding itself errs by half a unit
}

TEST_CASE("exp: floats below -104 give 0, NaN gives NaN", "[core]") {
  Index wrong = 0;
  for_floats(bits_of(-104.5f), bits_of(-std::numeric_limits<float>::infinity()) + 1, sampled,
             [&](float, float y) { wrong += y != 0.0f || std::signbit(y); });
  CHECK(wrong == 0);
  for_floats(bits_of(-std::numeric_limits<float>::infinity()) + 1, ~std::uint32_t(0), sampled,
             [&](float, float y) { wrong += !std::isnan(y); });
  CHECK(wrong == 0);
}

TEST_CASE("exp: double within 2 ulp over the whole range", "[core]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  RandomData random(seed);
  long double worst = 0;
  double worst_at = 0;
  for (int i = 0; i < 1000000; ++i) {
    // Half of the points over the whole range, half of them by magnitude.
    const double x =
        i % 2 == 0 ? random.uniform(-745.2, 0) : -std::exp2(random.uniform(-60, std::log2(745.2)));
    const long double expected = std::exp(static_cast<long double>(x));
    const int exponent = std::max(std::ilogb(expected), -1022);
    const long double error = std::abs(static_cast<long double>(exp_of(x)) - expected);
    const long double ulps = error / std::ldexp(1.0L, exponent - 52);
    if (ulps > worst) {
      worst = ulps;
      worst_at = x;
    }
  }
  CAPTURE(worst_at);
  CHECK(worst <= 2);
}

TEMPLATE_TEST_CASE("exp: the ends", "[core]", float, double) {
  constexpr TestType infinity = std::numeric_limits<TestType>::infinity();
  CHECK(exp_of(TestType(0)) == 1);
  CHECK(exp_of(TestType(-0.0)) == 1);
  CHECK(exp_of(-infinity) == 0);
  CHECK(exp_of(std::numeric_limits<TestType>::lowest()) == 0);
  CHECK(exp_of(TestType(-1e4)) == 0);
  CHECK(std::isnan(exp_of(std::numeric_limits<TestType>::quiet_NaN())));
  CHECK(ballast::detail::exp_nonpositive_scalar(TestType(-1)) == exp_of(TestType(-1)));
}

TEMPLATE_TEST_CASE("exp: log(1 + x) within 4 ulp", "[core]", float, double) {
  RandomData random(7);
  Lanes<TestType> lanes, results;
  long double worst = 0;
  for (int i = 0; i < 100000; ++i) {
    for (TestType& lane : lanes) lane = static_cast<TestType>(std::exp2(random.uniform(-100, 20)));
    if (i == 0) lanes[0] = 0;
    log_lanes(lanes.data(), results.data());
    for (std::size_t j = 0; j < lanes.size(); ++j) {
      const long double expected = std::log1p(static_cast<long double>(lanes[j]));
      const long double error = std::abs(static_cast<long double>(results[j]) - expected);
      if (error > 0) worst = std::max(worst, error / expected);
    }
  }
  CHECK(worst <= 4 * static_cast<long double>(std::numeric_limits<TestType>::epsilon()) / 2);
  lanes[0] = std::numeric_limits<TestType>::quiet_NaN();
  log_lanes(lanes.data(), results.data());
  CHECK(std::isnan(results[0]));
}
