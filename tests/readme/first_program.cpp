// Printed in README.md; see readme/is_quoted.cmake.
// README
#include <ballast/ballast.hpp>
#include <iostream>

int main() {
  const Eigen::VectorXi labels = (Eigen::VectorXi(8) << 0, 0, 0, 0, 0, 1, 1, 2).finished();
  const ballast::ClassDistribution classes(labels);                // counts, prior, shot groups
  const auto loss = ballast::logit_adjusted_loss<float>(classes);  // tau = 1

  const Eigen::MatrixXf logits = Eigen::MatrixXf::Zero(8, 3);  // samples x classes, from your model
  Eigen::MatrixXf gradient(8, 3);                              // and back to it
  std::cout << "loss " << loss(logits, labels, gradient) << "\ngradient\n" << gradient << '\n';
}
// end README
