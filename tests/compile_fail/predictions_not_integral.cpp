// expect: ballast: labels are integers
#include <ballast/adjustment/logit_adjustment.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Predictions = Eigen::VectorXf;
#else
using Predictions = Eigen::VectorXi;
#endif

void predict(const ballast::LogitAdjustment<float>& adjust, const Eigen::MatrixXf& logits, Predictions& out);
void predict(const ballast::LogitAdjustment<float>& adjust, const Eigen::MatrixXf& logits, Predictions& out) {
  adjust.predict(logits, out);
}
