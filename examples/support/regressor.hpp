// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstdint>

#include <Eigen/Core>

#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>

#include "network.hpp"

namespace example {

/// Adam (Kingma and Ba 2015) with weight decay in the gradient, as frameworks do by default.
class Adam {
 public:
  explicit Adam(Index parameters, float decay = 0)
      : decay_(decay), first_(Vector::Zero(parameters)), second_(Vector::Zero(parameters)) {}

  template <typename Parameters, typename Gradient>
  void step(float rate, const Gradient& gradient, Parameters& parameters) {
    keep_first_ *= beta_first;
    keep_second_ *= beta_second;
    const auto slope = gradient.array() + decay_ * parameters.array();
    first_.array() += (1 - beta_first) * (slope - first_.array());
    second_.array() += (1 - beta_second) * (slope.square() - second_.array());
    const float scale = rate / (1 - keep_first_), root = 1 / std::sqrt(1 - keep_second_);
    parameters.array() -= scale * first_.array() / (root * second_.array().sqrt() + 1e-8f);
  }

 private:
  static constexpr float beta_first = 0.9f, beta_second = 0.999f;

  float decay_;
  float keep_first_ = 1, keep_second_ = 1;  // beta^steps
  Vector first_, second_;
};

/// The user's model: inputs -> 64 ReLU -> 32 ReLU -> one number.
///
///     g = max(0, x A^T + a),   z = max(0, g B^T + b),   prediction = z c + d
///
/// z is the feature of a sample; forward and backward stop there, so that features can be smoothed in
/// between. Rows are samples. Every parameter lies in one vector, layer by layer, weights before biases.
/// After the largest batch nothing is allocated.
class Regressor {
 public:
  static constexpr Index hidden = 64, features = 32;

  /// Uniform in +-1/sqrt(fan_in), the last bias `start`; the same for a seed on every platform.
  Regressor(Index inputs, float start, std::uint64_t seed) {
    const std::array<Index, 4> sizes = {inputs, hidden, features, 1};
    Index at = 0;
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      layers_[i] = {at, sizes[i], sizes[i + 1]};
      at += sizes[i + 1] * (sizes[i] + 1);
    }
    parameters_.resize(at);
    gradient_.resize(at);
    const ballast::RandomStream random(seed, initialisation_stream);
    for (const Layer& layer : layers_) {
      const double bound = 1 / std::sqrt(static_cast<double>(layer.inputs));
      for (Index i = layer.begin; i < layer.end(); ++i) {
        const double uniform = random.uniform(static_cast<std::uint64_t>(i));
        parameters_[i] = static_cast<float>(bound * (2 * uniform - 1));
      }
    }
    parameters_[at - 1] = start;
  }

  /// z of every sample; what `backward_encoder` needs is kept until the next call.
  const Matrix& encode(const Eigen::Ref<const Matrix>& inputs) {
    affine(layers_[0], inputs, hidden_);
    hidden_ = hidden_.cwiseMax(0.0f);
    affine(layers_[1], hidden_, features_);
    features_ = features_.cwiseMax(0.0f);
    return features_;
  }

  /// Predictions from features, smoothed or not.
  void predict(const Matrix& from, Vector& predictions) {
    affine(layers_[2], from, output_);
    predictions = output_.col(0);
  }

  /// The gradient in the last layer, and in the features that it was given.
  void backward_head(const Matrix& from, const Vector& prediction_gradient, Matrix& feature_gradient) {
    write_layer_gradient(layers_[2], from, prediction_gradient);
    feature_gradient.noalias() = prediction_gradient * weights(layers_[2]);
  }

  /// The gradient in the other layers, from that in the features of the last `encode`.
  void backward_encoder(const Eigen::Ref<const Matrix>& inputs, Matrix& feature_gradient) {
    mask_inactive(features_, feature_gradient);
    write_layer_gradient(layers_[1], hidden_, feature_gradient);
    hidden_gradient_.noalias() = feature_gradient * weights(layers_[1]);
    mask_inactive(hidden_, hidden_gradient_);
    write_layer_gradient(layers_[0], inputs, hidden_gradient_);
  }

  [[nodiscard]] Vector& parameters() { return parameters_; }
  [[nodiscard]] const Vector& gradient() const { return gradient_; }

 private:
  static constexpr std::uint64_t initialisation_stream = 0x1217;

  struct Layer {
    Index begin, inputs, outputs;
    [[nodiscard]] Index end() const { return begin + outputs * (inputs + 1); }
  };

  [[nodiscard]] Eigen::Map<const Matrix> weights(const Layer& layer) const {
    return {parameters_.data() + layer.begin, layer.outputs, layer.inputs};
  }

  void affine(const Layer& layer, const Eigen::Ref<const Matrix>& input, Matrix& output) const {
    const Eigen::Map<const Vector> bias(parameters_.data() + layer.end() - layer.outputs, layer.outputs);
    output.resize(input.rows(), layer.outputs);
    output.rowwise() = bias.transpose();
    output.noalias() += input * weights(layer).transpose();
  }

  template <typename OutputGradient>
  void write_layer_gradient(const Layer& layer, const Eigen::Ref<const Matrix>& input,
                            const OutputGradient& output_gradient) {
    float* const at = gradient_.data() + layer.begin;
    Eigen::Map<Matrix>(at, layer.outputs, layer.inputs).noalias() = output_gradient.transpose() * input;
    Eigen::Map<Vector>(at + layer.outputs * layer.inputs, layer.outputs) =
        output_gradient.colwise().sum().transpose();
  }

  /// ReLU backward.
  static void mask_inactive(const Matrix& activation, Matrix& gradient) {
    for (Index i = 0; i < gradient.size(); ++i) {
      gradient.data()[i] = activation.data()[i] > 0 ? gradient.data()[i] : 0;
    }
  }

  std::array<Layer, 3> layers_;
  Vector parameters_, gradient_;
  Matrix hidden_, features_, output_, hidden_gradient_;  // of the last batch
};

}  // namespace example
