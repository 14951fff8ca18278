// Pearson's chi-square statistic, on the scale of a standard normal deviate.
#pragma once

#include <cmath>

#include <Eigen/Core>

/// How far counts are from their probabilities: chi-square, brought to a standard normal deviate by the cube
/// root of Wilson and Hilferty (1931). Infinite if something of probability 0 was counted. Tests use fixed
/// seeds and ask for |z| < 4.5, which a right generator exceeds once in 150 000 seeds.
/// @param probabilities  sum to 1; each expected count is to be 5 or more
inline double chi_square_z(const Eigen::VectorXd& counts, const Eigen::VectorXd& probabilities) {
  const double draws = counts.sum();
  double chi_square = 0;
  double freedom = -1;
  for (Eigen::Index j = 0; j < counts.size(); ++j) {
    if (probabilities[j] == 0 && counts[j] == 0) continue;
    const double expected = draws * probabilities[j];
    chi_square += (counts[j] - expected) * (counts[j] - expected) / expected;
    freedom += 1;
  }
  const double spread = 2 / (9 * freedom);
  return (std::cbrt(chi_square / freedom) - (1 - spread)) / std::sqrt(spread);
}

/// The same for equal probabilities.
inline double chi_square_z(const Eigen::VectorXd& counts) {
  return chi_square_z(counts,
                      Eigen::VectorXd::Constant(counts.size(), 1.0 / static_cast<double>(counts.size())));
}
