// SPDX-License-Identifier: MIT
//
// Imbalanced regression from end to end: one small network, trained in every way that the library knows, in
// one table and one picture. Without arguments it runs on the abalone data beside it; --help says what else.
//
// The network, its optimiser and the loop are the user's own (support/regressor.hpp, train_network below).
// Every ballast:: name is what the library brings to them.

#include <ballast/ballast.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/arguments.hpp"
#include "support/csv.hpp"
#include "support/dataset.hpp"
#include "support/picture.hpp"
#include "support/progress.hpp"
#include "support/regressor.hpp"
#include "support/table.hpp"

namespace {

using ballast::Index;
using ballast::IndexVector;
using ballast::LabelBins;
using ballast::SmoothingKernel;
using example::Adam;
using example::Arguments;
using example::InputError;
using example::Matrix;
using example::Progress;
using example::RealDataset;
using example::Regressor;
using example::Stopwatch;
using example::Table;
using example::Vector;

// ------------------------------------------------------------------------------------ the command line

struct Options {
  std::string train, test;  ///< CSV files; both or neither
  std::string csv;          ///< where the table goes as CSV
  std::string picture = "imbalanced_regression.svg";
  std::optional<int> bins;  ///< 30, or one per whole number, if not given
  int seeds = 5;
  int epochs = 80;
  bool help = false;
};

constexpr const char* usage = R"(usage: imbalanced_regression [options]

Trains one small network on data whose labels are numbers, some far rarer than others, in every way that the
library knows, and prints one table. Without options: the abalone data that comes with the examples.

  --train FILE --test FILE   comma-separated samples: a label, any number, then numbers
  --bins N                   equal bins over the labels (default: 30; one per whole number where all labels
                             are whole and their range is at most 200)
  --seeds N                  runs per row of the table (default 5)
  --epochs N                 epochs of training (default 80)
  --csv FILE                 write the table there too
  --picture FILE             where the picture goes (default imbalanced_regression.svg)
  --help                     print this
)";

/// @throws InputError for an unknown option, a missing or bad value, or options that contradict
Options parse_options(int argc, const char* const* argv) {
  Options options;
  Arguments arguments(argc, argv);
  while (arguments.next()) {
    const std::string& option = arguments.option();
    if (option == "--train")
      options.train = arguments.value();
    else if (option == "--test")
      options.test = arguments.value();
    else if (option == "--bins")
      options.bins = arguments.positive();
    else if (option == "--seeds")
      options.seeds = arguments.positive();
    else if (option == "--epochs")
      options.epochs = arguments.positive();
    else if (option == "--csv")
      options.csv = arguments.value();
    else if (option == "--picture")
      options.picture = arguments.value();
    else if (option == "--help")
      options.help = true;
    else
      arguments.reject();
  }
  example::require_both(options.train, options.test);
  return options;
}

// ---------------------------------------------------------------------------------------------- the data

struct Problem {
  std::string name;
  RealDataset train, test;
  LabelBins bins;
  Index epochs;
};

/// Bins over the range of the training labels; test labels beyond it join the bins at the ends.
LabelBins bins_of(const Vector& labels, std::optional<int> count) {
  const double low = static_cast<double>(labels.minCoeff()), high = static_cast<double>(labels.maxCoeff());
  const bool whole = (labels.array() == labels.array().floor()).all() && high - low <= 200;
  if (whole && !count) return LabelBins::uniform(low, high + 1, static_cast<Index>(high - low) + 1);
  if (!(low < high)) return LabelBins::uniform(low, low + 1, 1);
  return LabelBins::uniform(low, high, count.value_or(30));  // the largest label is clamped into the last
}

Problem load(const Options& options) {
  const bool abalone = options.train.empty();
  const std::string data = EXAMPLE_DATA "/abalone_";
  RealDataset train = example::read_regression_csv(abalone ? data + "train.csv" : options.train);
  RealDataset test = example::read_regression_csv(abalone ? data + "test.csv" : options.test, &train);
  example::standardise(train, test);
  const LabelBins bins = abalone && !options.bins ? LabelBins::uniform(0, 30, 30)  // rings
                                                  : bins_of(train.labels, options.bins);
  return {abalone ? "Abalone" : options.train, std::move(train), std::move(test), bins, options.epochs};
}

// ---------------------------------------------------------------------------------------- the user's loop

constexpr Index batch_size = 128;

/// The features pass as they are.
struct NoSmoothing {
  void smooth(const Matrix& features, const Vector&, Matrix& smoothed) const { smoothed = features; }
  void backward(const Matrix&, const Vector&, Matrix&) const {}
  void finish_epoch(Regressor&, const RealDataset&) const {}
};

/// FDS as the paper describes it, statistics streamed from the raw features of the training batches.
template <ballast::Covariance Form>
class PaperSmoothing {
 public:
  PaperSmoothing(const LabelBins& bins, const SmoothingKernel& kernel)
      : fds_(Regressor::features, bins, kernel) {}

  void smooth(const Matrix& features, const Vector& labels, Matrix& smoothed) {
    smoothed.resize(features.rows(), features.cols());
    fds_.smooth(features, labels, smoothed);
    fds_.update(features, labels);
  }
  void backward(const Matrix& smoothed_gradient, const Vector& labels, Matrix& gradient) {
    fds_.backward(smoothed_gradient, labels, gradient);
  }
  void finish_epoch(Regressor&, const RealDataset&) { fds_.finish_epoch(); }

 private:
  ballast::FeatureDistributionSmoothing<float, Form> fds_;
};

/// FDS as published: after every epoch its statistics are taken from the whole training set. That code knows
/// whole-numbered labels only; here they are the numbers of the bins.
class PublishedSmoothing {
 public:
  using Fds = ballast::FeatureDistributionSmoothing<float>;

  explicit PublishedSmoothing(const LabelBins& bins)
      : bins_(bins),
        fds_(Regressor::features, LabelBins::uniform(0, static_cast<double>(bins.bins()), bins.bins()),
             SmoothingKernel::published_gaussian(5, 2.0, ballast::EdgeRule::mirror),
             Fds::Options::published()) {}

  void smooth(const Matrix& features, const Vector& labels, Matrix& smoothed) {
    smoothed.resize(features.rows(), features.cols());
    fds_.smooth(features, numbers(labels), smoothed);
  }
  void backward(const Matrix& smoothed_gradient, const Vector& labels, Matrix& gradient) {
    fds_.backward(smoothed_gradient, numbers(labels), gradient);
  }
  void finish_epoch(Regressor& network, const RealDataset& train) {
    fds_.update(network.encode(train.inputs), numbers(train.labels));
    fds_.finish_epoch();
  }

 private:
  const IndexVector& numbers(const Vector& labels) {
    numbers_.resize(labels.size());
    bins_.find(labels, numbers_);
    return numbers_;
  }

  LabelBins bins_;
  Fds fds_;
  IndexVector numbers_;
};

/// Absolute error with a weight per sample.
struct WeightedL1 {
  float operator()(const Vector& predictions, const Vector& labels, const Vector& weights,
                   Vector& gradient) const {
    return ballast::l1_loss(predictions, labels, weights, gradient);
  }
};

/// Balanced MSE; the noise starts at 1, as published, and is kept or learnt along.
class BalancedError {
 public:
  explicit BalancedError(bool learn) : learn_(learn) {}

  float operator()(const Vector& predictions, const Vector& labels, const Vector&, Vector& gradient) {
    const ballast::BalancedMse<float> loss(noise_[0]);
    const auto result = loss.with_noise_gradient(predictions, labels, gradient);
    if (learn_) {
      optimiser_.step(1e-2f, Vector::Constant(1, result.noise_gradient), noise_);
      noise_ = noise_.cwiseMax(0.05f);
    }
    return result.value;
  }

 private:
  bool learn_;
  Vector noise_ = Vector::Ones(1);
  Adam optimiser_{1};
};

/// Adam at 2e-3, a tenth of it from 60 % and a hundredth from 85 % of the epochs on.
float rate_in(Index epoch, Index epochs) {
  const double done = static_cast<double>(epoch) / static_cast<double>(epochs);
  return done < 0.6 ? 2e-3f : done < 0.85 ? 2e-4f : 2e-5f;
}

/// Trains a network. `weights` says how much a sample counts, `loss` what a step learns from its error,
/// `smoothing` what happens to its features on the way.
template <typename Loss, typename Smoothing>
Regressor train_network(const Problem& problem, std::uint64_t seed, const Vector& weights, Loss loss,
                        Smoothing smoothing, const Progress& progress) {
  const RealDataset& train = problem.train;
  Regressor network(train.inputs.cols(), train.labels.mean(), seed);
  Adam optimiser(network.parameters().size(), 1e-4f);
  const ballast::InstancePermutation every_sample(train.samples(), seed);
  IndexVector order(train.samples());
  Matrix inputs, features, feature_gradient;
  Vector labels, batch_weights, predictions, gradient;

  for (Index epoch = 0; epoch < problem.epochs; ++epoch) {
    progress.epoch(epoch, problem.epochs);
    every_sample.plan(epoch, order);
    for (Index begin = 0; begin < train.samples(); begin += batch_size) {
      const Index size = std::min(batch_size, train.samples() - begin);
      inputs.resize(size, train.inputs.cols());
      for (Vector* vector : {&labels, &batch_weights, &gradient}) vector->resize(size);
      for (Index i = 0; i < size; ++i) {
        const Index sample = order[begin + i];
        inputs.row(i) = train.inputs.row(sample);
        labels[i] = train.labels[sample];
        batch_weights[i] = weights[sample];
      }

      smoothing.smooth(network.encode(inputs), labels, features);
      network.predict(features, predictions);
      loss(predictions, labels, batch_weights, gradient);
      network.backward_head(features, gradient, feature_gradient);
      smoothing.backward(feature_gradient, labels, feature_gradient);
      network.backward_encoder(inputs, feature_gradient);
      optimiser.step(rate_in(epoch, problem.epochs), network.gradient(), network.parameters());
    }
    smoothing.finish_epoch(network, train);
  }
  return network;
}

// ---------------------------------------------------------------------------------------- the methods

/// The absolute errors of one method per bin, over all seeds.
using Errors = std::vector<std::pair<std::string, ballast::RegressionMetrics>>;

SmoothingKernel label_kernel() {
  return SmoothingKernel::gaussian(5, 2.0);
}

ballast::LabelDistributionSmoothing label_smoothing(const Problem& problem, const SmoothingKernel& kernel) {
  ballast::LabelDistributionSmoothing::Options options;
  options.reweighting = ballast::Reweighting::inverse_square_root;
  return {problem.bins, kernel, problem.train.labels, options};
}

/// Every method once, into the table.
void run(const Problem& problem, std::uint64_t seed, Progress& progress, Table& table, Errors& errors) {
  const RealDataset& train = problem.train;
  const ballast::CountVector counts = problem.bins.count(train.labels);

  const auto method = [&](const std::string& name, const Vector& weights, const auto& loss,
                          const auto& smoothing) {
    progress.stage("seed " + std::to_string(seed + 1) + ": " + name);
    const Stopwatch watch;
    Regressor network = train_network(problem, seed, weights, loss, smoothing, progress);
    const double seconds = watch.seconds();

    Vector predictions;
    network.predict(network.encode(problem.test.inputs),
                    predictions);  // at test time features pass as they are
    ballast::RegressionMetrics metrics(problem.bins, counts);
    metrics.update(predictions, problem.test.labels);
    const ballast::ErrorSummary all = metrics.all();
    const auto shots = metrics.by_shot();
    table.add(name,
              {all.mae(), all.geometric_mean(), metrics.balanced_mae(), shots.many.mae(), shots.medium.mae(),
               shots.few.mae()},
              seconds);

    const auto found =
        std::find_if(errors.begin(), errors.end(), [&](const auto& e) { return e.first == name; });
    if (found == errors.end()) {
      errors.emplace_back(name, metrics);
    } else {
      found->second.merge(metrics);
    }
  };

  const Vector equal = Vector::Ones(train.samples());
  const Vector square_root =
      label_smoothing(problem, SmoothingKernel::identity()).sample_weights(train.labels);
  const Vector lds = label_smoothing(problem, label_kernel()).sample_weights(train.labels);
  const PaperSmoothing<ballast::Covariance::diagonal> diagonal(problem.bins, label_kernel());
  const PaperSmoothing<ballast::Covariance::full> full(problem.bins, label_kernel());
  const PublishedSmoothing published(problem.bins);

  method("plain", equal, WeightedL1(), NoSmoothing());
  method("inverse square root", square_root, WeightedL1(), NoSmoothing());
  method("LDS", lds, WeightedL1(), NoSmoothing());
  method("FDS, published", equal, WeightedL1(), published);
  method("FDS, paper, diagonal", equal, WeightedL1(), diagonal);
  method("FDS, paper, full", equal, WeightedL1(), full);
  method("LDS + FDS, published", lds, WeightedL1(), published);
  method("LDS + FDS, paper, diagonal", lds, WeightedL1(), diagonal);
  method("LDS + FDS, paper, full", lds, WeightedL1(), full);
  method("Balanced MSE", equal, BalancedError(/*learn=*/false), NoSmoothing());
  method("Balanced MSE, noise learnt", equal, BalancedError(/*learn=*/true), NoSmoothing());
}

void print(const Problem& problem, const Options& options, const Table& table) {
  const ballast::CountVector counts = problem.bins.count(problem.train.labels);
  const ballast::ShotThresholds shot;
  ballast::ByShot<Index> bins;
  for (const ballast::Count count : counts) ++bins[shot(count)];
  std::cout << problem.name << ": " << problem.train.samples() << " training samples with labels from "
            << problem.train.labels.minCoeff() << " to " << problem.train.labels.maxCoeff() << "; "
            << problem.test.samples() << " test samples\n"
            << bins.many << " bins with many (over 100), " << bins.medium << " medium, " << bins.few
            << " with few (below 20) training samples\n\n";
  table.print(std::cout);
  std::cout << "\nMean absolute error on the test set, mean ± standard deviation over " << options.seeds
            << (options.seeds == 1 ? " seed" : " seeds")
            << "; GM: geometric mean of the\nerrors; balanced: the mean over bins. "
            << "Seconds of processor time per run.\n";
}

std::vector<double> values(const Eigen::VectorXd& vector) {
  return {vector.begin(), vector.end()};
}

/// Labels as they are and as LDS sees them, and who errs where.
void draw(const Problem& problem, const Errors& errors, const std::string& path) {
  const LabelBins& bins = problem.bins;
  example::Picture picture("label", values(bins.edges()));
  const ballast::LabelDistributionSmoothing density(bins, label_kernel(), problem.train.labels);
  picture.add({"Training samples per bin",
               {{"empirical density", "#4477aa", values(density.counts().cast<double>())},
                {"effective density (LDS)", "#cc3311", values(density.effective_density())}}});

  example::Panel panel{"Mean absolute error per bin, all seeds", {}};
  const std::vector<std::string> colours = {"#4477aa", "#cc3311", "#228833"};
  for (const auto& [name, metrics] : errors) {
    if (name != "plain" && name != "LDS" && name != "Balanced MSE") continue;
    std::vector<double> means;
    for (Index b = 0; b < bins.bins(); ++b) {
      means.push_back(metrics.bin(b).mae().value_or(std::numeric_limits<double>::quiet_NaN()));
    }
    panel.series.push_back({name, colours[panel.series.size()], std::move(means)});
  }
  picture.add(std::move(panel));
  picture.write(path);
}

}  // namespace

int main(int argc, char** argv) try {
  const Options options = parse_options(argc, argv);
  if (options.help) {
    std::cout << usage;
    return 0;
  }
  const Problem problem = load(options);
  std::ofstream csv;
  if (!options.csv.empty()) {
    csv.open(options.csv);
    if (!csv) throw InputError(options.csv, "cannot be written");
  }

  Table table({"all", "GM", "balanced", "many", "medium", "few"}, 1, 2);
  Errors errors;
  {
    Progress progress;
    for (int seed = 0; seed < options.seeds; ++seed) {
      run(problem, static_cast<std::uint64_t>(seed), progress, table, errors);
    }
  }
  print(problem, options, table);
  if (csv.is_open()) {
    table.write_csv(csv);
    if (!csv.flush()) throw InputError(options.csv, "cannot be written");
  }
  draw(problem, errors, options.picture);
  std::cout << "Densities and errors per bin: " << options.picture << '\n';
  return 0;
} catch (const InputError& error) {
  std::cerr << error.what() << '\n';
  return 2;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
