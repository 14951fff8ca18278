#include "support/no_allocation.hpp"

#include <cstddef>
#include <new>

#include <ballast/metrics/classification.hpp>

#include "support/catch.hpp"

TEST_CASE("no_allocation: the guard fires", "[no_allocation]") {
  const NoAllocation guard;
  CHECK_THROWS_AS(Eigen::VectorXd(100), std::logic_error);
  const std::size_t before = guard.news();         // the exception counts too
  ::operator delete(::operator new(sizeof(int)));  // a call, which no compiler may elide
  CHECK(guard.news() == before + 1);
}

TEST_CASE("no_allocation: metrics are updated without", "[no_allocation]") {
  const Eigen::MatrixXf logits = Eigen::MatrixXf::Random(200, 10);
  const ballast::RowMatrixX<float> rows = logits;
  const Eigen::VectorXi labels = Eigen::VectorXi::Constant(200, 3);
  ballast::ConfusionMatrix confusion(10);
  ballast::TopKAccuracy top(5);

  const NoAllocation guard;
  confusion.update(labels, labels);
  top.update(logits, labels);
  top.update(rows, labels);
  CHECK(guard.news() == 0);
}
