#include <ballast/smoothing/feature_distribution.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/csv.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Count;
using ballast::Covariance;
using ballast::CovarianceRoot;
using ballast::EdgeRule;
using ballast::EmptyBins;
using ballast::FeatureDistributionSmoothing;
using ballast::Index;
using ballast::LabelBins;
using ballast::MatrixX;
using ballast::Outside;
using ballast::RowMatrixX;
using ballast::Shrinkage;
using ballast::SmoothingKernel;

template <typename Scalar>
using Diagonal = FeatureDistributionSmoothing<Scalar, Covariance::diagonal>;
template <typename Scalar>
using Full = FeatureDistributionSmoothing<Scalar, Covariance::full>;

constexpr double epsilon = std::numeric_limits<double>::epsilon();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// An epoch of correlated features whose statistics drift with the label, so that no two bins agree and no
/// two covariances commute.
struct Epoch {
  Epoch(std::uint64_t seed, Index rows, Index dimension, int bins, int skipped_bin = -1)
      : features(rows, dimension), labels(rows) {
    RandomData random(seed);
    const Eigen::MatrixXd mix = random.matrix<Eigen::MatrixXd>(dimension, dimension, -1, 1);
    const Eigen::MatrixXd turn = random.matrix<Eigen::MatrixXd>(dimension, dimension, -1, 1);
    for (Index i = 0; i < rows; ++i) {
      int bin = static_cast<int>(random.below(bins));
      if (bin == skipped_bin) bin = (bin + 1) % bins;
      labels[i] = bin + random.uniform(0.0, 0.999);
      Eigen::VectorXd noise(dimension);
      for (Index d = 0; d < dimension; ++d) noise[d] = random.normal();
      features.row(i) = ((mix + 0.4 * bin * turn) * noise).transpose().array() + std::sin(1.0 * bin);
    }
  }
  RowMatrixX<double> features;
  Eigen::VectorXd labels;
};

template <typename Smoothing>
void run_epoch(Smoothing& fds, const Epoch& epoch, Index batch = 64) {
  for (Index first = 0; first < epoch.features.rows(); first += batch) {
    const Index rows = std::min(batch, epoch.features.rows() - first);
    fds.update(epoch.features.middleRows(first, rows), epoch.labels.segment(first, rows));
  }
  fds.finish_epoch();
}

/// A_b: the gradient of each output of a bin is a row of it.
template <typename Smoothing>
Eigen::MatrixXd map_of_bin(Smoothing& fds, double label) {
  const Index dimension = fds.dimension();
  RowMatrixX<double> rows = RowMatrixX<double>::Identity(dimension, dimension);
  const Eigen::VectorXd labels = Eigen::VectorXd::Constant(dimension, label);
  RowMatrixX<double> ignored = rows;
  fds.smooth(ignored, labels, ignored);
  fds.backward(rows, labels, rows);
  return rows;
}

/// z' of the rows of a bin.
template <typename Smoothing>
Eigen::MatrixXd calibrated(Smoothing& fds, const Epoch& epoch, int bin) {
  RowMatrixX<double> result(epoch.features.rows(), epoch.features.cols());
  fds.smooth(epoch.features, epoch.labels, result);
  Index kept = 0;
  for (Index i = 0; i < result.rows(); ++i) {
    if (static_cast<int>(epoch.labels[i]) == bin) result.row(kept++) = result.row(i);
  }
  return result.topRows(kept);
}

Eigen::MatrixXd covariance_of(const Eigen::MatrixXd& rows) {
  const Eigen::MatrixXd centered = rows.rowwise() - rows.colwise().mean();
  return centered.transpose() * centered / static_cast<double>(rows.rows() - 1);
}

double relative(const Eigen::MatrixXd& came, const Eigen::MatrixXd& expected) {
  return (came - expected).norm() / expected.norm();
}

LabelBins ten_bins() {
  return LabelBins::uniform(0, 10, 10);
}

// ---- The published code

/// Rows of one epoch of a reference table, columns prefix0 .. prefix7.
template <typename Matrix>
Matrix rows_of_epoch(const CsvTable& table, int epoch, const std::string& prefix) {
  std::vector<std::size_t> rows;
  for (std::size_t i = 0; i < table.rows(); ++i) {
    if (table.number(i, "epoch") == epoch) rows.push_back(i);
  }
  Matrix result(static_cast<Index>(rows.size()), prefix == "label" || prefix == "n_tracked" ? 1 : 8);
  for (Index i = 0; i < result.rows(); ++i) {
    for (Index d = 0; d < result.cols(); ++d) {
      const std::string name = result.cols() == 1 ? prefix : prefix + std::to_string(d);
      result(i, d) =
          static_cast<typename Matrix::Scalar>(table.number(rows[static_cast<std::size_t>(i)], name));
    }
  }
  return result;
}

/// Worst of |came - expected| - relative |expected|.
template <typename Came>
double excess(const Came& came, const Eigen::MatrixXd& expected, double relative_tolerance) {
  return ((came.template cast<double>() - expected).cwiseAbs() - relative_tolerance * expected.cwiseAbs())
      .maxCoeff();
}

template <typename Matrix>
void check_reference(const std::string& run, Index first_label, const SmoothingKernel& kernel,
                     std::optional<double> momentum, bool aliased, double tolerance, double absolute) {
  using Scalar = typename Matrix::Scalar;
  using Smoothing = Diagonal<Scalar>;
  CAPTURE(run);
  const std::string folder = std::string(BALLAST_REFERENCE_DIR) + "/fds/";
  const CsvTable train(folder + "inputs/train.csv"), batch(folder + "inputs/batch.csv");
  const CsvTable stats(folder + run + "/stats.csv"), smooth(folder + run + "/smooth.csv");
  const CsvTable counter(folder + run + "/epoch_counter.csv");

  typename Smoothing::PublishedCode code;
  code.aliased = aliased;
  auto options = Smoothing::Options::published(code);
  options.momentum = momentum;
  const LabelBins bins = LabelBins::uniform(static_cast<double>(first_label), 100.0, 100 - first_label);
  Smoothing fds(8, bins, kernel, options);
  for (int epoch = 0; epoch < 4; ++epoch) {
    CAPTURE(epoch);
    Matrix features = rows_of_epoch<Matrix>(batch, epoch, "f");
    const Eigen::VectorXd labels = rows_of_epoch<Eigen::MatrixXd>(batch, epoch, "label");
    fds.smooth(features, labels, features);
    CHECK(excess(features, rows_of_epoch<Eigen::MatrixXd>(smooth, epoch, "s"), tolerance) <= absolute);

    const Matrix raw = rows_of_epoch<Matrix>(train, epoch, "f");
    const Eigen::VectorXd raw_labels = rows_of_epoch<Eigen::MatrixXd>(train, epoch, "label");
    for (Index first = 0; first < raw.rows();
         first += 100) {  // streamed: the published code wants them at once
      const Index rows = std::min(Index(100), raw.rows() - first);
      fds.update(raw.middleRows(first, rows), raw_labels.segment(first, rows));
    }
    fds.finish_epoch();

    const auto tracked = rows_of_epoch<Eigen::MatrixXd>(stats, epoch, "n_tracked");
    CHECK(fds.samples() == tracked.cast<Count>());
    Eigen::MatrixXd variance(bins.bins(), 8), smoothed_variance(bins.bins(), 8);
    for (Index b = 0; b < bins.bins(); ++b) {
      variance.row(b) = fds.variance(b).transpose();
      smoothed_variance.row(b) = fds.smoothed_variance(b).transpose();
    }
    CHECK(excess(fds.mean(), rows_of_epoch<Eigen::MatrixXd>(stats, epoch, "rm"), tolerance) <= absolute);
    CHECK(excess(variance, rows_of_epoch<Eigen::MatrixXd>(stats, epoch, "rv"), tolerance) <= absolute);
    CHECK(excess(fds.smoothed_mean(), rows_of_epoch<Eigen::MatrixXd>(stats, epoch, "sm"), tolerance) <=
          absolute);
    CHECK(excess(smoothed_variance, rows_of_epoch<Eigen::MatrixXd>(stats, epoch, "sv"), tolerance) <=
          absolute);
    CHECK(fds.state().rolled ==
          static_cast<Index>(counter.number(static_cast<std::size_t>(epoch), "fds_epoch")));
  }
}

template <typename Matrix>
void check_references(double tolerance, double absolute) {
  const auto gaussian = SmoothingKernel::published_gaussian(5, 2.0, EdgeRule::mirror);
  const auto triangular = SmoothingKernel::triangular(5, EdgeRule::mirror);
  check_reference<Matrix>("gaussian_ks5_s2_start0_mom0.9_f64", 0, gaussian, 0.9, true, tolerance, absolute);
  check_reference<Matrix>("noalias_gaussian_ks5_s2_start0_mom0.9_f64", 0, gaussian, 0.9, false, tolerance,
                          absolute);
  check_reference<Matrix>("triang_ks5_s2_start3_momNone_f64", 3, triangular, std::nullopt, true, tolerance,
                          absolute);
}

}  // namespace

TEST_CASE("feature_distribution: the published behaviour is the published code", "[smoothing][reference]") {
  check_references<RowMatrixX<double>>(1e-9, 1e-10);
  check_references<MatrixX<double>>(1e-9, 1e-10);
}

TEST_CASE("feature_distribution: in float, the published behaviour to float accuracy",
          "[smoothing][reference]") {
  check_references<RowMatrixX<float>>(1e-5, 1e-5);
  check_references<MatrixX<float>>(1e-5, 1e-5);
}

TEST_CASE("feature_distribution: published edge labels gather what lies outside, call by call",
          "[smoothing]") {
  using Smoothing = Diagonal<double>;
  const LabelBins bins = LabelBins::uniform(2, 6, 4);
  Smoothing fds(1, bins, SmoothingKernel::triangular(3, EdgeRule::mirror), Smoothing::Options::published());
  Eigen::VectorXd features(6), labels(6);
  features << 1, 2, 4, 8, 16, 32;

  labels << 0, 1, 3, 4, 5.5, 9;  // no edge label: what is outside is skipped
  fds.update(features, labels);
  CHECK(fds.statistics().samples() == 6);
  fds.finish_epoch();
  CHECK(fds.samples() == ballast::CountVector((ballast::CountVector(4) << 0, 1, 1, 0).finished()));
  CHECK(fds.mean()(1, 0) == 4);
  CHECK(fds.variance(1)[0] == 0);  // of one sample
  CHECK(fds.mean()(0, 0) == 0);    // never seen: 0 and 1
  CHECK(fds.variance(0)[0] == 1);

  labels << 0, 1, 2, 5, 5.5, 9;  // both occur, in a batch after those that they gather
  fds.update(features.head(2), labels.head(2));
  fds.update(features.tail(4), labels.tail(4));
  fds.finish_epoch();
  CHECK(fds.samples() == ballast::CountVector((ballast::CountVector(4) << 3, 1, 1, 3).finished()));
  // Averaged from the initial 0 and 1: mean of 1, 2, 4 and of 8, 16, 32.
  CHECK(std::abs(fds.mean()(0, 0) - (0.1 * 7.0 / 3.0)) <= 4 * epsilon);
  CHECK(std::abs(fds.mean()(3, 0) - (0.1 * 56.0 / 3.0)) <= 4 * epsilon);
  CHECK(std::abs(fds.variance(0)[0] - (0.9 + 0.1 * 7.0 / 3.0)) <= 4 * epsilon);

  // The same rule when smoothing.
  Eigen::VectorXd with_edge(6), without(6);
  fds.smooth(features, labels, with_edge);
  labels[2] = 3;
  fds.smooth(features, labels, without);
  CHECK(with_edge[0] != features[0]);
  CHECK(without.head(2) == features.head(2));
  CHECK(without[5] == with_edge[5]);
}

TEST_CASE("feature_distribution: published statistics roll over only for the next epoch in turn",
          "[smoothing]") {
  using Smoothing = Diagonal<double>;
  Smoothing::PublishedCode code;
  code.start_update = 1;
  code.start_smooth = 2;
  Smoothing fds(3, ten_bins(), SmoothingKernel::published_gaussian(5, 2.0, EdgeRule::mirror),
                Smoothing::Options::published(code));
  Epoch data(50, 200, 3, 10);
  data.labels = data.labels.array().floor();

  run_epoch(fds, data);  // before start_update: not counted
  CHECK(fds.samples().isZero());
  CHECK(fds.epoch() == 1);
  CHECK_FALSE(fds.calibrating());
  fds.update(data.features, data.labels);
  fds.finish_epoch(4);  // not in turn: running statistics only
  CHECK(fds.epoch() == 5);
  CHECK(fds.state().rolled == 1);
  CHECK(fds.samples().sum() == 200);
  CHECK(fds.smoothed_mean().isZero(0));
  RowMatrixX<double> result = data.features;
  fds.smooth(data.features, data.labels, result);
  CHECK(result == data.features);  // still the initial 0 and 1

  const RowMatrixX<double> before = fds.mean();
  fds.update(data.features, data.labels);
  fds.finish_epoch(2);  // in turn
  CHECK(fds.state().rolled == 2);
  CHECK(fds.state().rolled_mean == before);
  fds.finish_epoch(1);  // past: not counted, nor asked for
  CHECK(fds.samples().sum() == 400);
}

TEST_CASE("feature_distribution: the published option counts smoothed features", "[smoothing]") {
  using Smoothing = Diagonal<double>;
  Smoothing::PublishedCode code;
  code.statistics_of_smoothed = true;
  const auto kernel = SmoothingKernel::published_gaussian(5, 2.0, EdgeRule::mirror);
  Smoothing option(3, ten_bins(), kernel, Smoothing::Options::published(code));
  Smoothing by_hand(3, ten_bins(), kernel, Smoothing::Options::published());
  for (std::uint64_t e = 0; e < 4; ++e) {
    Epoch data(60 + e, 300, 3, 10);
    data.labels = data.labels.array().floor() * 1.5 - 1;  // some outside
    data.labels = data.labels.array().floor();
    RowMatrixX<double> smoothed = data.features;
    by_hand.smooth(smoothed, data.labels, smoothed);  // in place, as the published loop does
    by_hand.update(smoothed, data.labels);
    option.update(data.features, data.labels);
    by_hand.finish_epoch();
    option.finish_epoch();
    CHECK(option.mean() == by_hand.mean());
    CHECK(option.state().covariance == by_hand.state().covariance);
  }
}

TEST_CASE("feature_distribution: published bins almost without variance pass unchanged", "[smoothing]") {
  using Smoothing = Diagonal<double>;
  Smoothing fds(2, ten_bins(), SmoothingKernel::published_gaussian(5, 2.0, EdgeRule::mirror),
                Smoothing::Options::published());
  Epoch data(51, 400, 2, 10);
  data.labels = data.labels.array().floor();
  for (Index i = 0; i < 400; ++i) {
    if (data.labels[i] == 3) data.features.row(i) *= 1e-6;  // variances sum to < 1e-10
    if (data.labels[i] == 4) data.features(i, 1) = 0.5;     // one feature without
  }
  for (int e = 0; e < 3; ++e) run_epoch(fds, data, 400);
  RowMatrixX<double> result = data.features;
  fds.smooth(data.features, data.labels, result);
  for (Index i = 0; i < 400; ++i) {
    CAPTURE(i, data.labels[i]);
    if (data.labels[i] == 3) CHECK(result.row(i) == data.features.row(i));
    if (data.labels[i] == 4) CHECK(result(i, 1) == data.features(i, 1));
    if (data.labels[i] != 3) CHECK(result(i, 0) != data.features(i, 0));
  }
}

// ---- The paper's behaviour, diagonal

TEMPLATE_TEST_CASE("feature_distribution: the diagonal form is the formula, epoch by epoch", "[smoothing]",
                   float, double) {
  using Real = long double;
  using LongMatrix = Eigen::Matrix<Real, Eigen::Dynamic, Eigen::Dynamic>;
  const bool cumulative = GENERATE(false, true);
  CAPTURE(cumulative);
  const Index dimension = 5;
  const int bins = 10, absent = 4;
  typename Diagonal<TestType>::Options options;
  options.lowest_ratio = 0.5;
  options.highest_ratio = 2.0;
  if (cumulative) options.momentum.reset();
  Eigen::VectorXd window(3);
  window << 1, 2, 1;
  Diagonal<TestType> fds(dimension, ten_bins(), SmoothingKernel::window(window), options);

  LongMatrix mean = LongMatrix::Zero(bins, dimension), variance = mean;
  Eigen::VectorXd seen = Eigen::VectorXd::Zero(bins);
  for (std::uint64_t e = 0; e < 4; ++e) {
    // Bin 4 has no sample before the third epoch, which it must take whole.
    const Epoch data(70 + e, 600, dimension, bins, e < 2 ? absent : -1);
    const RowMatrixX<TestType> features = data.features.template cast<TestType>();
    RowMatrixX<TestType> smoothed = features, in_place = features, gradient = features;
    const MatrixX<TestType> columns = features;
    MatrixX<TestType> smoothed_columns = columns;
    fds.smooth(features, data.labels, smoothed);
    fds.smooth(in_place, data.labels, in_place);
    fds.smooth(columns, data.labels, smoothed_columns);
    fds.backward(gradient, data.labels, gradient);
    CHECK(smoothed == in_place);
    // One of them may round between product and sum.
    CHECK((smoothed - smoothed_columns).norm() <=
          4 * std::numeric_limits<TestType>::epsilon() * (smoothed.norm() + features.norm()));
    if (e == 0) {
      CHECK(smoothed == features);
      CHECK(gradient == features);
    }
    for (Index i = 0; e > 0 && i < features.rows(); ++i) {
      const int b = static_cast<int>(data.labels[i]);
      for (Index d = 0; d < dimension; ++d) {
        const Real z = static_cast<Real>(features(i, d));
        Real expected = z, slope = 1;
        if (seen[b] > 0) {
          Real target_mean = 0, target_variance = 0, mass = 0;
          for (int k = std::max(0, b - 1); k <= std::min(bins - 1, b + 1); ++k) {
            if (seen[k] == 0) continue;
            const Real weight = k == b ? 2 : 1;
            mass += weight;
            target_mean += weight * mean(k, d);
            target_variance += weight * variance(k, d);
          }
          const Real ratio = target_variance / mass / variance(b, d);
          slope = std::sqrt(std::min(Real(2), std::max(Real(0.5), ratio)));
          expected = (z - mean(b, d)) * slope + target_mean / mass;
        }
        // Constants and three operations in TestType; the statistics' own sums of some 60 terms.
        const Real bound = 32 * static_cast<Real>(std::numeric_limits<TestType>::epsilon()) *
                           (std::abs(z) + std::abs(mean(b, d)) + std::abs(expected) + 1);
        CHECK(std::abs(static_cast<Real>(smoothed(i, d)) - expected) <= bound);
        CHECK(std::abs(static_cast<Real>(gradient(i, d)) - slope * z) <= bound);
      }
    }

    const Index first = 250;
    fds.update(features.topRows(first), data.labels.head(first));
    fds.update(columns.bottomRows(600 - first), data.labels.tail(600 - first));
    fds.finish_epoch();
    CHECK(fds.epoch() == static_cast<Index>(e) + 1);
    for (int b = 0; b < bins; ++b) {
      LongMatrix rows(600, dimension);
      Index count = 0;
      for (Index i = 0; i < 600; ++i) {
        if (static_cast<int>(data.labels[i]) == b) rows.row(count++) = features.row(i).template cast<Real>();
      }
      if (count == 0) continue;
      REQUIRE(count > 1);
      rows.conservativeResize(count, dimension);
      const LongMatrix latest_mean = rows.colwise().mean();
      const LongMatrix latest_variance =
          (rows.rowwise() - latest_mean.row(0)).colwise().squaredNorm() / static_cast<Real>(count - 1);
      const Real n = static_cast<Real>(count), before = static_cast<Real>(seen[b]);
      const Real old = before == 0 ? 0 : cumulative ? before / (before + n) : static_cast<Real>(0.9);
      mean.row(b) = old * mean.row(b) + (1 - old) * latest_mean;
      variance.row(b) = old * variance.row(b) + (1 - old) * latest_variance;
      seen[b] += static_cast<double>(count);
    }
  }
}

TEST_CASE("feature_distribution: empty bins are skipped, filled or 0 and 1", "[smoothing]") {
  const LabelBins bins = LabelBins::uniform(0, 6, 6);
  Eigen::VectorXd window(3);
  window << 1, 2, 1;
  // Samples in bins 1 (mean 0, variance 2), 4 (mean 10, variance 8) and one only in 5 (100).
  Eigen::VectorXd features(5), labels(5);
  features << -1, 1, 8, 12, 100;
  labels << 1, 1, 4, 4, 5;
  const auto smoothing = [&](EmptyBins policy) {
    Diagonal<double>::Options options;
    options.empty_bins = policy;
    options.lowest_ratio = 0;
    options.highest_ratio = infinity;
    Diagonal<double> fds(1, bins, SmoothingKernel::window(window, EdgeRule::zero), options);
    fds.update(features, labels);
    fds.finish_epoch();
    return fds;
  };
  const auto smoothed_variance = [](const Diagonal<double>& fds) {
    Eigen::VectorXd result(6);
    for (Index b = 0; b < 6; ++b) result[b] = fds.smoothed_variance(b)[0];
    return result;
  };
  const auto apply = [](Diagonal<double>& fds, double feature, double label) {
    Eigen::VectorXd value = Eigen::VectorXd::Constant(1, feature);
    fds.smooth(value, Eigen::VectorXd::Constant(1, label), value);
    return value[0];
  };
  const auto near = [](const Eigen::VectorXd& came, std::initializer_list<double> expected) {
    const Eigen::Map<const Eigen::VectorXd> values(expected.begin(), static_cast<Index>(expected.size()));
    return (came - values).cwiseAbs().maxCoeff() <= 64 * epsilon * values.cwiseAbs().maxCoeff();
  };

  auto skip = smoothing(EmptyBins::skip);
  CHECK(near(skip.smoothed_mean(), {0, 0, 0, 10, 40, 70.0 * 3 / 4}));  // bin 5 keeps the mass of its row
  CHECK(near(smoothed_variance(skip), {2 * 0.75, 2, 2, 8, 8, 8 * 0.75}));
  CHECK(apply(skip, 7.5, 2.0) == 7.5);  // nothing known of the bin
  CHECK(apply(skip, 7.5, 5.0) == 7.5);  // no variance known
  CHECK(std::abs(apply(skip, 7.5, 4.0) - (7.5 - 10 + 40)) <= 1e-13);

  auto fill = smoothing(EmptyBins::fill);
  const double m2 = 10.0 / 3, m3 = 20.0 / 3, v2 = 4, v3 = 6;
  CHECK(near(fill.smoothed_mean(), {0, (m2) / 4, (2 * m2 + m3) / 4, (m2 + 2 * m3 + 10) / 4,
                                    (m3 + 20 + 100) / 4, (10 + 200) / 4.0}));
  CHECK(near(smoothed_variance(fill), {1.5, (2 + 4 + v2) / 4, (2 + 2 * v2 + v3) / 4, (v2 + 2 * v3 + 8) / 4,
                                       (v3 + 16 + 8) / 4, 24.0 / 4}));
  CHECK(std::abs(apply(fill, 7.5, 2.0) - ((7.5 - m2) * std::sqrt(16.0 / 4 / v2) + 13.333333333333334 / 4)) <=
        1e-13);

  auto unit = smoothing(EmptyBins::unit);
  CHECK(near(unit.smoothed_mean(), {0, 0, 0, 10 / 4.0, 30, 210 / 4.0}));
  CHECK(near(smoothed_variance(unit), {1, (1 + 4 + 1) / 4.0, (2 + 2 + 1) / 4.0, (1 + 2 + 8) / 4.0,
                                       (1 + 16 + 1) / 4.0, (8 + 2) / 4.0}));
  CHECK(std::abs(apply(unit, 7.5, 3.0) - (7.5 * std::sqrt(11 / 4.0) + 2.5)) <= 1e-13);
}

TEMPLATE_TEST_CASE("feature_distribution: a feature without variance passes unchanged", "[smoothing]",
                   Diagonal<double>, Full<double>) {
  TestType fds(4, ten_bins(), SmoothingKernel::gaussian(5, 2.0));
  Epoch data(52, 500, 4, 10);
  for (Index i = 0; i < 500; ++i) {
    if (data.labels[i] >= 3 && data.labels[i] < 4) data.features(i, 2) = 0.1;
  }
  run_epoch(fds, data);
  RowMatrixX<double> result = data.features, gradient = data.features;
  fds.smooth(data.features, data.labels, result);
  fds.backward(gradient, data.labels, gradient);
  for (Index i = 0; i < 500; ++i) {
    const bool without = data.labels[i] >= 3 && data.labels[i] < 4;
    CAPTURE(i);
    CHECK((result(i, 2) == data.features(i, 2)) == without);
    CHECK(result(i, 1) != data.features(i, 1));
    if (without) CHECK(gradient(i, 2) == data.features(i, 2));
  }
}

// ---- Full covariances

TEST_CASE("feature_distribution: the full form whitens and recolours", "[smoothing]") {
  const CovarianceRoot root = GENERATE(CovarianceRoot::symmetric, CovarianceRoot::cholesky);
  const Index dimension = GENERATE(2, 6, 19);
  CAPTURE(dimension);
  Full<double>::Options options;
  options.shrinkage = Shrinkage::none();
  options.root = root;
  Full<double> fds(dimension, ten_bins(), SmoothingKernel::gaussian(5, 2.0), options);
  const Epoch data(53, 1500, dimension, 10);
  run_epoch(fds, data);
  for (int b = 0; b < 10; ++b) {
    CAPTURE(b);
    const Eigen::MatrixXd own = fds.covariance(b), target = fds.smoothed_covariance(b);
    const Eigen::MatrixXd rows = calibrated(fds, data, b), map = map_of_bin(fds, b + 0.5);
    const double condition = own.norm() * own.inverse().norm();
    CHECK(relative(own * target, target * own) > 1e-3);  // they do not commute
    // A root in double is good to its matrix's condition; so is what is coloured with it.
    CHECK(relative(covariance_of(rows), target) <= 100 * epsilon * condition);
    CHECK(relative(map * own * map.transpose(), target) <= 100 * epsilon * condition);
    CHECK((rows.colwise().mean() - fds.smoothed_mean().row(b)).norm() <= 1e-12 * rows.norm());
    // The symmetric roots, by their definition: both factors are symmetric and square to the matrices.
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> from(own), to(target);
    const Eigen::MatrixXd symmetric = to.operatorSqrt() * from.operatorInverseSqrt();
    const double distance = relative(map, symmetric);
    CHECK((root == CovarianceRoot::symmetric ? distance <= 100 * epsilon * condition : distance > 1e-3));
    CHECK((map.isLowerTriangular(1e-12) == (root == CovarianceRoot::cholesky)));
  }
}

TEMPLATE_TEST_CASE("feature_distribution: the full form is its formula in either order, in place or not",
                   "[smoothing]", float, double) {
  const Index dimension = GENERATE(3, 16, 37);
  CAPTURE(dimension);
  Full<TestType> fds(dimension, ten_bins(), SmoothingKernel::gaussian(5, 2.0));
  const Epoch data(54, 700, dimension, 10);
  const RowMatrixX<TestType> features = data.features.template cast<TestType>();
  for (Index first = 0; first < 700; first += 70) {
    fds.update(features.middleRows(first, 70), data.labels.segment(first, 70));
  }
  fds.finish_epoch();

  Eigen::VectorXd labels = data.labels.head(200);
  const RowMatrixX<TestType> rows = features.topRows(200);
  const MatrixX<TestType> columns = rows;
  RowMatrixX<TestType> smoothed = rows, in_place = rows, gradient = rows;
  MatrixX<TestType> smoothed_columns = columns, gradient_columns = columns;
  fds.smooth(rows, labels, smoothed);
  fds.smooth(in_place, labels, in_place);
  fds.smooth(columns, labels, smoothed_columns);
  fds.backward(gradient, labels, gradient);
  fds.backward(columns, labels, gradient_columns);
  CHECK(smoothed == in_place);
  CHECK(smoothed == smoothed_columns);
  CHECK(gradient == gradient_columns);

  // Each map, read off through backward on its own, applied in double.
  for (int b = 0; b < 10; ++b) {
    RowMatrixX<TestType> identity = RowMatrixX<TestType>::Identity(dimension, dimension);
    fds.backward(identity, Eigen::VectorXd::Constant(dimension, b + 0.5), identity);
    const Eigen::MatrixXd map = identity.template cast<double>();
    for (Index i = 0; i < 200; ++i) {
      if (static_cast<int>(labels[i]) != b) continue;
      const Eigen::RowVectorXd z = rows.row(i).template cast<double>();
      const Eigen::RowVectorXd centered = z - fds.mean().row(b);
      const Eigen::RowVectorXd expected = centered * map.transpose() + fds.smoothed_mean().row(b);
      const double unit = static_cast<double>(std::numeric_limits<TestType>::epsilon()) * map.norm();
      CHECK((smoothed.row(i).template cast<double>() - expected).norm() <=
            8 * unit * (z.norm() + fds.mean().row(b).norm() + expected.norm()));
      CHECK((gradient.row(i).template cast<double>() - z * map).norm() <= 8 * unit * z.norm());
    }
  }
}

TEST_CASE("feature_distribution: with shrinkage the shrunk pair obeys the same law", "[smoothing]") {
  const Shrinkage shrinkage = GENERATE(Shrinkage::oas(), Shrinkage::ridge(0.1));
  const CovarianceRoot root = GENERATE(CovarianceRoot::symmetric, CovarianceRoot::cholesky);
  Full<double>::Options options;
  options.shrinkage = shrinkage;
  options.root = root;
  const Index dimension = 12;
  Full<double> fds(dimension, ten_bins(), SmoothingKernel::gaussian(5, 2.0), options);
  const Epoch data(55, 120, dimension, 10);  // about 12 samples in a bin of 12 features
  run_epoch(fds, data);
  bool few = false, many = false;
  for (int b = 0; b < 10; ++b) {
    CAPTURE(b, fds.samples()[b]);
    Eigen::MatrixXd own = fds.covariance(b), target = fds.smoothed_covariance(b);
    if (fds.samples()[b] <= dimension) {
      few = true;
      shrinkage.apply(own, fds.samples()[b]);
      shrinkage.apply(target, fds.samples()[b]);
    } else {
      many = true;
    }
    const Eigen::MatrixXd map = map_of_bin(fds, b + 0.5);
    const double condition = own.norm() * own.inverse().norm();
    CHECK(relative(map * own * map.transpose(), target) <= 100 * epsilon * condition);
  }
  CHECK(few);
  CHECK(many);
}

TEST_CASE("feature_distribution: where statistics agree the map is the identity", "[smoothing]") {
  const CovarianceRoot root = GENERATE(CovarianceRoot::symmetric, CovarianceRoot::cholesky);
  const Index rows = GENERATE(90, 1500);  // with and without shrinkage
  CAPTURE(rows);
  Full<double>::Options options;
  options.root = root;
  Full<double> full(12, ten_bins(), SmoothingKernel::triangular(1), options);
  Diagonal<double> diagonal(12, ten_bins(), SmoothingKernel::triangular(1));
  const Epoch data(56, rows, 12, 10);
  run_epoch(full, data);
  run_epoch(diagonal, data);
  RowMatrixX<double> result = data.features;
  full.smooth(data.features, data.labels, result);
  CHECK((result - data.features).cwiseAbs().maxCoeff() <= 1e-9);  // epsilon times a condition of up to 1e6
  diagonal.smooth(data.features, data.labels, result);
  CHECK((result - data.features).cwiseAbs().maxCoeff() <= 1e-14);
}

TEST_CASE("feature_distribution: of one feature, full is diagonal without bounds", "[smoothing]") {
  Diagonal<double>::Options options;
  options.lowest_ratio = 0;
  options.highest_ratio = infinity;
  const auto kernel = SmoothingKernel::gaussian(5, 2.0);
  Diagonal<double> diagonal(1, ten_bins(), kernel, options);
  Full<double> full(1, ten_bins(), kernel);
  for (std::uint64_t e = 0; e < 3; ++e) {
    const Epoch data(57 + e, 300, 1, 10);
    RowMatrixX<double> left = data.features, right = data.features;
    diagonal.smooth(data.features, data.labels, left);
    full.smooth(data.features, data.labels, right);
    CHECK((left - right).cwiseAbs().maxCoeff() <= 1e-13);
    run_epoch(diagonal, data);
    run_epoch(full, data);
  }
}

TEST_CASE("feature_distribution: directions without variance are passed on, not amplified", "[smoothing]") {
  const CovarianceRoot root = GENERATE(CovarianceRoot::symmetric, CovarianceRoot::cholesky);
  Full<double>::Options options;
  options.root = root;
  Full<double> fds(3, ten_bins(), SmoothingKernel::gaussian(5, 2.0), options);
  Epoch data(58, 800, 3, 10);
  data.features.col(2) = data.features.col(1);  // no variance along (0, 1, -1)
  run_epoch(fds, data);
  const Eigen::MatrixXd rows = calibrated(fds, data, 4);
  CHECK(relative(covariance_of(rows), fds.smoothed_covariance(4)) <= 1e-7);
  const Eigen::MatrixXd map = map_of_bin(fds, 4.5);
  const Eigen::Vector3d none = Eigen::Vector3d(0, 1, -1).normalized();
  CHECK((map * none - none).norm() <= 1e-6);
  CHECK(map.norm() < 10);
}

TEMPLATE_TEST_CASE("feature_distribution: backward is the gradient of smooth", "[smoothing][gradient]",
                   Diagonal<double>, Full<double>) {
  TestType fds(4, ten_bins(), SmoothingKernel::gaussian(5, 2.0));
  const Epoch data(59, 800, 4, 10);
  run_epoch(fds, data);
  RandomData random(61);
  const auto weights = random.matrix<RowMatrixX<double>>(20, 4, -1, 1);  // L = sum weights * z'
  RowMatrixX<double> features = data.features.topRows(20), result = features, gradient = features;
  const Eigen::VectorXd labels = data.labels.head(20);
  const auto loss = [&] {
    fds.smooth(features, labels, result);
    return weights.cwiseProduct(result).sum();
  };
  loss();
  fds.backward(weights, labels, gradient);
  for (Index i = 0; i < 20; ++i) {
    for (Index d = 0; d < 4; ++d) {
      const double step = 1e-3, value = features(i, d);  // L is linear: only rounding counts
      features(i, d) = value + step;
      const double above = loss();
      features(i, d) = value - step;
      const double below = loss();
      features(i, d) = value;
      CHECK(std::abs((above - below) / (2 * step) - gradient(i, d)) <= 1e-10);
    }
  }
}

// ---- The life of an epoch

TEMPLATE_TEST_CASE("feature_distribution: calls out of order are refused and change nothing",
                   "[smoothing][errors]", Diagonal<double>, Full<double>) {
  TestType fds(3, ten_bins(), SmoothingKernel::gaussian(5, 2.0));
  const Epoch data(62, 300, 3, 10);
  RowMatrixX<double> result = data.features;
  CHECK(rejects([&] { fds.backward(data.features, data.labels, result); },
                {"backward", "nothing was smoothed in epoch 0", "smooth before backward"}));
  CHECK(rejects([&] { fds.finish_epoch(); }, {"finish_epoch", "no batch was given to update in epoch 0"}));
  fds.smooth(data.features, data.labels, result);
  CHECK(result == data.features);
  fds.update(data.features, data.labels);
  CHECK(rejects([&] { fds.finish_epoch(1); }, {"epoch is 1, expected 0"}));
  fds.finish_epoch();
  CHECK(rejects([&] { fds.backward(data.features, data.labels, result); }, {"epoch 1"}));
  CHECK(rejects([&] { fds.finish_epoch(); }, {"in epoch 1"}));
  fds.smooth(data.features, data.labels, result);
  CHECK(result != data.features);

  // Outside training everything passes, labels unknown, and nothing is learnt.
  fds.set_training(false);
  fds.smooth(data.features, Eigen::VectorXd(), result);
  CHECK(result == data.features);
  fds.backward(data.features, Eigen::VectorXd(), result);
  CHECK(result == data.features);
  CHECK(rejects([&] { fds.update(data.features, data.labels); }, {"update", "set_training(true)"}));
  CHECK(rejects([&] { fds.finish_epoch(); }, {"finish_epoch", "set_training(true)"}));
  CHECK(fds.statistics().samples() == 0);
}

TEMPLATE_TEST_CASE("feature_distribution: what does not fit is refused, outputs untouched",
                   "[smoothing][errors]", Diagonal<double>, Full<double>) {
  const auto kernel = SmoothingKernel::gaussian(5, 2.0);
  TestType fds(3, LabelBins::uniform(0, 10, 10, Outside::refuse), kernel);
  const Epoch data(63, 100, 3, 10);
  run_epoch(fds, data);
  RowMatrixX<double> result = RowMatrixX<double>::Constant(100, 3, 7);
  const RowMatrixX<double> before = result;
  Eigen::VectorXd labels = data.labels;
  labels[31] = 12;
  CHECK(rejects([&] { fds.smooth(data.features, labels, result); }, {"labels[31] is 12"}));
  labels[31] = not_a_number;
  CHECK(rejects([&] { fds.smooth(data.features, labels, result); }, {"labels[31] is nan"}));
  CHECK(rejects([&] { fds.update(data.features, labels); }, {"labels[31] is nan"}));
  CHECK(rejects([&] { fds.smooth(data.features, data.labels.head(99), result); },
                {"smooth", "labels is of 99 samples, expected 100"}));
  CHECK(rejects([&] { fds.smooth(data.features.leftCols(2), data.labels, result); },
                {"features is 100 x 2, expected samples x 3"}));
  CHECK(rejects([&] { fds.smooth(data.features, data.labels, result.topRows(99)); },
                {"smoothed is 99 x 3, expected 100 x 3"}));
  RowMatrixX<double> bad = data.features;
  bad(45, 1) = infinity;
  CHECK(rejects([&] { fds.update(bad, data.labels); }, {"features(45, 1) is inf"}));
  CHECK(result == before);
  CHECK(fds.statistics().samples() == 0);
  CHECK(fds.state().batches == 0);

  using Options = typename TestType::Options;
  const auto with = [&](auto change) {
    Options options;
    change(options);
    return rejection([&] { TestType(3, ten_bins(), kernel, options); });
  };
  const auto names = [](const std::string& message, const char* part) {
    return message.find(part) != std::string::npos;
  };
  CHECK(names(with([](Options& o) { o.momentum = 1.0; }), "momentum is 1, expected [0, 1)"));
  CHECK(names(with([](Options& o) { o.momentum = not_a_number; }), "momentum is nan"));
  CHECK(names(with([](Options& o) { o.lowest_ratio = -1; }), "lowest_ratio is -1"));
  CHECK(names(with([](Options& o) { o.highest_ratio = 0.5; }), "highest_ratio is 0.5"));
  const auto square = LabelBins::product({ten_bins(), ten_bins()});
  Options fill;
  fill.empty_bins = EmptyBins::fill;
  CHECK(rejects([&] { TestType(3, square, kernel, fill); }, {"EmptyBins::fill", "2 dimensions"}));
  CHECK(rejects([&] { fds.merge(TestType(3, ten_bins(), kernel)); }, {"merge", "epoch 0, expected 1"}));
  CHECK(rejects([&] { (void)fds.variance(10); }, {"bin is 10"}));
  CHECK(rejects([] { (void)Shrinkage::ridge(0); }, {"Shrinkage::ridge", "amount is 0"}));

  if constexpr (TestType::full) {
    CHECK(rejects([&] { TestType(3, ten_bins(), kernel, Options::published()); }, {"diagonal form"}));
  } else {
    Options wrong = Options::published();
    wrong.empty_bins = EmptyBins::skip;
    CHECK(rejects([&] { TestType(3, ten_bins(), kernel, wrong); }, {"Options::published()"}));
    CHECK(rejects([&] { TestType(3, LabelBins::uniform(0, 1, 10), kernel, Options::published()); },
                  {"bin 0 is [0, 0.1", "whole-numbered"}));
    TestType published(3, ten_bins(), kernel, Options::published());
    CHECK(rejects([&] { published.update(data.features, data.labels); }, {"labels[0]", "whole number"}));
    CHECK(rejects([&] { published.finish_epoch(-1); }, {"epoch is -1"}));
  }
}

TEST_CASE("feature_distribution: dropped rows pass, products of bins and integer labels work",
          "[smoothing]") {
  const Epoch data(64, 600, 3, 10);
  Diagonal<double> fds(3, LabelBins::uniform(2, 8, 6, Outside::drop), SmoothingKernel::gaussian(5, 2.0));
  const Eigen::VectorXi labels = data.labels.cast<int>();
  fds.update(data.features, labels);
  fds.finish_epoch();
  RowMatrixX<double> result = data.features;
  fds.smooth(data.features, labels, result);
  for (Index i = 0; i < 600; ++i) {
    CHECK((result.row(i) == data.features.row(i)) == (labels[i] < 2 || labels[i] >= 8));
  }

  Full<double> plane(3, LabelBins::product({LabelBins::uniform(0, 10, 4), LabelBins::uniform(0, 10, 3)}),
                     SmoothingKernel::gaussian(3, 1.0));
  Eigen::MatrixXd pairs(600, 2);
  pairs << data.labels, data.labels.reverse();
  plane.update(data.features, pairs);
  plane.finish_epoch();
  plane.smooth(data.features, pairs, result);
  CHECK(result.allFinite());
  CHECK(result.row(0) != data.features.row(0));
}

TEMPLATE_TEST_CASE("feature_distribution: ranks merge before the epoch ends", "[smoothing]", Diagonal<double>,
                   Full<double>) {
  const auto kernel = SmoothingKernel::gaussian(5, 2.0);
  TestType whole(4, ten_bins(), kernel), first(4, ten_bins(), kernel), second(4, ten_bins(), kernel);
  const Epoch data(65, 400, 4, 10);
  whole.update(data.features, data.labels);
  first.update(data.features.topRows(150), data.labels.head(150));
  second.update(data.features.bottomRows(250), data.labels.tail(250));
  first.merge(second);
  whole.finish_epoch();
  first.finish_epoch();
  RowMatrixX<double> left = data.features, right = data.features;
  whole.smooth(data.features, data.labels, left);
  first.smooth(data.features, data.labels, right);
  CHECK((left - right).cwiseAbs().maxCoeff() <= 1e-11);
}

TEMPLATE_TEST_CASE("feature_distribution: a saved state continues to the same bits, a corrupt one is refused",
                   "[smoothing]", Diagonal<double>, Full<double>) {
  using State = typename TestType::State;
  const bool published = GENERATE(false, true);
  CAPTURE(published);
  if (published && TestType::full) return;
  const auto kernel = SmoothingKernel::gaussian(5, 2.0, EdgeRule::mirror);
  const auto options = published ? TestType::Options::published() : TestType::Options::paper();
  TestType fds(3, ten_bins(), kernel, options);
  Epoch data(66, 300, 3, 10, 4);
  if (published) data.labels = data.labels.array().floor();
  for (int e = 0; e < 3; ++e) run_epoch(fds, data);
  fds.update(data.features.topRows(200), data.labels.head(200));

  const State saved = fds.state();
  TestType restored(3, ten_bins(), kernel, options);
  restored.restore(saved);
  RowMatrixX<double> left = data.features, right = data.features;
  fds.smooth(data.features, data.labels, left);
  restored.smooth(data.features, data.labels, right);
  CHECK(left == right);
  CHECK(restored.epoch() == 3);
  fds.restore(saved);  // what waits to be summed is now as in the other
  for (TestType* each : {&fds, &restored}) {
    each->update(data.features.bottomRows(100), data.labels.tail(100));
    each->finish_epoch();
    each->smooth(data.features, data.labels, each == &fds ? left : right);
  }
  CHECK(left == right);

  const auto refused = [&](auto damage, std::initializer_list<const char*> parts) {
    State state = saved;
    damage(state);
    if (!rejects([&] { restored.restore(state); }, parts)) return false;
    RowMatrixX<double> after = data.features;
    restored.smooth(data.features, data.labels, after);
    return after == right && restored.epoch() == 4;
  };
  CHECK(refused([](State& s) { s.epoch = -1; }, {"restore", "state.epoch is -1"}));
  CHECK(refused([](State& s) { s.samples[2] = -1; }, {"state.samples[2] is -1"}));
  CHECK(refused([](State& s) { s.latest[2] = s.covariance_samples[2] + 1; }, {"bin 2"}));
  CHECK(refused([](State& s) { s.samples.conservativeResize(9); }, {"state.samples has size 9"}));
  CHECK(refused([](State& s) { s.mean(1, 1) = not_a_number; }, {"state.mean(1, 1) is nan"}));
  CHECK(refused([](State& s) { s.covariance(0, 0) = -1; }, {"state.covariance(0, 0) is -1"}));
  CHECK(refused([](State& s) { s.covariance.conservativeResize(10, 2); }, {"state.covariance is 10 x 2"}));
  CHECK(refused([](State& s) { s.statistics.mean(0, 0) = infinity; }, {"BinStatistics", "state.mean(0, 0)"}));
  CHECK(refused([](State& s) { s.statistics.counts.conservativeResize(3); }, {"state.counts has size 3"}));
  if (published) {
    CHECK(refused([](State& s) { s.rolled = -1; }, {"state.rolled is -1"}));
    CHECK(refused([](State& s) { s.rolled_mean(0, 0) = not_a_number; }, {"state.rolled_mean(0, 0)"}));
  } else {
    CHECK(refused([](State& s) { s.rolled = 3; }, {"one of the published behaviour"}));
  }
  if (TestType::full) CHECK(refused([](State& s) { s.covariance(1, 0) += 1; }, {"triangle"}));
}
