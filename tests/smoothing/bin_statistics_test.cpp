#include <ballast/smoothing/bin_statistics.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::BinStatistics;
using ballast::Count;
using ballast::Covariance;
using ballast::Index;
using ballast::LabelBins;
using ballast::MatrixX;
using ballast::Outside;
using ballast::RowMatrixX;

using LongMatrix = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
using LongVector = Eigen::Matrix<long double, Eigen::Dynamic, 1>;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

template <typename Scalar>
using Diagonal = BinStatistics<Scalar, Covariance::diagonal>;
template <typename Scalar>
using Full = BinStatistics<Scalar, Covariance::full>;

/// Mean and M2 of one bin, by the definition, in two passes.
struct Moments {
  template <typename Features>
  Moments(const Features& features, const Eigen::VectorXi& bins, int bin)
      : mean(LongVector::Zero(features.cols())), m2(LongMatrix::Zero(features.cols(), features.cols())) {
    for (Index i = 0; i < features.rows(); ++i) {
      if (bins[i] != bin) continue;
      ++count;
      mean += features.row(i).transpose().template cast<long double>();
    }
    if (count > 0) mean /= static_cast<long double>(count);
    for (Index i = 0; i < features.rows(); ++i) {
      if (bins[i] != bin) continue;
      const LongVector e = features.row(i).transpose().template cast<long double>() - mean;
      m2 += e * e.transpose();
    }
  }
  [[nodiscard]] LongMatrix covariance() const {
    if (count < 2) return LongMatrix::Zero(m2.rows(), m2.cols());
    return m2 / static_cast<long double>(count - 1);
  }

  Count count = 0;
  LongVector mean;
  LongMatrix m2;
};

/// Largest |came - expected| / (deviation_i deviation_j): errors in units of the data's own spread.
template <typename Came>
double covariance_error(const Came& came, const LongMatrix& expected) {
  long double worst = 0;
  for (Index i = 0; i < expected.rows(); ++i) {
    for (Index j = 0; j < expected.cols(); ++j) {
      const long double unit = std::sqrt(expected(i, i) * expected(j, j));
      worst = std::max(worst, std::abs(static_cast<long double>(came(i, j)) - expected(i, j)) / unit);
    }
  }
  return static_cast<double>(worst);
}

template <typename Came>
double variance_error(const Came& came, const LongMatrix& expected) {
  return static_cast<double>(
      ((came.template cast<long double>() - expected.diagonal()).array() / expected.diagonal().array())
          .abs()
          .maxCoeff());
}

/// Sums of at most 512 terms in Scalar, shifted by a row within a few deviations of the mean: a random walk
/// of roundings, with room.
template <typename Scalar>
constexpr double tolerance = 256 * static_cast<double>(std::numeric_limits<Scalar>::epsilon());

template <typename Matrix>
Matrix normal_features(RandomData& random, Index rows, Index cols, double mean, double deviation) {
  Matrix result(rows, cols);
  for (Index i = 0; i < rows; ++i) {
    for (Index d = 0; d < cols; ++d) {
      result(i, d) = static_cast<typename Matrix::Scalar>(mean + deviation * random.normal());
    }
  }
  return result;
}

Eigen::VectorXi bins_with_drops(RandomData& random, Index rows, int bins) {
  Eigen::VectorXi result = random.labels(rows, bins + 1);
  result.array() -= 1;
  return result;
}

template <typename Statistics, typename Features>
void feed(Statistics& statistics, const Features& features, const Eigen::VectorXi& bins, Index batch) {
  for (Index first = 0; first < features.rows(); first += batch) {
    const Index rows = std::min(batch, features.rows() - first);
    statistics.update(features.middleRows(first, rows), bins.segment(first, rows));
  }
}

template <typename Statistics>
bool same_bits(const Statistics& a, const Statistics& b) {
  const auto left = a.state(), right = b.state();
  return left.counts == right.counts && left.mean == right.mean && left.m2 == right.m2;
}

/// Largest relative difference of the variances, and of the means to the larger of mean and deviation.
template <typename Statistics>
double difference(const Statistics& a, const Statistics& b) {
  double worst = 0;
  REQUIRE(a.counts() == b.counts());
  for (Index bin = 0; bin < a.bins(); ++bin) {
    const Eigen::VectorXd left = a.variance(bin), right = b.variance(bin);
    worst = std::max(worst, ((left - right).array() / right.array()).abs().maxCoeff());
    const Eigen::VectorXd step = (a.mean().row(bin) - b.mean().row(bin)).transpose();
    const Eigen::VectorXd unit = right.cwiseSqrt().cwiseMax(b.mean().row(bin).transpose().cwiseAbs());
    worst = std::max(worst, (step.array() / unit.array()).abs().maxCoeff());
  }
  return worst;
}

template <typename Matrix, typename Scalar>
void check_formula(Index dimension) {
  const std::uint64_t seed = 10 + static_cast<std::uint64_t>(dimension);
  CAPTURE(seed, dimension);
  RandomData random(seed);
  const int bins = 5;
  const Index rows = 1400;  // bins of more rows than are summed at a time in Scalar too
  const Matrix features = normal_features<Matrix>(random, rows, dimension, 3.0, 2.0);
  Eigen::VectorXi of_row = bins_with_drops(random, rows, bins);
  for (Index i = 200; i < rows; ++i) of_row[i] = of_row[i] < 3 ? 2 : of_row[i];
  of_row = (of_row.array() == 4).select(-1, of_row);
  of_row[17] = 4;  // a bin of one

  Diagonal<Scalar> diagonal(bins, dimension);
  Full<Scalar> full(bins, dimension);
  diagonal.update(features, of_row);
  full.update(features.topRows(900), of_row.head(900));
  full.update(features.bottomRows(500), of_row.tail(500));
  for (int b = 0; b < bins; ++b) {
    CAPTURE(b);
    const Moments expected(features, of_row, b);
    REQUIRE(diagonal.counts()[b] == expected.count);
    REQUIRE(full.counts()[b] == expected.count);
    if (b == 4) {
      CHECK(diagonal.variance(b).isZero(0));
      CHECK(full.covariance(b).isZero(0));
      continue;
    }
    CHECK(variance_error(diagonal.variance(b), expected.covariance()) <= tolerance<Scalar>);
    CHECK(variance_error(full.variance(b), expected.covariance()) <= tolerance<Scalar>);
    CHECK(covariance_error(full.covariance(b), expected.covariance()) <= tolerance<Scalar>);
    for (Index d = 0; d < dimension; ++d) {
      const long double slack = static_cast<long double>(tolerance<Scalar>) * 2;  // deviation 2
      CHECK(std::abs(static_cast<long double>(diagonal.mean()(b, d)) - expected.mean[d]) <= slack);
      CHECK(std::abs(static_cast<long double>(full.mean()(b, d)) - expected.mean[d]) <= slack);
    }
  }
}

}  // namespace

TEMPLATE_TEST_CASE("bin_statistics: mean and covariance are the definition", "[smoothing]", float, double) {
  for (const Index dimension : {1, 3, 8, 16, 19, 33, 70}) {
    check_formula<RowMatrixX<TestType>, TestType>(dimension);
    check_formula<MatrixX<TestType>, TestType>(dimension);
  }
}

TEMPLATE_TEST_CASE("bin_statistics: blocks, maps and transposes are read in place", "[smoothing]", float,
                   double) {
  RandomData random(20);
  const RowMatrixX<TestType> features = normal_features<RowMatrixX<TestType>>(random, 60, 21, -1.0, 1.0);
  const Eigen::VectorXi bins = random.labels(60, 3);
  Full<TestType> expected(3, 21);
  expected.update(features, bins);

  RowMatrixX<TestType> wide = RowMatrixX<TestType>::Constant(64, 40, TestType(1e20));
  wide.block(2, 5, 60, 21) = features;
  Full<TestType> from_block(3, 21);
  from_block.update(wide.block(2, 5, 60, 21), bins.cast<std::int64_t>());
  CHECK(same_bits(from_block, expected));

  const MatrixX<TestType> columns = features.transpose();
  Full<TestType> from_transpose(3, 21);
  from_transpose.update(columns.transpose(), bins.transpose());
  CHECK(same_bits(from_transpose, expected));

  Full<TestType> from_map(3, 21);
  from_map.update(Eigen::Map<const RowMatrixX<TestType>>(features.data(), 60, 21), bins.cast<std::uint8_t>());
  CHECK(same_bits(from_map, expected));

  const MatrixX<TestType> column_major = features;
  Full<TestType> from_columns(3, 21);
  from_columns.update(column_major, bins);
  CHECK(difference(from_columns, expected) <= tolerance<TestType>);
}

TEST_CASE("bin_statistics: labels go through their bins", "[smoothing]") {
  RandomData random(21);
  const Eigen::MatrixXd features = normal_features<Eigen::MatrixXd>(random, 50, 4, 0.0, 1.0);
  const LabelBins bins = LabelBins::uniform(0.0, 1.0, 10, Outside::drop);
  const Eigen::VectorXd labels = random.vector<double>(50, -0.2, 1.2);
  Eigen::VectorXi of_row(50);
  bins.find(labels, of_row);
  REQUIRE((of_row.array() == -1).any());
  Diagonal<double> by_label(10, 4), by_bin(10, 4);
  by_label.update(features, bins, labels);
  by_bin.update(features, of_row);
  CHECK(same_bits(by_label, by_bin));
  CHECK(by_label.samples() == (of_row.array() >= 0).count());
}

TEST_CASE("bin_statistics: a million rows, and any split of them, keep their variance", "[smoothing]") {
  const std::uint64_t seed = GENERATE(31u);
  const double mean = GENERATE(0.0, 1e6);
  CAPTURE(seed, mean);
  RandomData random(seed);
  const Index rows = 1000000;
  const int bins = 3;
  const RowMatrixX<double> features = normal_features<RowMatrixX<double>>(random, rows, 2, mean, 1.0);
  const Eigen::VectorXi of_row = random.labels(rows, bins);

  Diagonal<double> by_7(bins, 2), by_4096(bins, 2), shards(bins, 2), backwards(bins, 2);
  Full<double> full_by_7(bins, 2), full_by_4096(bins, 2);
  feed(by_7, features, of_row, 7);
  feed(by_4096, features, of_row, 4096);
  feed(full_by_7, features, of_row, 7);
  feed(full_by_4096, features, of_row, 4096);
  std::vector<Diagonal<double>> parts;
  for (Index part = 0; part < 10; ++part) {
    parts.emplace_back(bins, 2);
    feed(parts.back(), features.middleRows(part * 100000, 100000), of_row.segment(part * 100000, 100000),
         1 + 997 * part);
  }
  for (const auto& part : parts) shards.merge(part);
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) backwards.merge(*part);

  for (int b = 0; b < bins; ++b) {
    const Moments expected(features, of_row, b);
    CHECK(variance_error(by_7.variance(b), expected.covariance()) <= 1e-6);
    CHECK(variance_error(by_4096.variance(b), expected.covariance()) <= 1e-6);
    CHECK(covariance_error(full_by_7.covariance(b), expected.covariance()) <= 1e-6);
    CHECK(covariance_error(full_by_4096.covariance(b), expected.covariance()) <= 1e-6);
  }
  const double agreement = mean == 0.0 ? 1e-12 : 1e-9;
  CHECK(difference(by_7, by_4096) <= agreement);
  CHECK(difference(shards, by_4096) <= agreement);
  CHECK(difference(backwards, by_4096) <= agreement);
  CHECK(difference(full_by_7, full_by_4096) <= agreement);
}

TEST_CASE("bin_statistics: float features far from zero keep the variance of their values", "[smoothing]") {
  RandomData random(32);
  const RowMatrixX<float> features = normal_features<RowMatrixX<float>>(random, 20000, 3, 1e6, 1.0);
  const Eigen::VectorXi of_row = random.labels(20000, 2);
  Diagonal<float> diagonal(2, 3);
  Full<float> full(2, 3);
  feed(diagonal, features, of_row, 300);
  feed(full, features, of_row, 300);
  for (int b = 0; b < 2; ++b) {
    const Moments expected(features, of_row, b);
    CHECK(variance_error(diagonal.variance(b), expected.covariance()) <= 1e-6);
    CHECK(covariance_error(full.covariance(b), expected.covariance()) <= 1e-6);
  }
}

TEMPLATE_TEST_CASE("bin_statistics: a constant feature has variance 0 exactly", "[smoothing]", float,
                   double) {
  RandomData random(33);
  RowMatrixX<TestType> features = normal_features<RowMatrixX<TestType>>(random, 500, 3, 0.0, 1.0);
  features.col(1).setConstant(TestType(0.1));
  const Eigen::VectorXi of_row = random.labels(500, 2);
  Diagonal<TestType> diagonal(2, 3);
  Full<TestType> full(2, 3);
  feed(diagonal, features, of_row, 7);
  feed(full, features, of_row, 7);
  for (int b = 0; b < 2; ++b) {
    CHECK(diagonal.variance(b)[1] == 0.0);
    CHECK(full.covariance(b).col(1).isZero(0));
    CHECK(diagonal.mean()(b, 1) == static_cast<double>(TestType(0.1)));
  }
}

TEST_CASE("bin_statistics: finite features whose squares overflow float are counted in double",
          "[smoothing]") {
  RandomData random(34);
  for (const double deviation : {1e17, 1e19, 1e30}) {
    CAPTURE(deviation);
    RowMatrixX<float> features = normal_features<RowMatrixX<float>>(random, 400, 3, 0.0, deviation);
    features.bottomRows(200).array() += static_cast<float>(30 * deviation);  // a long step between means
    const Eigen::VectorXi of_row = random.labels(400, 2);
    Diagonal<float> diagonal(2, 3);
    Full<float> full(2, 3);
    feed(diagonal, features, of_row, 40);
    feed(full, features, of_row, 40);
    for (int b = 0; b < 2; ++b) {
      const Moments expected(features, of_row, b);
      CHECK(variance_error(diagonal.variance(b), expected.covariance()) <= tolerance<float>);
      CHECK(covariance_error(full.covariance(b), expected.covariance()) <= tolerance<float>);
    }
  }
}

TEMPLATE_TEST_CASE("bin_statistics: shards merge to the whole", "[smoothing]", Diagonal<double>,
                   Full<double>) {
  RandomData random(35);
  const Eigen::MatrixXd features = normal_features<Eigen::MatrixXd>(random, 300, 6, 5.0, 1.0);
  const Eigen::VectorXi of_row = random.labels(300, 4);
  TestType whole(5, 6), first(5, 6), rest(5, 6), empty(5, 6);  // bin 4 stays empty
  feed(whole, features, of_row, 50);
  feed(first, features.topRows(90), of_row.head(90), 31);
  feed(rest, features.bottomRows(210), of_row.tail(210), 64);

  TestType merged = first;
  merged.merge(empty);
  CHECK(same_bits(merged, first));
  merged.merge(rest);
  TestType into_empty = empty;
  into_empty.merge(rest);
  CHECK(same_bits(into_empty, rest));
  into_empty.merge(first);
  for (int b = 0; b < 4; ++b) {
    CHECK((merged.mean().row(b) - whole.mean().row(b)).norm() <= 1e-13 * whole.mean().row(b).norm());
    CHECK((merged.variance(b) - whole.variance(b)).norm() <= 1e-13 * whole.variance(b).norm());
    CHECK((into_empty.variance(b) - whole.variance(b)).norm() <= 1e-13 * whole.variance(b).norm());
    if constexpr (TestType::full) {
      CHECK((merged.covariance(b) - whole.covariance(b)).norm() <= 1e-13 * whole.covariance(b).norm());
      CHECK(merged.covariance(b) == merged.covariance(b).transpose());
    }
  }
  CHECK(merged.mean().row(4).isZero(0));

  // With itself: every sample twice.
  TestType twice = first;
  twice.merge(twice);
  CHECK(twice.samples() == 180);
  CHECK((twice.mean() - first.mean()).isZero(0));
  CHECK((twice.variance(0) * (2.0 * static_cast<double>(first.counts()[0]) - 1) -
         first.variance(0) * 2.0 * (static_cast<double>(first.counts()[0]) - 1))
            .norm() <= 1e-13 * static_cast<double>(first.counts()[0]) * first.variance(0).norm());
}

TEMPLATE_TEST_CASE("bin_statistics: state goes out and comes back to continue alike", "[smoothing]",
                   Diagonal<float>, Full<float>, Diagonal<double>, Full<double>) {
  RandomData random(36);
  const Eigen::MatrixXf values = normal_features<Eigen::MatrixXf>(random, 120, 18, 1.0, 1.0);
  const Eigen::VectorXi of_row = random.labels(120, 3);
  TestType saved(3, 18);
  const auto update = [&](TestType& statistics, Index first, Index rows) {
    if constexpr (std::is_same_v<TestType, Diagonal<float>> || std::is_same_v<TestType, Full<float>>) {
      statistics.update(values.middleRows(first, rows), of_row.segment(first, rows));
    } else {
      statistics.update(values.middleRows(first, rows).cast<double>().eval(), of_row.segment(first, rows));
    }
  };
  update(saved, 0, 80);
  TestType restored(saved.state());
  CHECK(same_bits(restored, saved));
  update(restored, 80, 40);
  update(saved, 80, 40);
  CHECK(difference(restored, saved) <= tolerance<float>);

  restored.reset();
  CHECK(same_bits(restored, TestType(3, 18)));
  restored.restore(saved.state());
  CHECK(same_bits(restored, saved));
}

TEMPLATE_TEST_CASE("bin_statistics: a bad batch is refused, named, and leaves no trace",
                   "[smoothing][errors]", Diagonal<double>, Full<double>) {
  RandomData random(37);
  const Eigen::MatrixXd good = normal_features<Eigen::MatrixXd>(random, 40, 3, 0.0, 1.0);
  const Eigen::VectorXi of_row = random.labels(40, 2);
  TestType statistics(2, 3);
  statistics.update(good, of_row);
  const TestType before = statistics;

  const double bad =
      GENERATE(std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity(),
               -std::numeric_limits<double>::infinity(), 1e200);
  CAPTURE(bad);
  for (const Index row : {0, 1, 23, 39}) {
    Eigen::MatrixXd features = good;
    features(row, 2) = bad;
    features(39, 1) = bad;
    const std::string place = "features(" + std::to_string(row) + ", " + (row == 39 ? "1" : "2") + ")";
    CAPTURE(place);
    CHECK(rejects([&] { statistics.update(features, of_row); },
                  {"BinStatistics::update", place.c_str(), "expected a finite number"}));
    const RowMatrixX<double> row_major = features;
    CHECK(rejects([&] { statistics.update(row_major, of_row); }, {place.c_str()}));
    CHECK(rejects([&] { statistics.update(row_major.row(row), of_row.segment(row, 1)); }, {"features(0, "}));
    CHECK(same_bits(statistics, before));

    Eigen::VectorXi dropped = of_row;  // a row left out may hold anything
    dropped[row] = dropped[39] = -1;
    TestType other(2, 3);
    other.update(features, dropped);
    CHECK(other.samples() == (row == 39 ? 39 : 38));
  }
}

TEMPLATE_TEST_CASE("bin_statistics: what does not fit is refused", "[smoothing][errors]", Diagonal<double>,
                   Full<double>) {
  CHECK(rejects([] { TestType(0, 3); }, {"BinStatistics", "bins is 0", "at least 1"}));
  CHECK(rejects([] { TestType(3, 0); }, {"dimension is 0"}));
  TestType statistics(2, 3);
  const Eigen::MatrixXd features = Eigen::MatrixXd::Random(4, 3);
  const TestType before = statistics;
  CHECK(rejects([&] { statistics.update(features, Eigen::Vector3i::Zero()); },
                {"bins has size 3, expected 4"}));
  CHECK(rejects([&] { statistics.update(features.leftCols(2), Eigen::Vector4i::Zero()); },
                {"features is 4 x 2, expected samples x 3"}));
  CHECK(rejects([&] { statistics.update(features, Eigen::Vector4i(0, 1, 2, 5)); },
                {"bins[2] is 2", "expected [0, 2)"}));
  CHECK(rejects([&] { statistics.update(features, Eigen::Vector4i(0, -2, 1, 5)); }, {"bins[1] is -2"}));
  const Eigen::Matrix<std::uint64_t, 4, 1> huge(0, 1, ~std::uint64_t(0), 0);
  CHECK(rejects([&] { statistics.update(features, huge); }, {"bins[2] is 18446744073709551615"}));
  CHECK(rejects([&] { statistics.merge(TestType(3, 3)); }, {"merge", "size 3, expected 2 (bins)"}));
  CHECK(rejects([&] { statistics.merge(TestType(2, 4)); }, {"merge", "size 4, expected 3 (features)"}));
  CHECK(rejects([&] { (void)statistics.variance(2); }, {"variance", "bin is 2"}));
  CHECK(rejects([&] { statistics.update(features, LabelBins::uniform(0, 1, 3), Eigen::Vector4d::Zero()); },
                {"label_bins has size 3, expected 2 (bins)"}));
  CHECK(same_bits(statistics, before));
  statistics.update(Eigen::MatrixXd(0, 3), Eigen::VectorXi(0));  // an empty batch adds nothing
  CHECK(same_bits(statistics, before));
}

TEMPLATE_TEST_CASE("bin_statistics: a corrupt state is refused", "[smoothing][errors]", Diagonal<double>,
                   Full<double>) {
  RandomData random(38);
  TestType statistics(3, 2);
  statistics.update(normal_features<Eigen::MatrixXd>(random, 20, 2, 0.0, 1.0), random.labels(20, 2));
  const TestType before = statistics;
  const auto good = statistics.state();
  const auto refused = [&](auto damage, std::initializer_list<const char*> parts) {
    auto state = good;
    damage(state);
    const bool both =
        rejects([&] { statistics.restore(state); }, parts) && rejects([&] { TestType{state}; }, {});
    return both && same_bits(statistics, before);
  };
  CHECK(refused([](auto& s) { s.counts[1] = -1; }, {"state.counts[1] is -1"}));
  CHECK(refused([](auto& s) { s.mean(1, 0) = not_a_number; }, {"state.mean(1, 0) is nan"}));
  CHECK(refused([](auto& s) { s.mean(2, 0) = 1; }, {"state.mean(2, 0) is 1 for 0 samples"}));
  CHECK(refused([](auto& s) { s.m2(0, 0) = -1; }, {"bin 0, feature 0", "is -1"}));
  CHECK(refused([](auto& s) { s.m2(1, 0) = infinity; }, {"state.m2", "inf"}));
  CHECK(refused([](auto& s) { s.m2.conservativeResize(2, 2); }, {"state.m2 is 2 x 2"}));
  CHECK(refused([](auto& s) { s.mean.resize(3, 0); }, {"state"}));
  if constexpr (TestType::full) {
    CHECK(refused([](auto& s) { s.m2(1, 0) += 1; }, {"state.m2 of bin 0", "symmetric"}));
  }
  auto other = TestType(3, 3).state();
  CHECK(rejects([&] { statistics.restore(other); }, {"state.mean is 3 x 3, expected 3 x 2"}));
  CHECK(same_bits(statistics, before));
}
