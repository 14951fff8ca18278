// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "dataset.hpp"

namespace example {

/// Points of a chart: joined by a line, or marked one by one with an error bar.
struct Series {
  enum class Style { line, marks };

  std::string name;
  Style style = Style::line;
  std::vector<double> x, y;
  std::vector<double> bar;  ///< half height at each point; empty: none
};

/// A line chart, written as SVG: what a browser shows without any library.
class Chart {
 public:
  Chart(std::string title, std::string x_label, std::string y_label)
      : title_(std::move(title)), x_label_(std::move(x_label)), y_label_(std::move(y_label)) {}

  void add(Series series) { series_.push_back(std::move(series)); }

  /// @throws InputError if the file cannot be written
  void write(const std::string& path) const {
    std::ofstream file(path);
    file << svg();
    if (!file.flush()) throw InputError(path, "cannot be written");
  }

  [[nodiscard]] std::string svg() const {
    std::ostringstream out;
    out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << height
        << "\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" "
           "fill=\"white\"/>\n"
        << text((left + right) / 2, 24, "middle", title_, 16);
    const Axis x = axis(true), y = axis(false);
    const auto at_x = [&](double value) {
      return left + (value - x.low) / (x.high - x.low) * (right - left);
    };
    const auto at_y = [&](double value) {
      return bottom - (value - y.low) / (y.high - y.low) * (bottom - top);
    };

    for (double tick = x.low; tick <= x.high + x.step / 2; tick += x.step) {
      out << line(at_x(tick), bottom, at_x(tick), top, "#e4e4e4", 1)
          << text(at_x(tick), bottom + 20, "middle", number(tick, x.step));
    }
    for (double tick = y.low; tick <= y.high + y.step / 2; tick += y.step) {
      out << line(left, at_y(tick), right, at_y(tick), "#e4e4e4", 1)
          << text(left - 8, at_y(tick) + 4, "end", number(tick, y.step));
    }
    out << "<rect x=\"" << left << "\" y=\"" << top << "\" width=\"" << right - left << "\" height=\""
        << bottom - top << "\" fill=\"none\" stroke=\"#444\"/>\n"
        << text((left + right) / 2, height - 14, "middle", x_label_) << "<g transform=\"rotate(-90)\">"
        << text(-(top + bottom) / 2, 20, "middle", y_label_) << "</g>\n";

    for (std::size_t s = 0; s < series_.size(); ++s) {
      const Series& series = series_[s];
      const std::string color = colors[s % std::size(colors)];
      if (series.style == Series::Style::line) {
        out << "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"" << color << "\" points=\"";
        for (std::size_t i = 0; i < series.x.size(); ++i) {
          out << at_x(series.x[i]) << ',' << at_y(series.y[i]) << ' ';
        }
        out << "\"/>\n";
      }
      for (std::size_t i = 0; i < series.x.size() && series.style == Series::Style::marks; ++i) {
        const double px = at_x(series.x[i]), py = at_y(series.y[i]);
        if (!series.bar.empty()) {
          out << line(px, at_y(series.y[i] - series.bar[i]), px, at_y(series.y[i] + series.bar[i]), color,
                      1.5);
        }
        out << "<circle cx=\"" << px << "\" cy=\"" << py << "\" r=\"3.5\" fill=\"" << color << "\"/>\n";
      }
      const double row = top + 20 + 18 * static_cast<double>(s);
      out << line(left + 12, row - 4, left + 34, row - 4, color, series.style == Series::Style::line ? 2 : 6)
          << text(left + 42, row, "start", series.name);
    }
    out << "</svg>\n";
    return out.str();
  }

 private:
  struct Axis {
    double low, high, step;
  };

  static constexpr double width = 640, height = 420, left = 70, right = 615, top = 40, bottom = 365;
  static constexpr const char* colors[] = {"#1f6fb4", "#d5542b", "#2c8f4e", "#7a4ea3", "#8a6d1f", "#555555"};

  /// From a round number to a round number, in four to nine round steps.
  [[nodiscard]] Axis axis(bool of_x) const {
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (const Series& series : series_) {
      const std::vector<double>& values = of_x ? series.x : series.y;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double bar = of_x || series.bar.empty() ? 0.0 : series.bar[i];
        low = std::min(low, values[i] - bar);
        high = std::max(high, values[i] + bar);
      }
    }
    if (!(low < high)) high = low + 1;
    const double rough = (high - low) / 5, unit = std::pow(10.0, std::floor(std::log10(rough)));
    const double step = rough < 2 * unit ? unit : rough < 5 * unit ? 2 * unit : 5 * unit;
    return {std::floor(low / step + 1e-9) * step, std::ceil(high / step - 1e-9) * step, step};
  }

  static std::string number(double value, double step) {
    std::ostringstream out;
    out.setf(std::ios::fixed);
    out.precision(step >= 1 ? 0 : static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
    out << (std::abs(value) < step / 2 ? 0.0 : value);
    return out.str();
  }
  static std::string line(double x1, double y1, double x2, double y2, const std::string& color,
                          double stroke) {
    std::ostringstream out;
    out << "<line x1=\"" << x1 << "\" y1=\"" << y1 << "\" x2=\"" << x2 << "\" y2=\"" << y2 << "\" stroke=\""
        << color << "\" stroke-width=\"" << stroke << "\"/>\n";
    return out.str();
  }
  static std::string text(double x, double y, const char* anchor, const std::string& words, int size = 13) {
    std::ostringstream out;
    out << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor << "\" font-size=\"" << size
        << "\">";
    for (const char c : words) {
      if (c == '<') {
        out << "&lt;";
      } else if (c == '&') {
        out << "&amp;";
      } else {
        out << c;
      }
    }
    out << "</text>\n";
    return out.str();
  }

  std::string title_, x_label_, y_label_;
  std::vector<Series> series_;
};

}  // namespace example
