// Dense prediction needs nothing of its own: the pixels of a batch of images are the samples.

#include <ballast/losses/presets.hpp>

#include <cmath>
#include <cstdint>

#include "support/catch.hpp"
#include "support/random_data.hpp"

namespace {

using ballast::Index;
using ballast::RowMatrixX;

constexpr Index images = 2, height = 9, width = 13, classes = 5;
constexpr Index pixels = images * height * width;

/// A label map as a segmentation data set stores it: bytes, with a border that carries no label.
using LabelMap = Eigen::Array<std::int16_t, height, width, Eigen::RowMajor>;
constexpr std::int16_t border = 255;

struct Segmentation {
  explicit Segmentation(std::uint64_t seed) {
    RandomData random(seed);
    logits = random.matrix<RowMatrixX<float>>(pixels, classes, -4, 4);
    for (LabelMap& map : labels) {
      for (Index y = 0; y < height; ++y) {
        for (Index x = 0; x < width; ++x) {
          const bool inside = y > 0 && y < height - 1 && x > 0 && x < width - 1;
          map(y, x) = inside ? static_cast<std::int16_t>(random.below(classes)) : border;
        }
      }
    }
  }

  /// Every pixel of every image, in the order of the logits' rows.
  [[nodiscard]] auto flat_labels() const {
    return Eigen::Map<const ballast::VectorX<std::int16_t>>(labels[0].data(), pixels);
  }
  [[nodiscard]] std::int16_t label(Index pixel) const { return flat_labels()[pixel]; }

  RowMatrixX<float> logits;  // channels last: images x height x width x classes
  LabelMap labels[images];
};

ballast::SoftmaxLoss<float> segmentation_loss(const Eigen::VectorXi& counts) {
  ballast::SoftmaxLossOptions<float> options;
  options.ignore_index = border;
  return ballast::logit_adjusted_loss<float>(ballast::ClassDistribution::from_counts(counts), 1.0f,
                                             ballast::ZeroCount::refuse(), options);
}

Eigen::VectorXi counts() {
  Eigen::VectorXi result(classes);
  result << 9000, 900, 300, 90, 9;
  return result;
}

}  // namespace

TEST_CASE("per pixel: labels and logits as flat views, border pixels ignored", "[losses]") {
  const std::uint64_t seed = 5;
  CAPTURE(seed);
  const Segmentation batch(seed);
  const auto loss = segmentation_loss(counts());
  RowMatrixX<float> gradient(pixels, classes);
  const float value = loss(batch.logits, batch.flat_labels(), gradient);

  const Eigen::VectorXd log_prior = ballast::ClassDistribution::from_counts(counts()).log_prior();
  double total = 0;
  Index labelled = 0;
  for (Index i = 0; i < pixels; ++i) {
    if (batch.label(i) == border) continue;
    const Eigen::VectorXd u = batch.logits.row(i).cast<double>().transpose() + log_prior;
    total += std::log(u.array().exp().sum()) - u[batch.label(i)];
    ++labelled;
  }
  REQUIRE(labelled == images * (height - 2) * (width - 2));
  const double expected = total / static_cast<double>(labelled);
  // u is below 16 in size and rounded to float, exp and log add a few ulp.
  CHECK(std::abs(static_cast<double>(value) - expected) <= 32 * 1.2e-7 * expected);
  for (Index i = 0; i < pixels; ++i) {
    CAPTURE(i);
    CHECK(gradient.row(i).isZero(0) == (batch.label(i) == border));
  }
}

TEST_CASE("per pixel: channels first is the transpose, image by image", "[losses]") {
  const std::uint64_t seed = 6;
  CAPTURE(seed);
  const Segmentation batch(seed);
  ballast::SoftmaxLossOptions<float> options;
  options.ignore_index = border;
  options.reduction = ballast::Reduction::sum;
  const auto loss = ballast::cross_entropy_loss<float>(classes, options);
  RowMatrixX<float> gradient(pixels, classes);
  const float value = loss(batch.logits, batch.flat_labels(), gradient);

  double by_image = 0;
  for (Index image = 0; image < images; ++image) {
    constexpr Index size = height * width;
    // classes x height x width, as convolutions give it; as a matrix of samples it is column-major.
    const RowMatrixX<float> planes = batch.logits.middleRows(image * size, size).transpose();
    RowMatrixX<float> plane_gradient(classes, size);
    by_image += static_cast<double>(loss(planes.transpose(), batch.flat_labels().segment(image * size, size),
                                         plane_gradient.transpose()));
    CHECK((plane_gradient.transpose() - gradient.middleRows(image * size, size)).cwiseAbs().maxCoeff() <=
          1e-6f);
  }
  CHECK(std::abs(by_image - static_cast<double>(value)) <= 1e-6 * std::abs(by_image));
}
