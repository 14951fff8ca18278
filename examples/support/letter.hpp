// SPDX-License-Identifier: MIT
#pragma once

#include <ballast/ballast.hpp>

#include <algorithm>
#include <cstdint>

#include "csv.hpp"
#include "dataset.hpp"
#include "network.hpp"
#include "progress.hpp"

namespace example {

/// A letter model as an application has it: logits of labelled data that it was not trained on, and of the
/// test set.
struct LetterModel {
  Dataset train, test;
  Matrix validation_logits;  ///< one row per row of `train`, from a network that has not seen it
  Matrix test_logits;        ///< from a network trained on all of `train`
};

/// One hidden layer of 128, cross-entropy, 60 epochs of SGD with a cosine rate.
inline Network train_letter_network(const Dataset& data, std::uint64_t seed) {
  constexpr Index batch = 64, epochs = 60;
  Network network(data.inputs.cols(), 128, data.classes, seed);
  const auto loss = ballast::cross_entropy_loss<float>(data.classes);
  const ballast::InstancePermutation sampler(data.samples(), seed);
  ballast::IndexVector order(data.samples());
  Matrix logits(batch, data.classes), logit_gradient(batch, data.classes);

  const Index steps = epochs * ((data.samples() + batch - 1) / batch);
  Index step = 0;
  for (Index epoch = 0; epoch < epochs; ++epoch) {
    sampler.plan(epoch, order);
    for (Index position = 0; position < data.samples(); position += batch) {
      const Dataset part = subset(data, order.segment(position, std::min(batch, data.samples() - position)));
      const Index size = part.samples();
      network.forward(part.inputs, logits.topRows(size));
      loss(logits.topRows(size), part.labels, logit_gradient.topRows(size));
      network.backward(part.inputs, logit_gradient.topRows(size));
      network.step(cosine_rate(0.1f, step++, steps));
    }
  }
  return network;
}

inline Matrix logits_of(Network& network, const Dataset& data) {
  Matrix logits(data.samples(), data.classes);
  network.forward(data.inputs, logits);
  return logits;
}

/// Trains six networks: one on all, and one for each of five folds, whose logits of the samples it has not
/// seen serve for calibration. So the rarest class, with six samples, keeps six for that.
inline LetterModel letter_model(std::uint64_t seed, Progress& progress) {
  constexpr Index folds = 5;
  LetterModel model;
  model.train = read_csv(EXAMPLE_DATA "/letter_lt100_train.csv");
  model.test = read_csv(EXAMPLE_DATA "/letter_lt100_test.csv", &model.train);
  standardise(model.train, model.test);

  const std::string name = "seed " + std::to_string(seed + 1) + ": network ";
  progress.stage(name + "1 of 6");
  Network network = train_letter_network(model.train, seed);
  model.test_logits = logits_of(network, model.test);

  model.validation_logits.resize(model.train.samples(), model.train.classes);
  const ballast::StratifiedFolds split(model.train.labels, folds, seed);
  for (Index fold = 0; fold < folds; ++fold) {
    progress.stage(name + std::to_string(fold + 2) + " of 6");
    const ballast::IndexVector held_out = split.held_out(fold);
    Network other = train_letter_network(subset(model.train, split.fitted(fold)), seed);
    const Matrix logits = logits_of(other, subset(model.train, held_out));
    for (Index i = 0; i < held_out.size(); ++i) model.validation_logits.row(held_out[i]) = logits.row(i);
  }
  return model;
}

}  // namespace example
