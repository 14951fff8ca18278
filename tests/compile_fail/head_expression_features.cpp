// expect: ballast: pass a stored matrix, not an expression
#include <ballast/classifiers/linear_head.hpp>

void forward(const ballast::LinearHead<float>& head, const Eigen::MatrixXf& features,
             Eigen::MatrixXf& logits);
void forward(const ballast::LinearHead<float>& head, const Eigen::MatrixXf& features,
             Eigen::MatrixXf& logits) {
#ifdef BALLAST_EXPECT_ERROR
  head.forward(2.0f * features, logits);
#else
  head.forward((2.0f * features).eval(), logits);
#endif
}
