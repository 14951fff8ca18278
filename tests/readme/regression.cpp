// Printed in README.md; see readme/is_quoted.cmake.
#include <ballast/ballast.hpp>

namespace {

using Matrix = ballast::RowMatrixX<float>;

int train(const Eigen::VectorXf& ages, const Matrix& encoded, int epochs) {
  Matrix features = encoded, smoothed(encoded.rows(), encoded.cols()), feature_gradient = encoded;
  Eigen::VectorXf predictions(ages.size()), gradient(ages.size());
  // README
  const auto bins = ballast::LabelBins::uniform(0.0, 120.0, 120);
  const auto kernel = ballast::SmoothingKernel::gaussian(5, 2.0);

  const ballast::LabelDistributionSmoothing lds(bins, kernel, ages);
  const Eigen::VectorXf weights = lds.sample_weights(ages);  // 1 / effective density, mean 1

  ballast::FeatureDistributionSmoothing<float> fds(features.cols(), bins, kernel);
  for (int epoch = 0; epoch < epochs; ++epoch) {
    fds.smooth(features, ages, smoothed);    // unchanged in the first epoch
    predictions = smoothed.rowwise().sum();  // your regressor
    ballast::l1_loss(predictions, ages, weights, gradient);
    smoothed = gradient.replicate(1, smoothed.cols());  // its backward
    fds.backward(smoothed, ages, feature_gradient);
    fds.update(features, ages);  // the raw features, batch by batch
    fds.finish_epoch();          // freeze, average over epochs, smooth over bins
  }
  // end README
  return feature_gradient.allFinite() ? 0 : 1;
}

}  // namespace

int main() {
  return train(Eigen::VectorXf::LinSpaced(200, 20.0f, 60.0f), Matrix::Random(200, 8), 3);
}
