// expect: ballast: the scalar type differs from the component's
#include <ballast/losses/regression.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Target = double;
#else
using Target = float;
#endif

float loss(const Eigen::VectorXf& predictions, const Eigen::Matrix<Target, -1, 1>& targets,
           Eigen::VectorXf& gradient);
float loss(const Eigen::VectorXf& predictions, const Eigen::Matrix<Target, -1, 1>& targets,
           Eigen::VectorXf& gradient) {
  return ballast::l1_loss(predictions, targets, gradient);
}
