// expect: ballast: the scalar type differs from the component's
#include <ballast/core/view.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Scalar = double;
#else
using Scalar = float;
#endif

Eigen::Index rows(const Eigen::MatrixXf& matrix);
Eigen::Index rows(const Eigen::MatrixXf& matrix) {
  return ballast::detail::view<Scalar>(matrix).rows;
}
