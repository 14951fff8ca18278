// SPDX-License-Identifier: MIT
// One training step of the logit-adjusted, class-weighted cross-entropy: value and gradient.

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <type_traits>

#include <ballast/core/exp.hpp>
#include <ballast/losses/presets.hpp>
#include <ballast/losses/softmax_loss.hpp>

#include "peers/peers.hpp"
#include "support/cases.hpp"
#include "support/data.hpp"
#include "support/limits.hpp"

namespace {

using ballast::Index;
using ballast::VectorX;
using bench::Implementation;
using bench::Pair;

template <typename Scalar, int Order>
using Matrix = Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic, Order>;

/// A batch, the loss that is measured on it, and what the gradient should be.
template <typename Scalar, int Order>
struct Batch {
  Batch(Index samples, Index classes)
      : distribution(bench::long_tail(classes)),
        logits(bench::normal_matrix<Matrix<Scalar, Order>>(samples, classes, 1)),
        gradient(Matrix<Scalar, Order>::Zero(samples, classes)),
        labels(bench::uniform_labels(samples, classes, 2)),
        offset(distribution.log_prior().cast<Scalar>()),
        weights(ballast::effective_number_weights<Scalar>(distribution, 0.9999)),
        expected(gradient_in_double()) {}

  Eigen::MatrixXd gradient_in_double() const {
    Eigen::MatrixXd p = logits.template cast<double>().rowwise() + offset.template cast<double>().transpose();
    p.colwise() -= p.rowwise().maxCoeff().eval();
    p = p.array().exp();
    p.array().colwise() /= p.rowwise().sum().array().eval();
    double total = 0;
    for (const std::int64_t label : labels) total += static_cast<double>(weights[label]);
    for (Index i = 0; i < p.rows(); ++i) {
      p(i, labels[i]) -= 1;
      p.row(i) *= static_cast<double>(weights[labels[i]]) / total;
    }
    return p;
  }

  /// In units of 64 epsilon of the largest entry: an argument of exp, below 32 in size, is off by 16 epsilon,
  /// the sums and products by a few more.
  template <typename Gradient>
  double error(const Gradient& came) const {
    const double bound =
        64 * static_cast<double>(std::numeric_limits<Scalar>::epsilon()) * expected.cwiseAbs().maxCoeff();
    return (came.template cast<double>() - expected).cwiseAbs().maxCoeff() / bound;
  }

  ballast::ClassDistribution distribution;
  Matrix<Scalar, Order> logits, gradient;
  bench::Labels labels;
  VectorX<Scalar> offset, weights;
  Eigen::MatrixXd expected;
};

template <typename Scalar, int Order>
using BatchPtr = std::shared_ptr<Batch<Scalar, Order>>;

template <typename Scalar, int Order>
Implementation ours(const BatchPtr<Scalar, Order>& batch) {
  const auto loss = ballast::softmax_loss<Scalar>(
      batch->weights, ballast::prior_margin<Scalar>(batch->distribution, Scalar(1)), ballast::CrossEntropy{});
  return {[=] { benchmark::DoNotOptimize(loss(batch->logits, batch->labels, batch->gradient)); },
          [=] {
            return batch->error(batch->gradient);
          }};
}

/// The gradient overwrites the logits, so each call starts from the last one's gradient.
template <typename Scalar, int Order>
Implementation ours_in_place(const BatchPtr<Scalar, Order>& batch) {
  const auto loss = ballast::softmax_loss<Scalar>(
      batch->weights, ballast::prior_margin<Scalar>(batch->distribution, Scalar(1)), ballast::CrossEntropy{});
  const auto logits = std::make_shared<Matrix<Scalar, Order>>(batch->logits);
  return {[=] { benchmark::DoNotOptimize(loss(*logits, batch->labels, *logits)); },
          [=] {
            return batch->error(*logits);
          }};
}

/// What one writes with Eigen in five lines.
template <typename Scalar, int Order>
Implementation eigen_naive(const BatchPtr<Scalar, Order>& batch) {
  const auto call = [=] {
    const auto& b = *batch;
    auto& g = batch->gradient;
    VectorX<Scalar> weight(b.labels.size());
    for (Index i = 0; i < weight.size(); ++i) weight[i] = b.weights[b.labels[i]];
    weight /= weight.sum();
    g = b.logits.rowwise() + b.offset.transpose();
    g = (g.colwise() - g.rowwise().maxCoeff().eval()).array().exp();
    g.array().colwise() /= g.rowwise().sum().array().eval();
    Scalar value = 0;
    for (Index i = 0; i < weight.size(); ++i) value -= weight[i] * std::log(g(i, b.labels[i]));
    for (Index i = 0; i < weight.size(); ++i) g(i, b.labels[i]) -= 1;
    g.array().colwise() *= weight.array();
    benchmark::DoNotOptimize(value);
  };
  return {call, [=] {
            return batch->error(batch->gradient);
          }};
}

template <typename Scalar, int Order>
Implementation peer(const BatchPtr<Scalar, Order>& batch,
                    bench::peers::Step make(const bench::peers::CrossEntropyProblem<Scalar>&)) {
  const auto step =
      make({batch->logits.rows(), batch->logits.cols(), Order == Eigen::RowMajor, batch->logits.data(),
            batch->labels.data(), batch->offset.data(), batch->weights.data()});
  return {[=] { step.call(); },
          [=] {
            return batch->error(step.result());
          }};
}

/// exp of every logit, read and written, by the library's own exp.
template <typename Scalar, int Order>
Implementation exp_only(const BatchPtr<Scalar, Order>& batch) {
  return {[=] {
    namespace ei = Eigen::internal;
    using Packet = bench::limits::PacketOf<Scalar>;
    constexpr Index n = bench::limits::lanes<Scalar>;
    const Scalar* from = batch->logits.data();
    Scalar* to = batch->gradient.data();
    const Packet shift = ei::pset1<Packet>(Scalar(-8));
    const auto shifted_exp = [&](Index i) {
      const Packet x = ei::padd(ei::ploadu<Packet>(from + i), shift);
      ei::pstoreu(to + i, ballast::detail::exp_nonpositive<Scalar>(x));
    };
    for (Index i = 0; i + 2 * n <= batch->logits.size(); i += 2 * n) {
      shifted_exp(i);
      shifted_exp(i + n);
    }
  }};
}

template <typename Scalar, int Order>
Implementation memory_copy(const BatchPtr<Scalar, Order>& batch) {
  return {[=] {
    bench::limits::copy(batch->logits.data(), batch->logits.size(), batch->gradient.data());
  }};
}

template <typename Scalar, int Order>
void add_shape(Index samples, Index classes) {
  using Problem = Batch<Scalar, Order>;
  const std::string kernel = "softmax_ce";
  const std::string parameters = std::string(std::is_same_v<Scalar, float> ? "float" : "double") +
                                 (Order == Eigen::RowMajor ? "/row/" : "/col/") + std::to_string(samples) +
                                 "x" + std::to_string(classes);
  const auto against = [=](const std::string& name, auto reference) {
    bench::add(kernel, parameters, name, [=] {
      const auto batch = std::make_shared<Problem>(samples, classes);
      return Pair{ours(batch), reference(batch)};
    });
  };
  against("eigen_naive", eigen_naive<Scalar, Order>);
  against("exp_only", exp_only<Scalar, Order>);
  against("memcpy", memory_copy<Scalar, Order>);
  bench::add(kernel, parameters + "/in_place", "memcpy", [=] {
    const auto batch = std::make_shared<Problem>(samples, classes);
    return Pair{ours_in_place(batch), memory_copy(batch)};
  });
  if constexpr (Order == Eigen::ColMajor) {
    bench::add(kernel, parameters, "row_major", [=] {
      return Pair{ours(std::make_shared<Problem>(samples, classes)),
                  ours(std::make_shared<Batch<Scalar, Eigen::RowMajor>>(samples, classes))};
    });
  }
  if constexpr (bench::peers::have_libtorch) {
    against(bench::peers::libtorch_name(), [](const auto& batch) {
      return peer<Scalar, Order>(batch, bench::peers::libtorch_cross_entropy<Scalar>);
    });
  }
  if constexpr (bench::peers::have_onednn && std::is_same_v<Scalar, float> && Order == Eigen::RowMajor) {
    against("onednn",
            [](const auto& batch) { return peer<Scalar, Order>(batch, bench::peers::onednn_cross_entropy); });
  }
}

template <typename Scalar>
void add_shapes(Index samples, Index classes) {
  add_shape<Scalar, Eigen::RowMajor>(samples, classes);
  add_shape<Scalar, Eigen::ColMajor>(samples, classes);
}

}  // namespace

void bench::register_cases() {
  for (const auto& [samples, classes] :
       {std::pair<Index, Index>{8192, 2}, {8192, 10}, {2048, 100}, {256, 1000}, {256, 10000}, {8192, 1000}}) {
    add_shapes<float>(samples, classes);
    add_shapes<double>(samples, classes);
  }
}
