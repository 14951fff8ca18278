// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include "dataset.hpp"

namespace example {

/// Labels are class indices: one far above the number of classes that anyone trains is a wrong column.
inline constexpr ballast::Index largest_number_of_classes = 10000;

/// The finite number that a field holds, blanks around it allowed; nothing if it holds anything else.
inline std::optional<float> parse_number(const std::string& field) {
  char* end = nullptr;
  const float value = std::strtof(field.c_str(), &end);
  if (end == field.c_str() || !std::isfinite(value)) return std::nullopt;
  end += std::strspn(end, " \t");
  if (end != field.c_str() + field.size()) return std::nullopt;
  return value;
}

inline std::vector<std::string> split_fields(const std::string& line) {
  std::vector<std::string> fields;
  std::string::size_type begin = 0, comma;
  while ((comma = line.find(',', begin)) != std::string::npos) {
    fields.push_back(line.substr(begin, comma - begin));
    begin = comma + 1;
  }
  fields.push_back(line.substr(begin));
  return fields;
}

/// Reads comma-separated samples: a label, then the features. A first line without a single number is a
/// header. Empty lines, and line ends of either kind, are accepted.
/// @param columns      that the file must have; 0 if any number from 2 will do
/// @param check_label  called with the label's field, the number that it holds if any, and the line; throws
/// @throws InputError naming the file, the line and the reason
template <typename CheckLabel>
RealDataset read_samples(const std::string& path, std::size_t columns, const CheckLabel& check_label) {
  std::ifstream file(path);
  if (!file) throw InputError(path, std::string("cannot be opened: ") + std::strerror(errno));

  std::vector<float> values, labels;
  std::string line;
  long number = 0;
  while (std::getline(file, line)) {
    ++number;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) continue;
    const std::vector<std::string> fields = split_fields(line);

    if (columns == 0) columns = fields.size();
    if (columns < 2) throw InputError(path, number, "has 1 column, expected a label and then features");
    if (fields.size() != columns) {
      throw InputError(
          path, number,
          "has " + std::to_string(fields.size()) + " columns, expected " + std::to_string(columns));
    }
    const auto is_number = [](const std::string& field) {
      return parse_number(field).has_value();
    };
    if (number == 1 && std::none_of(fields.begin(), fields.end(), is_number)) continue;

    const auto label = parse_number(fields[0]);
    check_label(fields[0], label, number);
    labels.push_back(*label);
    for (std::size_t column = 1; column < columns; ++column) {
      const auto value = parse_number(fields[column]);
      if (!value) {
        throw InputError(path, number,
                         "column " + std::to_string(column + 1) + " is '" + fields[column] +
                             "', expected a finite number");
      }
      values.push_back(*value);
    }
  }
  if (file.bad()) throw InputError(path, number + 1, "cannot be read");
  if (labels.empty()) throw InputError(path, number + 1, "the file ends without a single sample");

  const auto samples = static_cast<ballast::Index>(labels.size());
  RealDataset data;
  data.inputs = Eigen::Map<const ballast::RowMatrixX<float>>(values.data(), samples,
                                                             static_cast<ballast::Index>(columns) - 1);
  data.labels = Eigen::Map<const Eigen::VectorXf>(labels.data(), samples);
  return data;
}

/// Samples whose label is a class.
/// @param like  the training set, when a test file must have its columns and its classes
inline Dataset read_csv(const std::string& path, const Dataset* like = nullptr) {
  const ballast::Index limit = like ? like->classes : largest_number_of_classes;
  const std::size_t columns = like ? static_cast<std::size_t>(like->inputs.cols()) + 1 : 0;
  RealDataset read =
      read_samples(path, columns, [&](const std::string& field, std::optional<float> label, long line) {
        if (!label || *label != std::floor(*label) || *label < 0 || *label >= static_cast<float>(limit)) {
          throw InputError(path, line,
                           "the label is '" + field + "', expected an integer in [0, " +
                               std::to_string(limit) + ")" + (like ? ", as in the training file" : ""));
        }
      });
  Dataset data;
  data.inputs = std::move(read.inputs);
  data.labels = read.labels.cast<int>();
  data.classes = like ? like->classes : data.labels.maxCoeff() + 1;
  return data;
}

/// Samples whose label is any finite number.
/// @param like  the training set, when a test file must have its columns
inline RealDataset read_regression_csv(const std::string& path, const RealDataset* like = nullptr) {
  const std::size_t columns = like ? static_cast<std::size_t>(like->inputs.cols()) + 1 : 0;
  return read_samples(path, columns, [&](const std::string& field, std::optional<float> label, long line) {
    if (!label) throw InputError(path, line, "the label is '" + field + "', expected a finite number");
  });
}

}  // namespace example
