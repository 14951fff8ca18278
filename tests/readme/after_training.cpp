// Printed in README.md; see readme/is_quoted.cmake.
#include <ballast/ballast.hpp>

namespace {

int after_training(const Eigen::MatrixXf& validation_logits, const Eigen::VectorXi& validation_labels,
                   const Eigen::MatrixXf& logits, const Eigen::VectorXi& labels,
                   const ballast::ClassDistribution& classes) {
  Eigen::VectorXi predictions(labels.size());
  Eigen::MatrixXf probabilities(logits.rows(), logits.cols());
  // README
  const auto best = ballast::select_tau(validation_logits, validation_labels, classes);
  const ballast::LogitAdjustment<float> adjust(classes, static_cast<float>(best.tau));
  adjust.predict(logits, predictions);  // argmax f - tau log pi

  ballast::TemperatureScaling<float> temperature;
  temperature.fit(validation_logits, validation_labels);
  temperature.apply(logits, probabilities);
  ballast::softmax(probabilities, probabilities);
  const auto shifted = ballast::estimate_target_prior(probabilities, classes.prior());  // EM, no labels

  ballast::ConfusionMatrix confusion(classes.classes());
  confusion.update(predictions, labels);  // batch by batch; shards merge
  const double error = confusion.balanced_error();
  const auto shots = confusion.shot_accuracy(classes);  // many, medium, few; none where no class is
  // end README
  return error >= 0 && error <= 1 && shifted.prior.size() == 3 && shots.many.has_value() ? 0 : 1;
}

}  // namespace

int main() {
  const Eigen::VectorXi labels = Eigen::VectorXi::LinSpaced(600, 0, 599).unaryExpr([](int i) {
    return i % 6 < 3 ? 0 : i % 6 < 5 ? 1 : 2;
  });
  Eigen::MatrixXf logits(600, 3);
  for (Eigen::Index i = 0; i < 600; ++i) {
    for (Eigen::Index k = 0; k < 3; ++k) {
      logits(i, k) = static_cast<float>((i * 37 + k * 101) % 19) * 0.1f + (labels[i] == k ? 1.0f : 0.0f);
    }
  }
  return after_training(logits.topRows(300), labels.head(300), logits.bottomRows(300), labels.tail(300),
                        ballast::ClassDistribution(labels));
}
