#include <ballast/core/argmax.hpp>

#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::argmax_rows;
using ballast::Index;
using ballast::MatrixX;
using ballast::no_prediction;
using ballast::RowMatrixX;
using ballast::VectorX;

/// The rule, written down: the first of the largest scores; no answer with a NaN or nothing above -inf.
template <typename Scores>
Index plain_argmax(const Scores& scores, Index row) {
  Index best = no_prediction;
  for (Index k = 0; k < scores.cols(); ++k) {
    if (std::isnan(scores(row, k))) return no_prediction;
    const bool above = best == no_prediction ? !std::isinf(scores(row, k)) || scores(row, k) > 0
                                             : scores(row, k) > scores(row, best);
    if (above) best = k;
  }
  return best;
}

template <typename Scores>
void check_rows(const Scores& scores) {
  ballast::IndexVector predictions = ballast::IndexVector::Constant(scores.rows(), -7);
  argmax_rows(scores, predictions);
  for (Index i = 0; i < scores.rows(); ++i) {
    CAPTURE(i);
    REQUIRE(predictions[i] == plain_argmax(scores, i));
  }
}

}  // namespace

TEMPLATE_TEST_CASE("argmax: the first of the largest in rows of every length", "[core]", RowMatrixX<float>,
                   MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  for (Index classes = 1; classes <= 140; classes += classes < 70 ? 1 : 23) {
    CAPTURE(classes);
    const Index rows = 1 + random.below(40);
    TestType scores = random.matrix<TestType>(rows, classes, -3, 3);
    check_rows(scores);
    // Few different values: ties everywhere, in one packet and across packets.
    scores = scores.array().round().matrix().eval();
    check_rows(scores);
    scores.array() += Scalar(-10);
    check_rows(scores);
    for (Index i = 0; i < rows; i += 3) {
      scores(i, random.below(classes)) = std::numeric_limits<Scalar>::quiet_NaN();
    }
    for (Index i = 0; i < rows; i += 2) {
      scores(i, random.below(classes)) = -std::numeric_limits<Scalar>::infinity();
    }
    for (Index i = 0; i < rows; i += 5) {
      scores(i, random.below(classes)) = std::numeric_limits<Scalar>::infinity();
    }
    check_rows(scores);
    scores.setConstant(-std::numeric_limits<Scalar>::infinity());
    check_rows(scores);
    scores.setConstant(-std::numeric_limits<Scalar>::max());
    check_rows(scores);
  }
}

TEMPLATE_TEST_CASE("argmax: a NaN anywhere leaves no answer", "[core]", float, double) {
  const Index classes = 75;
  RowMatrixX<TestType> scores = RowMatrixX<TestType>::Zero(classes + 1, classes);
  for (Index k = 0; k < classes; ++k) scores(k, k) = std::numeric_limits<TestType>::quiet_NaN();
  const auto check = [&](const auto& matrix) {
    Eigen::VectorXi predictions(classes + 1);
    argmax_rows(matrix, predictions);
    CHECK((predictions.head(classes).array() == -1).all());
    CHECK(predictions[classes] == 0);
  };
  check(scores);
  check(MatrixX<TestType>(scores));
}

TEMPLATE_TEST_CASE("argmax: long columns and blocks", "[core]", float, double) {
  const std::uint64_t seed = 2;
  CAPTURE(seed);
  RandomData random(seed);
  const MatrixX<TestType> scores = random.matrix<MatrixX<TestType>>(1205, 9, -1, 1);
  check_rows(scores);
  check_rows(scores.block(3, 1, 1100, 7));
  const MatrixX<TestType> across = scores.transpose();
  check_rows(across.transpose());
  check_rows(across.block(1, 2, 7, 1200).transpose());
  const RowMatrixX<TestType> rows = scores;
  check_rows(rows.middleRows(3, 1100));
  check_rows(Eigen::Map<const RowMatrixX<TestType>>(rows.data(), 1205, 9));
}

TEST_CASE("argmax: writes labels of any integral type", "[core]") {
  RowMatrixX<float> scores = RowMatrixX<float>::Zero(2, 200);
  scores(0, 199) = 1;
  scores.row(1).setConstant(std::nanf(""));
  Eigen::Matrix<std::uint8_t, 1, Eigen::Dynamic> bytes(2);
  argmax_rows(scores, bytes);
  CHECK(static_cast<int>(bytes[0]) == 199);
  CHECK(static_cast<int>(bytes[1]) == 255);
  Eigen::Matrix<std::int64_t, Eigen::Dynamic, 2> two(2, 2);
  two.setConstant(5);
  argmax_rows(scores, two.col(1));
  CHECK(two.col(1) == Eigen::Matrix<std::int64_t, 2, 1>(199, -1));
  CHECK((two.col(0).array() == 5).all());
}

TEST_CASE("argmax: rejects what cannot hold the answer", "[core][errors]") {
  const RowMatrixX<float> scores = RowMatrixX<float>::Zero(3, 200);
  Eigen::VectorXi predictions = Eigen::VectorXi::Constant(2, 9);
  CHECK(rejects([&] { argmax_rows(scores, predictions); },
                {"argmax_rows", "predictions has size 2", "expected 3", "samples"}));
  CHECK(predictions == Eigen::Vector2i(9, 9));
  Eigen::Matrix<std::int8_t, 3, 1> narrow;
  CHECK(rejects([&] { argmax_rows(scores, narrow); }, {"predictions cannot hold class 199"}));
  predictions.resize(3);
  CHECK(rejects([&] { argmax_rows(scores.leftCols(0), predictions); }, {"at least one class"}));
  predictions.resize(0);
  CHECK_NOTHROW(argmax_rows(scores.topRows(0), predictions));
}
