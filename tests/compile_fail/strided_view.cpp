// expect: ballast: pass a matrix whose rows or columns are contiguous
#include <ballast/core/view.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Stride = Eigen::Stride<Eigen::Dynamic, 2>;
#else
using Stride = Eigen::Stride<Eigen::Dynamic, 1>;
#endif

Eigen::Index rows(const Eigen::Map<Eigen::MatrixXf, 0, Stride>& matrix);
Eigen::Index rows(const Eigen::Map<Eigen::MatrixXf, 0, Stride>& matrix) {
  return ballast::detail::view<float>(matrix).rows;
}
