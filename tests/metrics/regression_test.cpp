#include <ballast/metrics/regression.hpp>

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::CountVector;
using ballast::ErrorSummary;
using ballast::Index;
using ballast::LabelBins;
using ballast::Outside;
using ballast::RegressionMetrics;
using ballast::Shot;
using ballast::VectorX;

bool close(std::optional<double> came, long double expected, double relative) {
  return came && std::abs(static_cast<long double>(*came) - expected) <=
                     static_cast<long double>(relative) * std::abs(expected);
}

struct Sample {
  Eigen::VectorXd predictions, targets;
};

Sample sample(std::uint64_t seed, Index size, double offset = 0) {
  RandomData random(seed);
  Sample result{Eigen::VectorXd(size), random.vector<double>(size, 0, 10)};
  for (Index i = 0; i < size; ++i) result.predictions[i] = 0.8 * result.targets[i] + random.normal() + offset;
  result.targets.array() += offset;
  return result;
}

/// 150, 120, 100, 20, 19, 0, ... training samples in bins 0, 1, ...
CountVector tailed_counts() {
  CountVector counts = CountVector::Zero(10);
  counts.head(5) << 150, 120, 100, 20, 19;
  return counts;
}

Shot shot_of(Index bin) {
  return bin < 2 ? Shot::many : bin < 4 ? Shot::medium : Shot::few;
}

struct Plain {
  long double samples = 0, absolute = 0, squared = 0, logarithm = 0;
  void add(long double error) {
    samples += 1;
    absolute += error;
    squared += error * error;
    logarithm += std::log(std::max(error, 1e-10L));
  }
  void check(const ErrorSummary& came) const {
    REQUIRE(static_cast<long double>(came.samples) == samples);
    // Up to 500 additions of positive numbers in double; the logarithms cancel.
    CHECK(close(came.mae(), absolute / samples, 1e-13));
    CHECK(close(came.mse(), squared / samples, 1e-13));
    CHECK(close(came.geometric_mean(), std::exp(logarithm / samples), 1e-12));
  }
};

}  // namespace

TEST_CASE("regression metrics: every figure of every group is its formula", "[metrics]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  const Sample data = sample(seed, 500);
  const LabelBins bins = LabelBins::uniform(0.0, 10.0, 10);
  RegressionMetrics metrics(bins, tailed_counts());
  metrics.update(data.predictions.head(123), data.targets.head(123));
  metrics.update(data.predictions.tail(377), data.targets.tail(377));

  Plain all;
  ballast::ByShot<Plain> groups;
  std::vector<Plain> per_bin(10);
  for (Index i = 0; i < 500; ++i) {
    const long double error =
        std::abs(static_cast<long double>(data.predictions[i]) - static_cast<long double>(data.targets[i]));
    const Index bin = static_cast<Index>(data.targets[i]);
    all.add(error);
    groups[shot_of(bin)].add(error);
    per_bin[static_cast<std::size_t>(bin)].add(error);
  }
  all.check(metrics.all());
  for (const Shot shot : {Shot::many, Shot::medium, Shot::few}) groups[shot].check(metrics.by_shot()[shot]);
  long double balanced_mae = 0, balanced_mse = 0;
  for (Index b = 0; b < 10; ++b) {
    const Plain& plain = per_bin[static_cast<std::size_t>(b)];
    plain.check(metrics.bin(b));
    balanced_mae += plain.absolute / plain.samples / 10;
    balanced_mse += plain.squared / plain.samples / 10;
  }
  CHECK(close(metrics.balanced_mae(), balanced_mae, 1e-13));
  CHECK(close(metrics.balanced_mse(), balanced_mse, 1e-13));
}

TEST_CASE("regression metrics: correlations, streamed and at once, far from 0 too", "[metrics]") {
  for (const double offset : {0.0, 1e6}) {
    const Sample data = sample(3, 400, offset);
    const VectorX<long double> x = data.predictions.cast<long double>(), y = data.targets.cast<long double>();
    const VectorX<long double> dx = x.array() - x.mean(), dy = y.array() - y.mean();
    const long double expected = dx.dot(dy) / std::sqrt(dx.squaredNorm() * dy.squaredNorm());
    RegressionMetrics metrics(LabelBins::uniform(offset, offset + 10, 10), tailed_counts());
    metrics.update(data.predictions, data.targets);
    // Deviations of order 1 from a mean of 1e6 keep 10 digits.
    const double bound = offset == 0.0 ? 1e-13 : 1e-9;
    CHECK(close(metrics.all().pearson(), expected, bound));
    CHECK(close(ballast::pearson_correlation(data.predictions, data.targets), expected, bound));
  }
}

TEST_CASE("regression metrics: Spearman's correlation with ties", "[metrics]") {
  const Eigen::VectorXi first = (Eigen::VectorXi(6) << 1, 2, 2, 2, 5, 6).finished();
  const Eigen::VectorXd second = (Eigen::VectorXd(6) << 10, 0.5, 20, 20, 30, 1e9).finished();
  // Ranks 1 3 3 3 5 6 and 2 1 3.5 3.5 5 6, both of mean 3.5.
  const long double cross = -2.5L * -1.5L + -0.5L * -2.5L + 0 + 0 + 1.5L * 1.5L + 2.5L * 2.5L;
  const long double sizes = std::sqrt((6.25L + 0.75L + 2.25L + 6.25L) * (2.25L + 6.25L + 2.25L + 6.25L));
  CHECK(close(ballast::spearman_correlation(first, second), cross / sizes, 1e-15));
  CHECK(close(ballast::spearman_correlation(second, second.array().exp().min(1e300).matrix()), 1, 1e-2));
  CHECK(!ballast::spearman_correlation(Eigen::Vector3d(1, 1, 1), Eigen::Vector3d(1, 2, 3)));
  CHECK(!ballast::pearson_correlation(Eigen::VectorXd(0), Eigen::VectorXd(0)));
}

TEST_CASE("regression metrics: a group without samples says so", "[metrics]") {
  const LabelBins bins = LabelBins::uniform(0.0, 10.0, 10, Outside::drop);
  RegressionMetrics metrics(bins, tailed_counts());
  CHECK(!metrics.all().mae());
  CHECK(!metrics.all().geometric_mean());
  CHECK(!metrics.balanced_mae());
  metrics.update(Eigen::Vector3f(1, 2, 3), Eigen::Vector3f(0.5f, 0.5f, 99.0f));  // the last is dropped
  CHECK(metrics.all().samples == 2);
  CHECK(metrics.by_shot().many.mae() == 1.0);
  CHECK(!metrics.by_shot().medium.mae());
  CHECK(!metrics.by_shot().few.mse());
  CHECK(!metrics.bin(7).mae());
  CHECK(metrics.balanced_mae() == 1.0);
  CHECK(!metrics.all().pearson());  // the targets do not vary
}

TEST_CASE("regression metrics: the floor of the geometric mean", "[metrics]") {
  const LabelBins bins = LabelBins::uniform(0.0, 10.0, 10);
  const Eigen::Vector2d predictions(1, 5), targets(1, 4);
  RegressionMetrics floored(bins, tailed_counts());
  floored.update(predictions, targets);
  CHECK(close(floored.all().geometric_mean(), 1e-5L, 1e-14));
  RegressionMetrics::Options options;
  options.floor = 0;
  RegressionMetrics published(bins, tailed_counts(), options);
  published.update(predictions, targets);
  CHECK(published.all().geometric_mean() == 0.0);
  options.thresholds.many_above = 19;
  RegressionMetrics other(bins, tailed_counts(), options);
  other.update(predictions, targets);
  CHECK(other.by_shot().many.samples == 1);  // the bin of 120
}

TEST_CASE("regression metrics: shards merge, a state restores", "[metrics]") {
  const Sample data = sample(8, 300);
  const LabelBins bins = LabelBins::uniform(0.0, 10.0, 10);
  RegressionMetrics whole(bins, tailed_counts()), first = whole, second = whole;
  whole.update(data.predictions, data.targets);
  first.update(data.predictions.head(100), data.targets.head(100));
  second.update(data.predictions.tail(200), data.targets.tail(200));
  second.merge(first);
  CHECK(close(second.all().mse(), static_cast<long double>(*whole.all().mse()), 1e-14));
  CHECK(close(second.all().pearson(), static_cast<long double>(*whole.all().pearson()), 1e-13));
  CHECK(close(second.balanced_mae(), static_cast<long double>(*whole.balanced_mae()), 1e-14));

  RegressionMetrics restored(bins, tailed_counts());
  restored.restore(whole.state());
  CHECK(restored.all().mse() == whole.all().mse());
  CHECK(restored.by_shot().few.pearson() == whole.by_shot().few.pearson());
  RegressionMetrics::State state = whole.state();
  state.sums(4, 1) = std::nan("");
  CHECK(rejects([&] { restored.restore(state); }, {"bin 4", "NaN"}));
  state = whole.state();
  state.samples[3] = 0;
  CHECK(rejects([&] { restored.restore(state); }, {"bin 3", "no samples"}));
  state = whole.state();
  state.sums.conservativeResize(9, 8);
  CHECK(rejects([&] { restored.restore(state); }, {"sums is 9 x 8", "10 x 8"}));
  CHECK(restored.all().mse() == whole.all().mse());
}

TEST_CASE("regression metrics: rejects and counts nothing", "[metrics][errors]") {
  const LabelBins bins = LabelBins::uniform(0.0, 10.0, 10, Outside::refuse);
  RegressionMetrics metrics(bins, tailed_counts());
  const Eigen::Vector2d two(1, 2);
  CHECK(rejects([&] { metrics.update(two, Eigen::Vector3d(1, 2, 3)); }, {"size 2", "expected 3"}));
  CHECK(rejects([&] { metrics.update(Eigen::Vector2d(1, std::nan("")), two); }, {"predictions[1] is nan"}));
  CHECK(rejects([&] { metrics.update(two, Eigen::Vector2d(1 / 0.0, 0)); }, {"targets[0] is inf"}));
  CHECK(rejects([&] { metrics.update(two, Eigen::Vector2d(1, 10)); }, {"labels[1] is 10"}));
  CHECK(metrics.all().samples == 0);
  CHECK(rejects([&] { return metrics.bin(10); }, {"bin is 10"}));
  CHECK(rejects([&] { RegressionMetrics(bins, CountVector::Zero(9)); }, {"training_counts has size 9"}));
  CHECK(rejects([&] { RegressionMetrics(bins, -tailed_counts()); }, {"training_counts[0] is -150"}));
  RegressionMetrics::Options options;
  options.floor = -1;
  CHECK(rejects([&] { RegressionMetrics(bins, tailed_counts(), options); }, {"floor is -1"}));
  const LabelBins pairs = LabelBins::product({bins, bins});
  CHECK(rejects([&] { RegressionMetrics(pairs, CountVector::Zero(100)); }, {"2 axes"}));
  CHECK(rejects([&] { return ballast::spearman_correlation(two, Eigen::Vector3d(1, 2, 3)); },
                {"second has size 3"}));
  CHECK(rejects([&] { return ballast::pearson_correlation(two, Eigen::Vector2d(1, std::nan(""))); },
                {"second[1] is nan"}));
}
