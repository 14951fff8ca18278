// SPDX-License-Identifier: MIT
//
// A letter model trained on a long tail meets test sets with other class priors. What is lost by not knowing
// the prior, and how much of it comes back when the prior is estimated from the unlabelled test set itself?

#include <ballast/ballast.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "support/chart.hpp"
#include "support/letter.hpp"
#include "support/progress.hpp"
#include "support/repeat_options.hpp"

namespace {

using ballast::Index;
using example::Dataset;
using example::Matrix;

struct Shift {
  std::string name;
  Eigen::VectorXd prior;  ///< what the test set is drawn with, up to rounding
};

/// The training prior pi itself, through uniform, to its opposite: pi^s; and one that has nothing to do with
/// it.
constexpr double powers[] = {1, 0.5, 0, -0.5, -1};
constexpr const char* power_names[] = {"pi (as trained)", "pi^0.5", "uniform", "pi^-0.5", "pi^-1"};

std::vector<Shift> shifts(const ballast::ClassDistribution& training) {
  std::vector<Shift> result;
  for (std::size_t s = 0; s < std::size(powers); ++s) {
    result.push_back({power_names[s], training.prior().array().pow(powers[s])});
  }
  Eigen::VectorXd random(training.classes());
  const ballast::RandomStream stream(7);
  for (Index j = 0; j < random.size(); ++j) {
    random[j] = std::exp(2 * stream.normal(static_cast<std::uint64_t>(j)));
  }
  result.push_back({"log-normal", random});
  for (Shift& shift : result) shift.prior /= shift.prior.sum();
  return result;
}

/// What was reached under one shift, each a mean over seeds.
struct Row {
  double none = 0, known = 0, em = 0, bbse = 0, balanced = 0;  ///< accuracies
  double em_distance = 0, bbse_distance = 0;                   ///< half the sum of |estimate - truth|
  int clipped = 0;
};

void softmax(Matrix& logits) {
  for (Index i = 0; i < logits.rows(); ++i) {
    logits.row(i).array() = (logits.row(i).array() - logits.row(i).maxCoeff()).exp();
    logits.row(i) /= logits.row(i).sum();
  }
}

double accuracy(const Matrix& logits, const Eigen::VectorXi& labels, const Eigen::VectorXd& shift) {
  Eigen::VectorXi predictions(labels.size());
  ballast::LogitAdjustment<float>(Eigen::VectorXf(shift.cast<float>())).predict(logits, predictions);
  return static_cast<double>((predictions.array() == labels.array()).count()) /
         static_cast<double>(labels.size());
}

/// A confusion matrix of probabilities: how much of each class a sample of each label is given.
Eigen::MatrixXd soft_confusion(const Matrix& probabilities, const Eigen::VectorXi& labels) {
  Eigen::MatrixXd confusion = Eigen::MatrixXd::Zero(probabilities.cols(), probabilities.cols());
  for (Index i = 0; i < labels.size(); ++i) confusion.row(labels[i]) += probabilities.row(i).cast<double>();
  return confusion;
}

void run(std::uint64_t seed, example::Progress& progress, std::vector<Row>& rows) {
  const example::LetterModel model = example::letter_model(seed, progress);
  const ballast::ClassDistribution training(model.train.labels, model.train.classes);

  // EM believes the probabilities, so they are calibrated first.
  ballast::BiasCorrectedTemperature<float> calibration;
  calibration.fit(model.validation_logits, model.train.labels);
  Matrix validation = model.validation_logits, test = model.test_logits;
  calibration.apply(validation, validation);
  calibration.apply(test, test);
  softmax(validation);
  const Eigen::MatrixXd confusion = soft_confusion(validation, model.train.labels);

  const std::vector<Shift> all = shifts(training);
  for (std::size_t s = 0; s < all.size(); ++s) {
    // As many of the 100 test samples of each class as the prior asks for.
    const ballast::CountVector sizes =
        (all[s].prior / all[s].prior.maxCoeff() * 100.0).array().round().cast<ballast::Count>();
    const ballast::IndexVector chosen =
        ballast::subsample(ballast::SamplesByClass(model.test.labels, model.test.classes), sizes, seed);
    Matrix logits(chosen.size(), test.cols());
    Eigen::VectorXi labels(chosen.size());
    for (Index i = 0; i < chosen.size(); ++i) {
      logits.row(i) = test.row(chosen[i]);
      labels[i] = model.test.labels[chosen[i]];
    }
    const Eigen::VectorXd truth = ballast::ClassDistribution(labels, test.cols()).prior();

    Matrix probabilities = logits;
    softmax(probabilities);
    const auto em = ballast::estimate_target_prior(probabilities, training.prior());
    const auto bbse = ballast::black_box_target_prior(
        confusion, probabilities.cast<double>().colwise().sum().transpose().eval());

    const auto towards = [&](const Eigen::VectorXd& prior) {
      return accuracy(logits, labels, (prior.array().log() - training.log_prior().array()).matrix());
    };
    Row& row = rows[s];
    row.none += accuracy(logits, labels, Eigen::VectorXd::Zero(test.cols()));
    row.balanced += accuracy(logits, labels, -training.log_prior());
    row.known += towards(truth);
    row.em += towards(em.prior);
    row.bbse += towards(bbse.prior);
    row.em_distance += 0.5 * (em.prior - truth).cwiseAbs().sum();
    row.bbse_distance += 0.5 * (bbse.prior - truth).cwiseAbs().sum();
    row.clipped += bbse.clipped ? 1 : 0;
  }
}

}  // namespace

int main(int argc, char** argv) try {
  const auto arguments = example::parse_repeat_options(argc, argv, "--seeds", {5, "prior_shift.svg"});
  if (arguments.help) {
    std::cout << "usage: prior_shift [--seeds N] [--svg FILE]   (5 seeds, prior_shift.svg)\n";
    return 0;
  }
  const Dataset train = example::read_csv(EXAMPLE_DATA "/letter_lt100_train.csv");
  const std::vector<Shift> all = shifts(ballast::ClassDistribution(train.labels));
  std::vector<Row> rows(all.size());
  {
    example::Progress progress;
    for (int seed = 0; seed < arguments.repeats; ++seed)
      run(static_cast<std::uint64_t>(seed), progress, rows);
  }

  const double n = arguments.repeats, percent = 100.0 / n;
  std::printf(
      "Letters, trained on 600 down to 6 per class: accuracy in %% under other test priors, %d seeds\n\n",
      arguments.repeats);
  std::printf("%-18s %9s %9s %9s %9s %9s   %s\n", "test prior", "none", "uniform", "EM", "BBSE", "known",
              "distance of EM, BBSE");
  for (std::size_t s = 0; s < rows.size(); ++s) {
    const Row& row = rows[s];
    std::printf("%-18s %9.1f %9.1f %9.1f %9.1f %9.1f   %.3f, %.3f%s\n", all[s].name.c_str(),
                percent * row.none, percent * row.balanced, percent * row.em, percent * row.bbse,
                percent * row.known, row.em_distance / n, row.bbse_distance / n,
                row.clipped > 0 ? " (clipped)" : "");
  }
  std::printf(
      "\nnone: the model as it is; uniform: adjusted as if all classes were equal; EM, BBSE: to the prior\n"
      "estimated from the unlabelled test set; known: to its true prior. Distance: total variation between\n"
      "estimate and truth. Clipped: the confusion matrix asked for negative shares, which were set to 0.\n");

  example::Chart chart("Accuracy under a shifted prior", "s: the test prior is pi^s; 1 as trained, 0 uniform",
                       "accuracy, %");
  const std::pair<const char*, double Row::*> lines[] = {
      {"none", &Row::none}, {"EM", &Row::em}, {"BBSE", &Row::bbse}, {"known", &Row::known}};
  for (const auto& [name, figure] : lines) {
    example::Series series{name, example::Series::Style::line, {}, {}, {}};
    for (std::size_t s = 0; s < std::size(powers); ++s) {
      series.x.push_back(powers[s]);
      series.y.push_back(percent * rows[s].*figure);
    }
    chart.add(std::move(series));
  }
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
