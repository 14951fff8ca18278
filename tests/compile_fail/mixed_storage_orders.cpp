// expect: ballast: give the output the storage order of the input
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

using Input = ballast::MatrixX<float>;
#ifdef BALLAST_EXPECT_ERROR
using Output = ballast::RowMatrixX<float>;
#else
using Output = ballast::MatrixX<float>;
#endif

void check();
void check() {
  ballast::detail::assert_same_order<const Input&, Output&>();
}
