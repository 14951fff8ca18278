#include <ballast/sampling/class_sampler.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include <ballast/data/class_distribution.hpp>
#include <ballast/sampling/rank_positions.hpp>

#include "support/catch.hpp"
#include "support/chi_square.hpp"
#include "support/random_data.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::ClassDistribution;
using ballast::ClassProbabilitySampler;
using ballast::Index;
using ballast::IndexVector;
using ballast::PowerLawSampler;
using ballast::ProgressiveSampler;
using ballast::SamplesByClass;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

PowerLawSampler::Options power(double q, std::uint64_t seed = 0) {
  PowerLawSampler::Options options;
  options.q = q;
  options.seed = seed;
  return options;
}

/// Classes 0, 3 and 6 are empty; the others have 40, 5, 1, 12 samples, in mixed order.
Eigen::VectorXi long_tailed_labels() {
  Eigen::VectorXi labels(58);
  for (Index i = 0; i < 58; ++i) {
    const Index at = i * 37 % 58;
    labels[i] = at < 40 ? 1 : at < 45 ? 2 : at < 46 ? 4 : 5;
  }
  return labels;
}
constexpr Index long_tailed_classes = 7;

SamplesByClass long_tailed() {
  return SamplesByClass(long_tailed_labels(), long_tailed_classes);
}

template <typename Sampler>
IndexVector draws_of(const Sampler& sampler, Index epoch, Index position, Index count) {
  IndexVector batch(count);
  sampler.draw(epoch, position, batch);
  return batch;
}

template <typename Sampler>
IndexVector classes_of(const Sampler& sampler, Index epoch, Index position, Index count) {
  IndexVector classes(count);
  sampler.draw_classes(epoch, position, classes);
  return classes;
}

Eigen::VectorXd frequencies(const IndexVector& draws, Index size) {
  Eigen::VectorXd counts = Eigen::VectorXd::Zero(size);
  for (const Index draw : draws) ++counts[draw];
  return counts;
}

/// Draws of samples and of classes against the class probabilities p: a sample of class j has p_j / n_j.
template <typename Sampler>
void check_frequencies(const Sampler& sampler, Index epoch, const Eigen::VectorXd& p) {
  const Index draws = 200000;
  const Eigen::VectorXi labels = long_tailed_labels();
  CHECK(std::abs(chi_square_z(frequencies(classes_of(sampler, epoch, 0, draws), p.size()), p)) < 4.5);
  Eigen::VectorXd of_sample(labels.size());
  for (Index i = 0; i < labels.size(); ++i) {
    of_sample[i] = p[labels[i]] / static_cast<double>(sampler.samples().count(labels[i]));
  }
  CHECK(std::abs(chi_square_z(frequencies(draws_of(sampler, epoch, 0, draws), labels.size()), of_sample)) <
        4.5);
}

Eigen::VectorXd power_law(const SamplesByClass& samples, double q) {
  std::vector<long double> weights;
  for (Index j = 0; j < samples.classes(); ++j) {
    const auto n = static_cast<long double>(samples.count(j));
    weights.push_back(n > 0 ? std::pow(n, static_cast<long double>(q)) : 0.0L);
  }
  const long double sum = std::accumulate(weights.begin(), weights.end(), 0.0L);
  Eigen::VectorXd result(samples.classes());
  for (Index j = 0; j < samples.classes(); ++j) {
    result[j] = static_cast<double>(weights[static_cast<std::size_t>(j)] / sum);
  }
  return result;
}

}  // namespace

TEST_CASE("class_sampler: the portable power is the power", "[sampling]") {
  const std::uint64_t seed = 1;
  CAPTURE(seed);
  RandomData random(seed);
  for (int i = 0; i < 2000; ++i) {
    const double x = random.uniform(0, 1);
    const double exponent = i % 2 == 0 ? random.uniform(0, 2) : random.uniform(0, 100);
    CAPTURE(x, exponent);
    const long double expected = std::pow(static_cast<long double>(x), static_cast<long double>(exponent));
    // At most 53 roots, each rounded and halving the relative error of the one before; as many products; and
    // 2 * exponent roundings of the powers.
    const long double bound = static_cast<long double>((100 + 2 * exponent) * epsilon) * expected;
    CHECK(std::abs(static_cast<long double>(ballast::detail::portable_power(x, exponent)) - expected) <=
          bound);
  }
  CHECK(ballast::detail::portable_power(0.3, 0) == 1.0);
  CHECK(ballast::detail::portable_power(0.3, 1) == 0.3);
  CHECK(ballast::detail::portable_power(0.3, 0.5) == std::sqrt(0.3));
  CHECK(ballast::detail::portable_power(0.3, 2) == 0.3 * 0.3);
  CHECK(ballast::detail::portable_power(1, std::numeric_limits<double>::max()) == 1.0);
  CHECK(ballast::detail::portable_power(0.999, std::numeric_limits<double>::max()) == 0.0);
  CHECK(ballast::detail::portable_power(0.5, 0x1p62) == 0.0);
  CHECK(ballast::detail::portable_power(0.25, std::numeric_limits<double>::denorm_min()) >= 1.0 - epsilon);
}

TEST_CASE("class_sampler: power-law probabilities are the formula, draws follow them", "[sampling]") {
  const double q = GENERATE(1.0, 0.5, 0.0, -0.5, -1.0, 0.3, 2.5, -1.7);
  CAPTURE(q);
  const PowerLawSampler sampler(long_tailed(), power(q, 11));
  const Eigen::VectorXd expected = power_law(sampler.samples(), q);
  for (Index j = 0; j < long_tailed_classes; ++j) {
    CAPTURE(j);
    CHECK(std::abs(sampler.probabilities()[j] - expected[j]) <= 200 * epsilon * expected[j]);
  }
  for (const Index empty : {0, 3, 6}) CHECK(sampler.probabilities()[empty] == 0);
  check_frequencies(sampler, 2, sampler.probabilities());
}

TEST_CASE("class_sampler: any finite exponent has a limit, not an overflow", "[sampling]") {
  const double limit = std::numeric_limits<double>::max();
  const PowerLawSampler head(long_tailed(), power(limit)), tail(long_tailed(), power(-limit));
  CHECK(head.probabilities() == Eigen::VectorXd::Unit(long_tailed_classes, 1));
  CHECK(tail.probabilities() == Eigen::VectorXd::Unit(long_tailed_classes, 4));
  CHECK((classes_of(head, 0, 0, 1000).array() == 1).all());
  CHECK((classes_of(tail, 0, 0, 1000).array() == 4).all());
}

TEST_CASE("class_sampler: by default class-balanced, seed 0", "[sampling]") {
  const Eigen::VectorXi labels = long_tailed_labels();
  CHECK(draws_of(PowerLawSampler(labels), 1, 5, 100) ==
        draws_of(PowerLawSampler(labels, power(0.0, 0)), 1, 5, 100));
}

TEST_CASE("class_sampler: any class probabilities", "[sampling]") {
  Eigen::VectorXd weights(7);
  weights << 0, 3, 0, 0, 1, 4, 0;  // class 2 has samples and is not wanted
  const ClassProbabilitySampler sampler(long_tailed(), weights, 12);
  CHECK(sampler.probabilities() == weights / 8);
  check_frequencies(sampler, 0, weights / 8);

  const ClassProbabilitySampler scaled(long_tailed(), 1e300 * weights, 12);
  const ClassProbabilitySampler integers(long_tailed(), weights.cast<int>(), 12);
  CHECK(draws_of(scaled, 0, 0, 500) == draws_of(sampler, 0, 0, 500));
  CHECK(draws_of(integers, 0, 0, 500) == draws_of(sampler, 0, 0, 500));
}

TEST_CASE("class_sampler: effective numbers lead from class- to instance-balanced", "[sampling]") {
  const Eigen::VectorXi labels = long_tailed_labels();
  const SamplesByClass samples = long_tailed();
  const ClassDistribution classes(labels, long_tailed_classes);
  const auto probabilities = [&](double beta) {
    return ClassProbabilitySampler(samples, classes.effective_numbers(beta)).probabilities();
  };
  CHECK(probabilities(0.0).isApprox(power_law(samples, 0), 4 * epsilon));
  CHECK(probabilities(1.0).isApprox(power_law(samples, 1), 4 * epsilon));
  check_frequencies(ClassProbabilitySampler(samples, classes.effective_numbers(0.9), 3), 0,
                    probabilities(0.9));
}

TEST_CASE("class_sampler: progressive sampling goes from instance- to class-balanced by linspace",
          "[sampling]") {
  const SamplesByClass samples = long_tailed();
  const ProgressiveSampler sampler(samples, 5, 13);
  const std::array<double, 5> schedule = {0, 0.25, 0.5, 0.75, 1};
  for (Index epoch = 0; epoch < 5; ++epoch) {
    CAPTURE(epoch);
    const double s = schedule[static_cast<std::size_t>(epoch)];
    CHECK(sampler.balanced_share(epoch) == s);
    check_frequencies(sampler, epoch, (1 - s) * power_law(samples, 1) + s * power_law(samples, 0));
  }
  const ProgressiveSampler single(samples, 1, 13);
  CHECK(single.balanced_share(0) == 0);
  check_frequencies(single, 0, power_law(samples, 1));
}

TEST_CASE("class_sampler: draws are pinned for every compiler and platform", "[sampling]") {
  const SamplesByClass samples = long_tailed();
  const auto first = [](const auto& sampler) {
    std::array<Index, 24> draws;
    sampler.draw(3, 1000, Eigen::Map<IndexVector>(draws.data(), 24));
    return draws;
  };
  CHECK(first(PowerLawSampler(samples, power(0.0, 7))) ==
        std::array<Index, 24>{4,  31, 9,  20, 26, 31, 30, 31, 20, 31, 8,  47,
                              56, 20, 13, 26, 31, 43, 51, 49, 16, 31, 50, 48});
  CHECK(first(PowerLawSampler(samples, power(0.3, 7))) ==
        std::array<Index, 24>{4,  9,  5,  16, 26, 56, 30, 9,  19, 20, 8,  47,
                              51, 31, 13, 26, 31, 43, 51, 49, 20, 34, 50, 48});
  CHECK(first(PowerLawSampler(samples, power(-1.0, 7))) ==
        std::array<Index, 24>{9,  31, 31, 31, 34, 31, 34, 31, 31, 31, 31, 47,
                              31, 31, 31, 34, 31, 43, 56, 31, 20, 31, 50, 56});
  CHECK(first(ProgressiveSampler(samples, 7, 7)) == std::array<Index, 24>{9,  2,  5,  20, 26, 31, 30, 0,
                                                                          20, 31, 8,  47, 56, 21, 13, 34,
                                                                          4,  43, 51, 49, 16, 31, 50, 56});
}

TEST_CASE("class_sampler: a draw depends on seed, epoch and position alone", "[sampling]") {
  const SamplesByClass samples = long_tailed();
  const auto check = [](const auto& sampler) {
    const IndexVector whole = draws_of(sampler, 2, 0, 1000);
    // Restarted anywhere, in batches of any size.
    for (const Index batch : {1, 7, 64, 65, 300}) {
      for (Index position = 0; position + batch <= 1000; position += batch) {
        REQUIRE(draws_of(sampler, 2, position, batch) == whole.segment(position, batch));
        REQUIRE(classes_of(sampler, 2, position, batch) ==
                classes_of(sampler, 2, 0, 1000).segment(position, batch));
      }
    }
    CHECK(draws_of(sampler, 2, 0, 0).size() == 0);
    IndexVector order(1000);
    sampler.plan(2, order);
    CHECK(order == whole);
    // Positions beyond 32 bits are positions like others.
    const Index far = Index(1) << 40;
    CHECK(draws_of(sampler, 2, far, 100).tail(50) == draws_of(sampler, 2, far + 50, 50));
    CHECK(draws_of(sampler, 2, far, 100) != draws_of(sampler, 2, 0, 100));
  };
  check(PowerLawSampler(samples, power(0.5, 7)));
  check(ProgressiveSampler(samples, 4, 7));
}

TEST_CASE("class_sampler: ranks draw disjoint parts of what one rank draws", "[sampling]") {
  const PowerLawSampler sampler(long_tailed(), power(0.5, 7));
  const Index global_batch = 100;
  for (const Index ranks : {1, 2, 3, 8}) {
    for (Index step = 0; step < 5; ++step) {
      IndexVector together(0);
      for (Index rank = 0; rank < ranks; ++rank) {
        const auto part = ballast::rank_positions({step * global_batch, global_batch}, rank, ranks);
        const IndexVector drawn = draws_of(sampler, 1, part.begin, part.size);
        IndexVector joined(together.size() + drawn.size());
        joined << together, drawn;
        together = joined;
      }
      CHECK(together == draws_of(sampler, 1, step * global_batch, global_batch));
    }
  }
}

TEST_CASE("class_sampler: samples are of the classes drawn", "[sampling]") {
  const Eigen::VectorXi labels = long_tailed_labels();
  const auto check = [&](const auto& sampler) {
    const IndexVector samples = draws_of(sampler, 1, 3, 500), classes = classes_of(sampler, 1, 3, 500);
    for (Index i = 0; i < 500; ++i) CHECK(labels[samples[i]] == classes[i]);
  };
  check(PowerLawSampler(long_tailed(), power(0.0, 7)));
  check(ProgressiveSampler(long_tailed(), 3, 7));
}

TEST_CASE("class_sampler: seeds, epochs, class and instance are unrelated", "[sampling]") {
  // 20 classes of 20: two draws make one of 400 equally probable pairs.
  const Eigen::VectorXi labels = Eigen::VectorXi::LinSpaced(400, 0, 399) / 20;
  const Index draws = 100000;
  const auto check_pairs = [&](const IndexVector& first, const IndexVector& second) {
    Eigen::VectorXd pairs = Eigen::VectorXd::Zero(400);
    for (Index i = 0; i < draws; ++i) ++pairs[20 * first[i] + second[i]];
    CHECK(std::abs(chi_square_z(pairs)) < 4.5);
  };
  const PowerLawSampler sampler(labels, power(0.0, 7)), next_seed(labels, power(0.0, 8));
  const ProgressiveSampler progressive(labels, 100, 7);
  const IndexVector classes = classes_of(sampler, 4, 0, draws);
  check_pairs(classes, classes_of(next_seed, 4, 0, draws));
  check_pairs(classes, classes_of(sampler, 5, 0, draws));
  check_pairs(classes, classes_of(sampler, 4, 1, draws));
  check_pairs(classes, draws_of(sampler, 4, 0, draws).unaryExpr([](Index i) { return i % 20; }));
  CHECK(std::abs(chi_square_z(frequencies(draws_of(progressive, 50, 0, draws), 400))) < 4.5);
}

TEMPLATE_TEST_CASE("class_sampler: writes to any integral vector", "[sampling]", std::uint8_t, std::int16_t,
                   int, std::uint32_t, std::int64_t, std::uint64_t) {
  const PowerLawSampler sampler(long_tailed(), power(0.5, 7));
  const IndexVector expected = draws_of(sampler, 1, 9, 70);
  Eigen::Matrix<TestType, Eigen::Dynamic, 1> column(72);
  column.fill(77);
  sampler.draw(1, 9, column.segment(1, 70));
  CHECK(column.segment(1, 70).template cast<Index>() == expected);
  CHECK(column[0] == 77);
  CHECK(column[71] == 77);
  Eigen::Matrix<TestType, Eigen::Dynamic, Eigen::Dynamic> matrix(3, 70);
  matrix.fill(77);
  sampler.draw(1, 9, matrix.row(1));  // strided
  CHECK(matrix.row(1).transpose().template cast<Index>() == expected);
  CHECK((matrix.row(0).array() == 77).all());
  std::vector<TestType> plain(70);
  sampler.draw(1, 9, Eigen::Map<Eigen::Matrix<TestType, Eigen::Dynamic, 1>>(plain.data(), 70));
  CHECK(std::equal(plain.begin(), plain.end(), column.data() + 1));
}

TEST_CASE("class_sampler: draws from a part of the data set, by positions in the whole", "[sampling]") {
  Eigen::VectorXi labels = long_tailed_labels();
  const IndexVector subset = IndexVector::LinSpaced(29, 0, 28).array() * 2;
  labels[1] = -1;  // outside the subset: not looked at
  const SamplesByClass samples(labels, long_tailed_classes, subset);
  const PowerLawSampler sampler(samples, power(1.0, 7));
  const Eigen::VectorXd counts = frequencies(draws_of(sampler, 0, 0, 50000), labels.size());
  Eigen::VectorXd expected = Eigen::VectorXd::Zero(labels.size());
  for (const Index i : subset) expected[i] = 1.0 / 29;
  CHECK(std::abs(chi_square_z(counts, expected)) < 4.5);
}

TEST_CASE("class_sampler: one class, one sample", "[sampling]") {
  for (const double q : {-1.0, 0.0, 1.0}) {
    const PowerLawSampler one_class(Eigen::VectorXi::Zero(10), power(q));
    CHECK(std::abs(chi_square_z(frequencies(draws_of(one_class, 0, 0, 10000), 10))) < 4.5);
    const PowerLawSampler one_sample(Eigen::VectorXi::Constant(1, 3), power(q));
    CHECK((draws_of(one_sample, 0, 0, 100).array() == 0).all());
    CHECK((classes_of(one_sample, 0, 0, 100).array() == 3).all());
  }
}

TEST_CASE("class_sampler: a million classes", "[sampling]") {
  // Class j has 1 + j % 3 samples; the first and last hundred none.
  const Index classes = 1000000;
  std::vector<Index> labels;
  for (Index j = 100; j < classes - 100; ++j)
    labels.insert(labels.end(), static_cast<std::size_t>(1 + j % 3), j);
  const Eigen::Map<const IndexVector> view(labels.data(), static_cast<Index>(labels.size()));
  const SamplesByClass samples(view, classes);
  for (const double q : {0.0, 0.7}) {
    CAPTURE(q);
    const PowerLawSampler sampler(samples, power(q, 3));
    const IndexVector batch = draws_of(sampler, 0, 0, 300000), drawn = classes_of(sampler, 0, 0, 300000);
    Eigen::VectorXd thirds = Eigen::VectorXd::Zero(3), expected(3), hundreds = Eigen::VectorXd::Zero(100);
    bool consistent = true;
    for (Index i = 0; i < batch.size(); ++i) {
      consistent = consistent && view[batch[i]] == drawn[i];
      ++thirds[drawn[i] % 3];
      ++hundreds[drawn[i] / 3 % 100];
    }
    CHECK(consistent);
    expected << 1, std::pow(2, q), std::pow(3, q);
    CHECK(std::abs(chi_square_z(thirds, expected / expected.sum())) < 4.5);
    CHECK(std::abs(chi_square_z(hundreds)) < 4.5);
  }
}

TEST_CASE("class_sampler: rejects what cannot be drawn, and draws nothing", "[sampling][errors]") {
  const SamplesByClass samples = long_tailed();
  const SamplesByClass none(Eigen::VectorXi(0), 3);
  const double infinity = std::numeric_limits<double>::infinity();
  CHECK(rejects([&] { PowerLawSampler(samples, power(infinity)); }, {"PowerLawSampler: q is inf"}));
  CHECK(rejects([&] { PowerLawSampler(samples, power(std::nan(""))); }, {"q is nan"}));
  CHECK(rejects([&] { PowerLawSampler{none}; }, {"PowerLawSampler: samples is empty"}));
  CHECK(rejects([&] { ProgressiveSampler(none, 2); }, {"ProgressiveSampler: samples is empty"}));
  CHECK(rejects([&] { ProgressiveSampler(samples, 0); }, {"epochs is 0"}));
  Eigen::VectorXi labels = long_tailed_labels();
  labels[5] = -1;
  CHECK(rejects([&] { PowerLawSampler{labels}; }, {"labels[5] is -1"}));

  Eigen::VectorXd weights = Eigen::VectorXd::Ones(7);
  CHECK(rejects([&] { ClassProbabilitySampler(samples, weights); },
                {"ClassProbabilitySampler: weights[0] is 1 but class 0 has no samples"}));
  CHECK(rejects([&] { ClassProbabilitySampler(samples, weights.head(6)); },
                {"weights has size 6, expected 7"}));
  weights << 0, 1, -1, 0, 0, 0, 0;
  CHECK(rejects([&] { ClassProbabilitySampler(samples, weights); }, {"weights[2] is -1"}));
  weights[2] = std::nan("");
  CHECK(rejects([&] { ClassProbabilitySampler(samples, weights); }, {"weights[2] is nan"}));
  CHECK(rejects([&] { ClassProbabilitySampler(samples, Eigen::VectorXd::Zero(7)); }, {"all 0"}));

  const PowerLawSampler sampler(samples);
  const ProgressiveSampler progressive(samples, 3);
  IndexVector batch = IndexVector::Constant(8, -7);
  CHECK(rejects([&] { sampler.draw(-1, 0, batch); }, {"draw: epoch is -1"}));
  CHECK(rejects([&] { sampler.draw(0, -1, batch); }, {"draw: position is -1"}));
  CHECK(rejects([&] { sampler.draw_classes(0, -1, batch); }, {"draw_classes: position is -1"}));
  CHECK(rejects([&] { progressive.draw(3, 0, batch); }, {"epoch is 3", "[0, 3)"}));
  CHECK(rejects([&] { progressive.draw(-1, 0, batch); }, {"epoch is -1"}));
  CHECK((batch.array() == -7).all());

  const PowerLawSampler many(Eigen::VectorXi::Zero(129));
  Eigen::Matrix<std::int8_t, 4, 1> small(1, 2, 3, 4);
  CHECK(rejects([&] { many.draw(0, 0, small); }, {"batch holds integers up to 127, expected up to 128"}));
  CHECK(small == Eigen::Matrix<std::int8_t, 4, 1>(1, 2, 3, 4));
  CHECK_NOTHROW(many.draw_classes(0, 0, small));
}
