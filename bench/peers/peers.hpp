// SPDX-License-Identifier: MIT
// The libraries that people use today, on the problems of the benches. Plain pointers in, so that a peer's
// headers stay in its own source. A function of a library that was not found is declared but not defined: ask
// `if constexpr (have_...)` first.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

namespace bench::peers {

using ballast::Index;

inline constexpr bool have_libtorch = BALLAST_BENCH_LIBTORCH;
inline constexpr bool have_onednn = BALLAST_BENCH_ONEDNN;
inline constexpr bool have_openblas = BALLAST_BENCH_OPENBLAS;

/// One thread in every library that has threads of its own.
void one_thread();

/// "libtorch", or "libtorch_avx512" in a process with ATEN_CPU_CAPABILITY=avx512: it picks its kernels once.
std::string libtorch_name();

/// A computation, and its result as the last call left it.
struct Step {
  std::function<void()> call;
  std::function<Eigen::MatrixXd()> result;
};

/// Weighted mean of weights[y] * cross-entropy of softmax(logits + offset), and its gradient.
template <typename Scalar>
struct CrossEntropyProblem {
  Index samples;
  Index classes;
  bool row_major;
  const Scalar* logits;
  const std::int64_t* labels;
  const Scalar* offset;
  const Scalar* weights;
};

/// Autograd: forward and backward.
template <typename Scalar>
Step libtorch_cross_entropy(const CrossEntropyProblem<Scalar>& problem);

/// logsoftmax forward and backward. The offset is taken as added already, the weights are in the gradient
/// that comes down.
Step onednn_cross_entropy(const CrossEntropyProblem<float>& problem);

}  // namespace bench::peers
