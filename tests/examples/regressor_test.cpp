#include "../examples/support/regressor.hpp"

#include <cmath>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using example::Adam;
using example::Index;
using example::Matrix;
using example::Regressor;
using example::Vector;

/// sum_i c_i prediction_i, the features doubled on the way as a smoothing might.
double linear_loss(Regressor& network, const Matrix& inputs, const Vector& coefficients) {
  Vector predictions;
  const Matrix features = 2 * network.encode(inputs);
  network.predict(features, predictions);
  return predictions.cast<double>().dot(coefficients.cast<double>());
}

}  // namespace

TEST_CASE("regressor: the gradient of every parameter is the central difference", "[examples]") {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const Matrix inputs = random.matrix<Matrix>(9, 3, -1, 1);
  const Vector coefficients = random.vector<float>(9, -1, 1);
  Regressor network(3, 0.5f, seed);
  linear_loss(network, inputs, coefficients);
  const Matrix features = 2 * network.encode(inputs);
  Matrix feature_gradient;
  network.backward_head(features, coefficients, feature_gradient);
  feature_gradient *= 2;
  network.backward_encoder(inputs, feature_gradient);
  const Vector gradient = network.gradient();
  const float h = 1e-3f;
  int far = 0;
  for (Index i = 0; i < gradient.size(); ++i) {
    const float kept = network.parameters()[i];
    network.parameters()[i] = kept + h;
    const double above = linear_loss(network, inputs, coefficients);
    network.parameters()[i] = kept - h;
    const double below = linear_loss(network, inputs, coefficients);
    network.parameters()[i] = kept;
    // Linear between the kinks of ReLU: rounding of a loss of order 1, over h.
    if (std::abs(static_cast<double>(gradient[i]) - (above - below) / (2e-3)) > 2e-3) ++far;
  }
  CHECK(far <= gradient.size() / 50);  // steps across a kink
}

TEST_CASE("regressor: Adam's first steps are its formula", "[examples]") {
  Adam adam(2, 0.5f);
  Vector parameters = Eigen::Vector2f(1, -2);
  const Vector gradient = Eigen::Vector2f(0.25f, 3);
  double m[2] = {0, 0}, v[2] = {0, 0}, p[2] = {1, -2};
  for (int step = 1; step <= 3; ++step) {
    adam.step(0.1f, gradient, parameters);
    for (int i = 0; i < 2; ++i) {
      const double slope = static_cast<double>(gradient[i]) + 0.5 * p[i];
      m[i] = 0.9 * m[i] + 0.1 * slope;
      v[i] = 0.999 * v[i] + 0.001 * slope * slope;
      const double corrected = v[i] / (1 - std::pow(0.999, step));
      p[i] -= 0.1 * (m[i] / (1 - std::pow(0.9, step))) / (std::sqrt(corrected) + 1e-8);
      // 1 - 0.999^step keeps four digits in float.
      CHECK(std::abs(static_cast<double>(parameters[i]) - p[i]) <= 1e-4);
    }
  }
}
