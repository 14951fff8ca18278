#include <ballast/data/label_bins.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::CountVector;
using ballast::Index;
using ballast::LabelBins;
using ballast::Outside;
using ballast::VectorX;

constexpr double infinity = std::numeric_limits<double>::infinity();

/// What the lookup has to agree with: count the inner edges, rounded to the label's precision, by comparison.
template <typename Scalar>
Index plain_bin(const LabelBins& bins, Scalar label, Index axis = 0) {
  const Eigen::VectorXd& edges = bins.edges(axis);
  Index result = 0;
  for (Index k = 1; k + 1 < edges.size(); ++k) result += static_cast<Scalar>(edges[k]) <= label ? 1 : 0;
  return result;
}

/// Random labels beyond both ends, every edge, and the neighbours of every edge.
template <typename Scalar>
VectorX<Scalar> awkward_labels(const LabelBins& bins, std::uint64_t seed) {
  const Eigen::VectorXd& edges = bins.edges();
  const double low = edges[0], high = edges[edges.size() - 1], reach = (high - low) / 5;
  RandomData random(seed);
  std::vector<Scalar> labels;
  for (int i = 0; i < 1000; ++i)
    labels.push_back(static_cast<Scalar>(random.uniform(low - reach, high + reach)));
  const Scalar far = std::numeric_limits<Scalar>::infinity();
  for (Index k = 0; k < edges.size(); ++k) {
    const Scalar edge = static_cast<Scalar>(edges[k]);
    for (const Scalar label : {edge, std::nextafter(edge, far), std::nextafter(edge, -far)})
      labels.push_back(label);
  }
  for (const Scalar label : {far, -far, std::numeric_limits<Scalar>::max(), Scalar(0), Scalar(-0.0)}) {
    labels.push_back(label);
  }
  return Eigen::Map<VectorX<Scalar>>(labels.data(), static_cast<Index>(labels.size()));
}

}  // namespace

TEMPLATE_TEST_CASE("label_bins: a label's bin is decided by comparison with the edges", "[data]", float,
                   double) {
  using Scalar = TestType;
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  const std::vector<LabelBins> cases = {
      LabelBins::uniform(0.0, 1.0, 10),
      LabelBins::uniform(0.0, 120.0, 120),
      LabelBins::uniform(-1.0, 1.0, 20),
      LabelBins::uniform(-7.3, 0.1, 37),
      LabelBins::uniform(1e6, 1e6 + 1.0, 1000),  // narrower than a float tells apart
      LabelBins::uniform(-1e300, 1e300, 7),      // wider than a float
      LabelBins::uniform(1.0, 2.0, 1),
      LabelBins::uniform(-1e-30, 3e-30, 64),
      LabelBins::from_edges(Eigen::Vector4d(-2.5, 0.0, 0.1, 40.0)),
      LabelBins::quantiles(RandomData(seed).vector<double>(500, -3, 9).array().cube().matrix(), 33),
  };
  for (const LabelBins& bins : cases) {
    CAPTURE(bins.edges()[0], bins.bins());
    const VectorX<Scalar> labels = awkward_labels<Scalar>(bins, seed);
    ballast::IndexVector found(labels.size());
    bins.find(labels, found);
    for (Index i = 0; i < labels.size(); ++i) {
      if (found[i] == plain_bin(bins, labels[i])) continue;
      CAPTURE(i, labels[i]);
      REQUIRE(found[i] == plain_bin(bins, labels[i]));
    }
    CHECK(bins.bin(labels[3]) == found[3]);
  }
}

TEST_CASE("label_bins: a label written as a user writes an edge starts its bin", "[data]") {
  const LabelBins tenths = LabelBins::uniform(0.0, 1.0, 10);
  CHECK(tenths.bin(0.3f) == 3);
  CHECK(tenths.bin(0.3) == 3);
  CHECK(tenths.bin(0.7f) == 7);  // below 0.7 as a double
  for (int k = 0; k < 10; ++k) {
    CHECK(tenths.bin(k / 10.0) == k);
    CHECK(tenths.bin(static_cast<float>(k) / 10.0f) == k);
  }
  const LabelBins both_signs = LabelBins::uniform(-1.0, 1.0, 20);
  for (int k = -10; k < 10; ++k) {
    CHECK(both_signs.bin(k / 10.0) == k + 10);
    CHECK(both_signs.bin(static_cast<float>(k) / 10.0f) == k + 10);
  }
  const LabelBins years = LabelBins::uniform(-20.0, 120.0, 140);
  for (int year = -20; year < 120; ++year) {
    CHECK(years.bin(year) == year + 20);
    CHECK(years.bin(static_cast<std::int8_t>(year)) == year + 20);
  }
}

TEMPLATE_TEST_CASE("label_bins: whole-numbered labels in bulk", "[data]", std::int8_t, std::uint8_t,
                   std::int16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t) {
  using Label = TestType;
  VectorX<Label> labels(200);
  for (Index i = 0; i < 198; ++i) labels[i] = static_cast<Label>(i - 40);
  labels[198] = std::numeric_limits<Label>::min();
  labels[199] = std::numeric_limits<Label>::max();
  for (const double low : {0.0, -20.0, 5.5}) {
    for (const double width : {1.0, 2.0}) {
      for (const Outside outside : {Outside::clamp, Outside::drop}) {
        CAPTURE(low, width);
        const LabelBins bins = LabelBins::uniform(low, low + 100 * width, 100, outside);
        Eigen::VectorXi found(200);
        bins.find(labels, found);
        CountVector counts = CountVector::Zero(100);
        for (Index i = 0; i < 200; ++i) {
          const double label = static_cast<double>(labels[i]);
          const bool dropped = outside == Outside::drop && (label < low || label >= low + 100 * width);
          const Index expected = dropped ? -1 : plain_bin(bins, label);
          CHECK(found[i] == expected);
          if (!dropped) ++counts[expected];
        }
        CHECK(bins.count(labels) == counts);
      }
    }
  }
}

TEST_CASE("label_bins: edges, centers and widths", "[data]") {
  const LabelBins bins = LabelBins::uniform(-1.0, 1.0, 4);
  CHECK(bins.bins() == 4);
  CHECK(bins.dimensions() == 1);
  CHECK(bins.uniform_axis());
  CHECK(bins.centers() == Eigen::Vector4d(-0.75, -0.25, 0.25, 0.75));
  CHECK(bins.widths() == Eigen::Vector4d::Constant(0.5));
  const LabelBins own = LabelBins::from_edges(Eigen::Vector3f(0.0f, 1.0f, 4.0f));
  CHECK(!own.uniform_axis());
  CHECK(own.centers() == Eigen::Vector2d(0.5, 2.5));
  CHECK(own.widths() == Eigen::Vector2d(1.0, 3.0));
}

TEMPLATE_TEST_CASE("label_bins: quantiles hold equal shares and every label", "[data]", float, double) {
  const std::uint64_t seed = 5;
  CAPTURE(seed);
  const VectorX<TestType> labels =
      RandomData(seed).vector<TestType>(1000, -1, 1).array().exp().square().matrix();
  const LabelBins bins = LabelBins::quantiles(labels, 8, Outside::refuse);
  REQUIRE(bins.bins() == 8);
  const CountVector counts = bins.count(labels);
  CHECK(counts.sum() == 1000);
  CHECK(counts.minCoeff() >= 124);
  CHECK(counts.maxCoeff() <= 126);

  Eigen::VectorXi ties(10);
  ties << 0, 0, 0, 0, 0, 0, 0, 1, 2, 9;
  const LabelBins merged = LabelBins::quantiles(ties, 5, Outside::refuse);
  CHECK(merged.count(ties).sum() == 10);
  CHECK(merged.bins() == 2);  // quantiles 0, 0, 0, 0, 1.2 and the top
  CHECK(LabelBins::quantiles(Eigen::Vector3d::Constant(7.0), 4).bins() == 1);
}

TEST_CASE("label_bins: labels outside clamp, drop or refuse", "[data][errors]") {
  const Eigen::Matrix<double, 5, 1> labels(-0.5, 0.0, 9.99, 10.0, infinity);
  Eigen::Matrix<int, 5, 1> found;
  LabelBins::uniform(0.0, 10.0, 5).find(labels, found);
  CHECK(found == Eigen::Matrix<int, 5, 1>(0, 0, 4, 4, 4));

  const LabelBins dropping = LabelBins::uniform(0.0, 10.0, 5, Outside::drop);
  dropping.find(labels, found);
  CHECK(found == Eigen::Matrix<int, 5, 1>(-1, 0, 4, -1, -1));
  CHECK(dropping.count(labels).sum() == 2);

  const LabelBins refusing = LabelBins::uniform(0.0, 10.0, 5, Outside::refuse);
  const Eigen::Matrix<int, 5, 1> before = found;
  CHECK(rejects([&] { refusing.find(labels, found); }, {"LabelBins::find", "labels[0] is -0.5", "[0, 10)"}));
  CHECK(rejects([&] { refusing.find(labels.tail<4>(), found.tail<4>()); }, {"labels[2] is 10"}));
  CHECK(rejects([&] { return refusing.count(labels); }, {"LabelBins::count", "labels[0] is -0.5"}));
  CHECK(found == before);
  CHECK(refusing.bin(9.5) == 4);
}

TEST_CASE("label_bins: any vector of labels, any signed type of bins", "[data]") {
  const std::uint64_t seed = 11;
  CAPTURE(seed);
  const LabelBins bins = LabelBins::uniform(-2.0, 2.0, 16);
  RandomData random(seed);
  const auto columns = random.matrix<Eigen::MatrixXd>(3, 201, -2.5, 2.5);
  const ballast::RowMatrixX<double> rows = columns.transpose();
  ballast::IndexVector expected(201);
  for (Index i = 0; i < 201; ++i) expected[i] = plain_bin(bins, columns(1, i));

  ballast::IndexVector found(201);
  bins.find(columns.row(1), found);  // a strided row
  CHECK(found == expected);
  Eigen::Matrix<std::int8_t, 1, Eigen::Dynamic> small(201);
  bins.find(rows.col(1), small);  // a strided column
  CHECK(small.transpose().cast<Index>() == expected);
  bins.find(2 * (columns.row(1) / 2), found);  // an expression
  CHECK(found == expected);
  bins.find(Eigen::MatrixXd(columns.row(1).transpose()), found);  // samples x 1
  CHECK(found == expected);
  CHECK(bins.count(columns.row(1)) == bins.count(rows.col(1)));
}

TEST_CASE("label_bins: a product of bins takes label vectors, the last axis fastest", "[data]") {
  const LabelBins first = LabelBins::uniform(0.0, 3.0, 3, Outside::drop);
  const LabelBins second = LabelBins::from_edges(Eigen::Vector3d(-1.0, 0.0, 5.0));
  const LabelBins bins = LabelBins::product({first, second});
  CHECK(bins.bins() == 6);
  CHECK(bins.dimensions() == 2);
  CHECK(bins.axis_bins(1) == 2);
  CHECK(bins.outside(0) == Outside::drop);

  const std::uint64_t seed = 4;
  CAPTURE(seed);
  const auto labels = RandomData(seed).matrix<Eigen::MatrixXf>(150, 2, -1.5, 3.5);
  Eigen::VectorXi found(150);
  bins.find(labels, found);
  CountVector counts = CountVector::Zero(6);
  for (Index i = 0; i < 150; ++i) {
    const Index along = first.bin(labels(i, 0));
    const Index expected = along < 0 ? -1 : along * 2 + second.bin(labels(i, 1));
    CHECK(found[i] == expected);
    CHECK(bins.bin(labels.row(i)) == expected);
    if (expected >= 0) ++counts[expected];
  }
  CHECK(bins.count(labels) == counts);
  CHECK(bins.count(ballast::RowMatrixX<float>(labels)) == counts);

  CHECK(rejects([&] { bins.find(labels.col(0), found); }, {"150 x 1", "samples x 2"}));
  Eigen::MatrixXf poisoned = labels;
  poisoned(149, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK(rejects([&] { bins.find(poisoned, found); }, {"labels[149, 1] is nan"}));
}

TEST_CASE("label_bins: counts of a large set are those of its shards", "[data]") {
  const std::uint64_t seed = 9;
  CAPTURE(seed);
  const LabelBins bins = LabelBins::uniform(0.0, 50.0, 23, Outside::drop);
  const auto labels = RandomData(seed).vector<float>(300007, -1, 51);
  CountVector plain = CountVector::Zero(23);
  for (const float label : labels) {
    if (label >= 0 && label < 50) ++plain[plain_bin(bins, label)];
  }
  CHECK(bins.count(labels) == plain);
  CHECK(bins.count(labels.head(100001)) + bins.count(labels.tail(200006)) == plain);
  CHECK(bins.count(Eigen::VectorXf(0)) == CountVector::Zero(23));
}

TEST_CASE("label_bins: NaN is refused whatever the rule, and nothing written", "[data][errors]") {
  for (const Outside outside : {Outside::clamp, Outside::drop, Outside::refuse}) {
    const LabelBins bins = LabelBins::uniform(0.0, 1.0, 4, outside);
    Eigen::VectorXf labels = Eigen::VectorXf::Constant(100, 0.5f);
    labels[77] = std::numeric_limits<float>::quiet_NaN();
    Eigen::VectorXi found = Eigen::VectorXi::Constant(100, -7);
    CHECK(rejects([&] { bins.find(labels, found); }, {"labels[77] is nan"}));
    CHECK(rejects([&] { return bins.count(labels); }, {"labels[77] is nan"}));
    CHECK(found == Eigen::VectorXi::Constant(100, -7));
  }
}

TEST_CASE("label_bins: rejects what is not a set of bins", "[data][errors]") {
  CHECK(rejects([] { return LabelBins::uniform(0.0, 0.0, 3); }, {"high is 0", "more than low"}));
  CHECK(rejects([] { return LabelBins::uniform(0.0, 1.0, 0); }, {"bins is 0"}));
  CHECK(rejects([] { return LabelBins::uniform(std::nan(""), 1.0, 2); }, {"low is nan"}));
  CHECK(rejects([] { return LabelBins::uniform(0.0, infinity, 2); }, {"high is inf"}));
  CHECK(rejects([] { return LabelBins::uniform(1.0, std::nextafter(1.0, 2.0), 3); }, {"expected more than"}));
  CHECK(rejects([] { return LabelBins::uniform(-1e308, 1e308, 7); }, {"edges[", "inf"}));
  CHECK(rejects([] { return LabelBins::from_edges(Eigen::Vector3d(0, 2, 2)); },
                {"edges[2] is 2", "edges[1] = 2"}));
  CHECK(rejects([] { return LabelBins::from_edges(Eigen::Vector2d(0, std::nan(""))); }, {"edges[1] is nan"}));
  CHECK(rejects([] { return LabelBins::from_edges(Eigen::VectorXd(1)); }, {"size 1"}));
  CHECK(rejects([] { return LabelBins::quantiles(Eigen::VectorXd(0), 3); }, {"labels is empty"}));
  CHECK(rejects([] { return LabelBins::quantiles(Eigen::Vector2d(0, infinity), 3); }, {"labels[1] is inf"}));
  CHECK(rejects([] { return LabelBins::product({}); }, {"axes is empty"}));
  CHECK(rejects(
      [] {
        const LabelBins axis = LabelBins::uniform(0.0, 1.0, 50000);
        return LabelBins::product({axis, axis});
      },
      {"more than 2147483647 bins"}));
  const LabelBins bins = LabelBins::uniform(0.0, 1.0, 200);
  Eigen::VectorXi two(2);
  CHECK(rejects([&] { bins.find(Eigen::Vector3d::Zero(), two); }, {"bins has size 2", "expected 3"}));
  CHECK(rejects([&] { bins.find(Eigen::Matrix2d::Zero(), two); }, {"2 x 2", "expected a vector"}));
  Eigen::Matrix<std::int8_t, 1, 1> tiny;
  CHECK(rejects([&] { bins.find(Eigen::Matrix<double, 1, 1>(0.5), tiny); }, {"too small for 200 bins"}));
  CHECK(rejects([&] { return bins.edges(1); }, {"axis is 1", "[0, 1)"}));
}
