#include <ballast/classifiers/weight_scaling.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::LearnableWeightScaling;
using ballast::LinearHead;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::TrainingOptions;
using ballast::VectorX;

template <typename Scalar>
LearnableWeightScaling<Scalar> scaled(const LinearHead<Scalar>& head, const VectorX<Scalar>& scales) {
  return LearnableWeightScaling<Scalar>(typename LearnableWeightScaling<Scalar>::State{head.state(), scales});
}

}  // namespace

TEMPLATE_TEST_CASE("weight_scaling: scales the logits, bias and all", "[classifiers]", RowMatrixX<float>,
                   MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const bool with_bias = GENERATE(true, false);
  RandomData random(1);
  const auto head = LinearHead<Scalar>::uniform(5, 7, 1, with_bias);
  const VectorX<Scalar> scales = random.vector<Scalar>(5, -2, 2);
  const auto scaling = scaled(head, scales);
  const TestType features = random.matrix<TestType>(30, 7, -1, 1);
  TestType raw(30, 5), logits(30, 5), again(30, 5);
  head.forward(features, raw);
  scaling.forward(features, logits);
  for (Index i = 0; i < 30; ++i) {
    for (Index k = 0; k < 5; ++k) REQUIRE(logits(i, k) == raw(i, k) * scales[k]);
  }
  scaling.scaled_head().forward(features, again);
  // 8 terms below 1, scaled by 2 at most.
  CHECK((again - logits).cwiseAbs().maxCoeff() <= 2 * 8 * 8 * std::numeric_limits<Scalar>::epsilon());
  TestType padded = TestType::Constant(33, 8, Scalar(9));
  padded.block(1, 2, 30, 5) = raw;
  scaling.scale(padded.block(1, 2, 30, 5), padded.block(1, 2, 30, 5));
  CHECK(padded.block(1, 2, 30, 5) == logits);
  CHECK((padded.col(0).array() == Scalar(9)).all());
}

TEMPLATE_TEST_CASE("weight_scaling: the gradient with respect to s", "[classifiers]", RowMatrixX<double>,
                   MatrixX<double>) {
  RandomData random(2);
  const auto head = LinearHead<double>::uniform(70, 7, 1);
  VectorX<double> scales = random.vector<double>(70, -2, 2);
  const TestType features = random.matrix<TestType>(20, 7, -1, 1);
  const TestType factor = random.matrix<TestType>(20, 70, -1, 1);
  const auto loss = [&] {
    TestType logits(20, 70);
    scaled(head, scales).forward(features, logits);
    return (factor.array() * logits.array().sin()).sum();
  };
  TestType raw(20, 70), logits(20, 70);
  head.forward(features, raw);
  scaled(head, scales).scale(raw, logits);
  const TestType upstream = factor.array() * logits.array().cos();
  VectorX<double> gradient(70);
  scaled(head, scales).backward(raw, upstream, gradient);
  const double step = 6e-6;
  for (Index k = 0; k < 70; ++k) {
    const double at = scales[k];
    scales[k] = at + step;
    const double above = loss();
    scales[k] = at - step;
    const double below = loss();
    scales[k] = at;
    CHECK(std::abs((above - below) / (2 * step) - gradient[k]) <= 1e-8);
  }
}

TEST_CASE("weight_scaling: fit finds the scales that were taken away", "[classifiers]") {
  // Labels drawn from the softmax of logits whose rows were then divided by t: the best s is near t.
  RandomData random(3);
  const Index samples = 4000;
  const auto truth = LinearHead<double>(random.matrix<RowMatrixX<double>>(3, 4, -2, 2));
  const Eigen::Vector3d taken(4.0, 1.0, 0.5);
  LinearHead<double> head = truth;
  for (Index k = 0; k < 3; ++k) head.weights().row(k) /= taken[k];
  const MatrixX<double> features = random.matrix<MatrixX<double>>(samples, 4, -2, 2);
  MatrixX<double> logits(samples, 3);
  truth.forward(features, logits);
  Eigen::VectorXi labels(samples);
  for (Index i = 0; i < samples; ++i) {
    const Eigen::Array3d p = logits.row(i).transpose().array().exp();
    double u = random.uniform(0, p.sum());
    labels[i] = u < p[0] ? 0 : u < p[0] + p[1] ? 1 : 2;
  }
  TrainingOptions options;
  options.q = 1;
  options.weight_decay = 0;
  LearnableWeightScaling<double> scaling(head);
  CHECK(scaling.scales() == Eigen::Vector3d::Ones());
  scaling.fit(features, labels, options);
  // Spread of the estimate about 1 / sqrt(samples) of each scale, widened by SGD; 5 %, 4 of them.
  for (Index k = 0; k < 3; ++k) CHECK(std::abs(scaling.scales()[k] / taken[k] - 1) <= 0.2);
  CHECK(scaling.head().parameters() == head.parameters());

  const LearnableWeightScaling<double> restored(scaling.state());
  CHECK(restored.scales() == scaling.scales());
  CHECK(restored.head().parameters() == head.parameters());
}

TEST_CASE("weight_scaling: fit is the documented descent on s", "[classifiers]") {
  RandomData random(4);
  const auto head = LinearHead<double>::uniform(3, 4, 1);
  const RowMatrixX<double> features = random.matrix<RowMatrixX<double>>(50, 4, -1, 1);
  const Eigen::VectorXi labels = random.labels(50, 3);
  TrainingOptions options;
  options.epochs = 1;
  options.batch = 50;
  options.momentum = 0;
  options.weight_decay = 0.5;
  LearnableWeightScaling<double> scaling(head);
  scaling.fit(features, labels, options);

  ballast::IndexVector drawn(50);
  ballast::PowerLawSampler(ballast::SamplesByClass(labels, 3)).draw(0, 0, drawn);
  RowMatrixX<double> raw(50, 3), batch(50, 4), gradient(50, 3);
  Eigen::VectorXi batch_labels(50);
  for (Index i = 0; i < 50; ++i) {
    batch.row(i) = features.row(drawn[i]);
    batch_labels[i] = labels[drawn[i]];
  }
  head.forward(batch, raw);
  ballast::cross_entropy_loss<double>(3)(raw, batch_labels, gradient);
  const Eigen::Vector3d slope = (gradient.array() * raw.array()).colwise().sum().transpose();
  const Eigen::Vector3d expected = Eigen::Vector3d::Ones() - 0.1 * (slope + 0.5 * Eigen::Vector3d::Ones());
  CHECK((scaling.scales() - expected).cwiseAbs().maxCoeff() <= 1e-14);
}

TEST_CASE("weight_scaling: rejects, and keeps its scales", "[classifiers][errors]") {
  const float infinity = std::numeric_limits<float>::infinity();
  const auto head = LinearHead<float>::uniform(3, 4, 1);
  using Scaling = LearnableWeightScaling<float>;
  CHECK(rejects([&] { Scaling{head.with_offset(Eigen::Vector3f(0, -infinity, 0))}; },
                {"LearnableWeightScaling", "head.bias[1] is -inf"}));
  CHECK(rejects([&] { scaled<float>(head, Eigen::Vector2f(1, 1)); }, {"scales has size 2", "expected 3"}));
  CHECK(rejects([&] { scaled<float>(head, Eigen::Vector3f(1, infinity, 1)); }, {"scales[1] is inf"}));

  Scaling scaling = scaled<float>(head, Eigen::Vector3f(1, 2, 3));
  RowMatrixX<float> features = RowMatrixX<float>::Ones(6, 4), logits = RowMatrixX<float>::Constant(6, 3, 7);
  Eigen::VectorXi labels = Eigen::VectorXi::Zero(6);
  Eigen::VectorXf gradient = Eigen::VectorXf::Constant(3, 7);
  CHECK(rejects([&] { scaling.forward(logits, logits); }, {"features is 6 x 3"}));
  CHECK(
      rejects([&] { scaling.scale(features, logits); }, {"scale", "raw_logits is 6 x 4", "expected 6 x 3"}));
  CHECK(rejects([&] { scaling.scale(logits.topRows(5), logits); }, {"logits is 6 x 3", "expected 5 x 3"}));
  CHECK(rejects([&] { scaling.backward(logits, features, gradient); }, {"logit_gradient is 6 x 4"}));
  CHECK(rejects([&] { scaling.backward(logits, logits, gradient.head(2)); }, {"scales_gradient has size 2"}));
  CHECK((logits.array() == 7).all());
  CHECK((gradient.array() == 7).all());

  TrainingOptions options;
  options.batch = 0;
  CHECK(rejects([&] { scaling.fit(features, labels, options); }, {"fit", "options.batch is 0"}));
  CHECK(rejects([&] { scaling.fit(features, labels.head(5)); }, {"labels has size 5"}));
  labels[5] = 3;
  CHECK(rejects([&] { scaling.fit(features, labels); }, {"labels[5] is 3"}));
  labels[5] = 0;
  // A loss or a callback of the user's that throws half-way leaves the scales as they were.
  options = TrainingOptions();
  options.progress = [](const ballast::TrainingProgress&) {
    throw std::runtime_error("stop");
  };
  CHECK_THROWS_AS(scaling.fit(features, labels, options), std::runtime_error);
  features(2, 2) = infinity;
  CHECK(rejects([&] { scaling.fit(features, labels); }, {"features", "row 2"}));
  CHECK(scaling.scales() == Eigen::Vector3f(1, 2, 3));
}
