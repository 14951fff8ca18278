// Printed in README.md; see readme/is_quoted.cmake.
#include <ballast/ballast.hpp>

namespace {

int decoupled(const Eigen::MatrixXf& features, const Eigen::VectorXi& labels, const Eigen::MatrixXf& weights,
              const Eigen::VectorXf& bias) {
  // README
  ballast::PowerLawSampler::Options sampling;
  sampling.q = 0.5;  // 1 instance-balanced, 0.5 square-root, 0 class-balanced
  sampling.seed = 7;
  const ballast::PowerLawSampler sampler(labels, sampling);
  ballast::IndexVector batch(64);
  sampler.draw(/*epoch=*/3, /*position=*/0, batch);  // the same on every compiler, from anywhere in the epoch

  const ballast::LinearHead<float> head(weights, bias);  // of a trained network: classes x dimensions
  const auto retrained = ballast::retrain_head(features, labels, head);  // cRT
  const auto normalised = ballast::tau_normalized(head, 0.7f);           // w_i / |w_i|^tau
  ballast::LearnableWeightScaling<float> scaling(head);                  // LWS
  scaling.fit(features, labels);
  const ballast::NearestClassMean<float> nearest(features, labels);  // NCM
  // end README
  Eigen::VectorXi predictions(labels.size());
  nearest.predict(features, predictions);
  return retrained.classes() == normalised.classes() && scaling.scales().size() == 3 &&
                 batch.maxCoeff() < labels.size() && predictions.minCoeff() >= 0
             ? 0
             : 1;
}

}  // namespace

int main() {
  const Eigen::VectorXi labels = Eigen::VectorXi::LinSpaced(90, 0, 89).unaryExpr([](int i) { return i % 3; });
  return decoupled(Eigen::MatrixXf::Random(90, 4), labels, Eigen::MatrixXf::Random(3, 4),
                   Eigen::VectorXf::Zero(3));
}
