// SPDX-License-Identifier: MIT
#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "peers/peers.hpp"

namespace bench::peers {

namespace {

template <typename Scalar>
constexpr torch::ScalarType type_of = std::is_same_v<Scalar, float>          ? torch::kFloat32
                                      : std::is_same_v<Scalar, double>       ? torch::kFloat64
                                      : std::is_same_v<Scalar, std::int64_t> ? torch::kInt64
                                                                             : torch::kInt32;

/// The memory itself, not a copy.
template <typename Scalar>
torch::Tensor tensor(const Scalar* data, torch::IntArrayRef sizes, torch::IntArrayRef strides = {}) {
  Scalar* memory = const_cast<Scalar*>(data);  // from_blob has no read-only form
  return strides.empty() ? torch::from_blob(memory, sizes, type_of<Scalar>)
                         : torch::from_blob(memory, sizes, strides, type_of<Scalar>);
}

Eigen::MatrixXd matrix(const torch::Tensor& tensor) {
  const torch::Tensor rows = tensor.detach().to(torch::kFloat64).reshape({tensor.size(0), -1}).contiguous();
  return Eigen::Map<const ballast::RowMatrixX<double>>(rows.data_ptr<double>(), rows.size(0), rows.size(1));
}

}  // namespace

template <typename Scalar>
Step libtorch_cross_entropy(const CrossEntropyProblem<Scalar>& p) {
  torch::Tensor logits =
      p.row_major ? tensor(p.logits, {p.samples, p.classes})
                  : tensor(p.logits, {p.samples, p.classes}, {std::int64_t(1), std::int64_t(p.samples)});
  logits.requires_grad_(true);
  const torch::Tensor labels = tensor(p.labels, {p.samples});
  const torch::Tensor offset = tensor(p.offset, {p.classes});
  const auto options =
      torch::nn::functional::CrossEntropyFuncOptions().weight(tensor(p.weights, {p.classes}));
  const auto call = [=]() mutable {
    logits.mutable_grad().reset();
    torch::nn::functional::cross_entropy(logits + offset, labels, options).backward();
  };
  return {call, [=] {
            return matrix(logits.grad());
          }};
}

template Step libtorch_cross_entropy(const CrossEntropyProblem<float>&);
template Step libtorch_cross_entropy(const CrossEntropyProblem<double>&);

namespace {

torch::Tensor features_of(const BinnedFeatures& p) {
  return tensor(p.features, {p.samples, p.dimensions});
}
torch::Tensor labels_of(const BinnedFeatures& p) {
  return tensor(p.labels, {p.samples});
}

/// Where each bin has its samples.
std::vector<torch::Tensor> positions(const BinnedFeatures& p) {
  std::vector<torch::Tensor> result;
  for (Index b = 0; b < p.bins; ++b) result.push_back(labels_of(p).eq(b).nonzero().flatten());
  return result;
}

}  // namespace

Step libtorch_index_add(const BinnedFeatures& p) {
  const torch::Tensor features = features_of(p), labels = labels_of(p);
  const torch::Tensor counts = torch::zeros({p.bins}), sums = torch::zeros({p.bins, p.dimensions}),
                      squares = torch::zeros({p.bins, p.dimensions}), ones = torch::ones({p.samples});
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    counts.index_add_(0, labels, ones);
    sums.index_add_(0, labels, features);
    squares.index_add_(0, labels, features * features);
  };
  return {call, [=] {
            return matrix(sums / counts.clamp_min(1).unsqueeze(1));
          }};
}

Step published_update(const BinnedFeatures& p) {
  const torch::Tensor features = features_of(p), labels = labels_of(p);
  const torch::Tensor counts = torch::zeros({p.bins}), mean = torch::zeros({p.bins, p.dimensions}),
                      variance = torch::ones({p.bins, p.dimensions});
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    const torch::Tensor present = std::get<0>(at::_unique(labels));
    for (std::int64_t i = 0; i < present.size(0); ++i) {
      const std::int64_t label = present[i].item<std::int64_t>();
      const torch::Tensor rows = features.index({labels == label});
      const torch::Tensor batch_mean = rows.mean(0);
      const torch::Tensor batch_variance = rows.var(0, rows.size(0) != 1);
      const float before = counts[label].item<float>();
      counts[label] += rows.size(0);
      const float factor = before / (before + static_cast<float>(rows.size(0)));  // momentum None
      mean[label] = (1 - factor) * batch_mean + factor * mean[label];
      variance[label] = (1 - factor) * batch_variance + factor * variance[label];
    }
  };
  return {call, [=] {
            return matrix(mean);
          }};
}

Step libtorch_covariance(const BinnedFeatures& p) {
  const torch::Tensor features = features_of(p);
  const torch::Tensor products = torch::zeros({p.bins, p.dimensions, p.dimensions});
  const auto rows_of = positions(p);
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    for (std::size_t b = 0; b < rows_of.size(); ++b) {
      const torch::Tensor rows = features.index_select(0, rows_of[b]);
      const torch::Tensor centred = rows - rows.mean(0);
      products[static_cast<std::int64_t>(b)] = torch::mm(centred.t(), centred);
    }
  };
  return {call, [=] {
            return matrix(products.view({p.bins * p.dimensions, p.dimensions}));
          }};
}

Step libtorch_gather_calibration(const CalibrationProblem& p) {
  const torch::Tensor features = features_of(p.batch), labels = labels_of(p.batch);
  const torch::Tensor mean = tensor(p.mean, {p.batch.bins, p.batch.dimensions}),
                      scale = tensor(p.map, {p.batch.bins, p.batch.dimensions}),
                      target = tensor(p.target_mean, {p.batch.bins, p.batch.dimensions});
  const auto result = std::make_shared<torch::Tensor>();
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    *result = (features - mean.index_select(0, labels)) * scale.index_select(0, labels) +
              target.index_select(0, labels);
  };
  return {call, [=] {
            return matrix(*result);
          }};
}

Step published_calibration(const CalibrationProblem& p) {
  const torch::Tensor features = features_of(p.batch), labels = labels_of(p.batch);
  const torch::Tensor mean = tensor(p.mean, {p.batch.bins, p.batch.dimensions}),
                      scale = tensor(p.map, {p.batch.bins, p.batch.dimensions}),
                      target = tensor(p.target_mean, {p.batch.bins, p.batch.dimensions});
  // Variances whose ratio is the square of the scale.
  const torch::Tensor variance = torch::ones_like(scale), target_variance = scale * scale;
  const auto result = std::make_shared<torch::Tensor>();
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    torch::Tensor smoothed = features.clone();  // there in place; the batch is needed again here
    const torch::Tensor present = std::get<0>(at::_unique(labels));
    for (std::int64_t i = 0; i < present.size(0); ++i) {
      const std::int64_t label = present[i].item<std::int64_t>();
      const torch::Tensor mask = labels == label;
      const torch::Tensor rows = smoothed.index({mask});
      const torch::Tensor ratio = torch::clamp(target_variance[label] / variance[label], 0.1, 10.0);
      smoothed.index_put_({mask}, (rows - mean[label]) * torch::sqrt(ratio) + target[label]);
    }
    *result = smoothed;
  };
  return {call, [=] {
            return matrix(*result);
          }};
}

Step libtorch_full_calibration(const CalibrationProblem& p) {
  const torch::Tensor features = features_of(p.batch);
  const torch::Tensor mean = tensor(p.mean, {p.batch.bins, p.batch.dimensions}),
                      map = tensor(p.map, {p.batch.bins, p.batch.dimensions, p.batch.dimensions}),
                      target = tensor(p.target_mean, {p.batch.bins, p.batch.dimensions});
  const auto rows_of = positions(p.batch);
  const torch::Tensor smoothed = torch::empty_like(features);
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    for (std::size_t i = 0; i < rows_of.size(); ++i) {
      const auto b = static_cast<std::int64_t>(i);
      const torch::Tensor centred = features.index_select(0, rows_of[i]) - mean[b];
      smoothed.index_copy_(0, rows_of[i], torch::addmm(target[b], centred, map[b].t()));
    }
  };
  return {call, [=] {
            return matrix(smoothed);
          }};
}

Step libtorch_multinomial(const double* weights, Index classes, Index draws) {
  const torch::Tensor probabilities = tensor(weights, {classes}).to(torch::kFloat32);
  const auto drawn = std::make_shared<torch::Tensor>();
  return {[=] { *drawn = torch::multinomial(probabilities, draws, true); },
          [=] {
            return matrix(*drawn);
          }};
}

Step libtorch_label_weights(const LabelWeightProblem& p) {
  const torch::Tensor labels = tensor(p.labels, {p.samples});
  const torch::Tensor window = tensor(p.window, {1, 1, p.window_size});
  const auto result = std::make_shared<torch::Tensor>();
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    const torch::Tensor counts = torch::bincount(labels, {}, p.bins).to(torch::kFloat32);
    const torch::Tensor density =
        torch::conv1d(counts.sqrt().view({1, 1, p.bins}), window, {}, 1, p.window_size / 2).view({p.bins});
    const torch::Tensor weights = density.reciprocal().index_select(0, labels);
    *result = weights * (static_cast<float>(p.samples) / weights.sum());
  };
  return {call, [=] {
            return matrix(*result);
          }};
}

Step libtorch_histogram(const LabelWeightProblem& p) {
  const torch::Tensor labels = tensor(p.real_labels, {p.samples});
  const auto counts = std::make_shared<torch::Tensor>();
  return {[=] { *counts = torch::histc(labels, p.bins, 0, p.bins); },
          [=] {
            return matrix(*counts);
          }};
}

Step libtorch_tau_normalize(const float* weights, Index classes, Index dimensions, double tau) {
  const torch::Tensor head = tensor(weights, {classes, dimensions});
  const auto result = std::make_shared<torch::Tensor>();
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    *result = head / head.norm(2, {1}, true).pow(tau);
  };
  return {call, [=] {
            return matrix(*result);
          }};
}

Step libtorch_argmax(const float* logits, const float* offset, Index samples, Index classes) {
  const torch::Tensor batch = tensor(logits, {samples, classes}), subtracted = tensor(offset, {classes});
  const auto result = std::make_shared<torch::Tensor>();
  const auto call = [=] {
    const torch::NoGradGuard no_grad;
    *result = (batch - subtracted).argmax(1);
  };
  return {call, [=] {
            return matrix(*result);
          }};
}

}  // namespace bench::peers
