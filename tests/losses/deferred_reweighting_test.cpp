#include <ballast/losses/deferred_reweighting.hpp>

#include <ballast/losses/presets.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

using ballast::DeferredReweighting;
using ballast::Index;

TEST_CASE("deferred_reweighting: weighs 1 before the epoch and alpha from it on", "[losses]") {
  const Eigen::Vector3d alpha(0.2, 0.8, 2.0);
  const DeferredReweighting<double> schedule(alpha, 160);
  CHECK(schedule(0).size() == 0);
  CHECK(schedule(159).size() == 0);
  CHECK(schedule(160) == alpha);
  CHECK(schedule(199) == alpha);
  CHECK(DeferredReweighting<double>(alpha, 0)(0) == alpha);
}

TEST_CASE("deferred_reweighting: composes with LDAM", "[losses]") {
  const auto classes = ballast::ClassDistribution::from_counts(Eigen::Vector3i(5000, 500, 50));
  const auto alpha = ballast::effective_number_weights<double>(classes, 0.9999);
  const DeferredReweighting<double> schedule(alpha, 1);
  RandomData random(1);
  const Eigen::MatrixXd cosines = random.matrix<Eigen::MatrixXd>(20, 3, -1, 1);
  const Eigen::VectorXi labels = random.labels(20, 3);

  const auto value = [&](const Eigen::VectorXd& weights) {
    return ballast::ldam_loss<double>(classes, 0.5, 30.0, weights)(cosines, labels);
  };
  CHECK(value(schedule(0)) == value(Eigen::VectorXd::Ones(3)));
  CHECK(value(schedule(1)) == value(alpha));
  CHECK(value(schedule(0)) != value(schedule(1)));
}

TEST_CASE("deferred_reweighting: rejects a negative epoch", "[losses][errors]") {
  CHECK(
      rejects([] { DeferredReweighting<float>(Eigen::Vector2f(1, 2), -1); }, {"first_epoch is -1", ">= 0"}));
}
