// SPDX-License-Identifier: MIT
#include <torch/torch.h>

#include <type_traits>

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

}  // namespace bench::peers
