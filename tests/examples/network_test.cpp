#include "support/no_allocation.hpp"
// The guard comes first: it changes Eigen.

#include "../examples/support/network.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using example::Index;
using example::Matrix;
using example::Network;
using example::Vector;

/// sum_ij c_ij f_ij: a loss whose gradient in the logits is c.
double linear_loss(Network& network, const Matrix& inputs, const Matrix& coefficients) {
  Matrix logits(inputs.rows(), network.classes());
  network.forward(inputs, logits);
  return (logits.cast<double>().array() * coefficients.cast<double>().array()).sum();
}

}  // namespace

TEST_CASE("network: the guard against allocation fires", "[examples]") {
  NoAllocation guard;
  CHECK_THROWS(Vector::Ones(3).eval());
  delete new int;
  CHECK(guard.news() > 0);
}

TEST_CASE("network: forward is the formula", "[examples]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  const Index inputs = GENERATE(1, 5, 300);  // 300: more than one panel
  CAPTURE(seed, inputs);
  const Index hidden = 7, classes = 3, samples = 4;
  Network network(inputs, hidden, classes, seed);
  const Matrix x = RandomData(seed).matrix<Matrix>(samples, inputs, -1, 1);
  Matrix logits(samples, classes), features(samples, hidden);
  network.forward(x, logits);
  network.encode(x, features);

  const float* p = network.parameters().data();
  // Sums of `inputs` and `hidden` products of numbers below 1 in size, each rounded once.
  const double epsilon = static_cast<double>(std::numeric_limits<float>::epsilon());
  const double bound = epsilon * static_cast<double>(inputs + hidden + 2);
  for (Index i = 0; i < samples; ++i) {
    Eigen::VectorXd h(hidden);
    for (Index j = 0; j < hidden; ++j) {
      h[j] = static_cast<double>(p[hidden * inputs + j]);
      for (Index k = 0; k < inputs; ++k) {
        h[j] += static_cast<double>(x(i, k)) * static_cast<double>(p[j * inputs + k]);
      }
      h[j] = std::max(h[j], 0.0);
      CHECK(std::abs(static_cast<double>(features(i, j)) - h[j]) <= bound);
    }
    for (Index c = 0; c < classes; ++c) {
      const double f =
          network.head_weights().row(c).cast<double>().dot(h) + static_cast<double>(network.head_bias()[c]);
      CHECK(std::abs(static_cast<double>(logits(i, c)) - f) <= bound * 4);
    }
  }
}

TEST_CASE("network: the gradient of every parameter is the central difference", "[examples]") {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  const Index inputs = GENERATE(4, 260);
  CAPTURE(seed, inputs);
  RandomData random(seed);
  Network network(inputs, 5, 3, seed);
  const Matrix x = random.matrix<Matrix>(6, inputs, -1, 1);
  const Matrix c = random.matrix<Matrix>(6, 3, -1, 1);
  linear_loss(network, x, c);
  network.backward(x, c);
  const Vector gradient = network.gradient();

  // Piecewise linear in each parameter: a step of 1/256 has no truncation error unless a unit crosses zero,
  // where the two one-sided differences disagree. Left over: the rounding of the logits, divided by the step.
  const float step = 1.0f / 256;
  const double bound = 256.0 * 2e-5;
  Index checked = 0;
  for (Index i = 0; i < gradient.size(); ++i) {
    float& parameter = network.parameters()[i];
    const float kept = parameter;
    const double middle = linear_loss(network, x, c);
    parameter = kept + step;
    const double above = (linear_loss(network, x, c) - middle) / static_cast<double>(parameter - kept);
    parameter = kept - step;
    const double below = (middle - linear_loss(network, x, c)) / static_cast<double>(kept - parameter);
    parameter = kept;
    if (std::abs(above - below) > bound) continue;  // a kink between
    CAPTURE(i);
    CHECK(std::abs(static_cast<double>(gradient[i]) - (above + below) / 2) <= bound);
    ++checked;
  }
  CHECK(checked > gradient.size() * 3 / 4);
}

TEST_CASE("network: a step is SGD with momentum and weight decay on everything", "[examples]") {
  Network network(2, 3, 2, 5);
  const Matrix x = RandomData(5).matrix<Matrix>(4, 2, -1, 1);
  Matrix logits(4, 2);
  Eigen::VectorXd p = network.parameters().cast<double>(), v = Eigen::VectorXd::Zero(p.size());
  for (const float rate : {0.1f, 0.05f}) {
    network.forward(x, logits);
    network.backward(x, logits);
    network.step(rate);
    v = 0.9 * v + network.gradient().cast<double>() + 5e-4 * p;
    p -= static_cast<double>(rate) * v;
    // A handful of roundings of numbers of size 1.
    CHECK((network.parameters().cast<double>() - p).cwiseAbs().maxCoeff() <=
          8 * static_cast<double>(std::numeric_limits<float>::epsilon()));
  }
}

TEST_CASE("network: starts uniform within 1 / sqrt(fan_in), the same for a seed", "[examples]") {
  Network network(100, 64, 10, 3), same(100, 64, 10, 3), other(100, 64, 10, 4);
  CHECK(network.parameters() == same.parameters());
  CHECK(network.parameters() != other.parameters());

  const Index encoder = 64 * 101;
  const auto first = network.parameters().head(encoder).cwiseAbs();
  const auto second = network.parameters().tail(10 * 65).cwiseAbs();
  CHECK(first.maxCoeff() <= 0.1f);
  CHECK(first.maxCoeff() > 0.099f);
  CHECK(second.maxCoeff() <= 0.125f);
  CHECK(second.maxCoeff() > 0.12f);
  // The mean of |u| is half the bound, with deviation bound / sqrt(12 n): five of them.
  CHECK(std::abs(first.mean() - 0.05f) <= 5 * 0.1f / std::sqrt(12.0f * 6464));
}

TEST_CASE("network: the learning rate falls from its start to zero along a cosine", "[examples]") {
  CHECK(example::cosine_rate(0.1f, 0, 10) == 0.1f);
  CHECK(std::abs(example::cosine_rate(0.1f, 5, 10) - 0.05f) <= 1e-8f);
  CHECK(example::cosine_rate(0.1f, 9, 10) < 0.003f);
  CHECK(example::cosine_rate(0.1f, 9, 10) > 0.0f);
}

TEST_CASE("network: a training step allocates nothing once it has seen the batch size", "[examples]") {
  const Index inputs = GENERATE(16, 784), batch = GENERATE(64, 128);
  CAPTURE(inputs, batch);
  Network network(inputs, 128, 10, 1);
  Matrix x = Matrix::Random(batch, inputs), logits = Matrix::Zero(batch, 10);
  network.forward(x, logits);
  std::size_t news = 1;
  {
    NoAllocation guard;
    for (const Index rows : {batch, batch / 2 + 1}) {  // the last batch of an epoch is smaller
      network.forward(x.topRows(rows), logits.topRows(rows));
      network.backward(x.topRows(rows), logits.topRows(rows));
      network.step(0.1f);
    }
    news = guard.news();
  }
  CHECK(news == 0);
}
