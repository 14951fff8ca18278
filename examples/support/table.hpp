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
#include <utility>
#include <vector>

namespace example {

/// What one run of one method reached on the test set, in the order of a table's headings. A group without
/// test samples has no figure.
using Figures = std::vector<std::optional<double>>;

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
  /// @param headings  of the figures
  /// @param factor    that figures are shown multiplied by: 100 shows a share as percent
  /// @param decimals  shown; the CSV has two more
  Table(std::vector<std::string> headings, double factor, int decimals)
      : headings_(std::move(headings)), factor_(factor), decimals_(decimals) {}

  void add(const std::string& method, const Figures& figures, double seconds) {
    auto row = std::find_if(rows_.begin(), rows_.end(), [&](const Row& r) { return r.method == method; });
    if (row == rows_.end()) row = rows_.insert(rows_.end(), Row{method, {}, {}});
    row->runs.push_back(figures);
    row->seconds.push_back(seconds);
  }

  /// "mean ± deviation"; "-" for a figure that a run does not have.
  void print(std::ostream& out) const {
    std::size_t width = 0;
    for (const Row& row : rows_) width = std::max(width, row.method.size());
    out << padded("", width);
    for (const std::string& heading : headings_) out << "  " << padded(heading, cell_width());
    out << "  seconds\n";
    for (const Row& row : rows_) {
      out << padded(row.method, width);
      for (std::size_t column = 0; column < headings_.size(); ++column) {
        out << "  " << cell(column_spread(row, column));
      }
      out << "  " << number(mean_seconds(row), 7, 2) << '\n';
    }
  }

  /// One line per method: for each figure its mean and its deviation, empty where there is none.
  void write_csv(std::ostream& out) const {
    out << "method,seeds";
    for (const std::string& heading : headings_) out << ',' << heading << ',' << heading << "_deviation";
    out << ",seconds\n";
    for (const Row& row : rows_) {
      out << '"' << row.method << "\"," << row.runs.size();
      for (std::size_t column = 0; column < headings_.size(); ++column) {
        const auto figure = column_spread(row, column);
        out << ',' << (figure ? number(figure->mean, 0, decimals_ + 2) : "");
        out << ',' << (figure && figure->deviation ? number(*figure->deviation, 0, decimals_ + 2) : "");
      }
      out << ',' << number(mean_seconds(row), 0, 4) << '\n';
    }
  }

 private:
  struct Row {
    std::string method;
    std::vector<Figures> runs;
    std::vector<double> seconds;
  };

  [[nodiscard]] std::size_t cell_width() const { return static_cast<std::size_t>(8 + 2 * decimals_); }

  [[nodiscard]] std::optional<Spread> column_spread(const Row& row, std::size_t column) const {
    Figures values;
    for (const Figures& run : row.runs) values.push_back(run.at(column));
    for (auto& value : values) {
      if (value) *value *= factor_;
    }
    return spread(values);
  }
  static double mean_seconds(const Row& row) {
    double sum = 0;
    for (const double seconds : row.seconds) sum += seconds;
    return sum / static_cast<double>(row.seconds.size());
  }

  static std::string number(double value, int width, int decimals) {
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%*.*f", width, decimals, value);
    return text.data();
  }
  static std::string padded(std::string text, std::size_t width) {
    text.resize(std::max(width, text.size()), ' ');
    return text;
  }
  [[nodiscard]] std::string cell(const std::optional<Spread>& figure) const {
    if (!figure) return padded("   -", cell_width());
    const std::string mean = number(figure->mean, decimals_ + 3, decimals_);
    if (!figure->deviation) return padded(mean, cell_width());
    // The sign takes two bytes and one column.
    return padded(mean + " ± " + number(*figure->deviation, 0, decimals_), cell_width() + 1);
  }

  std::vector<std::string> headings_;
  double factor_;
  int decimals_;
  std::vector<Row> rows_;
};

}  // namespace example
