#include <ballast/metrics/bootstrap.hpp>

#include <cmath>
#include <cstdint>

#include "support/catch.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::bootstrap_balanced_error;
using ballast::bootstrap_weighted_error;
using ballast::BootstrapInterval;
using ballast::BootstrapOptions;
using ballast::ConfusionMatrix;
using ballast::Count;
using ballast::MatrixX;

ConfusionMatrix confusion_of(Count a, Count b, Count c, Count d) {
  MatrixX<Count> counts(2, 2);
  counts << a, b, c, d;
  return ConfusionMatrix(ConfusionMatrix::State{counts});
}

}  // namespace

TEST_CASE("bootstrap: the spread is that of the binomials it resamples", "[metrics]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  const ConfusionMatrix confusion = confusion_of(320, 80, 30, 70);  // errors 0.2 of 400, 0.3 of 100
  BootstrapOptions options;
  options.seed = seed;
  const BootstrapInterval interval = bootstrap_balanced_error(confusion, options);
  const double exact = 0.5 * std::sqrt(0.2 * 0.8 / 400 + 0.3 * 0.7 / 100);
  // The deviation of 2000 values is known to 1 / sqrt(2 * 2000) = 1.6 %: four of those. A quantile at 2.5 %
  // to sqrt(0.025 * 0.975 / 2000) / density(1.96) = 0.06 deviations: five of those, and a step of the counts.
  CHECK(std::abs(interval.standard_error / exact - 1) < 0.064);
  CHECK(std::abs(interval.lower - (0.25 - 1.96 * exact)) < 0.3 * exact + 0.00625);
  CHECK(std::abs(interval.upper - (0.25 + 1.96 * exact)) < 0.3 * exact + 0.00625);

  options.level = 0.5;
  const BootstrapInterval half = bootstrap_balanced_error(confusion, options);
  CHECK(half.lower > interval.lower);
  CHECK(half.upper < interval.upper);
  CHECK(half.standard_error == interval.standard_error);
}

TEST_CASE("bootstrap: a target prior weighs the classes, weight 0 leaves one out", "[metrics]") {
  const ConfusionMatrix confusion = confusion_of(320, 80, 0, 0);
  const BootstrapInterval interval = bootstrap_weighted_error(confusion, Eigen::Vector2d(1, 0));
  CHECK(std::abs(interval.standard_error - std::sqrt(0.16 / 400)) < 0.064 * std::sqrt(0.16 / 400));
  CHECK(interval.lower < 0.2);
  CHECK(interval.upper > 0.2);
}

TEST_CASE("bootstrap: a seed decides, and certainty has no width", "[metrics]") {
  const ConfusionMatrix confusion = confusion_of(50, 5, 3, 40);
  BootstrapOptions options;
  options.resamples = 200;
  const BootstrapInterval first = bootstrap_balanced_error(confusion, options);
  const BootstrapInterval again = bootstrap_balanced_error(confusion, options);
  CHECK(first.lower == again.lower);
  CHECK(first.standard_error == again.standard_error);
  options.seed = 1;
  CHECK(bootstrap_balanced_error(confusion, options).standard_error != first.standard_error);

  const BootstrapInterval perfect = bootstrap_balanced_error(confusion_of(9, 0, 0, 4));
  CHECK(perfect.lower == 0.0);
  CHECK(perfect.upper == 0.0);
  CHECK(perfect.standard_error == 0.0);
  CHECK(bootstrap_balanced_error(confusion_of(0, 9, 4, 0)).lower == 1.0);
}

TEST_CASE("bootstrap: bad arguments are refused", "[metrics][errors]") {
  const ConfusionMatrix confusion = confusion_of(5, 1, 0, 0);
  CHECK(rejects([&] { return bootstrap_balanced_error(confusion); }, {"class 1 has no samples"}));
  const auto with = [&](double level, ballast::Index resamples) {
    BootstrapOptions options;
    options.level = level;
    options.resamples = resamples;
    return bootstrap_weighted_error(confusion, Eigen::Vector2d(1, 0), options);
  };
  CHECK(rejects([&] { return with(1.0, 100); }, {"level is 1", "(0, 1)"}));
  CHECK(rejects([&] { return with(0.9, 1); }, {"resamples is 1"}));
}
