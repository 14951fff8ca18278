#include <ballast/metrics/classification.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::ConfusionMatrix;
using ballast::Count;
using ballast::CountVector;
using ballast::EmptyClass;
using ballast::Index;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::TopKAccuracy;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

ConfusionMatrix confusion_of(const MatrixX<Count>& counts) {
  return ConfusionMatrix(ConfusionMatrix::State{counts});
}

/// Counts 10, 20, 30 with 1, 10, 20 right: the check of the methods' page.
ConfusionMatrix published_check() {
  MatrixX<Count> counts(3, 3);
  counts << 1, 4, 5, 6, 10, 4, 7, 3, 20;
  return confusion_of(counts);
}

/// Rank by sorting: larger first, equal ones by index.
template <typename Matrix>
Index rank_by_sorting(const Matrix& logits, Index row, Index label) {
  std::vector<Index> order(static_cast<std::size_t>(logits.cols()));
  for (std::size_t k = 0; k < order.size(); ++k) order[k] = static_cast<Index>(k);
  std::sort(order.begin(), order.end(), [&](Index a, Index b) {
    return logits(row, a) != logits(row, b) ? logits(row, a) > logits(row, b) : a < b;
  });
  return std::find(order.begin(), order.end(), label) - order.begin();
}

}  // namespace

TEST_CASE("classification: figures of the published check", "[metrics]") {
  const ConfusionMatrix confusion = published_check();
  CHECK(confusion.samples() == 60);
  CHECK(confusion.samples(1) == 20);
  CHECK(confusion.accuracy() == 31.0 / 60.0);
  const double ber = 1.0 - (0.1 + 0.5 + 2.0 / 3.0) / 3.0;
  CHECK(std::abs(ber - 0.57778) < 5e-6);  // as printed, five digits
  CHECK(std::abs(confusion.balanced_error() - ber) <= 4 * epsilon);
  CHECK(std::abs(confusion.balanced_accuracy() - (1.0 - ber)) <= 4 * epsilon);
  CHECK(confusion.recall(0) == 0.1);
  CHECK(confusion.recall(2) == 20.0 / 30.0);
  CHECK(confusion.precision(0) == 1.0 / 14.0);
  CHECK(confusion.precision(1) == 10.0 / 17.0);
  CHECK(confusion.f1(1) == 20.0 / 37.0);
  CHECK(std::abs(confusion.macro_f1() - (2.0 / 24.0 + 20.0 / 37.0 + 40.0 / 59.0) / 3.0) <= 4 * epsilon);
  CHECK(std::abs(confusion.g_mean() - std::cbrt(0.1 * 0.5 * 2.0 / 3.0)) <= 8 * epsilon);
}

TEST_CASE("classification: one update or many, one shard or several, give the same matrix", "[metrics]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const Index classes = 7, samples = 400;
  const Eigen::VectorXi labels = random.labels(samples, classes);
  const Eigen::VectorXi predictions = random.labels(samples, classes);

  MatrixX<Count> expected = MatrixX<Count>::Zero(classes, classes);
  for (Index i = 0; i < samples; ++i) expected(labels[i], predictions[i]) += 1;

  ConfusionMatrix whole(classes);
  whole.update(predictions, labels);
  CHECK(whole.counts() == expected);

  ConfusionMatrix first(classes), second(classes);
  first.update(predictions.head(150).cast<std::int64_t>(), labels.head(150).cast<std::uint8_t>());
  second.update(predictions.segment(150, 0), labels.segment(150, 0));
  second.update(predictions.tail(250), labels.tail(250));
  second.merge(first);
  CHECK(second.counts() == expected);
  CHECK(ConfusionMatrix(second.state()).counts() == expected);
}

TEST_CASE("classification: weighted error is the plain error and the balanced error at their priors",
          "[metrics]") {
  const ConfusionMatrix confusion = published_check();
  const Eigen::Vector3d own = Eigen::Vector3d(10, 20, 30) / 60.0;
  CHECK(std::abs(confusion.weighted_error(own) - 29.0 / 60.0) <= 4 * epsilon);
  CHECK(std::abs(confusion.weighted_error(Eigen::Vector3d::Constant(1.0 / 3.0)) -
                 confusion.balanced_error()) <= 4 * epsilon);
  CHECK(std::abs(confusion.weighted_error(Eigen::Vector3f(0.5f, 0.25f, 0.25f)) -
                 (0.5 * 0.9 + 0.25 * 0.5 + 0.25 / 3.0)) <= 4 * epsilon);
  MatrixX<Count> wrong(2, 2);
  wrong << 0, 3, 4, 0;
  CHECK(confusion_of(wrong).weighted_error(Eigen::Vector2d(0.5, 0.500004)) == 1.0);  // never above 1
}

TEST_CASE("classification: a class without samples is refused, or skipped when asked", "[metrics][errors]") {
  MatrixX<Count> counts(3, 3);
  counts << 3, 1, 0, 0, 0, 0, 2, 1, 1;
  const ConfusionMatrix confusion = confusion_of(counts);
  CHECK(confusion.recall(1) == std::nullopt);
  CHECK(confusion.precision(1) == 0.0);

  CHECK(rejects([&] { return confusion.balanced_error(); },
                {"balanced_error", "class 1 has no samples", "EmptyClass::skip"}));
  CHECK(rejects([&] { return confusion.balanced_accuracy(); }, {"balanced_accuracy", "class 1"}));
  CHECK(rejects([&] { return confusion.macro_f1(); }, {"macro_f1", "class 1"}));
  CHECK(rejects([&] { return confusion.g_mean(); }, {"g_mean", "class 1"}));
  CHECK(rejects([&] { return confusion.weighted_error(Eigen::Vector3d(0.5, 0.25, 0.25)); },
                {"weighted_error", "class 1 has no samples"}));

  CHECK(confusion.balanced_error(EmptyClass::skip) == (0.25 + 0.75) / 2);
  CHECK(std::abs(confusion.macro_f1(EmptyClass::skip) - (6.0 / 9.0 + 2.0 / 5.0) / 2) <= 4 * epsilon);
  CHECK(std::abs(confusion.g_mean(EmptyClass::skip) - std::sqrt(0.75 * 0.25)) <= 4 * epsilon);
  CHECK(std::abs(confusion.weighted_error(Eigen::Vector3d(0.5, 0.0, 0.5)) - 0.5) <= 4 * epsilon);
}

TEST_CASE("classification: a class never recognised makes the G-mean 0, not NaN", "[metrics]") {
  MatrixX<Count> counts(2, 2);
  counts << 5, 0, 3, 0;
  const ConfusionMatrix confusion = confusion_of(counts);
  CHECK(confusion.g_mean() == 0.0);
  CHECK(confusion.precision(1) == std::nullopt);
  CHECK(confusion.f1(1) == 0.0);
  CHECK(confusion.balanced_error() == 0.5);
}

TEST_CASE("classification: nothing counted is an error, never a figure", "[metrics][errors]") {
  const ConfusionMatrix empty(2);
  CHECK(empty.samples() == 0);
  CHECK(empty.f1(0) == std::nullopt);
  CHECK(rejects([&] { return empty.accuracy(); }, {"accuracy", "no samples"}));
  CHECK(rejects([&] { return empty.balanced_error(EmptyClass::skip); }, {"balanced_error", "no samples"}));
  CHECK(rejects([&] { return empty.g_mean(EmptyClass::skip); }, {"g_mean", "no samples"}));
  CHECK(rejects([] { return TopKAccuracy(2).accuracy(1); }, {"accuracy", "no samples"}));
}

TEST_CASE("classification: shot accuracy is the mean recall of the group's classes", "[metrics]") {
  CountVector training(4);
  training << 500, 101, 50, 3;
  MatrixX<Count> counts = MatrixX<Count>::Zero(4, 4);
  counts.diagonal() << 9, 1, 2, 0;
  counts(0, 3) = 1;
  counts(1, 0) = 3;
  counts(3, 0) = 4;
  const auto classes = ClassDistribution::from_counts(training);
  const ballast::ShotFigures shots = confusion_of(counts).shot_accuracy(classes);
  REQUIRE(shots.many.has_value());
  CHECK(std::abs(*shots.many - (0.9 + 0.25) / 2) <= epsilon);
  CHECK(shots.medium == 1.0);
  CHECK(shots.few == 0.0);

  ballast::ShotThresholds thresholds;
  thresholds.many_above = 1000;
  thresholds.few_below = 0;
  const ballast::ShotFigures all_medium = confusion_of(counts).shot_accuracy(classes, thresholds);
  CHECK(all_medium.many == std::nullopt);
  CHECK(all_medium.few == std::nullopt);
  CHECK(std::abs(*all_medium.medium - (0.9 + 0.25 + 1.0) / 4) <= 2 * epsilon);

  counts.row(3).setZero();  // the only few-shot class without test samples: no figure, not 0
  CHECK(confusion_of(counts).shot_accuracy(classes).few == std::nullopt);
}

TEST_CASE("classification: refuses what it cannot count, and keeps what was", "[metrics][errors]") {
  ConfusionMatrix confusion = published_check();
  const MatrixX<Count> before = confusion.counts();
  const Eigen::Vector3i good(0, 1, 2);
  CHECK(rejects([&] { confusion.update(good, Eigen::Vector3i(0, 3, 0)); }, {"labels[1] is 3", "[0, 3)"}));
  CHECK(rejects([&] { confusion.update(Eigen::Vector3i(0, 1, -1), good); }, {"predictions[2] is -1"}));
  CHECK(rejects([&] { confusion.update(good, Eigen::Vector2i(0, 1)); }, {"predictions has size 3", "2"}));
  CHECK(rejects([&] { confusion.merge(ConfusionMatrix(2)); }, {"merge", "size 2", "expected 3"}));
  CHECK(rejects([&] { confusion.restore({MatrixX<Count>::Zero(2, 3)}); }, {"2 x 3"}));
  CHECK(rejects([&] { confusion.restore({MatrixX<Count>::Constant(2, 2, -1)}); }, {"counts(0, 0) is -1"}));
  CHECK(
      rejects([&] { confusion.restore({MatrixX<Count>::Constant(2, 2, std::numeric_limits<Count>::max())}); },
              {"counts(0, 1)", "63 bits"}));
  CHECK(confusion.counts() == before);

  CHECK(rejects([] { ConfusionMatrix(0); }, {"classes is 0"}));
  CHECK(rejects([&] { return confusion.recall(3); }, {"recall", "class_index is 3"}));
  CHECK(rejects([&] { return confusion.samples(-1); }, {"class_index is -1"}));
  CHECK(
      rejects([&] { return confusion.shot_accuracy(ClassDistribution(good, 4)); }, {"training has size 4"}));
  CHECK(rejects([&] { return confusion.weighted_error(Eigen::Vector3d(0.5, 0.25, 0.3)); },
                {"target_prior sums to", "expected 1"}));
  CHECK(rejects([&] { return confusion.weighted_error(Eigen::Vector3d(0.5, -0.5, 1)); },
                {"target_prior[1] is -0.5"}));
  CHECK(rejects([&] { return confusion.weighted_error(Eigen::Vector3d(0.5, 0.5, std::nan(""))); },
                {"target_prior[2] is nan"}));
  CHECK(rejects([&] { return confusion.weighted_error(Eigen::Vector2d(0.5, 0.5)); },
                {"target_prior has size 2"}));
}

TEMPLATE_TEST_CASE("classification: top-k counts by rank, ties to the lower index", "[metrics]",
                   MatrixX<float>, RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const Index samples = 300, classes = 9, largest = 4;
  TestType storage(samples + 2, classes + 3);
  for (Index i = 0; i < storage.size(); ++i) {  // few distinct values: many ties
    storage(i / storage.cols(), i % storage.cols()) =
        static_cast<typename TestType::Scalar>(random.below(4)) / 4;
  }
  auto logits = storage.block(1, 2, samples, classes);
  logits(5, 0) = std::numeric_limits<typename TestType::Scalar>::infinity();
  logits(6, 3) = -std::numeric_limits<typename TestType::Scalar>::infinity();
  const Eigen::VectorXi labels = random.labels(samples, classes);

  CountVector hits = CountVector::Zero(largest);
  Count argmax_right = 0;
  for (Index i = 0; i < samples; ++i) {
    const Index rank = rank_by_sorting(logits, i, labels[i]);
    if (rank < largest) ++hits[rank];
    Index best = 0;
    for (Index k = 1; k < classes; ++k) best = logits(i, k) > logits(i, best) ? k : best;
    argmax_right += best == labels[i] ? 1 : 0;
  }

  TopKAccuracy whole(largest);
  whole.update(logits, labels);
  CHECK(whole.state().hits == hits);
  CHECK(whole.samples() == samples);
  CHECK(whole.accuracy(1) == static_cast<double>(argmax_right) / static_cast<double>(samples));
  CHECK(whole.accuracy(3) == static_cast<double>(hits.head(3).sum()) / static_cast<double>(samples));

  TopKAccuracy first(largest), rest(largest);
  first.update(logits.topRows(130), labels.head(130));
  rest.update(logits.bottomRows(170), labels.tail(170));
  first.merge(rest);
  CHECK(TopKAccuracy(first.state()).state().hits == hits);

  TopKAccuracy transposed(largest);
  const auto columns = logits.transpose().eval();
  transposed.update(columns.transpose(), labels);
  CHECK(transposed.state().hits == hits);
}

TEST_CASE("classification: k beyond the classes is always right", "[metrics]") {
  TopKAccuracy top(5);
  top.update(Eigen::Matrix2d(Eigen::Matrix2d::Identity()), Eigen::Vector2i(1, 0));
  CHECK(top.accuracy(1) == 0.0);
  CHECK(top.accuracy(2) == 1.0);
  CHECK(top.accuracy(5) == 1.0);
}

TEMPLATE_TEST_CASE("classification: top-k refuses what it cannot rank, and keeps what was",
                   "[metrics][errors]", MatrixX<float>, RowMatrixX<double>) {
  TopKAccuracy top(2);
  TestType logits = TestType::Random(4, 3);
  top.update(logits, Eigen::Vector4i(0, 1, 2, 0));
  const auto before = top.state();
  CHECK(rejects([&] { top.update(logits, Eigen::Vector4i(0, 1, 3, 0)); }, {"labels[2] is 3"}));
  CHECK(rejects([&] { top.update(logits, Eigen::Vector3i(0, 1, 1)); }, {"labels has size 3"}));
  logits(3, 0) = std::numeric_limits<typename TestType::Scalar>::quiet_NaN();
  logits(2, 1) = std::numeric_limits<typename TestType::Scalar>::quiet_NaN();
  CHECK(rejects([&] { top.update(logits, Eigen::Vector4i(0, 1, 2, 0)); }, {"logits row 2", "NaN"}));
  CHECK(rejects([&] { top.merge(TopKAccuracy(3)); }, {"merge", "size 3"}));
  CHECK(rejects([&] { top.restore({CountVector(0), 3}); }, {"hits is empty"}));
  CHECK(rejects([&] { top.restore({CountVector::Constant(2, 2), 3}); }, {"hits[1] is 2", "3"}));
  CHECK(rejects([&] { top.restore({CountVector::Constant(2, -2), 3}); }, {"hits[0] is -2"}));
  CHECK(top.state().hits == before.hits);
  CHECK(top.samples() == before.samples);
  CHECK(rejects([] { TopKAccuracy(0); }, {"largest_k is 0"}));
  CHECK(rejects([&] { return top.accuracy(3); }, {"k is 3", "[1, 2]"}));
}
