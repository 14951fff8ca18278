// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <Eigen/Core>

#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>

namespace example {

using ballast::Index;
using Matrix = ballast::RowMatrixX<float>;
using Vector = Eigen::VectorXf;

/// The user's model: inputs -> hidden ReLU units -> logits, trained by SGD with momentum.
///
///     h = max(0, x A^T + a),   f = h W^T + b
///
/// h is the feature of a sample, (W, b) its classifier head. Rows are samples. Every parameter lies in one
/// vector (A, a, W, b in turn), so that the optimiser is two lines and its weight decay is on everything.
/// After the first step at the largest batch size nothing is allocated.
class Network {
 public:
  static constexpr float momentum = 0.9f;
  static constexpr float weight_decay = 5e-4f;

  /// Uniform in +-1/sqrt(fan_in), weights and biases alike; the same for a seed on every platform.
  Network(Index inputs, Index hidden, Index classes, std::uint64_t seed)
      : inputs_(inputs), hidden_(hidden), classes_(classes) {
    const Index encoder = hidden * (inputs + 1), head = classes * (hidden + 1);
    parameters_.resize(encoder + head);
    gradient_ = Vector::Zero(encoder + head);
    velocity_ = Vector::Zero(encoder + head);
    const ballast::RandomStream random(seed, initialisation_stream);
    for (Index i = 0; i < parameters_.size(); ++i) {
      const double bound = 1 / std::sqrt(static_cast<double>(i < encoder ? inputs : hidden));
      const double uniform = random.uniform(static_cast<std::uint64_t>(i));
      parameters_[i] = static_cast<float>(bound * (2 * uniform - 1));
    }
  }

  /// features <- h, one row per row of `inputs`.
  void encode(const Eigen::Ref<const Matrix>& inputs, Eigen::Ref<Matrix> features) const {
    affine(inputs, encoder_weights(), encoder_bias(), features);
    features = features.cwiseMax(0.0f);
  }

  /// logits <- f; keeps h for `backward`.
  void forward(const Eigen::Ref<const Matrix>& inputs, Eigen::Ref<Matrix> logits) {
    if (features_.rows() < inputs.rows()) {
      features_.resize(inputs.rows(), hidden_);
      feature_gradient_.resize(inputs.rows(), hidden_);
    }
    auto features = features_.topRows(inputs.rows());
    encode(inputs, features);
    affine(features, head_weights(), head_bias(), logits);
  }

  /// The gradient of the loss in every parameter, from its gradient in the logits of the last `forward`.
  void backward(const Eigen::Ref<const Matrix>& inputs, const Eigen::Ref<const Matrix>& logit_gradient) {
    const auto features = features_.topRows(inputs.rows());
    auto feature_gradient = feature_gradient_.topRows(inputs.rows());
    feature_gradient.noalias() = logit_gradient * head_weights();
    mask_inactive(features_.data(), feature_gradient_.data(), inputs.rows() * hidden_);

    float* at = gradient_.data();
    at = write_layer_gradient(at, feature_gradient, inputs);
    write_layer_gradient(at, logit_gradient, features);
  }

  /// One step of SGD: v <- momentum v + g + weight_decay p, p <- p - rate v.
  void step(float rate) {
    velocity_ = momentum * velocity_ + gradient_ + weight_decay * parameters_;
    parameters_ -= rate * velocity_;
  }

  [[nodiscard]] Index hidden() const { return hidden_; }
  [[nodiscard]] Index classes() const { return classes_; }
  /// W, classes x hidden.
  [[nodiscard]] Eigen::Map<const Matrix> head_weights() const {
    return {parameters_.data() + hidden_ * (inputs_ + 1), classes_, hidden_};
  }
  /// b, one per class.
  [[nodiscard]] Eigen::Map<const Vector> head_bias() const {
    return {parameters_.data() + parameters_.size() - classes_, classes_};
  }
  [[nodiscard]] Vector& parameters() { return parameters_; }
  [[nodiscard]] const Vector& gradient() const { return gradient_; }

 private:
  static constexpr std::uint64_t initialisation_stream = 0x1217;

  [[nodiscard]] Eigen::Map<const Matrix> encoder_weights() const {
    return {parameters_.data(), hidden_, inputs_};
  }
  [[nodiscard]] Eigen::Map<const Vector> encoder_bias() const {
    return {parameters_.data() + hidden_ * inputs_, hidden_};
  }

  /// Products are taken over this many inputs at a time: what Eigen packs for one then fits into its buffer
  /// on the stack, so that nothing is allocated, and into the cache (1.3x on 784 inputs).
  static constexpr Index panel = 256;

  /// output <- input weights^T + bias
  static void affine(const Eigen::Ref<const Matrix>& input, const Eigen::Ref<const Matrix>& weights,
                     const Eigen::Ref<const Vector>& bias, Eigen::Ref<Matrix> output) {
    output.rowwise() = bias.transpose();
    for (Index begin = 0; begin < input.cols(); begin += panel) {
      const Index size = std::min(panel, input.cols() - begin);
      output.noalias() += input.middleCols(begin, size) * weights.middleCols(begin, size).transpose();
    }
  }

  /// ReLU backward. A plain loop: compilers vectorise it, Eigen 3.4 does not vectorise select().
  static void mask_inactive(const float* feature, float* gradient, Index size) {
    for (Index i = 0; i < size; ++i) gradient[i] = feature[i] > 0 ? gradient[i] : 0;
  }

  /// Gradient of a layer's weights, then of its bias; returns where the next layer's begins.
  static float* write_layer_gradient(float* at, const Eigen::Ref<const Matrix>& output_gradient,
                                     const Eigen::Ref<const Matrix>& input) {
    Eigen::Map<Matrix> weights(at, output_gradient.cols(), input.cols());
    for (Index begin = 0; begin < input.cols(); begin += panel) {
      const Index size = std::min(panel, input.cols() - begin);
      weights.middleCols(begin, size).noalias() = output_gradient.transpose() * input.middleCols(begin, size);
    }
    Eigen::Map<Vector> bias(at + weights.size(), output_gradient.cols());
    bias.setZero();
    for (Index i = 0; i < output_gradient.rows(); ++i) bias += output_gradient.row(i).transpose();
    return at + weights.size() + bias.size();
  }

  Index inputs_, hidden_, classes_;
  Vector parameters_, gradient_, velocity_;
  Matrix features_, feature_gradient_;  // h and dL/dh of the last batch
};

/// Learning rate at `step` of `steps`: a half cosine from `initial` down to 0.
inline float cosine_rate(float initial, Index step, Index steps) {
  const double turn = 3.14159265358979323846 * static_cast<double>(step) / static_cast<double>(steps);
  return initial * static_cast<float>(0.5 * (1 + std::cos(turn)));
}

}  // namespace example
