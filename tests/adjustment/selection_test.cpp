#include <ballast/adjustment/selection.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <limits>

#include <ballast/adjustment/logit_adjustment.hpp>
#include <ballast/classifiers/tau_normalized.hpp>
#include <ballast/core/argmax.hpp>
#include <ballast/metrics/classification.hpp>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::BinaryTauSelection;
using ballast::ClassDistribution;
using ballast::CountVector;
using ballast::Criterion;
using ballast::EmptyClass;
using ballast::Index;
using ballast::select_tau;
using ballast::TauReading;
using ballast::TauSelection;
using ballast::TauSelectionOptions;
using ballast::Weighting;

constexpr double epsilon = std::numeric_limits<double>::epsilon();
constexpr double infinity = std::numeric_limits<double>::infinity();

Eigen::VectorXd vector_of(std::initializer_list<double> values) {
  Eigen::VectorXd result(static_cast<Index>(values.size()));
  std::copy(values.begin(), values.end(), result.begin());
  return result;
}

/// A long tail of C classes, ratio about 100.
ClassDistribution long_tail(Index classes) {
  CountVector counts(classes);
  for (Index j = 0; j < classes; ++j) {
    counts[j] = std::lround(1000.0 * std::pow(0.01, static_cast<double>(j) / static_cast<double>(classes)));
  }
  return ClassDistribution::from_counts(counts);
}

/// Labels that hold every class.
Eigen::VectorXi all_labels(RandomData& random, Index samples, Index classes) {
  Eigen::VectorXi labels = random.labels(samples, classes);
  for (Index j = 0; j < classes; ++j) labels[j] = static_cast<int>(j);
  return labels;
}

/// sum_j pi^t_j P(wrong | j) of "the first largest of score(i, k)", counted plainly.
template <typename Score>
double brute_error(Index samples, Index classes, const Eigen::VectorXi& labels, const Eigen::VectorXd& target,
                   const Score& score) {
  CountVector wrong = CountVector::Zero(classes), all = CountVector::Zero(classes);
  for (Index i = 0; i < samples; ++i) {
    Index best = -1;
    auto largest = -std::numeric_limits<decltype(score(i, Index(0)))>::infinity();
    for (Index k = 0; k < classes; ++k) {
      if (score(i, k) > largest) {
        largest = score(i, k);
        best = k;
      }
    }
    ++all[labels[i]];
    wrong[labels[i]] += best == labels[i] ? 0 : 1;
  }
  double error = 0;
  for (Index j = 0; j < classes; ++j) {
    if (target[j] > 0) error += target[j] * static_cast<double>(wrong[j]) / static_cast<double>(all[j]);
  }
  return error;
}

}  // namespace

TEMPLATE_TEST_CASE("selection: the scan is a brute-force evaluation at every grid point", "[adjustment]",
                   ballast::MatrixX<float>, ballast::RowMatrixX<float>, ballast::MatrixX<double>,
                   ballast::RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = GENERATE(1u, 2u, 3u);
  const Index classes = GENERATE(2, 3, 17, 130);
  CAPTURE(seed, classes);
  RandomData random(seed);
  const Index samples = 400;
  auto storage = random.matrix<TestType>(samples + 2, classes + 3, -4, 4);
  if (seed == 2) storage = (storage * Scalar(2)).array().round().matrix() / Scalar(2);  // ties
  auto logits = storage.block(1, 2, samples, classes);
  logits(3, 1) = -std::numeric_limits<Scalar>::infinity();
  const Eigen::VectorXi labels = all_labels(random, samples, classes);
  const ClassDistribution training = long_tail(classes);

  TauSelectionOptions options;
  if (seed == 3) {
    options.target_prior = random.vector<double>(classes, 0, 1);
    if (classes > 2) options.target_prior[1] = 0;
    options.target_prior /= options.target_prior.sum();
    options.grid = vector_of({1.7, -0.4, 0.02, 0.9, 0.9, 3.0, 0.0});
  }
  const Eigen::VectorXi kept =
      classes > 2 && seed == 3 ? labels.unaryExpr([](int j) { return j == 1 ? 0 : j; }) : labels;
  const TauSelection selection = select_tau(logits, kept, training, Criterion::balanced_error, options);

  const Eigen::VectorXd log_prior = training.log_prior();
  const Eigen::VectorXd target = options.target_prior.size() == 0
                                     ? Eigen::VectorXd::Constant(classes, 1.0 / static_cast<double>(classes))
                                     : options.target_prior;
  REQUIRE(selection.taus.size() == selection.values.size());
  CHECK(selection.taus.size() == (seed == 3 ? 7 : 21));
  double least = infinity;
  for (Index g = 0; g < selection.taus.size(); ++g) {
    const double tau = static_cast<double>(static_cast<Scalar>(selection.taus[g]));
    const double expected = brute_error(samples, classes, kept, target, [&](Index i, Index k) {
      const double shift =
          options.target_prior.size() == 0 ? -log_prior[k] : -log_prior[k] + std::log(target[k]);
      return logits(i, k) +
             (target[k] == 0 ? -std::numeric_limits<Scalar>::infinity() : static_cast<Scalar>(tau * shift));
    });
    CAPTURE(tau);
    CHECK(std::abs(selection.values[g] - expected) <= 8 * static_cast<double>(classes) * epsilon);
    least = std::min(least, selection.values[g]);
  }
  CHECK(selection.value == least);
}

TEST_CASE("selection: two Gaussians have the error of the closed form at every tau", "[adjustment]") {
  // Menon et al., section 6.1: N(+-(1, 1), I), P(+) = 5 %; along the diagonal N(+-sqrt 2, 1), posterior
  // logit 2 sqrt 2 t + log(pi_+ / pi_-). Each class by its quantiles, which are off by 1 / n at most.
  const Index n = 20000;
  Eigen::MatrixXd logits = Eigen::MatrixXd::Zero(2 * n, 2);
  Eigen::VectorXi labels(2 * n);
  const auto classes = ClassDistribution::from_counts(Eigen::Vector2i(95, 5));
  const auto phi = [](double x) {
    return 0.5 * std::erfc(-x / std::sqrt(2.0));
  };
  for (Index i = 0; i < n; ++i) {
    const double level = (static_cast<double>(i) + 0.5) / static_cast<double>(n);
    double low = -9, high = 9;
    for (int halving = 0; halving < 60; ++halving) {
      (phi(0.5 * (low + high)) < level ? low : high) = 0.5 * (low + high);
    }
    for (const int label : {0, 1}) {
      const double x = low + (label == 1 ? 1 : -1) * std::sqrt(2.0);
      logits(label * n + i, 1) = 2 * std::sqrt(2.0) * x + std::log(0.05 / 0.95);
      labels[label * n + i] = label;
    }
  }
  const TauSelection selection = select_tau(logits, labels, classes);
  const double c = std::log(19.0) / (2 * std::sqrt(2.0));
  for (Index g = 0; g < selection.taus.size(); ++g) {
    const double tau = selection.taus[g];
    const double exact = 0.5 * (phi(-std::sqrt(2.0) + (1 - tau) * c) + phi(-std::sqrt(2.0) - (1 - tau) * c));
    CHECK(std::abs(selection.values[g] - exact) <= 1.5 / static_cast<double>(n));
  }
  CHECK(selection.tau == 1.0);
  CHECK(std::abs(selection.values[0] - 0.18077) <= 1e-4);
  CHECK(std::abs(selection.values[5] - 0.10613) <= 1e-4);
  CHECK(std::abs(selection.values[10] - 0.07865) <= 1e-4);

  const BinaryTauSelection binary = ballast::select_binary_tau(logits, labels, classes);
  CHECK(binary.error <= selection.value);
  CHECK(std::abs(binary.tau - 1.0) < 0.05);
}

TEMPLATE_TEST_CASE("selection: criteria of probabilities are measured on the adjusted logits", "[adjustment]",
                   ballast::MatrixX<float>, ballast::RowMatrixX<double>) {
  const std::uint64_t seed = 4;
  CAPTURE(seed);
  RandomData random(seed);
  const Index samples = 150, classes = 5;
  const TestType logits = random.matrix<TestType>(samples, classes, -3, 3);
  const Eigen::VectorXi labels = all_labels(random, samples, classes);
  const ClassDistribution training = long_tail(classes);
  const Eigen::RowVectorXd log_prior = training.log_prior().transpose();
  const Eigen::VectorXd target = vector_of({0.1, 0.2, 0.4, 0.2, 0.1});
  const Eigen::VectorXd own = ClassDistribution(labels, classes).prior();

  const auto value_of = [](const ballast::CalibrationReport& report, Criterion criterion) {
    switch (criterion) {
      case Criterion::log_loss:
        return report.log_loss;
      case Criterion::brier:
        return report.brier;
      case Criterion::sharpness:
        return report.sharpness;
      default:
        return report.calibration_error;
    }
  };
  for (const bool uniform : {true, false}) {
    for (const TauReading reading : {TauReading::subtract, TauReading::temperature}) {
      for (const Weighting weighting : {Weighting::target_prior, Weighting::plain}) {
        for (const Criterion criterion :
             {Criterion::log_loss, Criterion::brier, Criterion::sharpness, Criterion::calibration_error}) {
          const bool plain = weighting == Weighting::plain, subtract = reading == TauReading::subtract;
          if ((plain && subtract) || (!subtract && criterion == Criterion::sharpness)) continue;
          TauSelectionOptions options;
          options.reading = reading;
          options.weighting = weighting;
          if (!uniform) options.target_prior = target;
          options.bins = 7;
          const TauSelection selection = select_tau(logits, labels, training, criterion, options);
          CHECK(selection.taus.size() == 21);
          CHECK(selection.taus[0] == (subtract ? 0.0 : 0.1));

          const Eigen::VectorXd t = uniform ? Eigen::VectorXd::Constant(classes, 0.2) : target;
          const Eigen::RowVectorXd shift = t.array().log().matrix().transpose() - log_prior;
          ballast::CalibrationOptions measured;
          measured.bins = 7;
          if (!plain) measured.class_weights = ballast::prior_ratio(t, own);
          double best = criterion == Criterion::sharpness ? -infinity : infinity;
          for (Index g = 0; g < 21; ++g) {
            const double tau = selection.taus[g];
            Eigen::MatrixXd adjusted = logits.template cast<double>();
            if (!subtract) adjusted /= tau;
            if (!plain) adjusted.rowwise() += (subtract ? tau : 1.0) * shift;
            const double expected =
                value_of(ballast::measure_calibration(adjusted, labels, measured), criterion);
            CHECK(std::abs(selection.values[g] - expected) <= 1e-12 * std::max(1.0, std::abs(expected)));
            best = criterion == Criterion::sharpness ? std::max(best, selection.values[g])
                                                     : std::min(best, selection.values[g]);
          }
          CHECK(selection.value == best);
        }
      }
    }
  }
}

TEST_CASE("selection: calibrated logits choose tau = 1 by every proper criterion", "[adjustment]") {
  // Labels drawn from the logits' own softmax: the prior-weighted log loss and Brier score are least at 1.
  const std::uint64_t seed = 5;
  CAPTURE(seed);
  RandomData random(seed);
  const Index samples = 20000;
  Eigen::MatrixXd logits(samples, 3);
  Eigen::VectorXi labels(samples);
  for (Index i = 0; i < samples; ++i) {
    logits.row(i) << 2.5 + 1.5 * random.normal(), 1.5 * random.normal(), -1 + 1.5 * random.normal();
    const Eigen::Array3d p = logits.row(i).array().exp().transpose();
    double rest = random.uniform(0, p.sum());
    Index label = 0;
    while (label < 2 && rest >= p[label]) rest -= p[label++];
    labels[i] = static_cast<int>(label);
  }
  const ClassDistribution classes(labels, 3);
  for (const Criterion criterion : {Criterion::log_loss, Criterion::brier}) {
    CHECK(std::abs(select_tau(logits, labels, classes, criterion).tau - 1.0) < 0.15);
    TauSelectionOptions options;
    options.reading = TauReading::temperature;
    options.weighting = Weighting::plain;
    CHECK(std::abs(select_tau(logits, labels, classes, criterion, options).tau - 1.0) < 0.15);
  }
}

TEST_CASE("selection: of equal values the tau nearest to 1", "[adjustment]") {
  Eigen::MatrixXd logits(2, 2);
  logits << 100, 0, 0, 100;  // no tau changes anything
  const auto classes = ClassDistribution::from_counts(Eigen::Vector2i(9, 1));
  CHECK(select_tau(logits, Eigen::Vector2i(0, 1), classes).tau == 1.0);
  TauSelectionOptions options;
  options.grid = vector_of({1.5, 0.5, 7});
  CHECK(select_tau(logits, Eigen::Vector2i(0, 1), classes, Criterion::balanced_error, options).tau == 0.5);
}

TEST_CASE("selection: classes without samples, trained or held out, follow the options", "[adjustment]") {
  Eigen::MatrixXd logits(3, 3);
  logits << 1, 0, 5, 0, 1, 5, 2, 0, 0;
  const Eigen::Vector3i labels(0, 1, 0);
  const auto classes = ClassDistribution::from_counts(Eigen::Vector3i(10, 10, 0));
  TauSelectionOptions options;
  CHECK(rejects([&] { return select_tau(logits, labels, classes); }, {"class 2 has no samples"}));
  options.zero_count = ballast::ZeroCount::mask();
  CHECK(select_tau(logits, labels, classes, Criterion::balanced_error, options).values.isZero(0));
  CHECK(std::isfinite(select_tau(logits, labels, classes, Criterion::log_loss, options).value));
  CHECK(rejects(
      [&] { return select_tau(logits, Eigen::Vector3i(0, 2, 0), classes, Criterion::brier, options); },
      {"labels[1] is 2", "masked"}));

  options.zero_count = ballast::ZeroCount::smooth(1);
  CHECK(rejects([&] { return select_tau(logits, labels, classes, Criterion::balanced_error, options); },
                {"class 2 has no held-out samples", "skip"}));
  options.empty_class = EmptyClass::skip;
  CHECK(select_tau(logits, labels, classes, Criterion::balanced_error, options).values[0] == 0.75);
}

TEST_CASE("selection: questions that answer themselves are refused with the reason", "[adjustment][errors]") {
  const Eigen::MatrixXd logits = Eigen::MatrixXd::Identity(2, 2);
  const Eigen::Vector2i labels(0, 1);
  const ClassDistribution classes(labels, 2);
  TauSelectionOptions options;
  const auto select = [&](Criterion criterion) {
    return select_tau(logits, labels, classes, criterion, options);
  };
  options.weighting = Weighting::plain;
  CHECK(rejects([&] { return select(Criterion::log_loss); }, {"select_tau", "always answer tau = 0"}));
  CHECK(rejects([&] { return select(Criterion::brier); }, {"always answer tau = 0"}));
  CHECK(rejects([&] { return select(Criterion::balanced_error); }, {"error weighted plainly"}));
  options.reading = TauReading::temperature;
  CHECK(rejects([&] { return select(Criterion::sharpness); }, {"sharpness", "smallest"}));
  CHECK(rejects([&] { return select(Criterion::balanced_error); }, {"error weighted plainly"}));
  CHECK_NOTHROW(select(Criterion::log_loss));
  options.weighting = Weighting::target_prior;
  CHECK(rejects([&] { return select(Criterion::sharpness); }, {"sharpness"}));
  options.grid = vector_of({1, 0});
  CHECK(rejects([&] { return select(Criterion::log_loss); }, {"grid[1] is 0", "> 0"}));
}

TEMPLATE_TEST_CASE("selection: bad arguments are refused", "[adjustment][errors]", ballast::MatrixX<float>,
                   ballast::RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  TestType logits = TestType::Identity(3, 3);
  const Eigen::Vector3i labels(0, 1, 2);
  const ClassDistribution classes(labels, 3);
  TauSelectionOptions options;
  const auto select = [&] {
    return select_tau(logits, labels, classes, Criterion::balanced_error, options);
  };
  logits(2, 1) = std::numeric_limits<Scalar>::quiet_NaN();
  CHECK(rejects(select, {"select_tau", "logits row 2"}));
  logits(2, 1) = std::numeric_limits<Scalar>::infinity();
  CHECK(rejects(select, {"logits row 2"}));
  logits.row(2).setConstant(-std::numeric_limits<Scalar>::infinity());
  CHECK(rejects(select, {"logits row 2"}));
  CHECK(rejects([&] { return select_tau(logits, labels, classes, Criterion::brier); }, {"logits row 2"}));
  logits.setIdentity();
  options.target_prior = vector_of({0.5, 0.4, 0.2});
  CHECK(rejects(select, {"target_prior sums to"}));
  options.target_prior = {};
  options.bins = 0;
  CHECK(rejects(select, {"bins is 0"}));
  options.bins = 5;
  options.grid = vector_of({0, infinity});
  CHECK(rejects(select, {"grid[1] is inf"}));
  CHECK(rejects([&] { return select_tau(logits, Eigen::Vector3i(0, 1, 3), classes); }, {"labels[2] is 3"}));
  CHECK(rejects([&] { return select_tau(logits, Eigen::Vector2i(0, 1), classes); }, {"labels has size 2"}));
  CHECK(
      rejects([&] { return select_tau(logits, labels, ClassDistribution(labels, 4)); }, {"3 x 3", "3 x 4"}));
}

TEMPLATE_TEST_CASE("selection: tau-normalisation is a brute-force evaluation at every grid point",
                   "[adjustment]", ballast::MatrixX<float>, ballast::RowMatrixX<float>,
                   ballast::RowMatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const std::uint64_t seed = GENERATE(1u, 2u);
  const Index classes = GENERATE(2, 30);
  CAPTURE(seed, classes);
  RandomData random(seed);
  const Index samples = 300;
  // Rows with positive logits, rows with none, and rows whose largest is 0.
  TestType logits = random.matrix<TestType>(samples, classes, -3, 3);
  logits.middleRows(100, 100) = -logits.middleRows(100, 100).cwiseAbs();
  logits.bottomRows(100) = -logits.bottomRows(100).cwiseAbs();
  for (Index i = 200; i < 300; ++i) logits(i, random.below(classes)) = 0;
  const Eigen::VectorXi labels = all_labels(random, samples, classes);
  Eigen::VectorXd norms = random.vector<double>(classes, 0.1, 5);
  norms[classes - 1] = 0;  // a zero row: logit 0 everywhere
  logits.col(classes - 1).setZero();
  if (seed == 2) logits.col(classes - 1).setConstant(Scalar(0.5));

  const TauSelection selection = ballast::select_tau_normalization(logits, labels, norms);
  const Eigen::VectorXd target = Eigen::VectorXd::Constant(classes, 1.0 / static_cast<double>(classes));
  for (Index g = 0; g < 21; ++g) {
    const double tau = selection.taus[g];
    const double expected = brute_error(samples, classes, labels, target, [&](Index i, Index k) {
      const double slope = norms[k] > 0 ? -std::log(norms[k]) : 0.0;
      return logits(i, k) * static_cast<Scalar>(std::exp(slope * tau));
    });
    CHECK(std::abs(selection.values[g] - expected) <= 8 * static_cast<double>(classes) * epsilon);
  }

  const TauSelection brier = ballast::select_tau_normalization(logits, labels, norms, Criterion::brier);
  ballast::CalibrationOptions measured;
  measured.class_weights = ballast::prior_ratio(target, ClassDistribution(labels, classes).prior());
  Eigen::MatrixXd normalised = logits.template cast<double>();
  for (Index k = 0; k + 1 < classes; ++k) normalised.col(k) /= std::pow(norms[k], brier.taus[13]);
  CHECK(std::abs(brier.values[13] - ballast::measure_calibration(normalised, labels, measured).brier) <=
        1e-12);
}

TEMPLATE_TEST_CASE("selection: the error at each tau is that of the classifiers themselves", "[adjustment]",
                   ballast::MatrixX<float>, ballast::RowMatrixX<float>) {
  const std::uint64_t seed = 6;
  CAPTURE(seed);
  RandomData random(seed);
  const TestType features = random.matrix<TestType>(200, 8, -1, 1);
  const Eigen::VectorXi labels = all_labels(random, 200, 5);
  const ballast::LinearHead<float> head(random.matrix<Eigen::MatrixXf>(5, 8, -2, 2),
                                        random.vector<float>(5, -1, 1));
  const ClassDistribution classes = long_tail(5);
  TestType logits(200, 5);
  Eigen::VectorXi predictions(200);
  const auto error = [&] {
    ballast::ConfusionMatrix confusion(5);
    confusion.update(predictions, labels);
    return confusion.balanced_error();
  };
  const TauSelection normalised = ballast::select_tau_normalization(features, labels, head);
  for (Index g = 0; g < 21; ++g) {
    ballast::tau_normalized(head, static_cast<float>(normalised.taus[g])).forward(features, logits);
    ballast::argmax_rows(logits, predictions);
    // Norms and powers round apart from ours: a sample may change sides where two classes nearly tie.
    CHECK(std::abs(normalised.values[g] - error()) <= 1.0 / 150);
  }
  head.forward(features, logits);
  const TauSelection adjusted = select_tau(logits, labels, classes);
  for (Index g = 0; g < 21; ++g) {
    ballast::LogitAdjustment<float>(classes, static_cast<float>(adjusted.taus[g]))
        .predict(logits, predictions);
    CHECK(std::abs(adjusted.values[g] - error()) <= 16 * epsilon);
  }
}

TEST_CASE("selection: tau-normalisation refuses what has no meaning", "[adjustment][errors]") {
  Eigen::MatrixXd logits = Eigen::MatrixXd::Identity(2, 2);
  const Eigen::Vector2i labels(0, 1);
  const Eigen::Vector2d norms(1, 2);
  const auto select = [&](const Eigen::VectorXd& n, TauSelectionOptions options = {}) {
    return ballast::select_tau_normalization(logits, labels, n, Criterion::balanced_error, options);
  };
  CHECK(rejects([&] { return select(vector_of({1, -2})); }, {"norms[1] is -2"}));
  CHECK(rejects([&] { return select(vector_of({1, 2, 3})); }, {"norms has size 3"}));
  TauSelectionOptions options;
  options.weighting = Weighting::plain;
  CHECK(rejects([&] { return select(norms, options); }, {"weighting is plain"}));
  options = {};
  options.reading = TauReading::temperature;
  CHECK(rejects([&] { return select(norms, options); }, {"reading is temperature"}));
  logits(1, 0) = infinity;
  CHECK(rejects([&] { return select(norms); }, {"logits row 1"}));
}

TEMPLATE_TEST_CASE("selection: the binary optimum is the least error over every interval", "[adjustment]",
                   ballast::MatrixX<float>, ballast::RowMatrixX<double>) {
  const std::uint64_t seed = GENERATE(1u, 2u, 3u, 4u);
  CAPTURE(seed);
  RandomData random(seed);
  const Index samples = 120;
  TestType logits = random.matrix<TestType>(samples, 2, -3, 3);
  if (seed % 2 == 0) logits = logits.array().round().matrix();  // equal breakpoints
  const Eigen::VectorXi labels = all_labels(random, samples, 2);
  const auto counts =
      seed > 2 ? Eigen::Vector2i(3, 90) : Eigen::Vector2i(90, 10);  // either class is the rare one
  const auto classes = ClassDistribution::from_counts(counts);
  TauSelectionOptions options;
  options.target_prior = vector_of({0.4, 0.6});
  const BinaryTauSelection best = ballast::select_binary_tau(logits, labels, classes, options);

  const Eigen::VectorXd shift = options.target_prior.array().log().matrix() - classes.log_prior();
  const auto error_at = [&](double tau) {
    return brute_error(samples, 2, labels, options.target_prior,
                       [&](Index i, Index k) { return static_cast<double>(logits(i, k)) + tau * shift[k]; });
  };
  CHECK(std::abs(error_at(best.tau) - best.error) <= 4 * epsilon);
  CHECK(best.lower < best.tau);
  CHECK(best.tau < best.upper);
  std::vector<double> breakpoints;
  for (Index i = 0; i < samples; ++i) {
    breakpoints.push_back((static_cast<double>(logits(i, 0)) - static_cast<double>(logits(i, 1))) /
                          (shift[1] - shift[0]));
  }
  std::sort(breakpoints.begin(), breakpoints.end());
  double least = std::min(error_at(breakpoints.front() - 1), error_at(breakpoints.back() + 1));
  for (std::size_t i = 0; i + 1 < breakpoints.size(); ++i) {
    least = std::min(least, error_at(0.5 * (breakpoints[i] + breakpoints[i + 1])));
  }
  CHECK(std::abs(best.error - least) <= 4 * epsilon);
  if (std::isfinite(best.upper)) {
    CHECK(std::count(breakpoints.begin(), breakpoints.end(), best.upper) > 0);
    CHECK(error_at(best.upper + 1e-6 * std::abs(best.upper)) > best.error - 4 * epsilon);
  }
  CHECK(best.error <=
        select_tau(logits, labels, classes, Criterion::balanced_error, options).value + 4 * epsilon);
}

TEST_CASE("selection: binary extremes", "[adjustment][errors]") {
  Eigen::MatrixXd logits(3, 2);
  logits << 0, -infinity, 1, 0, 0, 1;
  const Eigen::Vector3i labels(0, 0, 1);
  const auto balanced = ClassDistribution::from_counts(Eigen::Vector2i(5, 5));
  const BinaryTauSelection indifferent = ballast::select_binary_tau(logits, labels, balanced);
  CHECK(indifferent.tau == 1.0);
  CHECK(indifferent.error == 0.0);
  CHECK(indifferent.lower == -infinity);
  CHECK(indifferent.upper == infinity);

  logits.row(0).setConstant(infinity);
  CHECK(rejects([&] { return ballast::select_binary_tau(logits, labels, balanced); }, {"logits row 0"}));
  CHECK(rejects([&] { return ballast::select_binary_tau(logits, labels, ClassDistribution(labels, 3)); },
                {"classes has size 3"}));
  CHECK(rejects(
      [&] {
        TauSelectionOptions options;
        options.target_prior = vector_of({1, 0});
        return ballast::select_binary_tau(logits, labels, balanced, options);
      },
      {"class 1 is masked"}));
}
