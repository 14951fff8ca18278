// Printed in README.md; see readme/is_quoted.cmake.
#include <ballast/ballast.hpp>
#include <cmath>

// README
// A margin of one's own is data: u_k = s_k f_k + a_k, and at the label u_y = s_y f_y + b_y.
template <typename Scalar>
ballast::Margin<Scalar> square_root_margin(const ballast::ClassDistribution& classes) {
  ballast::Margin<Scalar> margin;
  margin.offset = Eigen::VectorXd::Zero(classes.classes()).cast<Scalar>();
  margin.target_offset = -classes.prior().cwiseSqrt().cwiseInverse().cast<Scalar>();
  return margin;
}

// A shape of one's own is a function of log p_y with its slope: here 1 - p_y.
struct MissProbability {
  template <typename Scalar>
  ballast::ShapeValue<Scalar> operator()(const ballast::Likelihood<Scalar>& at, Scalar weight) const {
    return {weight * at.miss, -weight * at.p};
  }
};

template <typename Scalar>
auto compose(const ballast::ClassDistribution& classes) {
  return ballast::softmax_loss<Scalar>(
      ballast::effective_number_weights<Scalar>(classes, 0.9999),  // alpha_y
      square_root_margin<Scalar>(classes),                         // or prior_margin<Scalar>(classes, 1)
      MissProbability{});                                          // or Focal<Scalar>{2}
}
// end README

int main() {
  const Eigen::VectorXi labels = Eigen::VectorXi::LinSpaced(90, 0, 89).unaryExpr([](int i) { return i % 3; });
  const ballast::ClassDistribution classes(labels);
  const auto loss = compose<double>(classes);
  const Eigen::MatrixXd logits = Eigen::MatrixXd::Random(90, 3);
  Eigen::MatrixXd gradient(90, 3), scratch(90, 3);
  loss(logits, labels, gradient);
  Eigen::MatrixXd up = logits, down = logits;
  up(4, 1) += 1e-5;
  down(4, 1) -= 1e-5;
  const double slope = (loss(up, labels, scratch) - loss(down, labels, scratch)) / 2e-5;
  return std::abs(slope - gradient(4, 1)) < 1e-9 ? 0 : 1;
}
