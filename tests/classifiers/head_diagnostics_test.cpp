#include <ballast/classifiers/head_diagnostics.hpp>

#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::GradientShare;
using ballast::Index;
using ballast::LinearHead;
using ballast::MatrixX;
using ballast::RowMatrixX;

}  // namespace

TEST_CASE("head_diagnostics: norms against counts", "[classifiers]") {
  RowMatrixX<float> weights(4, 2);
  weights << 3, 4, 1, 0, 0, 2, 0, 0.5f;
  const LinearHead<float> head(weights);
  CHECK(ballast::weight_norms(head) == Eigen::Vector4d(5, 1, 2, 0.5));
  // Ranks 4, 2, 3, 1 against 4, 2.5, 2.5, 1: 4.5 / sqrt(5 * 4.5).
  const auto classes = ClassDistribution::from_counts(Eigen::Vector4i(90, 20, 20, 3));
  CHECK(std::abs(*norm_count_correlation(head, classes) - 4.5 / std::sqrt(22.5)) <= 1e-15);
  CHECK_FALSE(norm_count_correlation(head, ClassDistribution::from_counts(Eigen::Vector4i(5, 5, 5, 5))));
  CHECK(rejects([&] { return norm_count_correlation(head, ClassDistribution(Eigen::Vector2i(0, 1))); },
                {"norm_count_correlation", "classes has size 2", "expected 4"}));
}

TEMPLATE_TEST_CASE("head_diagnostics: gradient shares are the formulas, in any batches", "[classifiers]",
                   RowMatrixX<float>, MatrixX<double>) {
  const std::uint64_t seed = GENERATE(1u, 2u);
  CAPTURE(seed);
  RandomData random(seed);
  const TestType features = random.matrix<TestType>(40, 6, -1, 1);
  const TestType gradient = random.matrix<TestType>(40, 5, -1, 1);
  const Eigen::VectorXi labels = random.labels(40, 4);  // class 4 has no sample, but receives

  using Long = Eigen::Matrix<long double, Eigen::Dynamic, 1>;
  Long rows = Long::Zero(5), sent = Long::Zero(5);
  for (Index i = 0; i < 40; ++i) {
    const long double norm = features.row(i).template cast<long double>().norm();
    for (Index k = 0; k < 5; ++k) {
      rows[k] += std::abs(static_cast<long double>(gradient(i, k))) * norm;
      sent[labels[i]] += std::abs(static_cast<long double>(gradient(i, k))) * norm;
    }
  }
  GradientShare whole(5), first(5), rest(5);
  whole.update(features, gradient, labels);
  first.update(features.topRows(11), gradient.topRows(11), labels.head(11));
  rest.update(features.bottomRows(29), gradient.bottomRows(29), labels.tail(29));
  first.merge(GradientShare(rest.state()));
  // A norm in Scalar is right to a few of its ulp.
  const double bound = 8 * static_cast<double>(std::numeric_limits<typename TestType::Scalar>::epsilon());
  for (Index k = 0; k < 5; ++k) {
    CHECK(std::abs(whole.by_row()[k] - static_cast<double>(rows[k] / rows.sum())) <= bound);
    CHECK(std::abs(whole.by_label()[k] - static_cast<double>(sent[k] / sent.sum())) <= bound);
    CHECK(std::abs(first.by_row()[k] - whole.by_row()[k]) <= 1e-14);
    CHECK(std::abs(first.by_label()[k] - whole.by_label()[k]) <= 1e-14);
  }
  CHECK(whole.by_label()[4] == 0.0);
  CHECK(std::abs(whole.by_row().sum() - 1) <= 1e-14);
}

TEST_CASE("head_diagnostics: no gradient, no share", "[classifiers]") {
  GradientShare share(3);
  CHECK(share.by_row() == Eigen::Vector3d::Zero());
  share.update(Eigen::MatrixXf::Zero(2, 4).eval(), Eigen::MatrixXf::Ones(2, 3).eval(), Eigen::Vector2i(0, 1));
  CHECK(share.by_label() == Eigen::Vector3d::Zero());
}

TEST_CASE("head_diagnostics: rejects, and keeps its totals", "[classifiers][errors]") {
  GradientShare share(3);
  const Eigen::MatrixXd features = Eigen::MatrixXd::Ones(2, 4);
  Eigen::MatrixXd gradient = Eigen::MatrixXd::Ones(2, 3);
  CHECK(rejects([&] { share.update(features, gradient.leftCols(2), Eigen::Vector2i(0, 1)); },
                {"GradientShare::update", "logit_gradient is 2 x 2", "expected 2 x 3"}));
  CHECK(rejects([&] { share.update(features, gradient, Eigen::Vector3i(0, 1, 2)); }, {"labels has size 3"}));
  CHECK(rejects([&] { share.update(features, gradient, Eigen::Vector2i(0, 3)); }, {"labels[1] is 3"}));
  gradient(1, 2) = std::nan("");
  CHECK(rejects([&] { share.update(features, gradient, Eigen::Vector2i(0, 1)); }, {"row 1", "nan"}));
  CHECK(share.state().by_row == Eigen::Vector3d::Zero());
  CHECK(rejects([&] { share.merge(GradientShare(2)); }, {"merge", "size 2", "expected 3"}));
  CHECK(rejects([] { GradientShare(0); }, {"classes is 0"}));
  GradientShare::State state = share.state();
  state.by_label.resize(2);
  CHECK(rejects([&] { GradientShare{state}; }, {"by_label has size 2"}));
  state = share.state();
  state.by_row[1] = -1;
  CHECK(rejects([&] { GradientShare{state}; }, {"by_row[1] is -1"}));
}
