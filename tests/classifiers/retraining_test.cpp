#include <ballast/classifiers/retraining.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::Index;
using ballast::LinearHead;
using ballast::MatrixX;
using ballast::PowerLawSampler;
using ballast::retrain_head;
using ballast::RowMatrixX;
using ballast::TrainingOptions;
using ballast::TrainingProgress;

using Long = Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic>;
using LongVector = Eigen::Matrix<long double, Eigen::Dynamic, 1>;

/// Classes that overlap in 2 of 4 dimensions, with 200, 40 and 8 samples.
template <typename Matrix>
struct Data {
  explicit Data(std::uint64_t seed) : features(248, 4), labels(248) {
    RandomData random(seed);
    for (Index i = 0; i < 248; ++i) {
      labels[i] = i % 31 == 0 ? 2 : i % 31 < 6 ? 1 : 0;
      for (Index d = 0; d < 4; ++d) {
        const double centre = d == labels[i] ? 1.5 : 0.0;
        features(i, d) = static_cast<typename Matrix::Scalar>(centre + random.normal());
      }
    }
  }
  Matrix features;
  Eigen::VectorXi labels;
};

/// SGD as documented, one sample after the other.
struct PlainTraining {
  Long weights;
  LongVector bias;
  std::vector<long double> losses;

  template <typename Matrix>
  PlainTraining(const Data<Matrix>& data, const TrainingOptions& options, bool with_bias) {
    using Scalar = typename Matrix::Scalar;
    const auto start = LinearHead<Scalar>::uniform(3, 4, options.seed, with_bias);
    weights = start.weights().template cast<long double>();
    bias = LongVector::Zero(3);
    if (with_bias) bias = start.bias().template cast<long double>();
    Long weights_velocity = Long::Zero(3, 4);
    LongVector bias_velocity = LongVector::Zero(3);
    PowerLawSampler::Options sampling;
    sampling.q = options.q;
    sampling.seed = options.seed;
    const PowerLawSampler sampler(ballast::SamplesByClass(data.labels, 3), sampling);

    const Index samples = data.features.rows();
    const Index steps = (samples + options.batch - 1) / options.batch;
    for (Index epoch = 0; epoch < options.epochs; ++epoch) {
      long double total = 0;
      for (Index step = 0; step < steps; ++step) {
        const Index size = std::min(options.batch, samples - step * options.batch);
        ballast::IndexVector batch(size);
        sampler.draw(epoch, step * options.batch, batch);
        Long weights_gradient = Long::Zero(3, 4);
        LongVector bias_gradient = LongVector::Zero(3);
        for (const Index i : batch) {
          const LongVector z = data.features.row(i).transpose().template cast<long double>();
          const LongVector f = weights * z + bias;
          LongVector p = (f.array() - f.maxCoeff()).exp();
          p /= p.sum();
          total -= std::log(p[data.labels[i]]);
          p[data.labels[i]] -= 1;
          weights_gradient += p * z.transpose() / static_cast<long double>(size);
          bias_gradient += p / static_cast<long double>(size);
        }
        const long double t = static_cast<long double>(epoch * steps + step);
        const long double all = static_cast<long double>(options.epochs * steps);
        const long double rate = static_cast<long double>(options.learning_rate) *
                                 (1 + std::cos(3.14159265358979323846L * t / all)) / 2;
        const auto momentum = static_cast<long double>(options.momentum);
        const auto decay = static_cast<long double>(options.weight_decay);
        weights_velocity = momentum * weights_velocity + weights_gradient + decay * weights;
        bias_velocity = momentum * bias_velocity + bias_gradient + decay * bias;
        weights -= rate * weights_velocity;
        if (with_bias) bias -= rate * bias_velocity;
      }
      losses.push_back(total / static_cast<long double>(samples));
    }
  }
};

double balanced_accuracy(const LinearHead<float>& head, const Data<RowMatrixX<float>>& data) {
  RowMatrixX<float> logits(data.features.rows(), 3);
  head.forward(data.features, logits);
  Eigen::Vector3d right(0, 0, 0), all(0, 0, 0);
  for (Index i = 0; i < logits.rows(); ++i) {
    Index best;
    logits.row(i).maxCoeff(&best);
    right[data.labels[i]] += best == data.labels[i] ? 1 : 0;
    all[data.labels[i]] += 1;
  }
  return right.cwiseQuotient(all).mean();
}

}  // namespace

TEMPLATE_TEST_CASE("retraining: the documented descent, step by step", "[classifiers]", RowMatrixX<float>,
                   MatrixX<float>, RowMatrixX<double>, MatrixX<double>) {
  using Scalar = typename TestType::Scalar;
  const bool with_bias = GENERATE(true, false);
  const std::uint64_t seed = 1;
  CAPTURE(seed, with_bias);
  const Data<TestType> data(seed);
  TrainingOptions options;
  options.epochs = 3;
  options.batch = 30;  // 8 steps of 30 and one of 8
  options.learning_rate = 0.3;
  options.momentum = 0.8;
  options.weight_decay = 1e-2;
  options.q = 0.25;
  options.seed = 5;
  std::vector<TrainingProgress> seen;
  options.progress = [&](const TrainingProgress& progress) {
    seen.push_back(progress);
  };

  const auto shape = LinearHead<Scalar>::uniform(3, 4, 99, with_bias);
  const auto head = retrain_head(data.features, data.labels, shape, options);
  const PlainTraining plain(data, options, with_bias);

  // 27 steps; an error made in one of them decays, with the curvature and the weight decay, or at worst adds
  // up over the 1 / (1 - momentum) steps that a velocity lives. Parameters are of the order 1.
  const long double bound = 27 * 5 * 40 * static_cast<long double>(std::numeric_limits<Scalar>::epsilon());
  CHECK((head.weights().template cast<long double>() - plain.weights).cwiseAbs().maxCoeff() <= bound);
  CHECK(head.has_bias() == with_bias);
  if (with_bias)
    CHECK((head.bias().template cast<long double>() - plain.bias).cwiseAbs().maxCoeff() <= bound);
  REQUIRE(seen.size() == 3);
  for (std::size_t epoch = 0; epoch < 3; ++epoch) {
    CHECK(seen[epoch].epoch == static_cast<Index>(epoch));
    CHECK(seen[epoch].epochs == 3);
    CHECK(std::abs(static_cast<long double>(seen[epoch].loss) - plain.losses[epoch]) <= bound);
  }
}

TEST_CASE("retraining: a batch larger than the data is the data's size", "[classifiers]") {
  const Data<RowMatrixX<double>> data(2);
  TrainingOptions options;
  options.epochs = 2;
  options.batch = 248;
  const auto shape = LinearHead<double>::zeros(3, 4);
  const auto exact = retrain_head(data.features, data.labels, shape, options);
  options.batch = 1000;
  CHECK(retrain_head(data.features, data.labels, shape, options).parameters() == exact.parameters());
}

TEST_CASE("retraining: class-balanced draws serve the rare classes", "[classifiers]") {
  const Data<RowMatrixX<float>> data(3);
  const auto shape = LinearHead<float>::zeros(3, 4);
  TrainingOptions options;
  const auto balanced = retrain_head(data.features, data.labels, shape, options);
  options.q = 1;
  const auto instance = retrain_head(data.features, data.labels, shape, options);
  CHECK(balanced_accuracy(balanced, data) > balanced_accuracy(instance, data) + 0.1);
}

TEST_CASE("retraining: takes any loss, view and label type, and repeats itself", "[classifiers]") {
  const Data<MatrixX<float>> data(4);
  const auto shape = LinearHead<float>::zeros(3, 4);
  const TrainingOptions options;
  const auto plain = retrain_head(data.features, data.labels, shape, options);
  const RowMatrixX<float> across = data.features.transpose();
  const auto again = retrain_head(across.transpose(), data.labels.cast<std::int8_t>().eval(), shape, options);
  CHECK(again.parameters() == plain.parameters());

  int calls = 0;
  const auto doubled = [&, loss = ballast::cross_entropy_loss<float>(3)](
                           const auto& logits, const auto& labels, auto&& gradient) {
    ++calls;
    const float value = loss(logits, labels, gradient);
    gradient *= 2.0f;
    return 2 * value;
  };
  const auto steeper = retrain_head(data.features, data.labels, shape, options, doubled);
  CHECK(calls == 10 * 4);
  CHECK(steeper.parameters() != plain.parameters());

  TrainingOptions other = options;
  other.seed = 1;
  CHECK(retrain_head(data.features, data.labels, shape, other).parameters() != plain.parameters());
}

TEST_CASE("retraining: rejects", "[classifiers][errors]") {
  Data<RowMatrixX<float>> data(5);
  const auto shape = LinearHead<float>::zeros(3, 4);
  const auto refused = [&](const auto& change, std::initializer_list<const char*> parts) {
    TrainingOptions options;
    change(options);
    return rejects([&] { return retrain_head(data.features, data.labels, shape, options); }, parts);
  };
  const double nan = std::nan("");
  CHECK(refused([](TrainingOptions& o) { o.epochs = 0; }, {"retrain_head", "options.epochs is 0"}));
  CHECK(refused([](TrainingOptions& o) { o.batch = 0; }, {"options.batch is 0"}));
  CHECK(refused([](TrainingOptions& o) { o.learning_rate = 0; }, {"options.learning_rate is 0", "> 0"}));
  CHECK(refused([&](TrainingOptions& o) { o.learning_rate = nan; }, {"options.learning_rate is nan"}));
  CHECK(refused([](TrainingOptions& o) { o.momentum = 1; }, {"options.momentum is 1", "[0, 1)"}));
  CHECK(refused([](TrainingOptions& o) { o.weight_decay = -1; }, {"options.weight_decay is -1"}));
  CHECK(refused([&](TrainingOptions& o) { o.q = nan; }, {"q is nan"}));
  CHECK(rejects([&] { return retrain_head(data.features.leftCols(3), data.labels, shape); },
                {"features is 248 x 3", "samples x 4"}));
  CHECK(rejects([&] { return retrain_head(data.features.topRows(0), data.labels.head(0), shape); },
                {"features is 0 x 4", "at least one sample"}));
  CHECK(rejects([&] { return retrain_head(data.features, data.labels.head(9), shape); },
                {"labels has size 9"}));
  data.labels[7] = 3;
  CHECK(
      rejects([&] { return retrain_head(data.features, data.labels, shape); }, {"labels[7] is 3", "[0, 3)"}));
  data.labels[7] = 0;
  data.features(247, 1) = std::numeric_limits<float>::infinity();
  CHECK(rejects([&] { return retrain_head(data.features, data.labels, shape); }, {"features", "row 247"}));
}
