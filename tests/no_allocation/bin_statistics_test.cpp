#include "support/no_allocation.hpp"

#include <cstddef>
#include <new>
//
#include <ballast/smoothing/bin_statistics.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::BinStatistics;
using ballast::Covariance;
using ballast::Index;
using ballast::LabelBins;

}  // namespace

TEST_CASE("no_allocation/bin_statistics: the guard fires", "[no_allocation]") {
  NoAllocation guard;
  CHECK_THROWS_AS(Eigen::MatrixXd(3, 3).setZero(), std::logic_error);
  const std::size_t before = guard.news();         // the exception counts too
  ::operator delete(::operator new(sizeof(int)));  // a call, which no compiler may elide
  CHECK(guard.news() == before + 1);
}

TEMPLATE_TEST_CASE("no_allocation/bin_statistics: updates after the first of its size", "[no_allocation]",
                   (BinStatistics<float, Covariance::diagonal>), (BinStatistics<float, Covariance::full>)) {
  RandomData random(1);
  const Index rows = 700;
  const auto row_major = random.matrix<ballast::RowMatrixX<float>>(rows, 35, -1, 1);
  const Eigen::MatrixXf column_major = row_major;
  const LabelBins bins = LabelBins::uniform(0, 1, 9);
  TestType statistics(9, 35), other(9, 35);
  Eigen::VectorXf labels = Eigen::VectorXf::Constant(rows, 0.2f);  // all in one bin: the fewest groups
  statistics.update(row_major, bins, labels);
  statistics.update(column_major, bins, labels);
  for (int repeat = 0; repeat < 3; ++repeat) {
    labels = random.vector<float>(rows, 0, 1);
    std::size_t news = 0;
    {
      NoAllocation guard;
      statistics.update(row_major, bins, labels);
      statistics.update(column_major, bins, labels);
      statistics.update(row_major.topRows(13), bins, labels.head(13));
      statistics.reset();
      news = guard.news();
    }
    CHECK(news == 0);
  }
}
