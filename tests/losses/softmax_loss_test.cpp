#include <ballast/losses/softmax_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace {

using ballast::CrossEntropy;
using ballast::Focal;
using ballast::Index;
using ballast::Margin;
using ballast::MatrixX;
using ballast::Reduction;
using ballast::RowMatrixX;
using ballast::SoftmaxLoss;
using ballast::SoftmaxLossOptions;
using ballast::VectorX;
using ballast::WeightInsideFocal;

using Long = long double;
using LongMatrix = RowMatrixX<Long>;
using LongVector = VectorX<Long>;

template <typename Scalar>
constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

// phi and phi' as the formulas are written, in long double.

struct LongValue {
  Long value;
  Long slope;
};

LongValue long_focal(Long l, Long gamma) {
  const Long p = std::exp(l);
  const Long miss = -std::expm1(l);
  if (miss == 0) return {0, gamma == 0 ? Long(-1) : Long(0)};
  return {-std::pow(miss, gamma) * l,
          -std::pow(miss, gamma) + gamma * std::pow(miss, gamma - 1) * p * (p == 0 ? 0 : l)};
}

LongValue long_shape(const CrossEntropy&, Long l, Long weight) {
  return {-weight * l, -weight};
}
template <typename Scalar>
LongValue long_shape(const Focal<Scalar>& focal, Long l, Long weight) {
  const LongValue plain = long_focal(l, static_cast<Long>(focal.gamma));
  return {weight * plain.value, weight * plain.slope};
}
template <typename Scalar>
LongValue long_shape(const WeightInsideFocal<Scalar>& focal, Long l, Long weight) {
  const LongValue inside = long_focal(weight * l, static_cast<Long>(focal.gamma));
  return {inside.value, weight * inside.slope};
}

/// One sample against q, for finite logits and no masked class: the loss; its gradient into `gradient`.
template <typename Scalar, typename Shape>
Long long_row(const SoftmaxLoss<Scalar, Shape>& loss, const LongVector& logits, Index label,
              const LongVector& distribution, LongVector& gradient) {
  const Index classes = loss.classes();
  const Margin<Scalar>& margin = loss.margin();
  LongVector u = logits;
  LongVector scale = LongVector::Ones(classes);
  if (margin.scale.size() > 0) scale = margin.scale.template cast<Long>();
  u.array() *= scale.array();
  if (margin.pairwise.size() > 0) u += margin.pairwise.row(label).transpose().template cast<Long>();
  for (Index k = 0; k < classes; ++k) {
    if (k == label && margin.target_offset.size() > 0) {
      u[k] += static_cast<Long>(margin.target_offset[k]);
    } else if (margin.offset.size() > 0) {
      u[k] += static_cast<Long>(margin.offset[k]);
    }
  }
  const Long largest = u.maxCoeff();
  const Long log_sum = largest + std::log((u.array() - largest).exp().sum());
  const LongVector p = (u.array() - log_sum).exp();
  const Long eps = static_cast<Long>(loss.options().smoothing);
  Long value = 0;
  gradient.setZero(classes);
  for (Index j = 0; j < classes; ++j) {
    Long q = (1 - eps) * distribution[j];
    q += eps * (loss.options().smoothing_target.size() > 0
                    ? static_cast<Long>(loss.options().smoothing_target[j])
                    : 1 / static_cast<Long>(classes));
    if (q == 0) continue;
    const Long weight = loss.weights().size() > 0 ? static_cast<Long>(loss.weights()[j]) : Long(1);
    const LongValue phi = long_shape(loss.shape(), u[j] - log_sum, weight);
    value += q * phi.value;
    for (Index k = 0; k < classes; ++k) {
      gradient[k] += q * phi.slope * ((k == j ? 1 : 0) - p[k]);
    }
  }
  gradient.array() *= scale.array();
  return value;
}

/// The reduced loss of a batch and its gradient, straight from the formula.
template <typename Scalar, typename Shape, typename Labels>
Long long_batch(const SoftmaxLoss<Scalar, Shape>& loss, const LongMatrix& logits, const Labels& labels,
                const LongVector& sample_weights, LongMatrix& gradient) {
  Long value = 0;
  Long total = 0;
  gradient.setZero(logits.rows(), logits.cols());
  for (Index i = 0; i < logits.rows(); ++i) {
    const Index label = static_cast<Index>(labels[i]);
    if (label == loss.options().ignore_index) continue;
    const Long alpha = loss.weights().size() > 0 ? static_cast<Long>(loss.weights()[label]) : Long(1);
    total += loss.options().reduction == Reduction::mean ? 1 : sample_weights[i] * alpha;
    LongVector row;
    value += sample_weights[i] *
             long_row(loss, logits.row(i).transpose(), label, LongVector::Unit(logits.cols(), label), row);
    gradient.row(i) = sample_weights[i] * row.transpose();
  }
  if (loss.options().reduction == Reduction::sum) total = 1;
  gradient /= total;
  return value / total;
}

// Error of a softmax in working precision: u is rounded (epsilon * |u|, which exp turns into a relative
// error), the sum of C terms and the few operations around add a handful more.
template <typename Scalar>
Long tolerance(Long largest_u, Index classes) {
  return static_cast<Long>(std::numeric_limits<Scalar>::epsilon()) *
         (4 * largest_u + 16 + 2 * std::log2(static_cast<Long>(classes) + 1));
}

/// Compares every overload with the formula.
template <typename Matrix, typename Shape>
void check_formula(const SoftmaxLoss<typename Matrix::Scalar, Shape>& loss, Index samples, double spread,
                   std::uint64_t seed) {
  using Scalar = typename Matrix::Scalar;
  const Index classes = loss.classes();
  CAPTURE(seed, samples, classes, Matrix::IsRowMajor);
  RandomData random(seed);
  const Matrix logits = random.matrix<Matrix>(samples, classes, -spread, spread);
  Eigen::VectorXi labels = random.labels(samples, classes);
  if (samples > 2) labels[samples / 2] = -100;
  const VectorX<Scalar> sample_weights = random.vector<Scalar>(samples, 0, 2);

  // Largest |u|, scale of the gradient: what errors are measured against.
  Long scale = 1, offset = 0, weight = 1;
  if (loss.margin().scale.size() > 0) scale = static_cast<Long>(loss.margin().scale.maxCoeff());
  for (const auto* part : {&loss.margin().offset, &loss.margin().target_offset}) {
    if (part->size() > 0) offset = std::max(offset, static_cast<Long>(part->cwiseAbs().maxCoeff()));
  }
  if (loss.margin().pairwise.size() > 0) {
    offset = static_cast<Long>(loss.margin().pairwise.cwiseAbs().maxCoeff());
  }
  if (loss.weights().size() > 0) weight = std::max(weight, static_cast<Long>(loss.weights().maxCoeff()));
  const Long relative = tolerance<Scalar>(scale * static_cast<Long>(spread) + offset, classes);

  LongMatrix expected;
  const LongVector ones = LongVector::Ones(samples);
  const Long value = long_batch(loss, logits.template cast<Long>(), labels, ones, expected);
  Long gradient_scale = scale * weight * 8;
  if (loss.options().reduction != Reduction::sum) gradient_scale /= static_cast<Long>(samples);
  const auto gradients_agree = [&](const Matrix& gradient) {
    return (gradient.template cast<Long>() - expected).cwiseAbs().maxCoeff() <= relative * gradient_scale;
  };
  const auto values_agree = [&](Scalar came, Long should) {
    return std::abs(static_cast<Long>(came) - should) <= relative * (std::abs(should) + weight);
  };

  Matrix gradient = Matrix::Constant(samples, classes, 77);
  const Scalar came = loss(logits, labels, gradient);
  CHECK(values_agree(came, value));
  CHECK(gradients_agree(gradient));
  CHECK(values_agree(loss(logits, labels), value));

  Matrix in_place = logits;
  CHECK(loss(in_place, labels, in_place) == came);
  CHECK(in_place == gradient);

  // Through a block of something larger, with labels of another type.
  Matrix larger = Matrix::Constant(samples + 3, classes + 5, 99);
  larger.block(2, 3, samples, classes) = logits;
  const Matrix around = larger;
  const ballast::VectorX<std::int64_t> wide = labels.template cast<std::int64_t>();
  CHECK(values_agree(loss(larger.block(2, 3, samples, classes), wide, larger.block(2, 3, samples, classes)),
                     value));
  CHECK(gradients_agree(larger.block(2, 3, samples, classes)));
  larger.block(2, 3, samples, classes) = logits;
  CHECK(larger == around);

  const Long weighted =
      long_batch(loss, logits.template cast<Long>(), labels, sample_weights.template cast<Long>(), expected);
  gradient_scale *= 4;
  CHECK(values_agree(loss(logits, labels, sample_weights, gradient), weighted));
  CHECK(gradients_agree(gradient));
  CHECK(values_agree(loss.value(logits, labels, sample_weights), weighted));

  VectorX<Scalar> values(samples), values_again(samples);
  loss.each(logits, labels, values);
  loss.each(logits, labels, values_again, gradient);
  bool agrees = true;
  for (Index i = 0; i < samples; ++i) {
    if (labels[i] < 0) {
      agrees = agrees && values[i] == 0 && gradient.row(i).isZero(0);
      continue;
    }
    LongVector row;
    const Long own = long_row(loss, logits.row(i).template cast<Long>().transpose(), labels[i],
                              LongVector::Unit(classes, labels[i]), row);
    agrees = agrees && values_agree(values[i], own) && values_agree(values_again[i], own) &&
             (gradient.row(i).template cast<Long>() - row.transpose()).cwiseAbs().maxCoeff() <=
                 relative * scale * weight * 8;
  }
  CHECK(agrees);
}

/// The margins of one class count: none, offsets, target offsets, scales, all of them, pairwise.
template <typename Scalar>
std::vector<Margin<Scalar>> margins(Index classes, std::uint64_t seed) {
  RandomData random(seed);
  const VectorX<Scalar> offset = random.vector<Scalar>(classes, -6, 0);
  const VectorX<Scalar> target = random.vector<Scalar>(classes, -3, 1);
  const VectorX<Scalar> scale = random.vector<Scalar>(classes, 0.2, 2);
  RowMatrixX<Scalar> pairwise = random.matrix<RowMatrixX<Scalar>>(classes, classes, -2, 2);
  pairwise.diagonal().setZero();
  return {{{}, {}, {}, {}},         {{}, offset, {}, {}},     {{}, {}, target, {}},
          {{}, offset, target, {}}, {scale, {}, {}, {}},      {scale, offset, target, {}},
          {{}, {}, {}, pairwise},   {scale, {}, {}, pairwise}};
}

}  // namespace

TEMPLATE_TEST_CASE("softmax_loss: the formula, for every margin and size", "[losses]", MatrixX<float>,
                   RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = GENERATE(1, 2, 3, 5, 8, 10, 16, 17, 33, 100, 259);
  const Index samples = GENERATE(1, 7, 70);
  for (const Margin<Scalar>& margin : margins<Scalar>(classes, 11)) {
    check_formula<TestType>(SoftmaxLoss<Scalar>(classes, {}, margin), samples, 6, 21);
    SoftmaxLossOptions<Scalar> smooth;
    smooth.smoothing = Scalar(0.1);
    check_formula<TestType>(SoftmaxLoss<Scalar>(classes, {}, margin, {}, smooth), samples, 6, 22);
    check_formula<TestType>(SoftmaxLoss<Scalar, Focal<Scalar>>(classes, {}, margin, Focal<Scalar>{Scalar(2)}),
                            samples, 6, 23);
  }
}

TEMPLATE_TEST_CASE("softmax_loss: weightings, shapes, smoothing and reductions compose", "[losses]",
                   MatrixX<float>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = GENERATE(2, 10, 37);
  RandomData random(5);
  const VectorX<Scalar> weights = random.vector<Scalar>(classes, 0.1, 3);
  const VectorX<Scalar> towards = [&] {
    VectorX<Scalar> r = random.vector<Scalar>(classes, 0, 1);
    r /= r.sum();
    return r;
  }();
  const Margin<Scalar> margin = margins<Scalar>(classes, 3)[5];
  for (const Reduction reduction : {Reduction::weighted_mean, Reduction::mean, Reduction::sum}) {
    for (const double smoothing : {0.0, 0.3}) {
      SoftmaxLossOptions<Scalar> options;
      options.reduction = reduction;
      options.smoothing = static_cast<Scalar>(smoothing);
      if (smoothing > 0) options.smoothing_target = towards;
      check_formula<TestType>(SoftmaxLoss<Scalar>(classes, weights, margin, {}, options), 40, 5, 31);
      for (const double gamma : {0.5, 1.0, 1.7, 3.0}) {
        const Scalar g = static_cast<Scalar>(gamma);
        check_formula<TestType>(
            SoftmaxLoss<Scalar, Focal<Scalar>>(classes, weights, margin, Focal<Scalar>{g}, options), 40, 5,
            32);
        check_formula<TestType>(SoftmaxLoss<Scalar, WeightInsideFocal<Scalar>>(
                                    classes, weights, margin, WeightInsideFocal<Scalar>{g}, options),
                                40, 5, 33);
      }
    }
  }
}

TEMPLATE_TEST_CASE("softmax_loss: soft targets are the formula", "[losses]", MatrixX<float>,
                   RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = 9, samples = 30;
  RandomData random(8);
  TestType targets = random.matrix<TestType>(samples, classes, 0, 1);
  targets.row(3).setZero();
  targets(3, 4) = 1;
  for (Index i = 0; i < samples; ++i) targets.row(i) /= targets.row(i).sum();
  const TestType logits = random.matrix<TestType>(samples, classes, -5, 5);
  const VectorX<Scalar> weights = random.vector<Scalar>(classes, 0.5, 2);
  SoftmaxLossOptions<Scalar> options;
  options.smoothing = Scalar(0.1);
  const SoftmaxLoss<Scalar, Focal<Scalar>> loss(classes, weights, margins<Scalar>(classes, 3)[1],
                                                {Scalar(1.5)}, options);
  Long value = 0, total = 0;
  LongMatrix expected(samples, classes);
  for (Index i = 0; i < samples; ++i) {
    const LongVector q = targets.row(i).template cast<Long>().transpose();
    LongVector row;
    value += long_row(loss, logits.row(i).template cast<Long>().transpose(), -1, q, row);
    total += q.dot(weights.template cast<Long>());
    expected.row(i) = row.transpose();
  }
  TestType gradient(samples, classes);
  const Long bound = tolerance<Scalar>(11, classes);
  CHECK(std::abs(static_cast<Long>(loss(logits, targets, gradient)) - value / total) <=
        bound * value / total);
  CHECK((gradient.template cast<Long>() - expected / total).cwiseAbs().maxCoeff() <= bound);
  CHECK(std::abs(static_cast<Long>(loss(logits, targets)) - value / total) <= bound * value / total);

  // A one-hot distribution is a label.
  const SoftmaxLoss<Scalar> plain(classes, weights, margins<Scalar>(classes, 3)[1]);
  const Eigen::VectorXi labels = random.labels(samples, classes);
  TestType one_hot = TestType::Zero(samples, classes), other(samples, classes);
  for (Index i = 0; i < samples; ++i) one_hot(i, labels[i]) = 1;
  CHECK(std::abs(plain(logits, one_hot, gradient) - plain(logits, labels, other)) <=
        static_cast<Scalar>(bound));
  CHECK((gradient - other).cwiseAbs().maxCoeff() <= static_cast<Scalar>(bound));
}

TEMPLATE_TEST_CASE("softmax_loss: mixup is the convex combination of two losses", "[losses]", MatrixX<float>,
                   RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = 12, samples = 40;
  RandomData random(9);
  const TestType logits = random.matrix<TestType>(samples, classes, -5, 5);
  Eigen::VectorXi labels = random.labels(samples, classes), others = random.labels(samples, classes);
  labels[0] = labels[1] = others[1] = others[2] = -100;
  for (const Margin<Scalar>& margin : margins<Scalar>(classes, 3)) {
    for (const double mix : {0.0, 0.3, 1.0}) {
      const Scalar lambda = static_cast<Scalar>(mix);
      const SoftmaxLoss<Scalar> loss(classes, random.vector<Scalar>(classes, 0.5, 2), margin);
      TestType gradient = logits, first(samples, classes), second(samples, classes);
      const Scalar value = loss.mixup(gradient, labels, others, lambda, gradient);
      const Scalar expected =
          lambda * loss(logits, labels, first) + (1 - lambda) * loss(logits, others, second);
      const Scalar bound = 64 * std::numeric_limits<Scalar>::epsilon();
      CHECK(std::abs(value - expected) <= bound * expected);
      CHECK((gradient - (lambda * first + (1 - lambda) * second)).cwiseAbs().maxCoeff() <= bound);
    }
  }
}

TEMPLATE_TEST_CASE("softmax_loss: extremes stay exact", "[losses]", MatrixX<float>, RowMatrixX<float>,
                   MatrixX<double>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = GENERATE(2, 3, 20, 100);
  CAPTURE(classes, TestType::IsRowMajor);
  Eigen::VectorXi labels(2);
  labels << 0, 1;
  TestType gradient(2, classes);

  SECTION("logits of +-1e4") {
    TestType logits = TestType::Constant(2, classes, Scalar(-1e4));
    logits.col(0).setConstant(Scalar(1e4));
    const SoftmaxLoss<Scalar> loss(classes);
    CHECK(loss(logits, labels, gradient) == Scalar(1e4));
    TestType expected = TestType::Zero(2, classes);
    expected(1, 0) = Scalar(0.5);
    expected(1, 1) = Scalar(-0.5);
    CHECK(gradient == expected);
  }
  SECTION("priors of 1e-12") {
    Margin<Scalar> margin;
    margin.offset = VectorX<Scalar>::Constant(classes, std::log(Scalar(1e-12)));
    margin.offset[0] = 0;
    const SoftmaxLoss<Scalar, Focal<Scalar>> loss(classes, {}, margin, Focal<Scalar>{Scalar(0.5)});
    for (const Scalar logit : {Scalar(-1e4), Scalar(0), Scalar(1e4)}) {
      TestType logits = TestType::Zero(2, classes);
      logits.col(0).setConstant(logit);
      CHECK(std::isfinite(loss(logits, labels, gradient)));
      CHECK(gradient.allFinite());
    }
  }
  SECTION("a confident sample keeps the digits of its small loss") {
    TestType logits = TestType::Zero(2, classes);
    logits(0, 0) = logits(1, 1) = 40;
    const SoftmaxLoss<Scalar> loss(classes);
    // log(1 + (C - 1) e^-40) = (C - 1) e^-40 to far below epsilon.
    const Long expected = static_cast<Long>(classes - 1) * std::exp(Long(-40));
    const Long bound = 64 * static_cast<Long>(std::numeric_limits<Scalar>::epsilon()) * expected;
    CHECK(std::abs(static_cast<Long>(loss(logits, labels, gradient)) - expected) <= bound);
    CHECK(std::abs(static_cast<Long>(gradient(0, 0)) + expected / 2) <= bound);
    CHECK(std::abs(static_cast<Long>(loss(logits, labels)) - expected) <= bound);
  }
  SECTION("focal at p = 1 is 0 with gradient 0, for gamma below 1 too") {
    TestType logits = TestType::Constant(2, classes, Scalar(-1e4));
    logits(0, 0) = logits(1, 1) = Scalar(1e4);
    for (const double gamma : {0.25, 0.5, 1.0, 2.0}) {
      const SoftmaxLoss<Scalar, Focal<Scalar>> loss(classes, {}, {},
                                                    Focal<Scalar>{static_cast<Scalar>(gamma)});
      CHECK(loss(logits, labels, gradient) == 0);
      CHECK(gradient.cwiseAbs().maxCoeff() == 0);
      const SoftmaxLoss<Scalar, WeightInsideFocal<Scalar>> inside(
          classes, VectorX<Scalar>::Constant(classes, 2), {}, {static_cast<Scalar>(gamma)});
      CHECK(inside(logits, labels, gradient) == 0);
      CHECK(gradient.cwiseAbs().maxCoeff() == 0);
    }
  }
  SECTION("a margin larger than the range of exp") {
    Margin<Scalar> margin;
    margin.offset = VectorX<Scalar>::Zero(classes);
    margin.target_offset = VectorX<Scalar>::Constant(classes, Scalar(-5000));
    const SoftmaxLoss<Scalar> loss(classes, {}, margin);
    TestType logits = TestType::Zero(2, classes);
    logits(0, 0) = logits(1, 1) = 10;
    const Scalar expected = Scalar(4990) + std::log(static_cast<Scalar>(classes - 1));
    CHECK(std::abs(loss(logits, labels, gradient) - expected) <=
          2 * std::numeric_limits<Scalar>::epsilon() * expected);
    CHECK(std::abs(gradient(0, 0) + Scalar(0.5)) <= std::numeric_limits<Scalar>::epsilon());
    CHECK(std::abs(gradient(0, 1) - Scalar(0.5) / static_cast<Scalar>(classes - 1)) <=
          std::numeric_limits<Scalar>::epsilon());
  }
}

TEMPLATE_TEST_CASE("softmax_loss: one class has loss 0 and gradient 0", "[losses]", MatrixX<float>,
                   RowMatrixX<float>, MatrixX<double>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Eigen::VectorXi labels = Eigen::VectorXi::Zero(50);
  const TestType logits = RandomData(1).matrix<TestType>(50, 1, -1e4, 1e4);
  TestType gradient(50, 1);
  CHECK(SoftmaxLoss<Scalar>(1)(logits, labels, gradient) == 0);
  CHECK(gradient.cwiseAbs().maxCoeff() == 0);
}

TEMPLATE_TEST_CASE("softmax_loss: infinite and NaN logits", "[losses]", MatrixX<float>, RowMatrixX<float>,
                   MatrixX<double>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = GENERATE(2, 7, 20, 100);
  const Index samples = 70;  // a whole strip and a rest
  CAPTURE(classes, TestType::IsRowMajor);
  const Scalar nan = std::numeric_limits<Scalar>::quiet_NaN();
  RandomData random(6);
  const TestType logits = random.matrix<TestType>(samples, classes, -3, 3);
  const Eigen::VectorXi labels = random.labels(samples, classes);
  SoftmaxLossOptions<Scalar> sum;
  sum.reduction = Reduction::sum;
  const SoftmaxLoss<Scalar> loss(classes, {}, margins<Scalar>(classes, 2)[3], {}, sum);
  TestType clean(samples, classes), gradient(samples, classes);
  VectorX<Scalar> clean_values(samples), values(samples);
  loss.each(logits, labels, clean_values, clean);

  for (const Scalar poison : {nan, infinity<Scalar>}) {
    for (const Index column : {Index(0), classes / 2, classes - 1}) {
      CAPTURE(poison, column);
      TestType poisoned = logits;
      poisoned(5, column) = poison;
      poisoned(68, column) = poison;
      loss.each(poisoned, labels, values, gradient);
      CHECK(std::isnan(loss(poisoned, labels)));
      for (Index i = 0; i < samples; ++i) {
        if (i == 5 || i == 68) {
          CHECK(std::isnan(values[i]));
          CHECK(gradient.row(i).array().isNaN().all());
        } else {
          CHECK(values[i] == clean_values[i]);
          CHECK(gradient.row(i) == clean.row(i));
        }
      }
      Eigen::VectorXi ignoring = labels;
      ignoring[5] = ignoring[68] = -100;
      CHECK(std::isfinite(loss(poisoned, ignoring, poisoned)));
      CHECK(poisoned.allFinite());
    }
  }

  SECTION("-inf off the label masks the class, at the label the loss is +inf") {
    TestType masked = logits;
    const Index other = (labels[3] + 1) % classes;
    masked(3, other) = -infinity<Scalar>;
    masked(4, labels[4]) = -infinity<Scalar>;
    masked.row(6).setConstant(-infinity<Scalar>);
    loss.each(masked, labels, values, gradient);
    CHECK(std::isfinite(values[3]));
    CHECK(gradient(3, other) == 0);
    CHECK(values[4] == infinity<Scalar>);
    CHECK(std::abs(gradient(4, labels[4]) + 1) <= std::numeric_limits<Scalar>::epsilon());
    CHECK(values[6] == infinity<Scalar>);
    CHECK(std::abs(gradient(6, labels[6]) + 1) <= std::numeric_limits<Scalar>::epsilon());
    CHECK(gradient.allFinite());
    CHECK(std::abs(gradient.row(3).sum()) <= 8 * std::numeric_limits<Scalar>::epsilon());
    CHECK(loss(masked, labels) == infinity<Scalar>);
    VectorX<Scalar> weights = VectorX<Scalar>::Ones(samples);
    weights[4] = weights[6] = 0;
    CHECK(std::isfinite(loss(masked, labels, weights, gradient)));
    CHECK(gradient.row(4).cwiseAbs().maxCoeff() == 0);
    TestType in_place = masked;
    VectorX<Scalar> values_in_place(samples);
    loss.each(in_place, labels, values_in_place, in_place);
    loss.each(masked, labels, values, gradient);
    CHECK(in_place == gradient);
    CHECK(values == values_in_place);
  }
}

TEMPLATE_TEST_CASE("softmax_loss: infinite and NaN logits under smoothing", "[losses]", MatrixX<float>,
                   RowMatrixX<float>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = GENERATE(2, 7, 20, 100);
  const Index samples = 70;
  CAPTURE(classes, TestType::IsRowMajor);
  RandomData random(16);
  const TestType logits = random.matrix<TestType>(samples, classes, -3, 3);
  const Eigen::VectorXi labels = random.labels(samples, classes);
  SoftmaxLossOptions<Scalar> smooth;
  smooth.smoothing = Scalar(0.1);
  const SoftmaxLoss<Scalar> loss(classes, {}, {}, {}, smooth);
  TestType clean(samples, classes), gradient(samples, classes);
  VectorX<Scalar> clean_values(samples), values(samples);
  loss.each(logits, labels, clean_values, clean);
  // Beside a poisoned row another kernel may take over, with roundings of its own.
  const Scalar bound = 64 * std::numeric_limits<Scalar>::epsilon();

  const Index other = (labels[6] + 1) % classes;
  for (const Scalar poison : {std::numeric_limits<Scalar>::quiet_NaN(), infinity<Scalar>}) {
    for (const Index column : {Index(0), classes - 1}) {
      CAPTURE(poison, column);
      TestType poisoned = logits;
      poisoned(5, column) = poison;
      poisoned(6, other) = -infinity<Scalar>;  // masked: in the same strip, and perhaps before a NaN
      loss.each(poisoned, labels, values, gradient);
      for (Index i = 0; i < samples; ++i) {
        if (i == 5) {
          CHECK(std::isnan(values[i]));
          CHECK(gradient.row(i).array().isNaN().all());
        } else if (i == 6) {
          CHECK(std::isfinite(values[i]));
          CHECK(gradient.row(i).allFinite());
          CHECK(gradient(i, other) == 0);
        } else {
          CHECK(std::abs(values[i] - clean_values[i]) <= bound * std::max(Scalar(1), clean_values[i]));
          CHECK((gradient.row(i) - clean.row(i)).cwiseAbs().maxCoeff() <= bound);
        }
      }
    }
  }
}

TEMPLATE_TEST_CASE("softmax_loss: a masked class takes no part", "[losses]", MatrixX<float>,
                   RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = 12, kept = 9, samples = 40;
  RandomData random(12);
  const TestType logits = random.matrix<TestType>(samples, classes, -4, 4);
  const Eigen::VectorXi labels = random.labels(samples, kept);
  const Margin<Scalar> all = margins<Scalar>(classes, 4)[1];
  Margin<Scalar> masking = all, part;
  masking.offset.tail(classes - kept).setConstant(-infinity<Scalar>);
  part.offset = all.offset.head(kept);
  for (const double smoothing : {0.0, 0.2}) {
    for (const bool by_logit : {false, true}) {
      CAPTURE(smoothing, by_logit);
      SoftmaxLossOptions<Scalar> options, part_options;
      options.smoothing = part_options.smoothing = static_cast<Scalar>(smoothing);
      const SoftmaxLoss<Scalar> loss(classes, {}, by_logit ? all : masking, {}, options);
      const SoftmaxLoss<Scalar> smaller(kept, {}, part, {}, part_options);
      TestType input = logits;
      if (by_logit) input.rightCols(classes - kept).setConstant(-infinity<Scalar>);
      TestType gradient(samples, classes), expected(samples, kept);
      const Scalar value = loss(input, labels, gradient);
      const TestType kept_logits = logits.leftCols(kept);
      const Scalar expected_value = smaller(kept_logits, labels, expected);
      const Scalar bound = 64 * std::numeric_limits<Scalar>::epsilon();
      CHECK(std::abs(value - expected_value) <= bound * expected_value);
      CHECK((gradient.leftCols(kept) - expected).cwiseAbs().maxCoeff() <= bound);
      CHECK(gradient.rightCols(classes - kept).cwiseAbs().maxCoeff() == 0);
    }
  }
  const SoftmaxLoss<Scalar> loss(classes, {}, masking);
  Eigen::VectorXi bad = labels;
  bad[7] = 10;
  CHECK(rejects([&] { return loss(logits, bad); }, {"labels[7] is 10", "masks"}));
}

TEST_CASE("softmax_loss: what is ignored, weightless or absent counts nothing", "[losses]") {
  const SoftmaxLoss<double> loss(4);
  Eigen::MatrixXd logits = RandomData(2).matrix<Eigen::MatrixXd>(3, 4, -2, 2);
  Eigen::MatrixXd gradient = Eigen::MatrixXd::Constant(3, 4, 7);
  CHECK(loss(logits, Eigen::Vector3i::Constant(-100), gradient) == 0);
  CHECK(gradient == Eigen::MatrixXd::Zero(3, 4));
  gradient.setConstant(7);
  CHECK(loss(logits, Eigen::Vector3i(0, 1, 2), Eigen::Vector3d(0, 0, 0), gradient) == 0);
  CHECK(gradient == Eigen::MatrixXd::Zero(3, 4));
  CHECK(loss(Eigen::MatrixXd(0, 4), Eigen::VectorXi(0)) == 0);

  // A class weight of 0 takes the samples of its class out of value, gradient and mean.
  const SoftmaxLoss<double> weighted(4, Eigen::Vector4d(0, 1, 1, 1));
  CHECK(weighted(logits, Eigen::Vector3i(0, 1, 2), gradient) ==
        weighted(logits, Eigen::Vector3i(-100, 1, 2)));
  CHECK(gradient.row(0).isZero(0));
}

TEST_CASE("softmax_loss: ignore_index exists for the types that can hold it", "[losses]") {
  const Eigen::MatrixXd logits = RandomData(2).matrix<Eigen::MatrixXd>(2, 4, -2, 2);
  const double first = SoftmaxLoss<double>(4)(logits.topRows(1), Eigen::Matrix<int, 1, 1>(1));
  using Byte = Eigen::Matrix<std::uint8_t, 2, 1>;
  // -100 as an unsigned char is 156: no class, and not ignored.
  CHECK(rejects([&] { return SoftmaxLoss<double>(4)(logits, Byte(1, 156)); }, {"labels[1] is 156"}));
  SoftmaxLossOptions<double> options;
  options.ignore_index = 255;
  CHECK(SoftmaxLoss<double>(4, {}, {}, {}, options)(logits, Byte(1, 255)) == first);
  CHECK(SoftmaxLoss<double>(4)(logits, Eigen::Matrix<std::int8_t, 2, 1>(1, -100)) == first);
  options.ignore_index = 3;  // a class may be ignored
  CHECK(SoftmaxLoss<double>(4, {}, {}, {}, options)(logits, Eigen::Vector2i(1, 3)) == first);
  options.ignore_index = -1;
  CHECK(rejects(
      [&] {
        return SoftmaxLoss<double>(4, {}, {}, {}, options)(
            logits, Eigen::Matrix<std::uint64_t, 2, 1>(1, ~std::uint64_t(0)));
      },
      {"labels[1]"}));
}

TEMPLATE_TEST_CASE("softmax_loss: adding a constant to a row changes nothing, gradients sum to 0", "[losses]",
                   MatrixX<float>, RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index classes = GENERATE(2, 10, 50);
  // Logits are multiples of 1/8: adding 64 is exact.
  TestType logits = RandomData(3).matrix<TestType>(100, classes, -40, 40);
  logits = (logits.array().round() / 8).matrix().eval();
  const TestType shifted = logits.array() + 64;
  const Eigen::VectorXi labels = RandomData(4).labels(100, classes);
  TestType gradient(100, classes), other(100, classes);
  const SoftmaxLoss<Scalar> loss(classes);
  CHECK(loss(logits, labels, gradient) == loss(shifted, labels, other));
  CHECK(gradient == other);
  CHECK(gradient.rowwise().sum().cwiseAbs().maxCoeff() <= 4 * std::numeric_limits<Scalar>::epsilon());
}

TEMPLATE_TEST_CASE("softmax_loss: the same bits for any number of threads", "[losses]", MatrixX<float>,
                   RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const Index samples = 3000, classes = 60;
  const TestType logits = RandomData(3).matrix<TestType>(samples, classes, -4, 4);
  const Eigen::VectorXi labels = RandomData(4).labels(samples, classes);
  const SoftmaxLoss<Scalar> loss(classes);
  TestType gradient(samples, classes);
  const Scalar value = loss(logits, labels, gradient);
#if defined(_OPENMP)
  const int threads = omp_get_max_threads();
  for (const int count : {1, 2, 3, 7}) {
    omp_set_num_threads(count);
    TestType again(samples, classes);
    CHECK(loss(logits, labels, again) == value);
    CHECK(again == gradient);
  }
  omp_set_num_threads(threads);
#else
  TestType again(samples, classes);
  CHECK(loss(logits, labels, again) == value);
  CHECK(again == gradient);
#endif
}

TEST_CASE("softmax_loss: bad parts are refused by name", "[losses][errors]") {
  using Loss = SoftmaxLoss<double>;
  using Vector = Eigen::VectorXd;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK(rejects([] { Loss(0); }, {"SoftmaxLoss", "classes is 0"}));
  CHECK(rejects([] { Loss(3, Vector::Ones(2)); }, {"weights has size 2", "expected 3"}));
  CHECK(rejects([] { Loss(2, Eigen::Vector2d(1, -1)); }, {"weights[1] is -1"}));
  CHECK(rejects([&] { Loss(2, Eigen::Vector2d(nan, 1)); }, {"weights[0] is nan"}));
  Margin<double> margin;
  margin.scale = Eigen::Vector2d(1, 0);
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin.scale[1] is 0"}));
  margin.scale.resize(0);
  margin.offset = Eigen::Vector2d(0, infinity<double>);
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin.offset[1] is inf"}));
  margin.offset = Eigen::Vector2d(nan, 0);
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin.offset[0] is nan"}));
  margin.offset = Vector::Zero(3);
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin.offset has size 3"}));
  margin.offset.resize(0);
  margin.target_offset = Vector::Constant(2, nan);
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin.target_offset[0]"}));
  margin.target_offset.setZero();
  margin.pairwise.setZero(2, 2);
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin has", "offset", "pairwise"}));
  margin.target_offset.resize(0);
  margin.pairwise(1, 1) = 2;
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin.pairwise(1, 1) is 2", "diagonal"}));
  margin.pairwise.setZero(2, 3);
  CHECK(rejects([&] { Loss(2, {}, margin); }, {"margin.pairwise is 2 x 3", "2 x 2"}));
  SoftmaxLossOptions<double> options;
  options.smoothing = 1.5;
  CHECK(rejects([&] { Loss(2, {}, {}, {}, options); }, {"options.smoothing is 1.5"}));
  options.smoothing = 0.1;
  options.smoothing_target = Eigen::Vector2d(0.4, 0.4);
  CHECK(rejects([&] { Loss(2, {}, {}, {}, options); }, {"options.smoothing_target sums to 0.8"}));
  options.smoothing_target = Eigen::Vector2d(1.4, -0.4);
  CHECK(rejects([&] { Loss(2, {}, {}, {}, options); }, {"options.smoothing_target[1] is -0.4"}));
  CHECK(rejects([] { SoftmaxLoss<float, Focal<float>>(2, {}, {}, Focal<float>{-1.0f}); }, {"Focal", "-1"}));
  CHECK(rejects([] { return ballast::softmax_loss<float>({}, {}); }, {"softmax_loss", "number of classes"}));
}

TEST_CASE("softmax_loss: a bad call is refused before anything is written", "[losses][errors]") {
  const SoftmaxLoss<double> loss(3);
  const Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(2, 3);
  const Eigen::Vector2i labels(0, 2);
  Eigen::MatrixXd gradient = Eigen::MatrixXd::Constant(2, 3, 7);
  Eigen::VectorXd values = Eigen::VectorXd::Constant(2, 7);
  const Eigen::MatrixXd untouched = gradient;

  CHECK(rejects([&] { loss(Eigen::MatrixXd(2, 4), labels, gradient); }, {"logits has 4 columns"}));
  CHECK(rejects([&] { loss(logits, Eigen::Vector3i::Zero(), gradient); }, {"labels has size 3"}));
  CHECK(rejects([&] { loss(logits, Eigen::Vector2i(0, 3), gradient); },
                {"labels[1] is 3", "[0, 3)", "ignore_index -100"}));
  CHECK(rejects([&] { loss(logits, Eigen::Vector2i(-1, 0), gradient); }, {"labels[0] is -1"}));
  CHECK(
      rejects([&] { loss(logits, labels, Eigen::Vector2d(1, -1), gradient); }, {"sample_weights[1] is -1"}));
  CHECK(rejects([&] { loss(logits, labels, Eigen::Vector3d(1, 1, 1), gradient); },
                {"sample_weights has size"}));
  Eigen::MatrixXd narrow(2, 2);
  CHECK(rejects([&] { loss(logits, labels, narrow); }, {"gradient is 2 x 2", "2 x 3"}));
  CHECK(rejects([&] { loss.mixup(logits, labels, labels, 1.5, gradient); }, {"lambda is 1.5"}));
  CHECK(rejects([&] { loss.mixup(logits, labels, Eigen::Vector2i(0, 9), 0.5, gradient); },
                {"other_labels[1] is 9"}));
  Eigen::VectorXd three(3);
  CHECK(rejects([&] { loss.each(logits, labels, three); }, {"values has size 3"}));
  CHECK(rejects([&] { loss.each(logits, Eigen::Vector2i(0, 5), values, gradient); }, {"labels[1] is 5"}));

  Eigen::MatrixXd targets = Eigen::MatrixXd::Constant(2, 3, 0.5);
  CHECK(rejects([&] { loss(logits, targets, gradient); }, {"soft targets, row 0, sum to 1.5"}));
  targets << 1, 0, 0, 2, -1, 0;
  CHECK(rejects([&] { loss(logits, targets, gradient); }, {"soft targets(1, 1) is -1"}));
  CHECK(rejects([&] { loss(logits, Eigen::MatrixXd(2, 2), gradient); }, {"soft targets is 2 x 2"}));
  Margin<double> margin;
  margin.target_offset = Eigen::Vector3d(1, 2, 3);
  targets << 1, 0, 0, 0, 1, 0;
  CHECK(rejects([&] { SoftmaxLoss<double>(3, {}, margin)(logits, targets, gradient); },
                {"soft targets", "depends on the label"}));
  CHECK(gradient == untouched);
  CHECK(values == Eigen::VectorXd::Constant(2, 7));
}
