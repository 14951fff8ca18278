#include <ballast/losses/regression.hpp>

#include <cmath>
#include <cstddef>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::AbsoluteError;
using ballast::FocalError;
using ballast::FocalFactor;
using ballast::Huber;
using ballast::Index;
using ballast::MatrixX;
using ballast::Reduction;
using ballast::regression_loss;
using ballast::RegressionLoss;
using ballast::RowMatrixX;
using ballast::SmoothL1;
using ballast::SquaredError;
using ballast::VectorX;

constexpr double missing = std::numeric_limits<double>::quiet_NaN();

bool close(double came, double expected, double relative, double absolute = 0) {
  return std::abs(came - expected) <= relative * std::abs(expected) + absolute;
}

/// A reference file: its rows by column name. Text cells count as NaN.
using Columns = std::map<std::string, std::vector<double>>;

Columns reference(const std::string& name) {
  std::ifstream file(std::string(BALLAST_REFERENCE_DIR) + "/dir_losses/" + name + ".csv");
  REQUIRE(file.good());
  std::string line, cell;
  std::getline(file, line);
  std::vector<std::string> names;
  for (std::istringstream heading(line); std::getline(heading, cell, ',');) names.push_back(cell);
  Columns columns;
  while (std::getline(file, line)) {
    std::istringstream row(line);
    for (const std::string& column : names) {
      std::getline(row, cell, ',');
      columns[column].push_back(cell == "nan" ? missing : std::stod(cell));
    }
  }
  return columns;
}

Eigen::VectorXd vector(const std::vector<double>& values) {
  return Eigen::Map<const Eigen::VectorXd>(values.data(), static_cast<Index>(values.size()));
}

template <typename Error>
void check_reference(const std::string& name, const Error& error) {
  CAPTURE(name);
  const Columns inputs = reference("inputs");
  const Columns expected = reference(name);
  const Eigen::VectorXd predictions = vector(inputs.at("pred")), targets = vector(inputs.at("target"));
  const Eigen::VectorXd weights = vector(inputs.at("weight"));
  const auto loss = regression_loss<double>(error);
  Eigen::VectorXd values(64), slopes(64), gradient(64), weighted(64);
  loss.each(predictions, targets, values, slopes);
  const double mean = loss(predictions, targets, gradient);
  const double weighted_mean = loss(predictions, targets, weights, weighted);
  CHECK(close(mean, vector(expected.at("loss")).mean(), 1e-12));
  CHECK(close(weighted_mean, vector(expected.at("wloss")).mean(), 1e-12));
  for (std::size_t i = 0; i < 64; ++i) {
    CAPTURE(i);
    const Index at = static_cast<Index>(i);
    CHECK(close(values[at], expected.at("loss_mp50")[i], 1e-10, 1e-14));
    CHECK(close(weights[at] * values[at], expected.at("wloss")[i], 1e-9, 1e-14));
    CHECK(close(slopes[at], 64 * expected.at("grad_of_mean")[i], 1e-6, 1e-14));  // by autograd: it cancels
    CHECK(close(gradient[at], expected.at("grad_of_mean")[i], 1e-6, 1e-14));
    CHECK(close(weighted[at], expected.at("wgrad_of_mean")[i], 1e-6, 1e-14));
  }
}

long double focal(long double base, long double factor, long double gamma) {
  return std::pow(factor, gamma) * base;
}

template <typename Scalar, typename Check>
void for_each_error(const Check& check) {
  check(SquaredError{}, [](long double a) { return a * a; });
  check(AbsoluteError{}, [](long double a) { return a; });
  check(SmoothL1<Scalar>{Scalar(0.75)}, [](long double a) { return a < 0.75L ? a * a / 1.5L : a - 0.375L; });
  check(Huber<Scalar>{Scalar(0.75)},
        [](long double a) { return a < 0.75L ? a * a / 2 : 0.75L * (a - 0.375L); });
  check(FocalError<Scalar>{Scalar(0.5), Scalar(1), FocalFactor::sigmoid, {}},
        [](long double a) { return focal(a, std::tanh(0.25L * a), 1); });
  check(FocalError<Scalar>{Scalar(2), Scalar(0.5), FocalFactor::tanh, {}},
        [](long double a) { return focal(a, std::tanh(2 * a), 0.5L); });
  check(FocalError<Scalar, SquaredError>{Scalar(0.25), Scalar(2), FocalFactor::tanh, {}},
        [](long double a) { return focal(a * a, std::tanh(0.25L * a), 2); });
  check(FocalError<Scalar, Huber<Scalar>>{Scalar(0.5), Scalar(1.5), FocalFactor::sigmoid, {Scalar(0.75)}},
        [](long double a) {
          return focal(a < 0.75L ? a * a / 2 : 0.75L * (a - 0.375L), std::tanh(0.25L * a), 1.5L);
        });
}

}  // namespace

TEST_CASE("regression: the published losses", "[losses]") {
  check_reference("mse", SquaredError{});
  check_reference("l1", AbsoluteError{});
  check_reference("huber_b1.0", SmoothL1<double>{1.0});
  check_reference("focal_l1_sigmoid_b0.2_g1", FocalError<double>{0.2, 1.0, FocalFactor::sigmoid, {}});
  check_reference("focal_mse_tanh_b0.2_g2",
                  FocalError<double, SquaredError>{0.2, 2.0, FocalFactor::tanh, {}});

  // Means of the configurations that come without rows.
  const Columns inputs = reference("inputs");
  const Eigen::VectorXd predictions = vector(inputs.at("pred")), targets = vector(inputs.at("target"));
  const Eigen::VectorXd weights = vector(inputs.at("weight"));
  std::ifstream file(std::string(BALLAST_REFERENCE_DIR) + "/dir_losses/summary.csv");
  std::string line;
  std::getline(file, line);
  int rows = 0;
  while (std::getline(file, line)) {
    CAPTURE(line);
    std::istringstream row(line);
    std::string name, mean, weighted;
    std::getline(row, name, ',');
    std::getline(row, mean, ',');
    std::getline(row, weighted, ',');
    const auto check = [&](const auto& error) {
      const auto loss = regression_loss<double>(error);
      CHECK(close(loss(predictions, targets), std::stod(mean), 1e-12));
      CHECK(close(loss.value(predictions, targets, weights), std::stod(weighted), 1e-12));
      ++rows;
    };
    const auto number_after = [&name](const std::string& mark) {
      return std::stod(name.substr(name.find(mark) + mark.size()));
    };
    if (name == "mse") {
      check(SquaredError{});
    } else if (name == "l1") {
      check(AbsoluteError{});
    } else if (name.rfind("huber", 0) == 0) {
      check(SmoothL1<double>{number_after("_b")});
    } else {
      const FocalFactor factor =
          name.find("tanh") != std::string::npos ? FocalFactor::tanh : FocalFactor::sigmoid;
      if (name.find("mse") != std::string::npos) {
        check(FocalError<double, SquaredError>{number_after("_b"), number_after("_g"), factor, {}});
      } else {
        check(FocalError<double>{number_after("_b"), number_after("_g"), factor, {}});
      }
    }
  }
  CHECK(rows == 29);
}

TEMPLATE_TEST_CASE("regression: each value is its formula", "[losses]", float, double) {
  using Scalar = TestType;
  constexpr double epsilon = static_cast<double>(std::numeric_limits<Scalar>::epsilon());
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const VectorX<Scalar> targets = VectorX<Scalar>::Zero(200);  // so that the error is the prediction, exactly
  VectorX<Scalar> predictions = random.vector<Scalar>(200, -3, 3);
  for (Index i = 0; i < 20; ++i) predictions[i] *= std::pow(Scalar(10), static_cast<Scalar>(-i));
  for_each_error<Scalar>([&](const auto& error, const auto& formula) {
    VectorX<Scalar> values(200), slopes(200);
    regression_loss<Scalar>(error).each(predictions, targets, values, slopes);
    for (Index i = 0; i < 200; ++i) {
      CAPTURE(i, predictions[i]);
      const long double expected = formula(std::abs(static_cast<long double>(predictions[i])));
      // tanh and pow to a few ulp each, the exponent doubling the error of the former; below, underflow.
      CHECK(close(static_cast<double>(values[i]), static_cast<double>(expected), 32 * epsilon,
                  static_cast<double>(std::numeric_limits<Scalar>::min())));
    }
  });
}

TEST_CASE("regression: gradients are those of central differences", "[losses]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  CAPTURE(seed);
  RandomData random(seed);
  const Eigen::MatrixXd targets = random.matrix<Eigen::MatrixXd>(12, 3, -2, 2);
  Eigen::MatrixXd predictions = random.matrix<Eigen::MatrixXd>(12, 3, -2, 2);
  const Eigen::VectorXd weights = random.vector<double>(12, 0, 2);
  const double h = 1e-5;
  for (const Reduction reduction : {Reduction::mean, Reduction::weighted_mean, Reduction::sum}) {
    for_each_error<double>([&](const auto& error, const auto&) {
      const auto loss = regression_loss<double>(error, reduction);
      Eigen::MatrixXd gradient(12, 3);
      const double value = loss(predictions, targets, weights, gradient);
      // Two instantiations, in which a compiler may fuse multiplications and additions differently.
      CHECK(close(value, loss.value(predictions, targets, weights), 1e-14));
      for (Index i = 0; i < predictions.size(); ++i) {
        const double error_size = std::abs(predictions(i) - targets(i));
        if (error_size < 2 * h || std::abs(error_size - 0.75) < 2 * h) continue;  // kinks
        const double kept = predictions(i);
        predictions(i) = kept + h;
        const double above = loss.value(predictions, targets, weights);
        predictions(i) = kept - h;
        const double below = loss.value(predictions, targets, weights);
        predictions(i) = kept;
        // Truncation h^2 times a third derivative (below 1e3 away from 0) and rounding eps / h.
        CHECK(std::abs(gradient(i) - (above - below) / (2 * h)) <= 1e-6);
      }
    });
  }
}

TEMPLATE_TEST_CASE("regression: reductions, vector targets and both storage orders", "[losses]", float,
                   double) {
  using Scalar = TestType;
  const double epsilon = static_cast<double>(std::numeric_limits<Scalar>::epsilon());
  const std::uint64_t seed = 9;
  CAPTURE(seed);
  RandomData random(seed);
  const auto predictions = random.matrix<MatrixX<Scalar>>(50, 4, -2, 2);
  const auto targets = random.matrix<MatrixX<Scalar>>(50, 4, -2, 2);
  const VectorX<Scalar> weights = random.vector<Scalar>(50, 0, 3);
  long double plain = 0, weighted = 0;
  for (Index i = 0; i < 50; ++i) {
    for (Index d = 0; d < 4; ++d) {
      const long double error =
          static_cast<long double>(predictions(i, d)) - static_cast<long double>(targets(i, d));
      plain += error * error / 4;
      weighted += static_cast<long double>(weights[i]) * error * error / 4;
    }
  }
  const double total = weights.template cast<double>().sum();
  const auto value = [&](Reduction reduction) {
    MatrixX<Scalar> gradient(50, 4);
    return static_cast<double>(
        regression_loss<Scalar>(SquaredError{}, reduction)(predictions, targets, weights, gradient));
  };
  CHECK(close(value(Reduction::mean), static_cast<double>(weighted / 50), 4 * epsilon));
  CHECK(close(value(Reduction::sum), static_cast<double>(weighted), 4 * epsilon));
  CHECK(close(value(Reduction::weighted_mean), static_cast<double>(weighted) / total, 4 * epsilon));
  CHECK(close(static_cast<double>(ballast::mse_loss(predictions, targets)), static_cast<double>(plain / 50),
              4 * epsilon));

  const auto loss = regression_loss<Scalar>(FocalError<Scalar>{});
  MatrixX<Scalar> expected(50, 4);
  const Scalar once = loss(predictions, targets, weights, expected);
  RowMatrixX<Scalar> rows = predictions, row_gradient(50, 4);
  CHECK(loss(rows, targets, weights, row_gradient) == once);  // orders may differ between arguments
  CHECK(row_gradient == expected);
  MatrixX<Scalar> large = MatrixX<Scalar>::Constant(60, 9, Scalar(7));
  large.block(3, 2, 50, 4) = predictions;
  CHECK(loss(large.block(3, 2, 50, 4), RowMatrixX<Scalar>(targets), weights, large.block(3, 2, 50, 4)) ==
        once);
  CHECK(large.block(3, 2, 50, 4) == expected);  // in place, through a block
  CHECK(large.col(1) == VectorX<Scalar>::Constant(60, Scalar(7)));
  MatrixX<Scalar> transposed = predictions.transpose();
  CHECK(loss(transposed.transpose(), targets, weights.transpose(), transposed.transpose()) == once);
  CHECK(transposed.transpose() == expected);
}

TEST_CASE("regression: the call of the guide", "[losses]") {
  const Eigen::Vector4f predictions(1, 5, 2, 0), ages(0, 5, 4, 3), weights(1, 1, 0.5f, 1.5f);
  Eigen::Vector4f gradient;
  CHECK(ballast::l1_loss(predictions, ages, weights, gradient) == (1 + 0 + 1 + 4.5f) / 4);
  CHECK(gradient == Eigen::Vector4f(0.25f, 0, -0.125f, -0.375f));
  CHECK(ballast::l1_loss(predictions, ages, gradient) == 1.5f);
  CHECK(ballast::l1_loss(predictions, ages) == 1.5f);
}

TEMPLATE_TEST_CASE("regression: extremes", "[losses]", float, double) {
  using Scalar = TestType;
  const auto at = [](const auto& error, Scalar size) {
    return error(size);
  };
  const Scalar tiny = std::numeric_limits<Scalar>::denorm_min(), huge = std::numeric_limits<Scalar>::max();
  for (const Scalar gamma : {Scalar(0.01), Scalar(0.5), Scalar(1), Scalar(2), Scalar(40)}) {
    for (const FocalFactor factor : {FocalFactor::sigmoid, FocalFactor::tanh}) {
      const FocalError<Scalar> l1{Scalar(0.2), gamma, factor, {}};
      const FocalError<Scalar, SquaredError> mse{Scalar(20), gamma, factor, {}};
      CHECK(at(l1, 0).value == 0);
      CHECK(at(l1, 0).slope == 0);
      CHECK(at(mse, 0).slope == 0);
      for (const Scalar size : {tiny, Scalar(1e-30), Scalar(1e-4), Scalar(1), Scalar(1e4), huge}) {
        CAPTURE(gamma, size);
        CHECK(std::isfinite(at(l1, size).value));
        CHECK(std::isfinite(at(l1, size).slope));
        CHECK(at(l1, size).slope >= 0);
        CHECK(at(l1, -size).slope == -at(l1, size).slope);
        CHECK(std::isfinite(at(mse, std::min(size, Scalar(1e15))).slope));
      }
      CHECK(at(l1, huge).value == huge);
      CHECK(at(l1, huge).slope == 1);
    }
  }
  const FocalError<Scalar> none{Scalar(0.2), Scalar(0), FocalFactor::tanh, {}};
  CHECK(at(none, tiny).slope == 1);
  CHECK(at(none, Scalar(-3)).value == 3);

  // NaN comes out of everything; other samples are untouched.
  for_each_error<Scalar>([&](const auto& error, const auto&) {
    const auto loss = regression_loss<Scalar>(error);
    VectorX<Scalar> predictions = VectorX<Scalar>::Ones(3), gradient(3);
    predictions[1] = std::numeric_limits<Scalar>::quiet_NaN();
    CHECK(std::isnan(loss(predictions, VectorX<Scalar>(VectorX<Scalar>::Zero(3)), gradient)));
    CHECK(std::isnan(gradient[1]));
    CHECK(std::isfinite(gradient[0]));
    CHECK(gradient[0] == gradient[2]);
  });
}

TEST_CASE("regression: nothing to average is 0", "[losses]") {
  const Eigen::VectorXd none(0);
  Eigen::VectorXd empty(0);
  CHECK(ballast::l1_loss(none, none, empty) == 0.0);
  Eigen::VectorXd gradient = Eigen::VectorXd::Ones(3);
  const auto loss = regression_loss<double>(AbsoluteError{}, Reduction::weighted_mean);
  CHECK(loss(Eigen::Vector3d(1, 2, 3), Eigen::Vector3d(0, 0, 0), Eigen::Vector3d::Zero(), gradient) == 0.0);
  CHECK(gradient == Eigen::Vector3d::Zero());
}

TEST_CASE("regression: rejects bad arguments and writes nothing", "[losses][errors]") {
  const Eigen::Vector3d predictions(1, 2, 3), targets(0, 0, 0), weights(1, 1, 1);
  const Eigen::VectorXd before = Eigen::Vector3d(7, 8, 9);
  Eigen::VectorXd gradient = before;
  const auto loss = regression_loss<double>(SquaredError{});
  CHECK(rejects([&] { loss(predictions, Eigen::Vector2d(0, 0), gradient); }, {"targets is 2 x 1", "3 x 1"}));
  CHECK(rejects([&] { loss(predictions, Eigen::RowVector3d(0, 0, 0), gradient); }, {"targets is 1 x 3"}));
  CHECK(rejects([&] { loss(predictions, Eigen::Vector3d(0, missing, 0), gradient); },
                {"targets(1, 0) is nan"}));
  CHECK(rejects([&] { loss(predictions, Eigen::Vector3d(0, 0, 1 / 0.0), gradient); },
                {"targets(2, 0) is inf"}));
  CHECK(rejects([&] { loss(predictions, targets, Eigen::Vector2d(1, 1), gradient); },
                {"weights has size 2", "expected 3"}));
  CHECK(rejects([&] { loss(predictions, targets, Eigen::Vector3d(1, -1, 1), gradient); },
                {"weights[1] is -1", ">= 0"}));
  CHECK(rejects([&] { loss(predictions, targets, Eigen::Vector3d(1, 1, missing), gradient); },
                {"weights[2] is nan"}));
  CHECK(gradient == before);
  Eigen::VectorXd two(2);
  CHECK(rejects([&] { loss(predictions, targets, two); }, {"gradient is 2 x 1"}));
  CHECK(rejects([&] { loss.each(predictions, targets, two, gradient); }, {"values has size 2"}));
  CHECK(gradient == before);

  CHECK(rejects([] { return regression_loss<double>(Huber<double>{0.0}); }, {"Huber", "delta is 0"}));
  CHECK(rejects([] { return regression_loss<float>(SmoothL1<float>{-1.0f}); }, {"SmoothL1", "beta is -1"}));
  CHECK(rejects([] { return regression_loss<double>(FocalError<double>{missing}); },
                {"FocalError", "beta is nan"}));
  CHECK(rejects([] { return regression_loss<double>(FocalError<double>{1.0, -0.5}); }, {"gamma is -0.5"}));
}
