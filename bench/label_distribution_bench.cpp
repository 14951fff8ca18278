// SPDX-License-Identifier: MIT
// LDS: from ten million labels to their weights, and the histogram within.

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>

#include <ballast/smoothing/label_distribution.hpp>

#include "peers/peers.hpp"
#include "support/cases.hpp"
#include "support/data.hpp"
#include "support/limits.hpp"

namespace {

using ballast::Index;
using bench::Implementation;
using bench::Pair;

constexpr Index samples = 10000000;
constexpr Index bins = 100;

struct Problem {
  Problem()
      : labels(bench::long_tailed_labels(samples, bins, 1)),
        narrow(labels.cast<std::int32_t>()),
        real(samples),
        weights(samples),
        counts(Eigen::VectorXd::Zero(bins)) {
    const ballast::RandomStream stream(2);
    for (Index i = 0; i < samples; ++i) {
      const double within = 0.999 * stream.uniform(static_cast<std::uint64_t>(i));
      real[i] = static_cast<float>(static_cast<double>(labels[i]) + within);
      counts[labels[i]] += 1;
    }
    Eigen::VectorXd density = kernel().matrix(partition) * counts.cwiseSqrt();
    bin_weights = density.cwiseInverse();
    bin_weights *= static_cast<double>(samples) / counts.dot(bin_weights);
    window = kernel().window().cast<float>();
  }

  static ballast::SmoothingKernel kernel() {
    return ballast::SmoothingKernel::gaussian(5, 2.0, ballast::EdgeRule::zero);
  }

  [[nodiscard]] bench::peers::LabelWeightProblem problem() const {
    return {samples, bins, labels.data(), real.data(), window.data(), window.size()};
  }

  /// Of weights, in units of 1e-4.
  template <typename Weights>
  [[nodiscard]] double weights_error(const Weights& came) const {
    double largest = 0;
    for (Index i = 0; i < samples; i += 997) {
      const double expected = bin_weights[labels[i]];
      largest = std::max(largest, std::abs(static_cast<double>(came[i]) - expected) / expected);
    }
    return largest / 1e-4;
  }
  /// Of counts, in units of one sample in ten million.
  template <typename Counts>
  [[nodiscard]] double counts_error(const Counts& came) const {
    return (came.template cast<double>() - counts).cwiseAbs().maxCoeff();
  }

  ballast::LabelBins partition = ballast::LabelBins::uniform(0, static_cast<double>(bins), bins);
  bench::Labels labels;
  ballast::VectorX<std::int32_t> narrow;
  Eigen::VectorXf real, weights;
  Eigen::VectorXd counts, bin_weights;
  Eigen::VectorXf window;
};

using ProblemPtr = std::shared_ptr<Problem>;

Implementation our_weights(const ProblemPtr& problem) {
  return {[=] {
            ballast::LabelDistributionSmoothing::Options options;
            options.reweighting = ballast::Reweighting::inverse_square_root;
            const ballast::LabelDistributionSmoothing lds(problem->partition, Problem::kernel(),
                                                          problem->labels, options);
            lds.sample_weights(problem->labels, problem->weights);
          },
          [=] {
            return problem->weights_error(problem->weights);
          }};
}

template <typename Member>
Implementation our_histogram(const ProblemPtr& problem, Member member) {
  const auto counts = std::make_shared<ballast::CountVector>();
  return {[=] { *counts = problem->partition.count((*problem).*member); },
          [=] {
            return problem->counts_error(*counts);
          }};
}

template <typename Make, typename Error>
Implementation peer(const ProblemPtr& problem, Make make, Error error) {
  const auto step = make(problem->problem());
  return {step.call, [=] {
            return error(Eigen::VectorXd(step.result()));
          }};
}

Implementation read_only(const ProblemPtr& problem) {
  return {[=] {
    bench::limits::read_only(problem->narrow.data(), samples);
  }};
}

}  // namespace

void bench::register_cases() {
  const auto add_case = [](const std::string& what, const std::string& against, auto ours, auto reference) {
    bench::add("lds", what + "/1e7_labels/100_bins", against, [=] {
      const auto problem = std::make_shared<Problem>();
      return Pair{ours(problem), reference(problem)};
    });
  };
  const auto integer_histogram = [](const ProblemPtr& problem) {
    return our_histogram(problem, &Problem::narrow);
  };
  const auto real_histogram = [](const ProblemPtr& problem) {
    return our_histogram(problem, &Problem::real);
  };
  add_case("histogram/int", "read_only", integer_histogram, read_only);
  add_case("histogram/float", "read_only", real_histogram, read_only);
  if constexpr (peers::have_libtorch) {
    add_case("weights", "libtorch", our_weights, [](const ProblemPtr& problem) {
      return peer(problem, peers::libtorch_label_weights,
                  [=](const Eigen::VectorXd& came) { return problem->weights_error(came); });
    });
    add_case("histogram/float", "libtorch_histc", real_histogram, [](const ProblemPtr& problem) {
      return peer(problem, peers::libtorch_histogram,
                  [=](const Eigen::VectorXd& came) { return problem->counts_error(came); });
    });
  }
}
