// SPDX-License-Identifier: MIT
//
// Long-tailed classification from end to end: one small network, trained and corrected in every way that the
// library knows, in one table. Without arguments it runs on the letter data beside it; --help says what else.
//
// The network, its optimiser and the loop are the user's own (support/network.hpp, train_network below).
// Every ballast:: name is what the library brings to them.

#include <ballast/ballast.hpp>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "support/csv.hpp"
#include "support/dataset.hpp"
#include "support/idx.hpp"
#include "support/network.hpp"
#include "support/options.hpp"
#include "support/progress.hpp"
#include "support/table.hpp"

namespace {

using ballast::Index;
using ballast::IndexVector;
using example::Dataset;
using example::InputError;
using example::Matrix;
using example::Network;
using example::Options;
using example::Progress;
using example::Stopwatch;
using example::Table;
using Labels = Eigen::VectorXi;

/// How everything is trained: SGD with momentum 0.9, weight decay 5e-4, and a rate that falls along a cosine.
struct Protocol {
  Index epochs;
  Index batch;
  Index hidden = 128;
  Index head_epochs = 10;  ///< of a classifier on frozen features
  float rate = 0.1f;
};

struct Problem {
  std::string name;
  Dataset train, test;
  Protocol protocol;
};

/// A class that the training labels skip is masked out: nothing can be learnt of it.
const ballast::ZeroCount no_samples = ballast::ZeroCount::mask();

// ---------------------------------------------------------------------------------------------- the data

/// Fashion-MNIST, made long-tailed: the classes from 6000 down to 60 training samples, always the same ones.
Problem load_fashion_mnist(const std::string& directory) {
  const Dataset balanced = example::read_mnist(directory, "train");
  const ballast::SamplesByClass samples(balanced.labels, balanced.classes);
  const auto largest = ballast::ClassDistribution(balanced.labels).counts().minCoeff();
  if (largest < 1) throw InputError(directory, "the training labels skip a class");
  const auto sizes = ballast::exponential_profile(balanced.classes, largest, 100.0);
  Dataset train = example::subset(balanced, ballast::subsample(samples, sizes, /*seed=*/0));
  Dataset test = example::read_mnist(directory, "t10k", &train);
  return {
      "Fashion-MNIST, made long-tailed", std::move(train), std::move(test), {/*epochs=*/30, /*batch=*/128}};
}

Problem load_csv(const std::string& name, const std::string& train_file, const std::string& test_file) {
  Dataset train = example::read_csv(train_file);
  Dataset test = example::read_csv(test_file, &train);
  if (ballast::ClassDistribution(train.labels).counts().maxCoeff() < 2) {
    throw InputError(train_file, "no class has two samples, so none can be held out");
  }
  example::standardise(train, test);
  return {name, std::move(train), std::move(test), {/*epochs=*/60, /*batch=*/64}};
}

Problem load(const Options& options) {
  const std::string letter = EXAMPLE_DATA "/letter_lt100_";
  Problem problem = !options.fashion_mnist.empty() ? load_fashion_mnist(options.fashion_mnist)
                    : !options.train.empty()       ? load_csv(options.train, options.train, options.test)
                                                   : load_csv("Letter Recognition, long-tailed",
                                                              letter + "train.csv", letter + "test.csv");
  if (options.epochs) problem.protocol.epochs = *options.epochs;
  return problem;
}

/// A tenth of each class and the rest; a class with one sample keeps it.
std::pair<Dataset, Dataset> hold_out_a_tenth(const Dataset& data, std::uint64_t seed) {
  const ballast::ClassDistribution classes(data.labels, data.classes);
  const auto counts = classes.counts().array();
  const ballast::CountVector sizes = ((counts + 5) / 10).max(1).min(counts - 1).max(0);
  const IndexVector held_out =
      ballast::subsample(ballast::SamplesByClass(data.labels, data.classes), sizes, seed);

  IndexVector rest(data.samples() - held_out.size());
  for (Index sample = 0, taken = 0, kept = 0; sample < data.samples(); ++sample) {
    if (taken < held_out.size() && held_out[taken] == sample)
      ++taken;
    else
      rest[kept++] = sample;
  }
  return {example::subset(data, held_out), example::subset(data, rest)};
}

// ---------------------------------------------------------------------------------------- the user's loop

/// Trains a network. `sampler` says which samples an epoch sees and in which order, `loss` what it learns.
template <typename Sampler, typename Loss>
Network train_network(const Dataset& data, const Protocol& protocol, std::uint64_t seed,
                      const Sampler& sampler, const Loss& loss, const Progress& progress) {
  Network network(data.inputs.cols(), protocol.hidden, data.classes, seed);
  IndexVector order(data.samples());
  Matrix inputs(protocol.batch, data.inputs.cols());
  Matrix logits(protocol.batch, data.classes), logit_gradient(protocol.batch, data.classes);
  Labels labels(protocol.batch);

  const Index steps = protocol.epochs * ((data.samples() + protocol.batch - 1) / protocol.batch);
  Index step = 0;
  for (Index epoch = 0; epoch < protocol.epochs; ++epoch) {
    progress.epoch(epoch, protocol.epochs);
    sampler.plan(epoch, order);
    for (Index position = 0; position < data.samples(); position += protocol.batch) {
      const Index size = std::min(protocol.batch, data.samples() - position);
      for (Index i = 0; i < size; ++i) {
        inputs.row(i) = data.inputs.row(order[position + i]);
        labels[i] = data.labels[order[position + i]];
      }
      network.forward(inputs.topRows(size), logits.topRows(size));
      loss(logits.topRows(size), labels.head(size), logit_gradient.topRows(size));
      network.backward(inputs.topRows(size), logit_gradient.topRows(size));
      network.step(example::cosine_rate(protocol.rate, step++, steps));
    }
  }
  return network;
}

Matrix features_of(const Network& network, const Dataset& data) {
  Matrix features(data.samples(), network.hidden());
  network.encode(data.inputs, features);
  return features;
}

Matrix logits_of(const ballast::LinearHead<float>& head, const Matrix& features) {
  Matrix logits(features.rows(), head.classes());
  head.forward(features, logits);
  return logits;
}

ballast::LinearHead<float> head_of(const Network& network) {
  return ballast::LinearHead<float>(network.head_weights(), network.head_bias());
}

// ------------------------------------------------------------------------------------- choosing tau

/// The tau of the published grid with the best balanced accuracy on a tenth of the training data that a
/// network trained on the other nine has not seen.
float choose_tau(const Problem& problem, std::uint64_t seed, const Progress& progress) {
  const auto [held_out, rest] = hold_out_a_tenth(problem.train, seed);
  const Network network =
      train_network(rest, problem.protocol, seed, ballast::InstancePermutation(rest.samples(), seed),
                    ballast::cross_entropy_loss<float>(rest.classes), progress);

  float best_tau = 0;
  double best_accuracy = -1;
  Labels predictions(held_out.samples());
  ballast::TauNormalizedClassifier<float>(head_of(network))
      .scan(features_of(network, held_out), Eigen::VectorXf::LinSpaced(21, 0.0f, 2.0f),
            [&, &labels = held_out.labels](float tau, const auto& logits) {
              ballast::argmax_rows(logits, predictions);
              ballast::ConfusionMatrix confusion(logits.cols());
              confusion.update(predictions, labels);
              const double accuracy = confusion.balanced_accuracy(ballast::EmptyClass::skip);
              if (accuracy > best_accuracy) {
                best_accuracy = accuracy;
                best_tau = tau;
              }
            });
  return best_tau;
}

// ---------------------------------------------------------------------------------------- the methods

/// Every method once, into the table. Returns the tau that was chosen.
float run(const Problem& problem, std::uint64_t seed, Progress& progress, Table& table) {
  const Dataset& train = problem.train;
  const Protocol& protocol = problem.protocol;
  const ballast::ClassDistribution classes(train.labels);
  Labels predictions(problem.test.samples());

  const auto report = [&](const std::string& method, const Stopwatch& watch) {
    const double seconds = watch.seconds();
    ballast::ConfusionMatrix confusion(classes.classes());
    confusion.update(predictions, problem.test.labels);
    const auto shots = confusion.shot_accuracy(classes);
    table.add(method,
              {confusion.balanced_accuracy(ballast::EmptyClass::skip), shots.many, shots.medium, shots.few,
               confusion.accuracy()},
              seconds);
  };
  const auto stage = [&](const std::string& method) {
    progress.stage("seed " + std::to_string(seed + 1) + ": " + method);
    return Stopwatch();
  };
  const auto train_and_report = [&](const std::string& method, const auto& sampler, const auto& loss) {
    const Stopwatch watch = stage(method);
    Network network = train_network(train, protocol, seed, sampler, loss, progress);
    ballast::argmax_rows(logits_of(head_of(network), features_of(network, problem.test)), predictions);
    report(method, watch);
    return network;
  };

  // What an epoch sees, and what a step learns: another sampler, or another loss.
  const auto cross_entropy = ballast::cross_entropy_loss<float>(classes.classes());
  const ballast::InstancePermutation every_sample(train.samples(), seed);
  const Network network = train_and_report("cross-entropy", every_sample, cross_entropy);
  train_and_report("class-balanced sampling", ballast::PowerLawSampler(train.labels, {/*q=*/0.0, seed}),
                   cross_entropy);
  train_and_report("square-root sampling", ballast::PowerLawSampler(train.labels, {/*q=*/0.5, seed}),
                   cross_entropy);
  train_and_report("progressive sampling", ballast::ProgressiveSampler(train.labels, protocol.epochs, seed),
                   cross_entropy);
  train_and_report("logit-adjusted loss", every_sample,
                   ballast::logit_adjusted_loss<float>(classes, 1.0f, no_samples));

  // The network of the first row as it is, and another classifier on its features.
  const ballast::LinearHead<float> head = head_of(network);
  const Matrix features = features_of(network, train), test_features = features_of(network, problem.test);

  Stopwatch watch = stage("post-hoc adjustment");
  const ballast::LogitAdjustment<float> adjust(classes, 1.0f, no_samples);
  adjust.predict(logits_of(head, test_features), predictions);
  report("post-hoc adjustment", watch);

  ballast::TrainingOptions head_training;  // class-balanced draws, the rate and the decay of the network
  head_training.epochs = protocol.head_epochs;
  head_training.batch = protocol.batch;
  head_training.seed = seed;
  head_training.progress = [&](const ballast::TrainingProgress& at) {
    progress.epoch(at.epoch, at.epochs);
  };

  watch = stage("cRT");
  const ballast::LinearHead<float> retrained =
      ballast::retrain_head(features, train.labels, head, head_training);
  ballast::argmax_rows(logits_of(retrained, test_features), predictions);
  report("cRT", watch);

  watch = stage("nearest class mean");
  const ballast::NearestClassMean<float> nearest(features, train.labels);
  nearest.predict(test_features, predictions);
  report("nearest class mean", watch);

  const auto tau_normalized = [&](const std::string& method, const Stopwatch& since, float tau) {
    ballast::argmax_rows(logits_of(ballast::tau_normalized(head, tau), test_features), predictions);
    report(method, since);
  };
  tau_normalized("tau-normalised, tau 1", stage("tau-normalised"), 1.0f);
  watch = stage("choosing tau");
  const float tau = choose_tau(problem, seed, progress);
  tau_normalized("tau-normalised, tau chosen", watch, tau);

  watch = stage("LWS");
  ballast::LearnableWeightScaling<float> scaling(head);
  scaling.fit(features, train.labels, head_training);
  ballast::argmax_rows(logits_of(scaling.scaled_head(), test_features), predictions);
  report("LWS", watch);
  return tau;
}

void print(const Problem& problem, const Options& options, const Table& table,
           const std::vector<float>& taus) {
  const ballast::ClassDistribution classes(problem.train.labels);
  Index many = 0, medium = 0, few = 0;
  for (Index j = 0; j < classes.classes(); ++j) {
    const ballast::Shot shot = classes.shot(j);
    ++(shot == ballast::Shot::many ? many : shot == ballast::Shot::medium ? medium : few);
  }
  std::cout << problem.name << ": " << classes.samples() << " training samples of " << classes.classes()
            << " classes, from " << classes.counts().maxCoeff() << " down to " << classes.counts().minCoeff()
            << "; " << problem.test.samples() << " test samples\n"
            << many << " classes with many (over 100), " << medium << " medium, " << few
            << " with few (below 20) training samples\n\n";
  table.print(std::cout);
  std::cout
      << "\nAccuracy in percent, mean ± standard deviation over " << options.seeds
      << (options.seeds == 1 ? " seed" : " seeds") << "; balanced: the mean over classes.\n"
      << "Seconds of processor time per seed; the rows from post-hoc adjustment on start from the network\n"
      << "of the first and count what they add. tau chosen, by seed:";
  for (const float tau : taus) std::cout << ' ' << tau;
  std::cout << '\n';
}

}  // namespace

int main(int argc, char** argv) try {
  const Options options = example::parse_options(argc, argv);
  if (options.help) {
    std::cout << example::usage;
    return 0;
  }
  const Problem problem = load(options);
  std::ofstream csv;
  if (!options.csv.empty()) {
    csv.open(options.csv);
    if (!csv) throw InputError(options.csv, "cannot be written");
  }

  Table table({"balanced", "many", "medium", "few", "overall"}, 100, 1);  // shares in percent
  std::vector<float> taus;
  {
    Progress progress;
    for (int seed = 0; seed < options.seeds; ++seed) {
      taus.push_back(run(problem, static_cast<std::uint64_t>(seed), progress, table));
    }
  }
  print(problem, options, table, taus);
  if (csv.is_open()) {
    table.write_csv(csv);
    if (!csv.flush()) throw InputError(options.csv, "cannot be written");
  }
  return 0;
} catch (const InputError& error) {
  std::cerr << error.what() << '\n';
  return 2;
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
