// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <fstream>
#include <iomanip>
#include <limits>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "dataset.hpp"

namespace example {

/// One value per bin; NaN where there is none.
struct Series {
  std::string name;
  std::string colour;
  std::vector<double> values;
};

/// One coordinate system over the bins: the first series as bars, the others as lines.
struct Panel {
  std::string title;
  std::vector<Series> series;
};

/// Draws panels below each other over the same bins, as SVG.
class Picture {
 public:
  /// @param edges  of the bins, one more than every series has values
  Picture(std::string axis, std::vector<double> edges) : axis_(std::move(axis)), edges_(std::move(edges)) {}

  void add(Panel panel) { panels_.push_back(std::move(panel)); }

  void write(const std::string& path) const {
    std::ofstream file(path);
    if (!file) throw InputError(path, "cannot be written");
    file << std::fixed << std::setprecision(1);
    const double height = top + static_cast<double>(panels_.size()) * (panel_height + gap);
    file << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << left + width + 20 << ' ' << height
         << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
         << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
    for (std::size_t i = 0; i < panels_.size(); ++i) {
      draw(file, panels_[i], top + static_cast<double>(i) * (panel_height + gap));
    }
    file << "</svg>\n";
    if (!file) throw InputError(path, "cannot be written");
  }

 private:
  static constexpr double left = 60, top = 30, width = 640, panel_height = 200, gap = 70;

  [[nodiscard]] double x(double label) const {
    return left + width * (label - edges_.front()) / (edges_.back() - edges_.front());
  }

  void draw(std::ostream& out, const Panel& panel, double y) const {
    double most = 0;
    for (const Series& series : panel.series) {
      for (const double value : series.values) most = std::isfinite(value) ? std::max(most, value) : most;
    }
    const double step = tick_step(most);
    most = step * std::max(1.0, std::ceil(most / step));
    const auto level = [&](double value) {
      return y + panel_height * (1 - value / most);
    };

    out << "<text x=\"" << left << "\" y=\"" << y - 12 << "\" font-weight=\"bold\">" << panel.title
        << "</text>\n";
    for (double value = 0; value <= most * 1.001; value += step) {
      out << "<line x1=\"" << left << "\" x2=\"" << left + width << "\" y1=\"" << level(value) << "\" y2=\""
          << level(value) << "\" stroke=\"#ddd\"/>\n"
          << "<text x=\"" << left - 6 << "\" y=\"" << level(value) + 4 << "\" text-anchor=\"end\">"
          << number(value) << "</text>\n";
    }
    for (std::size_t i = 0; i < panel.series.size(); ++i) {
      if (i == 0) {
        draw_bars(out, panel.series[i], level);
      } else {
        draw_line(out, panel.series[i], level);
      }
    }
    draw_legend(out, panel, y);
    const double label_step = tick_step(edges_.back() - edges_.front());
    for (double at = std::ceil(edges_.front() / label_step) * label_step; at <= edges_.back();
         at += label_step) {
      out << "<text x=\"" << x(at) << "\" y=\"" << y + panel_height + 16 << "\" text-anchor=\"middle\">"
          << number(at) << "</text>\n";
    }
    out << "<text x=\"" << left + width / 2 << "\" y=\"" << y + panel_height + 32
        << "\" text-anchor=\"middle\">" << axis_ << "</text>\n";
  }

  template <typename Level>
  void draw_bars(std::ostream& out, const Series& series, const Level& level) const {
    out << "<g fill=\"" << series.colour << "\" fill-opacity=\"0.5\">\n";
    for (std::size_t b = 0; b < series.values.size(); ++b) {
      if (!(series.values[b] > 0)) continue;
      const double begin = x(edges_[b]), end = x(edges_[b + 1]);
      out << "<rect x=\"" << begin << "\" y=\"" << level(series.values[b]) << "\" width=\""
          << std::max(0.5, end - begin - 1) << "\" height=\"" << level(0) - level(series.values[b])
          << "\"/>\n";
    }
    out << "</g>\n";
  }

  template <typename Level>
  void draw_line(std::ostream& out, const Series& series, const Level& level) const {
    out << "<path fill=\"none\" stroke=\"" << series.colour << "\" stroke-width=\"2\" d=\"";
    bool drawing = false;
    for (std::size_t b = 0; b < series.values.size(); ++b) {
      if (std::isfinite(series.values[b])) {
        out << (drawing ? " L" : " M") << x((edges_[b] + edges_[b + 1]) / 2) << ' '
            << level(series.values[b]);
      }
      drawing = std::isfinite(series.values[b]);
    }
    out << "\"/>\n";
  }

  static void draw_legend(std::ostream& out, const Panel& panel, double y) {
    double at = left + width;
    for (auto series = panel.series.rbegin(); series != panel.series.rend(); ++series) {
      out << "<text x=\"" << at << "\" y=\"" << y - 12 << "\" text-anchor=\"end\" fill=\"" << series->colour
          << "\">" << series->name << "</text>\n";
      at -= 8.0 * static_cast<double>(series->name.size()) + 16;
    }
  }

  /// 1, 2 or 5 times a power of ten: at most eight steps over the range.
  static double tick_step(double range) {
    const double least = std::max(range, std::numeric_limits<double>::min()) / 8;
    const double power = std::pow(10.0, std::floor(std::log10(least)));
    for (const double factor : {1.0, 2.0, 5.0}) {
      if (factor * power >= least) return factor * power;
    }
    return 10 * power;
  }

  static std::string number(double value) {
    std::string text = std::to_string(value);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
    return text == "-0" ? "0" : text;
  }

  std::string axis_;
  std::vector<double> edges_;
  std::vector<Panel> panels_;
};

}  // namespace example
