#include <ballast/losses/class_weights.hpp>

#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::CountVector;
using ballast::Index;
using ballast::VectorX;
using ballast::WeightNormalization;

ClassDistribution tail() {
  return ClassDistribution::from_counts((CountVector(4) << 1000, 100, 9, 1).finished());
}

/// Weights against 1 / size, up to the factor that the normalisation asks for.
template <typename Scalar>
bool agrees(const VectorX<Scalar>& weights, const VectorX<long double>& sizes,
            WeightNormalization normalization) {
  VectorX<long double> expected = sizes.cwiseInverse();
  const VectorX<long double> counts = tail().counts().cast<long double>();
  if (normalization == WeightNormalization::sum_to_classes) expected *= 4 / expected.sum();
  if (normalization == WeightNormalization::mean_one) expected *= counts.sum() / expected.dot(counts);
  // Computed in double by a handful of operations, then rounded.
  const long double bound = static_cast<long double>(std::numeric_limits<Scalar>::epsilon()) +
                            32 * static_cast<long double>(std::numeric_limits<double>::epsilon());
  return ((weights.template cast<long double>() - expected).array().abs() <= bound * expected.array()).all();
}

}  // namespace

TEMPLATE_TEST_CASE("class_weights: the formulas, in every normalisation", "[losses]", float, double) {
  const ClassDistribution classes = tail();
  const VectorX<long double> counts = classes.counts().cast<long double>();
  for (const auto normalization :
       {WeightNormalization::none, WeightNormalization::sum_to_classes, WeightNormalization::mean_one}) {
    CHECK(
        agrees(ballast::inverse_frequency_weights<TestType>(classes, normalization), counts, normalization));
    CHECK(agrees(ballast::inverse_square_root_weights<TestType>(classes, normalization),
                 VectorX<long double>(counts.cwiseSqrt()), normalization));
    for (const double beta : {0.0, 0.9, 0.9999, 1.0}) {
      CAPTURE(beta);
      VectorX<long double> numbers = counts;
      for (long double& n : numbers) {
        const auto b = static_cast<long double>(beta);
        if (beta < 1) n = (1 - std::pow(b, n)) / (1 - b);
      }
      CHECK(agrees(ballast::effective_number_weights<TestType>(classes, beta, normalization), numbers,
                   normalization));
    }
  }
}

TEST_CASE("class_weights: what cannot be a weight is refused", "[losses][errors]") {
  const auto hole = ClassDistribution::from_counts((CountVector(3) << 5, 0, 1).finished());
  CHECK(rejects([&] { return ballast::inverse_frequency_weights<float>(hole); },
                {"inverse_frequency_weights", "class 1 has no samples"}));
  CHECK(rejects([&] { return ballast::inverse_square_root_weights<float>(hole); },
                {"inverse_square_root_weights", "class 1"}));
  CHECK(rejects([&] { return ballast::effective_number_weights<float>(hole, 0.9); }, {"class 1"}));
  CHECK(rejects([&] { return ballast::effective_number_weights<float>(tail(), 1.5); }, {"beta is 1.5"}));
}
