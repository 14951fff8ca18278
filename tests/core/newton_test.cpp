#include <ballast/core/newton.hpp>

#include <cmath>

#include "support/catch.hpp"

using ballast::Index;
using ballast::detail::minimize_newton;
using ballast::detail::NewtonResult;

namespace {

/// sum_i log cosh(a_i . x - c_i): convex, flat in the directions that no a_i sees.
struct LogCosh {
  Eigen::MatrixXd a;
  Eigen::VectorXd c;
  Eigen::VectorXd curvature{};

  double operator()(const Eigen::VectorXd& x, Eigen::VectorXd& gradient, Eigen::VectorXd& diagonal) {
    const Eigen::ArrayXd t = (a * x - c).array();
    curvature = (1.0 - t.tanh().square()).matrix();
    gradient = a.transpose() * t.tanh().matrix();
    diagonal = a.cwiseAbs2().transpose() * curvature;
    return (t.abs() + (-2.0 * t.abs()).exp().log1p() - std::log(2.0)).sum();
  }
  void hessian_product(const Eigen::VectorXd& v, Eigen::VectorXd& result) const {
    result = a.transpose() * curvature.cwiseProduct(a * v);
  }
};

}  // namespace

TEST_CASE("newton: reaches a minimum from far away, also of a flat valley", "[core]") {
  LogCosh objective{Eigen::MatrixXd(3, 4), Eigen::Vector3d(1, -2, 5)};
  objective.a << 1, 0, 0, 1, 0, 2, 0, -1, 0, 0, 10, 0;
  Eigen::VectorXd x = Eigen::VectorXd::Constant(4, 1.8);
  const NewtonResult result = minimize_newton(objective, x, 1e-9, 200);
  CHECK(result.converged);
  CHECK(result.gradient_norm <= 1e-9);
  CHECK((objective.a * x - objective.c).cwiseAbs().maxCoeff() <= 1e-8);
  CHECK(result.value <= 1e-15);
}

TEST_CASE("newton: stops at the limit and says so; a minimum to start with takes no step", "[core]") {
  LogCosh objective{Eigen::MatrixXd::Identity(2, 2), Eigen::Vector2d(10, -10)};
  Eigen::VectorXd x = Eigen::VectorXd::Zero(2);
  const NewtonResult stopped = minimize_newton(objective, x, 1e-12, 1);
  CHECK_FALSE(stopped.converged);
  CHECK(stopped.iterations == 1);
  x << 10, -10;
  const NewtonResult there = minimize_newton(objective, x, 1e-12, 50);
  CHECK(there.converged);
  CHECK(there.iterations == 0);
}
