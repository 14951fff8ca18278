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

/// Features in label bins.
struct BinnedFeatures {
  Index samples;
  Index dimensions;
  Index bins;
  const float* features;  // row-major
  const std::int64_t* labels;
};

/// Adds counts, sums and squares to running ones with index_add. The result is the mean.
Step libtorch_index_add(const BinnedFeatures& problem);

/// The update of the running mean and variance of the published FDS code: a loop over the labels that occur,
/// each with its own mask. The result is the mean.
Step published_update(const BinnedFeatures& problem);

/// For each bin: gather, centre, multiply. The result is the sums of products, stacked.
Step libtorch_covariance(const BinnedFeatures& problem);
Step openblas_covariance(const BinnedFeatures& problem);

/// z' = A_b (z - mu_b) + mu'_b.
struct CalibrationProblem {
  BinnedFeatures batch;
  const float* mean;  // bins x dimensions
  const float* map;   // A_b: its diagonal, bins x dimensions; or stacked, (bins * dimensions) x dimensions
  const float* target_mean;  // bins x dimensions
};

/// The diagonal form through index_select.
Step libtorch_gather_calibration(const CalibrationProblem& problem);

/// The diagonal form as the published code has it: a loop over the labels that occur, each with its own mask.
Step published_calibration(const CalibrationProblem& problem);

/// The full form: for each bin index_select, addmm, index_copy.
Step libtorch_full_calibration(const CalibrationProblem& problem);

/// Draws of classes, with replacement.
Step libtorch_multinomial(const double* weights, Index classes, Index draws);

struct LabelWeightProblem {
  Index samples;
  Index bins;
  const std::int64_t* labels;  // bins
  const float* real_labels;    // in [0, bins)
  const float* window;         // sums to 1
  Index window_size;
};

/// bincount, conv1d, rsqrt, index_select, scaled to mean 1.
Step libtorch_label_weights(const LabelWeightProblem& problem);

/// histc of the real labels.
Step libtorch_histogram(const LabelWeightProblem& problem);

/// weights / norm^tau.
Step libtorch_tau_normalize(const float* weights, Index classes, Index dimensions, double tau);

/// (logits - offset).argmax(1).
Step libtorch_argmax(const float* logits, const float* offset, Index samples, Index classes);

}  // namespace bench::peers
