// SPDX-License-Identifier: MIT
// Draws of a class with replacement, in a batch.

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include <ballast/sampling/class_sampler.hpp>

#include "peers/peers.hpp"
#include "support/cases.hpp"
#include "support/data.hpp"
#include "support/limits.hpp"

namespace {

using ballast::Index;
using ballast::IndexVector;
using bench::Implementation;
using bench::Pair;

constexpr Index draws = 100000;

/// Classes of probability ~ 1 / (k + 1), in shuffled order.
struct Problem {
  explicit Problem(Index classes) : weights(classes), drawn(draws) {
    const bench::Labels order = bench::shuffled_labels(1, classes, 1);
    for (Index k = 0; k < classes; ++k) weights[order[k]] = 1.0 / static_cast<double>(k + 1);
    weights /= weights.sum();
  }

  /// Largest deviation of a class's count, in units of six standard deviations.
  template <typename Drawn>
  [[nodiscard]] double error(const Drawn& classes) const {
    Eigen::VectorXd counts = Eigen::VectorXd::Zero(weights.size());
    for (Index i = 0; i < draws; ++i) counts[static_cast<Index>(classes[i])] += 1;
    double largest = 0;
    for (Index k = 0; k < weights.size(); ++k) {
      const double expected = draws * weights[k];
      // The one is for rare classes, whose counts are no longer normal.
      largest = std::max(largest, std::abs(counts[k] - expected) / (6 * std::sqrt(expected + 1)));
    }
    return largest;
  }

  Eigen::VectorXd weights;
  IndexVector drawn;
};

using ProblemPtr = std::shared_ptr<Problem>;

Implementation ours(const ProblemPtr& problem) {
  const auto sampler = std::make_shared<ballast::ClassProbabilitySampler>(
      IndexVector::LinSpaced(problem->weights.size(), 0, problem->weights.size() - 1), problem->weights, 7);
  const auto position = std::make_shared<Index>(0);
  return {[=] {
            sampler->draw_classes(0, *position, problem->drawn);
            *position += draws;
          },
          [=] {
            return problem->error(problem->drawn);
          }};
}

Implementation standard(const ProblemPtr& problem) {
  struct State {
    std::mt19937_64 generator{7};
    std::discrete_distribution<Index> distribution;
  };
  const auto state = std::make_shared<State>();
  state->distribution = {problem->weights.begin(), problem->weights.end()};
  return {[=] {
            for (Index& drawn : problem->drawn) drawn = state->distribution(state->generator);
          },
          [=] {
            return problem->error(problem->drawn);
          }};
}

Implementation multinomial(const ProblemPtr& problem) {
  const auto step =
      bench::peers::libtorch_multinomial(problem->weights.data(), problem->weights.size(), draws);
  return {step.call, [=] {
            return problem->error(Eigen::VectorXd(step.result()));
          }};
}

Implementation generator_only(const ProblemPtr&) {
  const auto out = std::make_shared<std::vector<std::uint64_t>>(static_cast<std::size_t>(draws));
  return {[=, stream = ballast::RandomStream(7)] {
    stream.fill(0, out->size(), out->data());
    benchmark::DoNotOptimize(out->data());
  }};
}

}  // namespace

void bench::register_cases() {
  for (const Index classes : {10, 1000, 100000}) {
    const auto against = [=](const std::string& name, auto reference) {
      bench::add("class_draw", std::to_string(classes) + "_classes", name, [=] {
        const auto problem = std::make_shared<Problem>(classes);
        return Pair{ours(problem), reference(problem)};
      });
    };
    against("std_discrete_distribution", standard);
    against("generator_only", generator_only);
    if constexpr (peers::have_libtorch) against("libtorch_multinomial", multinomial);
  }
}
