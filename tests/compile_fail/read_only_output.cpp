// expect: ballast: the output is read-only; pass a non-const matrix
#include <ballast/core/view.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Output = const Eigen::MatrixXf;
#else
using Output = Eigen::MatrixXf;
#endif

void write(Output& matrix);
void write(Output& matrix) {
  static_cast<void>(ballast::detail::mutable_view<float>(matrix));
}
