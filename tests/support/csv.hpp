// Reads the reference tables: a header line, then comma-separated fields.
#pragma once

#include <fstream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <Eigen/Core>

class CsvTable {
 public:
  explicit CsvTable(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("no reference table " + path);
    std::string line;
    std::getline(file, line);
    const std::vector<std::string> names = fields(line);
    for (std::size_t i = 0; i < names.size(); ++i) columns_[names[i]] = i;
    while (std::getline(file, line)) rows_.push_back(fields(line));
  }

  std::size_t rows() const { return rows_.size(); }
  const std::string& text(std::size_t row, const std::string& column) const {
    return rows_[row][columns_.at(column)];
  }
  double number(std::size_t row, const std::string& column) const { return std::stod(text(row, column)); }

  Eigen::VectorXd column(const std::string& name) const {
    Eigen::VectorXd result(static_cast<Eigen::Index>(rows()));
    for (std::size_t i = 0; i < rows(); ++i) result[static_cast<Eigen::Index>(i)] = number(i, name);
    return result;
  }

  /// Every field as a number.
  Eigen::MatrixXd matrix() const {
    Eigen::MatrixXd result(static_cast<Eigen::Index>(rows()), static_cast<Eigen::Index>(columns_.size()));
    for (std::size_t i = 0; i < rows(); ++i) {
      for (std::size_t j = 0; j < columns_.size(); ++j) {
        result(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j)) = std::stod(rows_[i][j]);
      }
    }
    return result;
  }

 private:
  static std::vector<std::string> fields(const std::string& line) {
    std::vector<std::string> result;
    std::istringstream stream(line);
    for (std::string field; std::getline(stream, field, ',');) result.push_back(field);
    return result;
  }

  std::map<std::string, std::size_t> columns_;
  std::vector<std::vector<std::string>> rows_;
};
