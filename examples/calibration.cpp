// SPDX-License-Identifier: MIT
//
// How far can the probabilities of a letter model, trained on a long tail, be trusted? Before and after
// calibration, under the training prior and under a uniform one; and which tau does each criterion choose?

#include <ballast/ballast.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "support/chart.hpp"
#include "support/letter.hpp"
#include "support/progress.hpp"
#include "support/repeat_options.hpp"

namespace {

using ballast::Criterion;
using ballast::Index;
using example::Matrix;

/// Mean over seeds of what `measure_calibration` says.
struct Measures {
  std::string name;
  double log_loss = 0, brier = 0, sharpness = 0, equal_width = 0, equal_mass = 0;

  void add(const Matrix& logits, const Eigen::VectorXi& labels, const Eigen::VectorXd& weights) {
    ballast::CalibrationOptions options;
    options.class_weights = weights;
    const auto width = ballast::measure_calibration(logits, labels, options);
    options.binning = ballast::Binning::equal_mass;
    log_loss += width.log_loss;
    brier += width.brier;
    sharpness += width.sharpness;
    equal_width += width.calibration_error;
    equal_mass += ballast::measure_calibration(logits, labels, options).calibration_error;
  }
  void print(double seeds) const {
    std::printf("%-34s %9.3f %9.3f %9.3f %9.1f %9.1f\n", name.c_str(), log_loss / seeds, brier / seeds,
                sharpness / seeds, 100 * equal_width / seeds, 100 * equal_mass / seeds);
  }
};

/// A way to choose tau on validation data, and what it led to.
struct Choice {
  std::string name;
  Criterion criterion;
  ballast::TauReading reading;
  ballast::Weighting weighting;
  double tau = 0, balanced_error = 0;
};

double balanced_error(const ballast::LogitAdjustment<float>& adjust, const Matrix& logits,
                      const Eigen::VectorXi& labels) {
  Eigen::VectorXi predictions(labels.size());
  adjust.predict(logits, predictions);
  ballast::ConfusionMatrix confusion(logits.cols());
  confusion.update(predictions, labels);
  return confusion.balanced_error();
}

example::Series reliability(const std::string& name, const Matrix& logits, const Eigen::VectorXi& labels,
                            const Eigen::VectorXd& weights) {
  ballast::CalibrationOptions options;
  options.bins = 10;
  options.class_weights = weights;
  example::Series series{name, example::Series::Style::line, {}, {}, {}};
  for (const auto& bin : ballast::measure_calibration(logits, labels, options).reliability) {
    series.x.push_back(bin.confidence);
    series.y.push_back(bin.accuracy);
  }
  return series;
}

}  // namespace

int main(int argc, char** argv) try {
  const auto arguments = example::parse_repeat_options(argc, argv, "--seeds", {5, "calibration.svg"});
  if (arguments.help) {
    std::cout << "usage: calibration [--seeds N] [--svg FILE]   (5 seeds, calibration.svg)\n";
    return 0;
  }
  const auto target = ballast::Weighting::target_prior;
  const auto plain = ballast::Weighting::plain;
  const auto subtract = ballast::TauReading::subtract;
  const auto divide = ballast::TauReading::temperature;
  std::vector<Choice> choices = {{"balanced error", Criterion::balanced_error, subtract, target},
                                 {"log loss, balanced", Criterion::log_loss, subtract, target},
                                 {"Brier score, balanced", Criterion::brier, subtract, target},
                                 {"sharpness, balanced", Criterion::sharpness, subtract, target},
                                 {"ECE, balanced", Criterion::calibration_error, subtract, target},
                                 {"log loss of softmax(f / tau)", Criterion::log_loss, divide, plain},
                                 {"Brier score of softmax(f / tau)", Criterion::brier, divide, plain},
                                 {"ECE of softmax(f / tau)", Criterion::calibration_error, divide, plain}};
  Measures trained[] = {{"as trained"}, {"temperature"}, {"temperature and bias"}, {"vector scaling"}};
  Measures balanced[] = {{"as trained, adjusted"},
                         {"temperature, adjusted"},
                         {"temperature and bias, adjusted"},
                         {"vector scaling, adjusted"}};
  double temperature_sum = 0, untouched_error = 0, theory_error = 0;
  example::Chart chart("Reliability on the test set, re-weighted to the training prior", "confidence",
                       "accuracy");
  chart.add({"perfectly calibrated", example::Series::Style::line, {0, 1}, {0, 1}, {}});

  example::Progress progress;
  for (int seed = 0; seed < arguments.repeats; ++seed) {
    const example::LetterModel model = example::letter_model(static_cast<std::uint64_t>(seed), progress);
    const Eigen::VectorXi& labels = model.train.labels;
    const Eigen::VectorXi& test_labels = model.test.labels;
    const ballast::ClassDistribution training(labels), test(test_labels);
    const Eigen::VectorXd as_trained = ballast::prior_ratio(training.prior(), test.prior());
    const ballast::LogitAdjustment<float> adjust(training);

    ballast::TemperatureScaling<float> temperature;
    ballast::BiasCorrectedTemperature<float> biased;
    ballast::VectorScaling<float> vector;
    ballast::CalibrationFitOptions few_samples;  // two parameters per class, six samples of the rarest
    few_samples.ridge = 1e-3;
    temperature.fit(model.validation_logits, labels);
    biased.fit(model.validation_logits, labels);
    vector.fit(model.validation_logits, labels, few_samples);
    temperature_sum += temperature.temperature();

    std::vector<Matrix> logits(4, model.test_logits);
    temperature.apply(model.test_logits, logits[1]);
    biased.apply(model.test_logits, logits[2]);
    vector.apply(model.test_logits, logits[3]);
    for (std::size_t map = 0; map < 4; ++map) {
      trained[map].add(logits[map], test_labels, as_trained);
      Matrix adjusted = logits[map];
      adjust(adjusted, adjusted);
      balanced[map].add(adjusted, test_labels, {});
    }
    if (seed == 0) {
      chart.add(reliability("as trained", logits[0], test_labels, as_trained));
      chart.add(reliability("temperature", logits[1], test_labels, as_trained));
      chart.add(reliability("vector scaling", logits[3], test_labels, as_trained));
    }

    for (Choice& choice : choices) {
      ballast::TauSelectionOptions options;
      options.reading = choice.reading;
      options.weighting = choice.weighting;
      const auto best =
          ballast::select_tau(model.validation_logits, labels, training, choice.criterion, options);
      choice.tau += best.tau;
      choice.balanced_error +=
          balanced_error(ballast::LogitAdjustment<float>(training, static_cast<float>(best.tau)),
                         model.test_logits, test_labels);
    }
    untouched_error +=
        balanced_error(ballast::LogitAdjustment<float>(training, 0.0f), model.test_logits, test_labels);
    theory_error += balanced_error(adjust, model.test_logits, test_labels);
  }
  progress.stage("");

  const double n = arguments.repeats;
  std::printf("Letters, trained on 600 down to 6 per class; fitted on cross-validated logits; %d seeds\n\n",
              arguments.repeats);
  std::printf("%-34s %9s %9s %9s %9s %9s\n", "test set with the training prior", "log loss", "Brier",
              "sharpness", "ECE %", "ECE= %");
  for (const Measures& measures : trained) measures.print(n);
  std::printf("\n%-34s\n", "test set as it is, uniform");
  for (const Measures& measures : balanced) measures.print(n);
  std::printf(
      "\nECE: 15 bins of equal width; ECE=: of equal mass. Temperature: %.2f. Adjusted: minus log pi.\n\n",
      temperature_sum / n);
  std::printf("%-34s %9s %24s\n", "tau chosen by", "tau", "balanced error, % (test)");
  for (const Choice& choice : choices) {
    std::printf("%-34s %9.2f %24.1f\n", choice.name.c_str(), choice.tau / n, 100 * choice.balanced_error / n);
  }
  std::printf("%-34s %9.2f %24.1f\n", "(no adjustment)", 0.0, 100 * untouched_error / n);
  std::printf("%-34s %9.2f %24.1f\n", "(theory)", 1.0, 100 * theory_error / n);
  chart.write(arguments.svg);
  std::cout << "Picture: " << arguments.svg << " (reliability before and after, first seed)\n";
  return 0;
} catch (const example::InputError& error) {
  std::cerr << error.what() << '\n';
  return 2;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
