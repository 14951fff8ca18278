// SPDX-License-Identifier: MIT
//
// The synthetic experiment of Menon et al., "Long-tail learning via logit adjustment" (ICLR 2021, section
// 6.1): two Gaussians N(+-(1, 1), I), the positive class 5 % of the data, a linear model. What is the best
// possible is known exactly, so every method can be told apart from luck.

#include <ballast/ballast.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "support/chart.hpp"
#include "support/progress.hpp"
#include "support/repeat_options.hpp"

namespace {

using ballast::Index;
using ballast::RandomStream;

constexpr Index samples = 10000;
constexpr Index positives = samples / 20;

struct Trial {
  Eigen::MatrixXd inputs{samples, 2};
  Eigen::VectorXi labels{samples};

  explicit Trial(std::uint64_t seed) {
    const RandomStream random(seed);
    for (Index i = 0; i < samples; ++i) {
      labels[i] = i < positives ? 1 : 0;
      for (Index d = 0; d < 2; ++d) {
        inputs(i, d) = (labels[i] == 1 ? 1.0 : -1.0) + random.normal(static_cast<std::uint64_t>(2 * i + d));
      }
    }
  }
};

/// score = w . x + b, logits (0, score).
using Rule = Eigen::Vector3d;  // w_0, w_1, b

/// Exact balanced error of "positive where score + offset > 0" on the true distribution.
double balanced_error(const Rule& rule, double offset = 0.0) {
  const auto phi = [](double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
  };
  const double norm = rule.head<2>().norm(), drift = rule[0] + rule[1], bias = rule[2] + offset;
  return 0.5 * (phi(-(drift + bias) / norm) + phi(-(drift - bias) / norm));
}

/// The user's own trainer: Newton's method on three parameters, the Hessian by differences of the gradient.
template <typename Loss>
Rule train(const Trial& data, const Loss& loss) {
  Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(samples, 2), logit_gradient(samples, 2);
  const auto gradient = [&](const Rule& rule) -> Rule {
    logits.col(1) = data.inputs * rule.head<2>();
    logits.col(1).array() += rule[2];
    loss(logits, data.labels, logit_gradient);
    Rule result;
    result.head<2>() = data.inputs.transpose() * logit_gradient.col(1);
    result[2] = logit_gradient.col(1).sum();
    return result;
  };
  Rule rule = Rule::Zero(), slope = gradient(rule);
  for (int iteration = 0; iteration < 100 && slope.norm() > 1e-9; ++iteration) {
    Eigen::Matrix3d hessian;
    for (Index k = 0; k < 3; ++k) hessian.col(k) = (gradient(rule + 1e-5 * Rule::Unit(k)) - slope) / 1e-5;
    Rule step = -hessian.lu().solve(slope);
    step *= std::min(1.0, 1.0 / step.norm());  // far away the quadratic model is not to be trusted
    rule += step;
    slope = gradient(rule);
  }
  return rule;
}

struct Figures {
  std::string method;
  double population;  ///< exact, of the model trained on infinitely many samples
  std::vector<double> errors = {};

  [[nodiscard]] double mean() const {
    return Eigen::Map<const Eigen::VectorXd>(errors.data(), static_cast<Index>(errors.size())).mean();
  }
  [[nodiscard]] double deviation() const {
    if (errors.size() < 2) return 0;
    double squares = 0;
    for (const double error : errors) squares += (error - mean()) * (error - mean());
    return std::sqrt(squares / static_cast<double>(errors.size() - 1));
  }
};

/// BER(tau) of post-hoc adjustment in the population.
double exact_error(double tau) {
  const double c = std::log(19.0) / (2 * std::sqrt(2.0)), s = std::sqrt(2.0);
  const auto phi = [](double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
  };
  return 0.5 * (phi(-s + (1 - tau) * c) + phi(-s - (1 - tau) * c));
}

}  // namespace

int main(int argc, char** argv) try {
  const auto arguments = example::parse_repeat_options(argc, argv, "--trials", {100, "two_gaussians.svg"});
  if (arguments.help) {
    std::cout << "usage: two_gaussians [--trials N] [--svg FILE]   (100 trials, two_gaussians.svg)\n";
    return 0;
  }
  const auto classes =
      ballast::ClassDistribution::from_counts(Eigen::Vector2i(samples - positives, positives));
  const Eigen::VectorXd taus = Eigen::VectorXd::LinSpaced(21, 0, 2);
  const double step_to_tau = classes.log_prior()[0] - classes.log_prior()[1];

  Figures cross_entropy{"cross-entropy", exact_error(0)}, half{"post-hoc, tau 0.5", exact_error(0.5)};
  Figures post_hoc{"post-hoc, tau 1", exact_error(1)}, adjusted{"logit-adjusted loss", exact_error(1)};
  Figures equalized{"equalised loss", 0.0871}, adaptive{"adaptive margin", 0.162};
  Figures chosen{"post-hoc, tau chosen on other data", exact_error(1)};
  // The population's rule is 2 (x_0 + x_1) - ln 19: rows of norm sqrt 2, which normalising divides by.
  Figures kept{"weight-normalised, tau 1, bias kept",
               balanced_error({std::sqrt(2.0), std::sqrt(2.0), -std::log(19.0)})};
  Figures dropped{"weight-normalised, tau 1, bias dropped", exact_error(1)};
  std::vector<Figures> by_tau(21);

  {
    example::Progress progress;
    for (int t = 0; t < arguments.repeats; ++t) {
      progress.stage("trial " + std::to_string(t + 1) + " of " + std::to_string(arguments.repeats));
      const Trial data(static_cast<std::uint64_t>(t));
      const Rule rule = train(data, ballast::cross_entropy_loss<double>(2));
      cross_entropy.errors.push_back(balanced_error(rule));
      half.errors.push_back(balanced_error(rule, 0.5 * step_to_tau));
      post_hoc.errors.push_back(balanced_error(rule, step_to_tau));
      for (Index g = 0; g < 21; ++g) {
        by_tau[static_cast<std::size_t>(g)].errors.push_back(balanced_error(rule, taus[g] * step_to_tau));
      }
      adjusted.errors.push_back(balanced_error(train(data, ballast::logit_adjusted_loss<double>(classes))));
      equalized.errors.push_back(balanced_error(train(data, ballast::equalized_loss<double>(classes))));
      adaptive.errors.push_back(balanced_error(train(data, ballast::adaptive_margin_loss<double>(classes))));

      // The best tau of all real numbers, on other data from the same source.
      const Trial held_out(static_cast<std::uint64_t>(t) + 1000000);
      Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(samples, 2);
      logits.col(1) = (held_out.inputs * rule.head<2>()).array() + rule[2];
      const auto best = ballast::select_binary_tau(logits, held_out.labels, classes);
      chosen.errors.push_back(balanced_error(rule, best.tau * step_to_tau));

      // The rows of the softmax head are +-w / 2, of equal norm: normalising cannot favour a class.
      Eigen::MatrixXd weights(2, 2);
      weights << -rule.head<2>().transpose() / 2, rule.head<2>().transpose() / 2;
      const ballast::LinearHead<double> head(weights, Eigen::Vector2d(-rule[2] / 2, rule[2] / 2));
      const auto normalized = [&](ballast::BiasPolicy policy) {
        const auto scaled = ballast::tau_normalized(head, 1.0, policy);
        Rule result = Rule::Zero();
        result.head<2>() = (scaled.weights().row(1) - scaled.weights().row(0)).transpose();
        if (scaled.has_bias()) result[2] = scaled.bias()[1] - scaled.bias()[0];
        return result;
      };
      kept.errors.push_back(balanced_error(normalized(ballast::BiasPolicy::keep)));
      dropped.errors.push_back(balanced_error(normalized(ballast::BiasPolicy::drop)));
    }
  }

  std::printf("Two Gaussians, 5 %% positive: balanced error in %%, %d trials of %td samples\n\n",
              arguments.repeats, samples);
  std::printf("%-40s %8s  %9s  %10s\n", "", "mean", "deviation", "population");
  for (const Figures* row :
       {&cross_entropy, &adaptive, &equalized, &half, &post_hoc, &chosen, &adjusted, &kept, &dropped}) {
    std::printf("%-40s %8.2f  %9.2f  %10.2f\n", row->method.c_str(), 100 * row->mean(),
                100 * row->deviation(), 100 * row->population);
  }
  std::printf(
      "\nBayes error: %.2f. Dropping the bias is right here only because the two means are opposite.\n",
      100 * exact_error(1));

  example::Chart chart("Post-hoc logit adjustment of a linear model", "tau", "balanced error, %");
  example::Series exact{"exact, in the population", example::Series::Style::line, {}, {}, {}};
  for (double tau = 0; tau <= 2.0001; tau += 0.02) {
    exact.x.push_back(tau);
    exact.y.push_back(100 * exact_error(tau));
  }
  example::Series measured{"mean and deviation over trials", example::Series::Style::marks, {}, {}, {}};
  for (Index g = 0; g < 21; ++g) {
    const Figures& figures = by_tau[static_cast<std::size_t>(g)];
    measured.x.push_back(taus[g]);
    measured.y.push_back(100 * figures.mean());
    measured.bar.push_back(100 * figures.deviation());
  }
  example::Series bayes{"Bayes error", example::Series::Style::line, {0, 2}, {}, {}};
  bayes.y.assign(2, 100 * exact_error(1));
  chart.add(std::move(exact));
  chart.add(std::move(measured));
  chart.add(std::move(bayes));
  chart.write(arguments.svg);
  std::cout << "Picture: " << arguments.svg << '\n';
  return 0;
} catch (const example::InputError& error) {
  std::cerr << error.what() << '\n';
  return 2;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
