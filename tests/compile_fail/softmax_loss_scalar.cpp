// expect: ballast: SoftmaxLoss: Scalar is float or double
#include <ballast/losses/softmax_loss.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Scalar = long double;
#else
using Scalar = float;
#endif

ballast::Index classes_of(const ballast::SoftmaxLoss<Scalar>& loss);
ballast::Index classes_of(const ballast::SoftmaxLoss<Scalar>& loss) {
  return loss.classes();
}
