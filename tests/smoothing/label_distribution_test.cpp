#include <ballast/smoothing/label_distribution.hpp>

#include <cmath>
#include <cstddef>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::CountVector;
using ballast::EdgeRule;
using ballast::Index;
using ballast::KernelScale;
using ballast::LabelBins;
using ballast::LabelDistributionSmoothing;
using ballast::LabelKernelDensity;
using ballast::Outside;
using ballast::Reweighting;
using ballast::SmoothingKernel;
using ballast::VectorX;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

bool close(double came, double expected, double relative) {
  return std::abs(came - expected) <= relative * std::abs(expected);
}

/// Rows of a reference file, without its heading.
std::vector<std::vector<double>> reference(const std::string& name) {
  std::ifstream file(std::string(BALLAST_REFERENCE_DIR) + "/lds/imdbwiki_like_synthetic/" + name);
  REQUIRE(file.good());
  std::string line;
  std::getline(file, line);
  std::vector<std::vector<double>> rows;
  while (std::getline(file, line)) {
    rows.emplace_back();
    for (std::size_t at = 0; at < line.size();) {
      std::size_t read = 0;
      rows.back().push_back(std::stod(line.substr(at), &read));
      at += read + 1;
    }
  }
  return rows;
}

SmoothingKernel published_kernel(double name, double size, double sigma) {
  const Index ks = static_cast<Index>(size);
  if (name == 0) return SmoothingKernel::published_gaussian(ks, sigma, EdgeRule::zero, KernelScale::max);
  if (name == 1) return SmoothingKernel::triangular(ks, EdgeRule::zero, KernelScale::max);
  if (name == 2) return SmoothingKernel::laplace(ks, sigma, EdgeRule::zero, KernelScale::max);
  return SmoothingKernel::identity();
}

/// A long tail over [0, 10) with empty bins in it.
Eigen::VectorXd tailed_labels(std::uint64_t seed, Index samples) {
  RandomData random(seed);
  Eigen::VectorXd labels(samples);
  for (double& label : labels) {
    const double u = random.uniform(0, 1);
    label = 10 * u * u * u;
    if (label >= 4 && label < 5) label = 0.5;
  }
  return labels;
}

}  // namespace

TEST_CASE("label_distribution: the published weights, integer truncation included", "[smoothing]") {
  const auto rows = reference("labels.csv");
  Eigen::VectorXi ages(static_cast<Index>(rows.size()));
  for (Index i = 0; i < ages.size(); ++i) ages[i] = static_cast<int>(rows[static_cast<std::size_t>(i)][0]);
  const LabelBins bins = LabelBins::uniform(0.0, 121.0, 121);

  const auto configs = reference("configs.csv");
  std::vector<LabelDistributionSmoothing> published, floating;
  for (const auto& config : configs) {
    const auto reweighting = config[1] == 0 ? Reweighting::inverse : Reweighting::inverse_square_root;
    const SmoothingKernel kernel = published_kernel(config[2], config[3], config[4]);
    published.push_back(LabelDistributionSmoothing::published(bins, kernel, ages, reweighting));
    LabelDistributionSmoothing::Options options;
    options.reweighting = reweighting;
    if (config[1] == 0) {
      options.low_count = 5;
      options.high_count = 1000;
    }
    floating.emplace_back(bins, kernel, ages, options);
  }
  for (const auto& row : reference("counts.csv")) {
    CHECK(static_cast<double>(published[0].counts()[static_cast<Index>(row[0])]) == row[1]);
  }
  for (const auto& row : reference("weights.csv")) {
    CAPTURE(row[0], row[1]);
    const std::size_t config = static_cast<std::size_t>(row[0]);
    const Index age = static_cast<Index>(row[1]);
    CHECK(close(published[config].bin_weights()[age], row[3], 1e-9));
    CHECK(close(published[config].bin_weights()[age], row[4], 1e-6));  // rounded to float twice there
    CHECK(close(floating[config].bin_weights()[age], row[5], 1e-9));
  }
  for (const auto& row : reference("smoothed.csv")) {
    CAPTURE(row[0], row[1]);
    const std::size_t config = static_cast<std::size_t>(row[0]);
    const Index age = static_cast<Index>(row[1]);
    CHECK(close(published[config].effective_density()[age], row[3], configs[config][1] == 0 ? 0 : 1e-12));
    CHECK(close(floating[config].effective_density()[age], row[4], 1e-12));
  }
}

TEST_CASE("label_distribution: density and weights are the formulas, for every kernel", "[smoothing]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  const Eigen::VectorXd labels = tailed_labels(seed, 700);
  const LabelBins equal = LabelBins::uniform(0.0, 10.0, 20);
  const LabelBins unequal = LabelBins::from_edges((Eigen::VectorXd(6) << 0, 0.1, 0.5, 2, 5, 10).finished());
  for (const LabelBins& bins : {equal, unequal}) {
    for (const SmoothingKernel& kernel :
         {SmoothingKernel::gaussian(5, 2.0), SmoothingKernel::triangular(3, EdgeRule::mirror),
          SmoothingKernel::gaussian_distance(0.8), SmoothingKernel::identity()}) {
      for (const Reweighting reweighting : {Reweighting::inverse, Reweighting::inverse_square_root}) {
        LabelDistributionSmoothing::Options options;
        options.reweighting = reweighting;
        options.low_count = 2;
        options.high_count = 90;
        const LabelDistributionSmoothing lds(bins, kernel, labels, options);
        const CountVector counts = bins.count(labels);
        const Eigen::MatrixXd matrix(kernel.matrix(bins));
        const double mean_width = 10.0 / static_cast<double>(bins.bins());
        VectorX<long double> density(bins.bins());
        for (Index b = 0; b < bins.bins(); ++b) {
          density[b] = 0;
          for (Index k = 0; k < bins.bins(); ++k) {
            const long double count = std::min(90.0L, std::max(2.0L, static_cast<long double>(counts[k])));
            const long double p = count * static_cast<long double>(mean_width / bins.widths()[k]);
            density[b] += static_cast<long double>(matrix(b, k)) *
                          (reweighting == Reweighting::inverse ? p : std::sqrt(p));
          }
          // A few roundings per term, at most 20 terms, all positive.
          CHECK(close(lds.effective_density()[b], static_cast<double>(density[b]), 32 * epsilon));
        }
        long double inverses = 0;
        for (Index b = 0; b < bins.bins(); ++b) inverses += static_cast<long double>(counts[b]) / density[b];
        for (Index b = 0; b < bins.bins(); ++b) {
          CHECK(close(lds.bin_weights()[b], static_cast<double>(700 / inverses / density[b]), 128 * epsilon));
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("label_distribution: sample weights have mean 1 and follow the label's bin", "[smoothing]",
                   float, double) {
  using Scalar = TestType;
  const std::uint64_t seed = 3;
  CAPTURE(seed);
  const VectorX<Scalar> labels = tailed_labels(seed, 3000).cast<Scalar>();
  const LabelBins bins = LabelBins::uniform(0.0, 10.0, 40);
  const LabelDistributionSmoothing lds(bins, SmoothingKernel::gaussian(5, 2.0), labels);
  const VectorX<Scalar> weights = lds.sample_weights(labels);
  // Each weight is rounded to Scalar once, the sum of 3000 of them in double at every step.
  CHECK(std::abs(weights.template cast<double>().mean() - 1.0) <=
        4 * static_cast<double>(std::numeric_limits<Scalar>::epsilon()) + 3000 * epsilon);
  for (Index i = 0; i < labels.size(); ++i) {
    CHECK(weights[i] == static_cast<Scalar>(lds.bin_weights()[bins.bin(labels[i])]));
  }
  Eigen::RowVectorXf narrow(3000);
  lds.sample_weights(labels, narrow);
  CHECK(narrow.transpose() == weights.template cast<float>());
}

TEST_CASE("label_distribution: shards' counts give what all labels give", "[smoothing]") {
  const Eigen::VectorXd labels = tailed_labels(7, 1000);
  const LabelBins bins = LabelBins::quantiles(labels, 12);
  const SmoothingKernel kernel = SmoothingKernel::gaussian_distance(1.0);
  const LabelDistributionSmoothing whole(bins, kernel, labels);
  const CountVector counts = bins.count(labels.head(123)) + bins.count(labels.tail(877));
  CHECK(LabelDistributionSmoothing::from_counts(bins, kernel, counts).bin_weights() == whole.bin_weights());
}

TEST_CASE("label_distribution: quantile bins weigh by density, not by count", "[smoothing]") {
  // Uniform labels over unequal bins: the density is flat, and so are the weights.
  const Eigen::VectorXd labels = Eigen::VectorXd::LinSpaced(8000, 0.0, 8.0 - 1e-9);
  const LabelBins bins = LabelBins::from_edges(Eigen::Vector4d(0, 1, 4, 8));
  for (const SmoothingKernel& kernel : {SmoothingKernel::identity(), SmoothingKernel::gaussian(3, 1.0),
                                        SmoothingKernel::gaussian_distance(2.0)}) {
    const LabelDistributionSmoothing lds(bins, kernel, labels);
    CHECK((lds.bin_weights().array() - 1).abs().maxCoeff() <= 1e-3);  // a sample per bin, give or take
  }
}

TEST_CASE("label_distribution: a weight is never infinite or NaN", "[smoothing]") {
  const LabelBins bins = LabelBins::uniform(0.0, 100.0, 100, Outside::drop);
  const Eigen::Vector4d labels(30.5, 30.5, 30.5, 90.0);
  const LabelDistributionSmoothing lds(bins, SmoothingKernel::gaussian(61, 0.9), labels);
  CHECK(lds.bin_weights().allFinite());
  CHECK(lds.bin_weights().minCoeff() > 0);
  CHECK(close(lds.bin_weights()[90] / lds.bin_weights()[30], 3.0, 1e-12));
  const Eigen::VectorXf weights = lds.sample_weights(Eigen::VectorXf::LinSpaced(200, -5.0f, 110.0f).eval());
  CHECK(weights.allFinite());
  CHECK(weights[0] == 0.0f);    // dropped
  CHECK(weights[199] == 0.0f);  // dropped
  const LabelDistributionSmoothing bare(bins, SmoothingKernel::identity(), labels);
  CHECK(bare.bin_weights()[50] == bare.bin_weights()[90]);  // empty: as the rarest
  CHECK(close(lds.sample_weights(labels).mean(), 1.0, 8 * epsilon));
}

TEST_CASE("label_distribution: label vectors over a product of bins", "[smoothing]") {
  const std::uint64_t seed = 21;
  CAPTURE(seed);
  Eigen::MatrixXd labels(900, 2);
  labels << tailed_labels(seed, 900), tailed_labels(seed + 1, 900);
  const LabelBins axis = LabelBins::uniform(0.0, 10.0, 8);
  const LabelBins grid = LabelBins::product({axis, LabelBins::from_edges(Eigen::Vector3d(0, 1, 10))});
  const LabelDistributionSmoothing lds(grid, SmoothingKernel::gaussian(3, 1.0), labels);
  CHECK(lds.bin_weights().size() == 16);
  const Eigen::VectorXd weights = lds.sample_weights(labels);
  CHECK(close(weights.mean(), 1.0, 900 * epsilon));
  // Volumes 0.2 and 1.8 relative to the mean.
  const LabelDistributionSmoothing bare(grid, SmoothingKernel::identity(), labels);
  CHECK(close(bare.effective_density()[0], static_cast<double>(bare.counts()[0]) / 0.2, 4 * epsilon));
  CHECK(close(bare.effective_density()[1], static_cast<double>(bare.counts()[1]) / 1.8, 4 * epsilon));
}

TEST_CASE("label_distribution: binless density is the sum over samples", "[smoothing]") {
  const std::uint64_t seed = 5;
  CAPTURE(seed);
  Eigen::VectorXd labels = tailed_labels(seed, 400);
  labels.tail(100) = labels.head(100);  // ties
  const double sigma = 0.3, peak = 1 / (sigma * std::sqrt(2 * std::acos(-1.0)));
  const auto kappa = [&](double d) {
    return std::abs(d) > 4 * sigma ? 0.0 : peak * std::exp(-d * d / (2 * sigma * sigma));
  };
  const double low = labels.minCoeff(), high = labels.maxCoeff();
  const auto phi = [](double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
  };
  const double whole = phi(4.0) - phi(-4.0);
  for (const EdgeRule edges : {EdgeRule::zero, EdgeRule::reflect, EdgeRule::renormalize}) {
    const LabelKernelDensity smooth(SmoothingKernel::gaussian_distance(sigma, edges), labels);
    for (const double y : {labels[0], labels[17], labels[399], low, high, 0.01, 4.5, 9.0}) {
      CAPTURE(y);
      double expected = 0;
      for (const double other : labels) {
        expected += kappa(y - other);
        if (edges == EdgeRule::reflect) expected += kappa(y + other - 2 * low) + kappa(2 * high - y - other);
      }
      if (edges == EdgeRule::renormalize) {
        const double right = std::min(4.0, (high - y) / sigma), left = std::max(-4.0, (low - y) / sigma);
        expected *= whole / (phi(right) - phi(left));
      }
      // 400 terms of a few roundings; the midpoint rule on 1024 points is good to 1e-5 here.
      CHECK(close(smooth.density(y), expected, edges == EdgeRule::renormalize ? 1e-5 : 1e-12));
    }
    const Eigen::VectorXd weights = smooth.sample_weights(labels);
    CHECK(close(weights.mean(), 1.0, 1e-13));
    CHECK(close(weights[3] * smooth.density(labels[3]), weights[250] * smooth.density(labels[250]), 1e-13));
    CHECK(close(smooth.weight(4.44), weights[3] * smooth.density(labels[3]) / smooth.density(4.44), 1e-13));
    CHECK(smooth.weight(1e6) == weights.maxCoeff());
    CHECK(smooth.sample_weights(labels.cast<float>().eval()).allFinite());
  }
  const LabelKernelDensity roots(SmoothingKernel::gaussian_distance(sigma), labels,
                                 Reweighting::inverse_square_root);
  const Eigen::VectorXd weights = roots.sample_weights(labels);
  CHECK(close(weights[3] / weights[250], std::sqrt(roots.density(labels[250]) / roots.density(labels[3])),
              1e-13));
  const LabelKernelDensity single(SmoothingKernel::gaussian_distance(1.0), Eigen::VectorXi::Constant(5, 7));
  CHECK(close(single.weight(7), 1.0, 4 * epsilon));
}

TEST_CASE("label_distribution: rejects what has no distribution", "[smoothing][errors]") {
  const LabelBins bins = LabelBins::uniform(0.0, 10.0, 10, Outside::drop);
  const SmoothingKernel kernel = SmoothingKernel::gaussian(3, 1.0);
  const Eigen::Vector3d labels(1, 2, 3);
  CHECK(rejects([&] { LabelDistributionSmoothing(bins, kernel, Eigen::VectorXd(0)); },
                {"no label is in a bin"}));
  CHECK(rejects([&] { LabelDistributionSmoothing(bins, kernel, Eigen::Vector2d(-1, 10)); },
                {"no label is in a bin"}));
  CHECK(rejects([&] { LabelDistributionSmoothing(bins, kernel, Eigen::Vector2d(1, std::nan(""))); },
                {"labels[1] is nan"}));
  LabelDistributionSmoothing::Options options;
  options.low_count = -1;
  CHECK(rejects([&] { LabelDistributionSmoothing(bins, kernel, labels, options); }, {"low_count is -1"}));
  options.low_count = 10;
  options.high_count = 9;
  CHECK(rejects([&] { LabelDistributionSmoothing(bins, kernel, labels, options); },
                {"high_count is 9", "low_count = 10"}));
  CHECK(rejects([&] { return LabelDistributionSmoothing::from_counts(bins, kernel, CountVector::Ones(9)); },
                {"counts has size 9", "expected 10"}));
  CHECK(rejects([&] { return LabelDistributionSmoothing::from_counts(bins, kernel, -CountVector::Ones(10)); },
                {"counts[0] is -1"}));
  const auto published = [&](const LabelBins& b, const SmoothingKernel& k) {
    return LabelDistributionSmoothing::published(b, k, labels, Reweighting::inverse);
  };
  CHECK(rejects([&] { published(bins, kernel); }, {"edge rule", "EdgeRule::zero"}));
  CHECK(rejects([&] { published(bins, SmoothingKernel::gaussian_distance(1.0)); }, {"on label distance"}));
  CHECK(rejects([&] { published(LabelBins::product({bins, bins}), kernel); }, {"2 axes"}));
  const LabelDistributionSmoothing lds(bins, kernel, labels);
  Eigen::VectorXf two = Eigen::VectorXf::Constant(2, 5.0f);
  CHECK(rejects([&] { lds.sample_weights(labels, two); }, {"values has size 2", "expected 3"}));
  CHECK(rejects([&] { lds.sample_weights(Eigen::Vector2d(1, std::nan("")), two); }, {"labels[1] is nan"}));
  CHECK(two == Eigen::VectorXf::Constant(2, 5.0f));

  CHECK(rejects([&] { LabelKernelDensity(kernel, labels); }, {"window over bin numbers"}));
  const SmoothingKernel distance = SmoothingKernel::gaussian_distance(1.0);
  CHECK(rejects([&] { LabelKernelDensity(distance, Eigen::VectorXd(0)); }, {"at least one label"}));
  CHECK(
      rejects([&] { LabelKernelDensity(distance, Eigen::Vector2d(0, std::nan(""))); }, {"labels[1] is nan"}));
  CHECK(
      rejects([&] { return LabelKernelDensity(distance, labels).density(std::nan("")); }, {"label is nan"}));
}
