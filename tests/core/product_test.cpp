#include <ballast/core/product.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Index;
using ballast::MatrixX;
using ballast::RowMatrixX;
using ballast::detail::multiply;
using ballast::detail::mutable_view;
using ballast::detail::Product;
using ballast::detail::view;

/// |came - exact| <= (depth + 2) eps sum |a||b|: each product and each addition rounds once, in any order.
template <typename A, typename B, typename Out>
void check_product(const A& a, const B& b, const Out& came, const Out& before) {
  using Scalar = typename A::Scalar;
  const MatrixX<double> exact =
      a.template cast<double>() * b.template cast<double>() + before.template cast<double>();
  const MatrixX<double> size = a.cwiseAbs().template cast<double>() * b.cwiseAbs().template cast<double>() +
                               before.cwiseAbs().template cast<double>();
  const double epsilon = static_cast<double>(std::numeric_limits<Scalar>::epsilon());
  const double terms = static_cast<double>(a.cols() + 2);
  CHECK(((came.template cast<double>() - exact).array().abs() <= terms * epsilon * size.array()).all());
}

template <typename A, typename B, typename Out>
void check_shape(RandomData& random, Index rows, Index depth, Index cols) {
  using Scalar = typename A::Scalar;
  CAPTURE(rows, depth, cols);
  const A a = random.matrix<A>(rows, depth, -1, 1);
  const B b = random.matrix<B>(depth, cols, -1, 1);
  Out out = random.matrix<Out>(rows, cols, -1, 1);
  const Out before = out;
  multiply(view<Scalar>(a), view<Scalar>(b), mutable_view<Scalar>(out), Product::add);
  check_product(a, b, out, before);
  multiply(view<Scalar>(a), view<Scalar>(b), mutable_view<Scalar>(out), Product::assign);
  check_product(a, b, out, Out(Out::Zero(rows, cols)));
}

template <typename A, typename B, typename Out>
void check_shapes() {
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  check_shape<A, B, Out>(random, 1, 1, 1);
  check_shape<A, B, Out>(random, 1, 300, 5);
  check_shape<A, B, Out>(random, 37, 129, 1);
  check_shape<A, B, Out>(random, 257, 130, 260);  // a tile and a bit in every direction
  check_shape<A, B, Out>(random, 5, 0, 3);
}

}  // namespace

TEMPLATE_TEST_CASE("product: the product in tiles, in every storage order", "[core]", float, double) {
  using Row = RowMatrixX<TestType>;
  using Col = MatrixX<TestType>;
  check_shapes<Row, Row, Row>();
  check_shapes<Row, Col, Row>();
  check_shapes<Col, Row, Row>();
  check_shapes<Row, Row, Col>();
  check_shapes<Col, Col, Col>();
}

TEST_CASE("product: through blocks and transposes, and nothing beside the target", "[core]") {
  const std::uint64_t seed = 2;
  CAPTURE(seed);
  RandomData random(seed);
  const Eigen::MatrixXd a = random.matrix<Eigen::MatrixXd>(20, 30, -1, 1);
  Eigen::MatrixXd out = Eigen::MatrixXd::Constant(40, 40, 7);
  multiply(view<double>(a.topRows(12)), ballast::detail::transposed(view<double>(a.middleRows(3, 9))),
           mutable_view<double>(out.block(5, 6, 12, 9)));
  const Eigen::MatrixXd exact = a.topRows(12) * a.middleRows(3, 9).transpose();
  CHECK((out.block(5, 6, 12, 9) - exact).cwiseAbs().maxCoeff() <= 32 * 30 * 1.2e-16);
  out.block(5, 6, 12, 9).setConstant(7);
  CHECK((out.array() == 7).all());
}
