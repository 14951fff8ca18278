#include "support/no_allocation.hpp"

#include <stdexcept>
#include <vector>

#include <ballast/sampling/class_sampler.hpp>
#include <ballast/sampling/instance_permutation.hpp>
#include <ballast/sampling/shuffled_cycle.hpp>

#include "support/catch.hpp"

namespace {

using ballast::Index;
using ballast::IndexVector;

Eigen::VectorXi labels() {
  return Eigen::VectorXi::LinSpaced(300, 0, 299) / 7;
}

}  // namespace

TEST_CASE("no_allocation: the guard fires", "[no_allocation]") {
  bool eigen_refused = false;
  std::size_t news = 0;
  {
    const NoAllocation guard;
    try {
      IndexVector vector(100);
      vector.setZero();
    } catch (const std::logic_error&) {
      eigen_refused = true;
    }
    const std::vector<int> plain(100);
    news = guard.news();
  }
  CHECK(eigen_refused);
  CHECK(news >= 1);
}

TEST_CASE("no_allocation: a batch is drawn without", "[no_allocation]") {
  const ballast::PowerLawSampler power(labels());
  const ballast::ProgressiveSampler progressive(labels(), 5);
  IndexVector batch(100);
  Eigen::VectorXi classes(100);
  std::size_t news = 1;
  {
    const NoAllocation guard;
    for (Index step = 0; step < 10; ++step) {
      power.draw(3, step * 100, batch);
      power.draw_classes(3, step * 100, classes);
      power.draw(3, step * 100, batch.segment(10, 70));
      progressive.draw(3, step * 100, batch);
    }
    news = guard.news();
  }
  CHECK(news == 0);
}

TEST_CASE("no_allocation: an epoch is planned without, once one as long was", "[no_allocation]") {
  const ballast::InstancePermutation permutation(300);
  ballast::ShuffledCycle cycle{ballast::PowerLawSampler(labels())};
  IndexVector order(300);
  cycle.plan(0, order);
  std::size_t news = 1;
  {
    const NoAllocation guard;
    for (Index epoch = 1; epoch < 5; ++epoch) {
      permutation.plan(epoch, order);
      cycle.plan(epoch, order);
      cycle.plan(epoch, order.head(200));
    }
    news = guard.news();
  }
  CHECK(news == 0);
}
