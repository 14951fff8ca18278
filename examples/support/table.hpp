// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

namespace example {

/// What one run of one method reached on the test set. Accuracies in [0, 1]; a group without test samples has
/// none.
struct Scores {
  double balanced = 0;
  std::optional<double> many, medium, few;
  double overall = 0;
  double seconds = 0;
};

/// Mean, and deviation from it over runs (n - 1; none for a single run).
struct Spread {
  double mean;
  std::optional<double> deviation;
};

/// Nothing if a run has no value.
inline std::optional<Spread> spread(const std::vector<std::optional<double>>& values) {
  double mean = 0, squares = 0;
  for (const auto& value : values) {
    if (!value) return std::nullopt;
    mean += *value / static_cast<double>(values.size());
  }
  if (values.empty()) return std::nullopt;
  for (const auto& value : values) squares += (*value - mean) * (*value - mean);
  if (values.size() == 1) return Spread{mean, std::nullopt};
  return Spread{mean, std::sqrt(squares / static_cast<double>(values.size() - 1))};
}

/// The results of every method over seeds, for a reader and as CSV. Rows stand in the order of their first
/// result.
class Table {
 public:
  void add(const std::string& method, const Scores& scores) {
    auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.method == method; });
    if (row == rows_.end()) row = rows_.insert(rows_.end(), Row{method, {}});
    row->runs.push_back(scores);
  }

  /// Accuracies in percent, "mean ± deviation"; "-" where a group has no test samples.
  void print(std::ostream& out) const {
    std::size_t width = 0;
    for (const Row& row : rows_) width = std::max(width, row.method.size());
    out << padded("", width);
    for (const Column& column : columns) out << "  " << padded(column.heading, cell_width);
    out << "  seconds\n";
    for (const Row& row : rows_) {
      out << padded(row.method, width);
      for (const Column& column : columns) out << "  " << cell(column_spread(row, column));
      out << "  " << number("%7.2f", mean_seconds(row)) << '\n';
    }
  }

  /// One line per method: for each figure its mean and its deviation in percent, empty where there is none.
  void write_csv(std::ostream& out) const {
    out << "method,seeds";
    for (const Column& column : columns)
      out << ',' << column.heading << ',' << column.heading << "_deviation";
    out << ",seconds\n";
    for (const Row& row : rows_) {
      out << '"' << row.method << "\"," << row.runs.size();
      for (const Column& column : columns) {
        const auto figure = column_spread(row, column);
        out << ',' << (figure ? number("%.3f", 100 * figure->mean) : "");
        out << ',' << (figure && figure->deviation ? number("%.3f", 100 * *figure->deviation) : "");
      }
      out << ',' << number("%.4f", mean_seconds(row)) << '\n';
    }
  }

 private:
  struct Row {
    std::string method;
    std::vector<Scores> runs;
  };
  struct Column {
    const char* heading;
    std::optional<double> (*value)(const Scores&);
  };

  static constexpr std::size_t cell_width = 10;
  static constexpr std::array<Column, 5> columns = {{
      {"balanced",
       [](const Scores& s) {
         return std::optional<double>(s.balanced);
       }},
      {"many",
       [](const Scores& s) {
         return s.many;
       }},
      {"medium",
       [](const Scores& s) {
         return s.medium;
       }},
      {"few",
       [](const Scores& s) {
         return s.few;
       }},
      {"overall",
       [](const Scores& s) {
         return std::optional<double>(s.overall);
       }},
  }};

  static std::optional<Spread> column_spread(const Row& row, const Column& column) {
    std::vector<std::optional<double>> values;
    for (const Scores& scores : row.runs) values.push_back(column.value(scores));
    return spread(values);
  }
  static double mean_seconds(const Row& row) {
    double sum = 0;
    for (const Scores& scores : row.runs) sum += scores.seconds;
    return sum / static_cast<double>(row.runs.size());
  }

  static std::string number(const char* format, double value) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), format, value);
    return text.data();
  }
  static std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
  }
  static std::string cell(const std::optional<Spread>& figure) {
    if (!figure) return padded("   -", cell_width);
    const std::string mean = number("%4.1f", 100 * figure->mean);
    if (!figure->deviation) return padded(mean, cell_width);
    // The sign takes two bytes and one column.
    return padded(mean + " ± " + number("%.1f", 100 * *figure->deviation), cell_width + 1);
  }

  std::vector<Row> rows_;
};

}  // namespace example
