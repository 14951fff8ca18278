#include <ballast/adjustment/cross_validation.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include <ballast/adjustment/calibration.hpp>
#include <ballast/metrics/calibration.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

using ballast::cross_validate;
using ballast::CrossValidation;
using ballast::Index;
using ballast::IndexVector;
using ballast::StratifiedFolds;

TEST_CASE("cross_validation: every sample is held out once, classes evenly", "[adjustment]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  const Index folds = GENERATE(2, 3, 7);
  CAPTURE(seed, folds);
  const Eigen::VectorXi labels = RandomData(seed).labels(100, 6);
  const StratifiedFolds split(labels, folds, seed);
  CHECK(split.folds() == folds);
  CHECK(split.samples() == 100);
  Eigen::VectorXi times = Eigen::VectorXi::Zero(100);
  for (Index fold = 0; fold < folds; ++fold) {
    const IndexVector held = split.held_out(fold), fitted = split.fitted(fold);
    CHECK(held.size() + fitted.size() == 100);
    CHECK(std::abs(held.size() * folds - 100) < folds);
    for (const Index i : held) times[i] += 1;
    for (const Index i : fitted) times[i] += 100;
    for (int j = 0; j < 6; ++j) {
      Index of_class = 0;
      for (const Index i : held) of_class += labels[i] == j ? 1 : 0;
      CHECK(std::abs(of_class * folds - (labels.array() == j).count()) < folds);
    }
  }
  CHECK((times.array() == 1 + 100 * (static_cast<int>(folds) - 1)).all());

  CHECK(StratifiedFolds(labels, folds, seed).fold_of() == split.fold_of());
  CHECK(StratifiedFolds(labels, folds, seed + 1).fold_of() != split.fold_of());
  CHECK(StratifiedFolds(labels.cast<std::uint8_t>(), folds, seed).fold_of() == split.fold_of());
}

TEST_CASE("cross_validation: the split of a seed is pinned", "[adjustment]") {
  Eigen::VectorXi labels(8);
  labels << 0, 0, 0, 0, 1, 1, 1, 1;
  IndexVector expected(8);
  expected << 0, 0, 1, 1, 0, 1, 1, 0;
  CHECK(StratifiedFolds(labels, 2, 1).fold_of() == expected);
}

TEMPLATE_TEST_CASE("cross_validation: rows and labels of a fold go together", "[adjustment]",
                   ballast::MatrixX<float>, ballast::RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  TestType rows(20, 2);
  Eigen::VectorXi labels(20);
  for (Index i = 0; i < 20; ++i) {
    labels[i] = static_cast<int>(i % 4);
    rows.row(i) << static_cast<Scalar>(i), static_cast<Scalar>(i % 4);
  }
  const StratifiedFolds folds(labels, 5, 3);
  Index fold = 0;
  const CrossValidation result =
      cross_validate(folds, rows, labels,
                     [&](const TestType& fit, const Eigen::VectorXi& fit_labels, const TestType& held,
                         const Eigen::VectorXi& held_labels) {
                       CHECK(fit.rows() == 16);
                       CHECK(held.rows() == 4);
                       CHECK(fit.col(1) == fit_labels.cast<Scalar>());
                       CHECK(held.col(1) == held_labels.cast<Scalar>());
                       CHECK(held.col(0).template cast<Index>() == folds.held_out(fold));
                       return static_cast<double>(fold++);
                     });
  CHECK(result.values == (Eigen::VectorXd(5) << 0, 1, 2, 3, 4).finished());
  CHECK(result.mean == 2.0);
  CHECK(std::abs(result.deviation - std::sqrt(2.5)) <= 4 * std::numeric_limits<double>::epsilon());
}

TEST_CASE("cross_validation: a calibration is measured on what it was not fitted on", "[adjustment]") {
  const std::uint64_t seed = 4;
  CAPTURE(seed);
  RandomData random(seed);
  const Eigen::VectorXi labels = random.labels(300, 3);
  Eigen::MatrixXd logits = random.matrix<Eigen::MatrixXd>(300, 3, -1, 1);
  for (Index i = 0; i < 300; ++i) logits(i, labels[i]) += 0.5;
  logits *= 10;  // over-confident
  const CrossValidation held =
      cross_validate(StratifiedFolds(labels, 5), logits, labels,
                     [](const auto& fit, const auto& fit_labels, const auto& test, const auto& test_labels) {
                       ballast::TemperatureScaling<double> temperature;
                       temperature.fit(fit, fit_labels);
                       Eigen::MatrixXd calibrated(test.rows(), test.cols());
                       temperature.apply(test, calibrated);
                       return ballast::measure_calibration(calibrated, test_labels).log_loss;
                     });
  CHECK(held.mean < ballast::measure_calibration(logits, labels).log_loss);
  CHECK(held.mean < std::log(3.0));
}

TEST_CASE("cross_validation: bad arguments are refused", "[adjustment][errors]") {
  const Eigen::Vector4i labels(0, 1, 0, 1);
  CHECK(rejects([&] { StratifiedFolds(labels, 1); }, {"StratifiedFolds", "folds is 1", "[2, 4]"}));
  CHECK(rejects([&] { StratifiedFolds(labels, 5); }, {"folds is 5"}));
  CHECK(rejects([&] { StratifiedFolds(Eigen::Vector4i(0, -1, 0, 1), 2); }, {"labels[1] is -1"}));
  const StratifiedFolds folds(labels, 2);
  CHECK(rejects([&] { return folds.held_out(2); }, {"fold is 2"}));
  CHECK(rejects([&] { return folds.fitted(-1); }, {"fold is -1"}));
  const auto nothing = [](const auto&, const auto&, const auto&, const auto&) {
    return 0.0;
  };
  CHECK(rejects([&] { return cross_validate(folds, Eigen::MatrixXd(3, 2), labels, nothing); },
                {"cross_validate", "samples has size 3"}));
  CHECK(
      rejects([&] { return cross_validate(folds, Eigen::MatrixXd(4, 2), Eigen::Vector3i(0, 1, 0), nothing); },
              {"labels has size 3"}));
}
