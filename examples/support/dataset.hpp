// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <stdexcept>
#include <string>

#include <Eigen/Core>

#include <ballast/core/types.hpp>

namespace example {

/// A row of `inputs` is a sample; its label is in [0, classes).
struct Dataset {
  ballast::RowMatrixX<float> inputs;
  Eigen::VectorXi labels;
  ballast::Index classes = 0;

  [[nodiscard]] ballast::Index samples() const { return labels.size(); }
};

/// The same with real-valued labels.
struct RealDataset {
  ballast::RowMatrixX<float> inputs;
  Eigen::VectorXf labels;

  [[nodiscard]] ballast::Index samples() const { return labels.size(); }
};

/// The samples at the given positions, in that order.
inline Dataset subset(const Dataset& data, const ballast::IndexVector& samples) {
  Dataset result;
  result.inputs.resize(samples.size(), data.inputs.cols());
  result.labels.resize(samples.size());
  result.classes = data.classes;
  for (ballast::Index i = 0; i < samples.size(); ++i) {
    result.inputs.row(i) = data.inputs.row(samples[i]);
    result.labels[i] = data.labels[samples[i]];
  }
  return result;
}

/// Shifts and scales each column of both sets to mean 0 and deviation 1 in the training set. A column that
/// is constant there is only shifted.
template <typename Data>
void standardise(Data& train, Data& test) {
  for (ballast::Index column = 0; column < train.inputs.cols(); ++column) {
    const Eigen::VectorXd values = train.inputs.col(column).template cast<double>();
    const double mean = values.mean();
    const double deviation = std::sqrt((values.array() - mean).square().mean());
    const double scale = deviation > 0 ? 1 / deviation : 1;
    for (Data* data : {&train, &test}) {
      for (float& value : data->inputs.col(column)) {
        value = static_cast<float>(scale * (static_cast<double>(value) - mean));
      }
    }
  }
}

/// What the user gave (an option or a file) cannot be used: the program says why and ends with status 2.
class InputError : public std::runtime_error {
 public:
  explicit InputError(const std::string& reason) : std::runtime_error(reason) {}
  InputError(const std::string& file, const std::string& reason) : std::runtime_error(file + ": " + reason) {}
  InputError(const std::string& file, long line, const std::string& reason)
      : std::runtime_error(file + ":" + std::to_string(line) + ": " + reason) {}
};

}  // namespace example
