// expect: ballast: the scalar type differs from the head's
#include <ballast/classifiers/linear_head.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Scalar = double;
#else
using Scalar = float;
#endif

ballast::LinearHead<float> head(const ballast::MatrixX<Scalar>& weights,
                                const ballast::VectorX<Scalar>& bias);
ballast::LinearHead<float> head(const ballast::MatrixX<Scalar>& weights,
                                const ballast::VectorX<Scalar>& bias) {
  return ballast::LinearHead<float>(weights, bias);
}
