#include <ballast/classifiers/nearest_class_mean.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::MatrixX;
using ballast::NearestClassMean;
using ballast::Nearness;
using ballast::RowMatrixX;
using ballast::VectorX;

using Long = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;

/// Scores of `queries` under the formulas, in long double.
Long exact_scores(const Long& features, const Eigen::VectorXi& labels, const Long& queries, Index classes,
                  Nearness nearness, bool normalize, bool center) {
  using Row = Eigen::Matrix<long double, 1, Eigen::Dynamic>;
  const Row centre = center ? Row(features.colwise().mean()) : Row(Row::Zero(features.cols()));
  const auto transform = [&](const Row& z) {
    const Row t = z - centre;
    return normalize && t.norm() > 0 ? Row(t / t.norm()) : t;
  };
  Long means = Long::Zero(classes, features.cols());
  Eigen::VectorXi counts = Eigen::VectorXi::Zero(classes);
  for (Index i = 0; i < features.rows(); ++i) {
    means.row(labels[i]) += transform(features.row(i));
    ++counts[labels[i]];
  }
  Long scores(queries.rows(), classes);
  for (Index k = 0; k < classes; ++k) {
    if (counts[k] > 0) means.row(k) /= static_cast<long double>(counts[k]);
    for (Index i = 0; i < queries.rows(); ++i) {
      const Row t = transform(queries.row(i));
      if (counts[k] == 0) {
        scores(i, k) = -std::numeric_limits<long double>::infinity();
      } else if (nearness == Nearness::euclidean) {
        scores(i, k) = -(t - means.row(k)).squaredNorm();
      } else {
        const long double size = t.norm() * means.row(k).norm();
        scores(i, k) = size > 0 ? t.dot(means.row(k)) / size : 0;
      }
    }
  }
  return scores;
}

template <typename Matrix>
struct Data {
  explicit Data(std::uint64_t seed, double offset = 0) {
    RandomData random(seed);
    labels = random.labels(90, 4);
    for (int& label : labels) label = label == 2 ? 4 : label;  // class 2 of 5 has no sample
    labels[0] = 4;
    features = random.matrix<Matrix>(90, 7, -1 + offset, 1 + offset);
    queries = random.matrix<Matrix>(41, 7, -1 + offset, 1 + offset);
  }
  Eigen::VectorXi labels;
  Matrix features, queries;
};

}  // namespace

TEMPLATE_TEST_CASE("nearest_class_mean: scores and predictions are the formulas", "[classifiers]",
                   RowMatrixX<float>, MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = GENERATE(1u, 2u);
  const auto nearness = GENERATE(Nearness::cosine, Nearness::euclidean);
  const bool normalize = GENERATE(false, true);
  const bool center = GENERATE(false, true);
  CAPTURE(seed, nearness == Nearness::cosine, normalize, center);
  const Data<TestType> data(seed);
  typename NearestClassMean<Scalar>::Options options;
  options.nearness = nearness;
  options.normalize = normalize;
  options.center = center;
  const NearestClassMean<Scalar> ncm(data.features, data.labels, options);
  const Long exact = exact_scores(data.features.template cast<long double>(), data.labels,
                                  data.queries.template cast<long double>(), 5, nearness, normalize, center);

  TestType scores(41, 5);
  ncm.scores(data.queries, scores);
  Eigen::VectorXi predictions(41);
  ncm.predict(data.queries, predictions);
  // 7 terms, each rounded a few times; cosine divides by the norm of a mean, here above 0.02.
  const long double bound = 60 * 7 * static_cast<long double>(std::numeric_limits<Scalar>::epsilon());
  for (Index i = 0; i < 41; ++i) {
    for (Index k = 0; k < 5; ++k) {
      CAPTURE(i, k);
      if (k == 2)
        REQUIRE(scores(i, k) == -std::numeric_limits<Scalar>::infinity());
      else
        REQUIRE(std::abs(static_cast<long double>(scores(i, k)) - exact(i, k)) <= bound);
    }
    REQUIRE(exact(i, predictions[i]) >= exact.row(i).maxCoeff() - 2 * bound);
  }
  CHECK(ncm.counts()[2] == 0);
  CHECK((predictions.array() != 2).all());
}

TEMPLATE_TEST_CASE("nearest_class_mean: distances keep their digits far from the origin", "[classifiers]",
                   float, double) {
  const double offset = std::is_same_v<TestType, float> ? 1024 : 1048576;
  const Data<RowMatrixX<TestType>> data(3, offset);
  typename NearestClassMean<TestType>::Options options;
  options.nearness = Nearness::euclidean;
  const NearestClassMean<TestType> ncm(data.features, data.labels, options);
  const Long exact =
      exact_scores(data.features.template cast<long double>(), data.labels,
                   data.queries.template cast<long double>(), 5, Nearness::euclidean, false, false);
  RowMatrixX<TestType> scores(41, 5);
  ncm.scores(data.queries, scores);
  // Differences are of features, at most 2. Of the order of the offset only the sums of at most 90 features
  // are rounded, in double; |z|^2 - 2 z.m + |m|^2 would lose offset^2 epsilon.
  const long double bound = 60 * 7 * static_cast<long double>(std::numeric_limits<TestType>::epsilon()) +
                            90 * static_cast<long double>(offset * std::numeric_limits<double>::epsilon());
  for (Index i = 0; i < 41; ++i) {
    for (const Index k : {0, 1, 3, 4}) {
      REQUIRE(std::abs(static_cast<long double>(scores(i, k)) - exact(i, k)) <= bound);
    }
  }
}

TEST_CASE("nearest_class_mean: batches and shards give the same", "[classifiers]") {
  const Data<RowMatrixX<double>> data(4);
  NearestClassMean<double>::Options options;
  options.normalize = true;
  options.center = true;
  const NearestClassMean<double> whole(data.features, data.labels, options);
  NearestClassMean<double> first(5, 7, options, whole.state().centre);
  NearestClassMean<double> second = first;
  first.update(data.features.topRows(33), data.labels.head(33));
  first.update(data.features.middleRows(33, 0), data.labels.segment(33, 0));
  second.update(data.features.bottomRows(57), data.labels.tail(57));
  first.merge(second);
  CHECK(first.counts() == whole.counts());
  CHECK((first.means() - whole.means()).cwiseAbs().maxCoeff() <= 1e-15);

  const NearestClassMean<double> restored(whole.state());
  Eigen::VectorXi predictions(41), expected(41);
  restored.predict(data.queries, predictions);
  whole.predict(data.queries, expected);
  CHECK(predictions == expected);
}

TEST_CASE("nearest_class_mean: views give the same", "[classifiers]") {
  const Data<MatrixX<float>> data(5);
  const NearestClassMean<float> ncm(data.features, data.labels);
  RowMatrixX<float> padded = RowMatrixX<float>::Constant(95, 9, 50);
  padded.block(2, 1, 90, 7) = data.features;
  const NearestClassMean<float> block(padded.block(2, 1, 90, 7), data.labels.cast<std::int64_t>().eval());
  CHECK(block.means() == ncm.means());
  const MatrixX<float> across = data.queries.transpose();
  Eigen::VectorXi expected(41);
  Eigen::Matrix<std::uint8_t, Eigen::Dynamic, 1> predictions(41);
  ncm.predict(data.queries, expected);
  block.predict(across.transpose(), predictions);
  CHECK(predictions.cast<int>() == expected);
}

TEST_CASE("nearest_class_mean: zero and broken features", "[classifiers]") {
  RowMatrixX<float> features(3, 2);
  features << 0, 0, 1, 0, 0, 1;
  const NearestClassMean<float> ncm(features, Eigen::Vector3i(0, 1, 2));
  RowMatrixX<float> queries(3, 2), scores(3, 3);
  queries << 0, 0, std::nanf(""), 1, 2, 1;
  ncm.scores(queries, scores);
  CHECK(scores.row(0).isZero(0));
  CHECK(scores(2, 0) == 0.0f);
  Eigen::Vector3i predictions;
  ncm.predict(queries, predictions);
  CHECK(predictions == Eigen::Vector3i(0, ballast::no_prediction, 1));
}

TEST_CASE("nearest_class_mean: rejects, and keeps its state", "[classifiers][errors]") {
  const float nan = std::nanf("");
  using Ncm = NearestClassMean<float>;
  Ncm ncm(2, 3, Ncm::Options{});
  RowMatrixX<float> features = RowMatrixX<float>::Ones(40, 3);
  Eigen::VectorXi labels = Eigen::VectorXi::Zero(40), predictions = Eigen::VectorXi::Constant(40, 7);
  CHECK(rejects([&] { ncm.predict(features, predictions); }, {"predict", "no class has samples"}));
  CHECK(rejects([&] { ncm.update(features.leftCols(2), labels); }, {"update", "features is 40 x 2"}));
  CHECK(rejects([&] { ncm.update(features, labels.head(39)); }, {"labels has size 39", "expected 40"}));
  labels[38] = 2;
  CHECK(rejects([&] { ncm.update(features, labels); }, {"labels[38] is 2", "[0, 2)"}));
  labels[38] = 0;
  features(37, 1) = nan;
  CHECK(rejects([&] { ncm.update(features, labels); }, {"features", "non-finite", "row 37"}));
  CHECK(ncm.counts() == ballast::CountVector::Zero(2));
  CHECK(ncm.state().sums.isZero(0));

  Ncm::Options options;
  options.center = true;
  CHECK(rejects([&] { Ncm(features, labels, options); }, {"features", "row 37"}));
  CHECK(rejects([&] { Ncm(2, 3, options); }, {"centre is empty"}));
  CHECK(rejects([&] { Ncm(2, 3, options, Eigen::Vector2f(0, 0)); }, {"centre has size 2", "3 (dimensions)"}));
  CHECK(rejects([&] { Ncm(2, 3, options, Eigen::Vector3f(0, nan, 0)); }, {"centre[1] is nan"}));
  CHECK(rejects([&] { Ncm(0, 3, Ncm::Options{}); }, {"0 classes x 3 dimensions"}));
  CHECK(rejects([&] { Ncm(features.topRows(0), labels.head(0)); }, {"labels is empty"}));
  CHECK(rejects([&] { ncm.merge(Ncm(3, 3, Ncm::Options{})); }, {"merge", "other is 3 x 3"}));
  CHECK(rejects([&] { ncm.merge(Ncm(2, 3, options, Eigen::Vector3f(0, 1, 0))); }, {"another centre"}));
  options.normalize = true;
  options.center = false;
  CHECK(rejects([&] { ncm.merge(Ncm(2, 3, options)); }, {"other options"}));

  features(37, 1) = 1;
  ncm.update(features, labels);
  CHECK(rejects([&] { ncm.predict(features, predictions.head(3)); }, {"predictions has size 3"}));
  RowMatrixX<float> scores = RowMatrixX<float>::Constant(40, 3, 7);
  CHECK(rejects([&] { ncm.scores(features, scores); }, {"scores is 40 x 3", "expected 40 x 2"}));
  CHECK((scores.array() == 7).all());
  CHECK((predictions.array() == 7).all());

  auto state = ncm.state();
  state.counts[0] = -1;
  CHECK(rejects([&] { Ncm{state}; }, {"counts[0] is -1"}));
  state = ncm.state();
  state.sums(1, 0) = 1;
  CHECK(rejects([&] { Ncm{state}; }, {"sums is not 0 in row 1"}));
  state.sums(0, 0) = std::nan("");
  CHECK(rejects([&] { Ncm{state}; }, {"non-finite", "row 0"}));
  state.counts.resize(1);
  CHECK(rejects([&] { Ncm{state}; }, {"counts has size 1", "expected 2"}));
}
