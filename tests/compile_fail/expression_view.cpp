// expect: ballast: pass a stored matrix, not an expression; write .eval\(\)
#include <ballast/core/view.hpp>

Eigen::Index rows(const Eigen::MatrixXf& matrix);
Eigen::Index rows(const Eigen::MatrixXf& matrix) {
#ifdef BALLAST_EXPECT_ERROR
  return ballast::detail::view<float>(2 * matrix).rows;
#else
  return ballast::detail::view<float>((2 * matrix).eval()).rows;
#endif
}
