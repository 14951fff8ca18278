// SPDX-License-Identifier: MIT
// tau-normalisation of the weights of a large head.

#include <cmath>
#include <memory>
#include <string>

#include <ballast/classifiers/tau_normalized.hpp>

#include "peers/peers.hpp"
#include "support/cases.hpp"
#include "support/data.hpp"
#include "support/limits.hpp"

namespace {

using ballast::Index;
using bench::Implementation;
using bench::Pair;
using Weights = ballast::RowMatrixX<float>;

constexpr float tau = 0.7f;

struct Head {
  Head(Index classes, Index dimensions)
      : weights(bench::normal_matrix<Weights>(classes, dimensions, 1)),
        in_place(weights),
        normalized(Weights::Zero(classes, dimensions)) {}

  /// In units of 64 epsilon, relative: a norm of a few thousand terms and a power.
  template <typename Came>
  [[nodiscard]] double error(const Came& came) const {
    double largest = 0;
    for (Index i = 0; i < weights.rows(); i += 101) {
      const Eigen::RowVectorXd row = weights.row(i).cast<double>();
      const Eigen::RowVectorXd expected = row / std::pow(row.norm(), static_cast<double>(tau));
      largest = std::max(largest, (came.row(i).template cast<double>() - expected).cwiseAbs().maxCoeff() /
                                      expected.cwiseAbs().maxCoeff());
    }
    return largest / (64 * 1.2e-7);
  }

  Weights weights, in_place, normalized;
};

using HeadPtr = std::shared_ptr<Head>;

Implementation ours(const HeadPtr& head) {
  return {[=] { ballast::tau_normalize(head->weights, tau, head->normalized); },
          [=] {
            return head->error(head->normalized);
          }};
}

/// Norms move towards 1 with every call, which costs the same.
Implementation ours_in_place(const HeadPtr& head) {
  return {[=] { ballast::tau_normalize(head->in_place, tau, head->in_place); },
          [=] {
            return head->error(head->in_place);
          }};
}

Implementation memory_copy(const HeadPtr& head) {
  return {[=] {
    bench::limits::copy(head->weights.data(), head->weights.size(), head->normalized.data());
  }};
}

Implementation libtorch(const HeadPtr& head) {
  const auto step = bench::peers::libtorch_tau_normalize(head->weights.data(), head->weights.rows(),
                                                         head->weights.cols(), static_cast<double>(tau));
  return {step.call, [=] {
            return head->error(step.result());
          }};
}

}  // namespace

void bench::register_cases() {
  const Index classes = 10000, dimensions = 2048;
  const auto add_case = [=](const std::string& parameters, const std::string& against, auto our_call,
                            auto reference) {
    bench::add("tau_normalize", parameters, against, [=] {
      const auto head = std::make_shared<Head>(classes, dimensions);
      return Pair{our_call(head), reference(head)};
    });
  };
  add_case("10000x2048", "memcpy", ours, memory_copy);
  add_case("10000x2048/in_place", "memcpy", ours_in_place, memory_copy);
  if constexpr (peers::have_libtorch) add_case("10000x2048", peers::libtorch_name(), ours, libtorch);
}
