// expect: ballast: mixup takes two vectors of labels
#include <ballast/losses/softmax_loss.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Targets = Eigen::MatrixXf;
#else
using Targets = Eigen::VectorXi;
#endif

float mix(const Eigen::MatrixXf& logits, const Targets& first, const Targets& second, Eigen::MatrixXf& out);
float mix(const Eigen::MatrixXf& logits, const Targets& first, const Targets& second, Eigen::MatrixXf& out) {
  return ballast::SoftmaxLoss<float>(3).mixup(logits, first, second, 0.5f, out);
}
