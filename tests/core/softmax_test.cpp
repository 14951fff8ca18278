#include <ballast/core/softmax.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::VectorX;

template <typename Scalar>
constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

}  // namespace

TEMPLATE_TEST_CASE("softmax: probabilities and log-sum-exp are the formulas", "[core]", MatrixX<float>,
                   RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = 4;
  CAPTURE(seed);
  RandomData random(seed);
  for (const Index rows : {1, 3, 70}) {
    for (const Index classes : {1, 2, 9, 16, 31, 300}) {
      CAPTURE(rows, classes);
      const TestType logits = random.matrix<TestType>(rows, classes, -20, 20);
      TestType larger = TestType::Constant(rows + 2, classes + 3, 99);
      VectorX<Scalar> sums(rows);
      ballast::softmax(logits, larger.block(1, 2, rows, classes));
      ballast::log_sum_exp(logits, sums);

      // u is rounded once when it is shifted by up to 40, which exp makes a relative error; sums of C terms.
      const auto epsilon = static_cast<long double>(std::numeric_limits<Scalar>::epsilon());
      const long double bound = epsilon * (40 + 2 * std::log2(static_cast<long double>(classes) + 1));
      bool agrees = true;
      for (Index i = 0; i < rows; ++i) {
        long double total = 0;
        for (Index k = 0; k < classes; ++k) total += std::exp(static_cast<long double>(logits(i, k)));
        agrees = agrees && std::abs(static_cast<long double>(sums[i]) - std::log(total)) <= 2 * bound;
        for (Index k = 0; k < classes; ++k) {
          const long double p = std::exp(static_cast<long double>(logits(i, k))) / total;
          agrees = agrees && std::abs(static_cast<long double>(larger(i + 1, k + 2)) - p) <= bound * p;
        }
      }
      CHECK(agrees);
      CHECK(larger.row(0) == TestType::Constant(1, classes + 3, 99));
      CHECK(larger.col(1) == TestType::Constant(rows + 2, 1, 99));
      CHECK(larger.rightCols(1) == TestType::Constant(rows + 2, 1, 99));

      TestType in_place = logits;
      ballast::softmax(in_place, in_place);
      CHECK(in_place == larger.block(1, 2, rows, classes));
      TestType columns = logits;
      ballast::softmax(columns.transpose(), columns.transpose());
      CHECK(std::abs(columns.col(0).sum() - 1) <= static_cast<Scalar>(bound));
    }
  }
}

TEMPLATE_TEST_CASE("softmax: infinities and NaN stay in their row", "[core]", MatrixX<float>,
                   RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = GENERATE(2, 20, 100);
  const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
  TestType logits = RandomData(1).matrix<TestType>(40, classes, -3, 3);
  logits(1, 1) = -infinity<Scalar>;
  logits(2, 0) = nan;
  logits(3, 1) = infinity<Scalar>;
  logits.row(4).setConstant(-infinity<Scalar>);
  logits.row(5).setConstant(Scalar(-1e4));
  logits(5, 1) = Scalar(1e4);
  logits(38, classes - 1) = nan;
  TestType p(40, classes);
  VectorX<Scalar> sums(40);
  ballast::softmax(logits, p);
  ballast::log_sum_exp(logits, sums);

  CHECK(p(1, 1) == 0);
  CHECK(std::abs(p.row(1).sum() - 1) <= 8 * std::numeric_limits<Scalar>::epsilon());
  for (const Index row : {2, 3, 4, 38}) CHECK(p.row(row).array().isNaN().all());
  for (const Index row : {2, 3, 38}) CHECK(std::isnan(sums[row]));
  CHECK(sums[4] == -infinity<Scalar>);
  CHECK(p(5, 1) == 1);
  CHECK(p(5, 0) == 0);
  CHECK(sums[5] == Scalar(1e4));
  CHECK(p.middleRows(6, 32).allFinite());
  CHECK(p.bottomRows(1).allFinite());
}

TEST_CASE("softmax: a result of another shape is refused, untouched", "[core][errors]") {
  const Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(2, 3);
  Eigen::MatrixXd p = Eigen::MatrixXd::Constant(3, 3, 7);
  Eigen::VectorXd sums = Eigen::VectorXd::Constant(3, 7);
  CHECK(rejects([&] { ballast::softmax(logits, p); }, {"softmax", "probabilities is 3 x 3", "2 x 3"}));
  CHECK(rejects([&] { ballast::log_sum_exp(logits, sums); }, {"log_sum_exp", "result has size 3"}));
  CHECK(p == Eigen::MatrixXd::Constant(3, 3, 7));
  CHECK(sums == Eigen::VectorXd::Constant(3, 7));
}
