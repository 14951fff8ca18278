#include <ballast/core/random.hpp>

#include <array>
#include <bitset>
#include <cmath>
#include <cstdint>
#include <limits>

#include <Eigen/Core>

#include "support/catch.hpp"
#include "support/chi_square.hpp"

namespace {

using ballast::RandomStream;

constexpr std::uint64_t all_ones = std::numeric_limits<std::uint64_t>::max();
constexpr double z_limit = 4.5;

std::size_t ones(std::uint64_t bits) {
  return std::bitset<64>(bits).count();
}

/// Two functions of the position that are to look unrelated: the number of differing bits is binomial.
template <typename First, typename Second>
double difference_z(const First& first, const Second& second) {
  constexpr std::uint64_t positions = 1u << 14;
  double differing = 0;
  for (std::uint64_t i = 0; i < positions; ++i) differing += static_cast<double>(ones(first(i) ^ second(i)));
  const double mean = 32.0 * positions;
  return (differing - mean) / std::sqrt(16.0 * positions);
}

/// Correlation of the two as uniform numbers, times the root of the sample size: a standard normal deviate.
template <typename First, typename Second>
double correlation_z(const First& first, const Second& second) {
  constexpr std::uint64_t positions = 1u << 14;
  double sum = 0;
  for (std::uint64_t i = 0; i < positions; ++i) {
    sum += (RandomStream::to_uniform(first(i)) - 0.5) * (RandomStream::to_uniform(second(i)) - 0.5);
  }
  return 12 * sum / std::sqrt(static_cast<double>(positions));
}

}  // namespace

TEST_CASE("random: squares gives the published outputs", "[core]") {
  // Key and outputs as in the documentation and tests of independent implementations of arXiv:2004.06278.
  constexpr std::uint64_t key = 0x548c9decbce65297u;
  STATIC_REQUIRE(ballast::detail::squares(0, key) == 0x36d88366cee633a5u);
  STATIC_REQUIRE(ballast::detail::squares(1, key) == 0x944716e00e60dfaau);
  STATIC_REQUIRE(ballast::detail::squares(2, key) == 0xc8a8f4e0678654bfu);
  STATIC_REQUIRE(ballast::detail::squares(3, key) == 0x35cc666aab11c80du);
  STATIC_REQUIRE(ballast::detail::squares(4, key) == 0x7094eab1cbae8747u);
  STATIC_REQUIRE(ballast::detail::squares(5, key) == 0xa2a1b6f56e92a96fu);
}

TEST_CASE("random: the mixing is SplitMix64", "[core]") {
  // First outputs of SplitMix64 seeded with 1234567, as its author's and others' test vectors have them.
  constexpr std::uint64_t seed = 1234567;
  constexpr std::uint64_t step = 0x9e3779b97f4a7c15u;
  STATIC_REQUIRE(ballast::detail::mix_bits(seed) == 6457827717110365317u);
  STATIC_REQUIRE(ballast::detail::mix_bits(seed + step) == 3203168211198807973u);
  STATIC_REQUIRE(ballast::detail::mix_bits(seed + 2 * step) == 9817491932198370423u);
}

TEST_CASE("random: streams are pinned for every compiler and platform", "[core]") {
  // Computed apart, in integers of unlimited size.
  STATIC_REQUIRE(RandomStream(0, 0).bits(0) == 0xa935cf9c0df13e4cu);
  STATIC_REQUIRE(RandomStream(0, 0).bits(1) == 0x527551d3535ff9a7u);
  STATIC_REQUIRE(RandomStream(7, 3).bits(123456789) == 0x2a7d8d447cfa52f4u);
  STATIC_REQUIRE(RandomStream(1, 0).bits(std::uint64_t(1) << 40) == 0x8f04ff0eaf859e7du);
  STATIC_REQUIRE(RandomStream(all_ones, all_ones).bits(all_ones) == 0xfbda45dc41ff019bu);
  STATIC_REQUIRE(RandomStream(7, 3).substream(2).bits(5) == 0xded41d5c6ce140e1u);
  STATIC_REQUIRE(RandomStream(5).bits(9) == RandomStream(5, 0).bits(9));
}

TEST_CASE("random: the wide product is the same with and without 128-bit integers", "[core]") {
  const std::array<std::uint64_t, 6> extremes = {0, 1, 0xffffffffu, 0x100000000u, all_ones - 1, all_ones};
  for (const std::uint64_t a : extremes) {
    for (const std::uint64_t b : extremes) {
      CAPTURE(a, b);
      CHECK(ballast::detail::multiply_wide(a, b) == ballast::detail::multiply_wide_portably(a, b));
    }
  }
  CHECK(ballast::detail::multiply_wide_portably(all_ones, all_ones) ==
        std::make_pair(all_ones - 1, std::uint64_t(1)));
  const RandomStream random(1);
  for (std::uint64_t i = 0; i < 1000; ++i) {
    const std::uint64_t a = random.bits(2 * i), b = random.bits(2 * i + 1);
    CAPTURE(a, b);
    CHECK(ballast::detail::multiply_wide(a, b) == ballast::detail::multiply_wide_portably(a, b));
  }
}

TEST_CASE("random: fill writes the bits of consecutive positions", "[core]") {
  const RandomStream random(3, 4);
  for (const std::uint64_t begin : {std::uint64_t(0), std::uint64_t(1) << 35, all_ones - 3}) {
    std::array<std::uint64_t, 79> values;
    values.fill(0);
    random.fill(begin, 77, values.data());
    for (std::uint64_t i = 0; i < 77; ++i) CHECK(values[i] == random.bits(begin + i));
    CHECK(values[77] == 0);
  }
}

TEST_CASE("random: every bit is set half the time", "[core]") {
  const std::uint64_t seed = GENERATE(0u, 1u, 20200428u);
  CAPTURE(seed);
  const RandomStream random(seed);
  constexpr std::uint64_t positions = 1u << 16;
  std::array<double, 64> set{};
  for (std::uint64_t i = 0; i < positions; ++i) {
    const std::bitset<64> bits(random.bits(i));
    for (std::size_t b = 0; b < 64; ++b) set[b] += bits[b] ? 1 : 0;
  }
  for (std::size_t b = 0; b < 64; ++b) {
    CAPTURE(b);
    CHECK(std::abs(set[b] - positions / 2.0) < z_limit * std::sqrt(positions / 4.0));
  }
}

TEST_CASE("random: bytes, pairs and sums of bits have their distributions", "[core]") {
  const std::uint64_t seed = GENERATE(0u, 1u, 2u, 20200428u);
  CAPTURE(seed);
  const RandomStream random(seed);
  constexpr std::uint64_t positions = 1u << 17;

  for (int shift = 0; shift < 64; shift += 8) {
    CAPTURE(shift);
    Eigen::VectorXd bytes = Eigen::VectorXd::Zero(256);
    for (std::uint64_t i = 0; i < positions; ++i) ++bytes[static_cast<int>(random.bits(i) >> shift & 255u)];
    CHECK(std::abs(chi_square_z(bytes)) < z_limit);
  }
  for (const std::uint64_t lag : {1u, 2u, 64u, 4096u}) {
    CAPTURE(lag);
    for (const int shift : {0, 32, 60}) {
      CAPTURE(shift);
      Eigen::VectorXd pairs = Eigen::VectorXd::Zero(256);
      for (std::uint64_t i = 0; i < positions; ++i) {
        const auto first = random.bits(i) >> shift & 15u, second = random.bits(i + lag) >> shift & 15u;
        ++pairs[static_cast<int>(16 * first + second)];
      }
      CHECK(std::abs(chi_square_z(pairs)) < z_limit);
    }
  }
  Eigen::VectorXd weights = Eigen::VectorXd::Zero(65), binomial(65);
  for (std::uint64_t i = 0; i < positions; ++i) ++weights[static_cast<int>(ones(random.bits(i)))];
  for (int k = 0; k <= 64; ++k) {
    binomial[k] =
        std::exp(std::lgamma(65.0) - std::lgamma(k + 1.0) - std::lgamma(65.0 - k) - 64 * std::log(2.0));
  }
  const int tail = 18;  // below, an expected count would be less than 5
  Eigen::VectorXd counts = weights.segment(tail, 65 - 2 * tail),
                  expected = binomial.segment(tail, 65 - 2 * tail);
  counts[0] += weights.head(tail).sum();
  counts[counts.size() - 1] += weights.tail(tail).sum();
  expected[0] += binomial.head(tail).sum();
  expected[expected.size() - 1] += binomial.tail(tail).sum();
  CHECK(std::abs(chi_square_z(counts, expected)) < z_limit);
}

TEST_CASE("random: neighbouring seeds, streams and positions are unrelated", "[core]") {
  for (const std::uint64_t seed :
       {std::uint64_t(0), std::uint64_t(1), std::uint64_t(41), std::uint64_t(1) << 63}) {
    for (const std::uint64_t stream : {0u, 1u, 17u}) {
      CAPTURE(seed, stream);
      const auto bits = [&](std::uint64_t i) {
        return RandomStream(seed, stream).bits(i);
      };
      const auto next_seed = [&](std::uint64_t i) {
        return RandomStream(seed + 1, stream).bits(i);
      };
      const auto next_stream = [&](std::uint64_t i) {
        return RandomStream(seed, stream + 1).bits(i);
      };
      const auto swapped = [&](std::uint64_t i) {
        return RandomStream(~stream, ~seed).bits(i);
      };
      const auto substream = [&](std::uint64_t i) {
        return RandomStream(seed, stream).substream(0).bits(i);
      };
      const auto next_substream = [&](std::uint64_t i) {
        return RandomStream(seed, stream).substream(1).bits(i);
      };
      const auto next_position = [&](std::uint64_t i) {
        return bits(i + 1);
      };
      const auto far_position = [&](std::uint64_t i) {
        return bits(i + (std::uint64_t(1) << 32));
      };
      CHECK(std::abs(difference_z(bits, next_seed)) < z_limit);
      CHECK(std::abs(difference_z(bits, next_stream)) < z_limit);
      CHECK(std::abs(difference_z(bits, swapped)) < z_limit);
      CHECK(std::abs(difference_z(bits, substream)) < z_limit);
      CHECK(std::abs(difference_z(substream, next_substream)) < z_limit);
      CHECK(std::abs(difference_z(bits, next_position)) < z_limit);
      CHECK(std::abs(difference_z(bits, far_position)) < z_limit);
      CHECK(std::abs(correlation_z(bits, next_seed)) < z_limit);
      CHECK(std::abs(correlation_z(bits, next_stream)) < z_limit);
      CHECK(std::abs(correlation_z(substream, next_substream)) < z_limit);
      CHECK(std::abs(correlation_z(bits, next_position)) < z_limit);
    }
  }
}

TEST_CASE("random: the first draws of many seeds and of many epochs are equidistributed", "[core]") {
  Eigen::VectorXd seeds = Eigen::VectorXd::Zero(256), epochs = Eigen::VectorXd::Zero(256);
  for (std::uint64_t i = 0; i < 1u << 16; ++i) {
    ++seeds[static_cast<int>(RandomStream(i).below(0, 256))];
    ++epochs[static_cast<int>(RandomStream(5, i).below(0, 256))];
  }
  CHECK(std::abs(chi_square_z(seeds)) < z_limit);
  CHECK(std::abs(chi_square_z(epochs)) < z_limit);
}

TEST_CASE("random: uniform numbers are multiples of 2^-53 in [0, 1)", "[core]") {
  STATIC_REQUIRE(RandomStream::to_uniform(0) == 0.0);
  STATIC_REQUIRE(RandomStream::to_uniform(all_ones) == 1.0 - 0x1p-53);
  STATIC_REQUIRE(RandomStream::to_uniform(std::uint64_t(1) << 11) == 0x1p-53);
  const RandomStream random(8);
  for (std::uint64_t i = 0; i < 1000; ++i)
    CHECK(random.uniform(i) == RandomStream::to_uniform(random.bits(i)));
}

TEST_CASE("random: below draws every integer under the bound alike", "[core]") {
  const RandomStream random(9);
  for (const std::uint64_t bound : {1u, 2u, 10u, 1000u}) {
    CAPTURE(bound);
    Eigen::VectorXd counts = Eigen::VectorXd::Zero(static_cast<Eigen::Index>(bound));
    for (std::uint64_t i = 0; i < 100000; ++i) ++counts[static_cast<Eigen::Index>(random.below(i, bound))];
    if (bound > 1) CHECK(std::abs(chi_square_z(counts)) < z_limit);
  }
  for (std::uint64_t i = 0; i < 1000; ++i) CHECK(random.below(i, all_ones) < all_ones);
}

TEST_CASE("random: normal numbers have the moments and the tails of the normal distribution", "[core]") {
  const RandomStream random(10);
  constexpr std::uint64_t draws = 200000;
  std::array<double, 5> moment{};
  double beyond_two = 0;
  for (std::uint64_t i = 0; i < draws; ++i) {
    const double x = random.normal(i);
    REQUIRE(std::isfinite(x));
    double power = 1;
    for (double& m : moment) {
      m += power / draws;
      power *= x;
    }
    beyond_two += std::abs(x) > 2 ? 1.0 / draws : 0.0;
  }
  // The variance of x^k is (2k - 1)!! less the square of the mean: 1, 2, 15, 96.
  const double root = std::sqrt(static_cast<double>(draws));
  CHECK(std::abs(moment[1]) < z_limit / root);
  CHECK(std::abs(moment[2] - 1) < z_limit * std::sqrt(2.0) / root);
  CHECK(std::abs(moment[3]) < z_limit * std::sqrt(15.0) / root);
  CHECK(std::abs(moment[4] - 3) < z_limit * std::sqrt(96.0) / root);
  const double tail = std::erfc(2 / std::sqrt(2.0));
  CHECK(std::abs(beyond_two - tail) < z_limit * std::sqrt(tail * (1 - tail)) / root);
}
