#include <ballast/smoothing/kernel.hpp>

#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/rejection.hpp"

namespace {

using ballast::EdgeRule;
using ballast::Index;
using ballast::KernelScale;
using ballast::LabelBins;
using ballast::SmoothingKernel;

constexpr double epsilon = std::numeric_limits<double>::epsilon();

bool close(double came, double expected, double relative) {
  return std::abs(came - expected) <= relative * std::abs(expected);
}

Eigen::MatrixXd dense(const SmoothingKernel& kernel, const LabelBins& bins) {
  return Eigen::MatrixXd(kernel.matrix(bins));
}

LabelBins unit_bins(Index count) {
  return LabelBins::uniform(0.0, static_cast<double>(count), count);
}

SmoothingKernel reference_kernel(int name, Index size, double sigma, KernelScale scale) {
  if (name == 0) return SmoothingKernel::published_gaussian(size, sigma, EdgeRule::zero, scale);
  if (name == 1) return SmoothingKernel::triangular(size, EdgeRule::zero, scale);
  return SmoothingKernel::laplace(size, sigma, EdgeRule::zero, scale);
}

}  // namespace

TEST_CASE("kernel: the windows of the published code", "[smoothing]") {
  std::ifstream file(std::string(BALLAST_REFERENCE_DIR) + "/lds/kernels/kernels.csv");
  REQUIRE(file.good());
  std::string line;
  std::getline(file, line);
  int rows = 0;
  while (std::getline(file, line)) {
    double cell[6];
    std::size_t at = 0;
    for (double& value : cell) {
      std::size_t read = 0;
      value = std::stod(line.substr(at), &read);
      at += read + 1;
    }
    CAPTURE(line);
    const int name = static_cast<int>(cell[0]);
    const Index size = static_cast<Index>(cell[1]);
    const Index at_offset = size / 2 + static_cast<Index>(cell[3]);
    const auto by_max = reference_kernel(name, size, cell[2], KernelScale::max);
    const auto by_sum = reference_kernel(name, size, cell[2], KernelScale::sum);
    // Two libraries' exp, a sum of up to 25 terms.
    CHECK(close(by_max.window()[at_offset], cell[4], 64 * epsilon));
    CHECK(close(by_sum.window()[at_offset], cell[5], 64 * epsilon));
    ++rows;
  }
  CHECK(rows == 432);
}

TEST_CASE("kernel: the true gaussian is not the published one", "[smoothing]") {
  const double expected[] = {0.152469, 0.221841, 0.251380, 0.221841, 0.152469};
  const double published[] = {0.186251, 0.205248, 0.217003, 0.205248, 0.186251};
  for (Index d = 0; d < 5; ++d) {
    // Six digits are given.
    CHECK(std::abs(SmoothingKernel::gaussian(5, 2.0).window()[d] - expected[d]) <= 1e-6);
    CHECK(std::abs(SmoothingKernel::published_gaussian(5, 2.0).window()[d] - published[d]) <= 1e-6);
  }
  const auto by_max = SmoothingKernel::gaussian(5, 2.0, EdgeRule::zero, KernelScale::max);
  CHECK(by_max.window()[2] == 1.0);
  CHECK(close(by_max.window()[0], std::exp(-0.5), 2 * epsilon));
}

TEST_CASE("kernel: edge rules on a window longer than the range is wide", "[smoothing]") {
  Eigen::VectorXd window(5);
  window << 1, 2, 4, 8, 16;  // asymmetric: tells b + d from b - d
  const auto kernel = [&](EdgeRule edges) {
    return SmoothingKernel::window(window, edges, KernelScale::max);
  };
  const LabelBins bins = unit_bins(3);

  Eigen::Matrix3d zero, reflect, mirror, renormalize;
  zero << 4, 8, 16, 2, 4, 8, 1, 2, 4;
  // Row 0 asks for bins -2 -1 0 1 2, that is 1 0 0 1 2; row 1 for -1 0 1 2 3, that is 0 0 1 2 2; ...
  reflect << 2 + 4, 1 + 8, 16, 1 + 2, 4, 8 + 16, 1, 2 + 16, 4 + 8;
  // ... and here 2 1 0 1 2, 1 0 1 2 1, 0 1 2 1 0.
  mirror << 4, 2 + 8, 1 + 16, 2, 1 + 4 + 16, 8, 1 + 16, 2 + 8, 4;
  renormalize = zero;
  for (Index b = 0; b < 3; ++b) renormalize.row(b) *= 31.0 / zero.row(b).sum();

  CHECK(dense(kernel(EdgeRule::zero), bins) * 16 == zero);
  CHECK(dense(kernel(EdgeRule::reflect), bins) * 16 == reflect);
  CHECK(dense(kernel(EdgeRule::mirror), bins) * 16 == mirror);
  CHECK((dense(kernel(EdgeRule::renormalize), bins) * 16 - renormalize).cwiseAbs().maxCoeff() <=
        64 * epsilon);

  for (const EdgeRule edges : {EdgeRule::zero, EdgeRule::reflect, EdgeRule::mirror, EdgeRule::renormalize}) {
    const Eigen::MatrixXd one = dense(kernel(edges), unit_bins(1));
    CHECK(close(one(0, 0) * 16, edges == EdgeRule::zero ? 4.0 : 31.0, 4 * epsilon));
  }
}

TEST_CASE("kernel: every rule but zero keeps the kernel's mass in every row", "[smoothing]") {
  const std::vector<Index> counts = {1, 2, 4, 7, 30};
  for (const EdgeRule edges : {EdgeRule::reflect, EdgeRule::mirror, EdgeRule::renormalize}) {
    for (const Index count : counts) {
      for (const SmoothingKernel& kernel :
           {SmoothingKernel::gaussian(9, 2.0, edges), SmoothingKernel::published_gaussian(5, 2.0, edges),
            SmoothingKernel::triangular(7, edges), SmoothingKernel::laplace(11, 1.0, edges)}) {
        const Eigen::MatrixXd matrix = dense(kernel, unit_bins(count));
        CHECK((matrix.rowwise().sum().array() - 1.0).abs().maxCoeff() <= 32 * epsilon);
        CHECK(matrix.minCoeff() >= 0);
      }
    }
  }
  const Eigen::MatrixXd lossy = dense(SmoothingKernel::gaussian(5, 2.0, EdgeRule::zero), unit_bins(6));
  CHECK(lossy.row(0).sum() < 0.7);
  CHECK(close(lossy.row(2).sum(), 1.0, 8 * epsilon));
}

TEST_CASE("kernel: on label distance, a density times the width of the bin", "[smoothing]") {
  Eigen::VectorXd edges(5);
  edges << -1.0, 0.0, 0.5, 3.0, 4.0;
  const LabelBins bins = LabelBins::from_edges(edges);
  const Eigen::VectorXd c = bins.centers(), w = bins.widths();
  const Eigen::MatrixXd zero = dense(SmoothingKernel::gaussian_distance(0.7, EdgeRule::zero), bins);
  const Eigen::MatrixXd mirrored = dense(SmoothingKernel::gaussian_distance(0.7, EdgeRule::reflect), bins);
  const Eigen::MatrixXd full = dense(SmoothingKernel::gaussian_distance(0.7), bins);
  const auto density = [](double d) {
    return d > 2.8 ? 0.0 : std::exp(-d * d / (2 * 0.49)) / (0.7 * std::sqrt(2 * std::acos(-1.0)));
  };
  for (Index b = 0; b < 4; ++b) {
    CHECK(close(full.row(b).sum(), 1.0, 8 * epsilon));
    for (Index k = 0; k < 4; ++k) {
      const double expected = density(std::abs(c[b] - c[k])) * w[k];
      // The exponent is at most 8 and is rounded before exp.
      CHECK(std::abs(zero(b, k) - expected) <= 32 * epsilon * expected);
      CHECK(close(full(b, k) * zero.row(b).sum(), zero(b, k), 8 * epsilon));
      const double images = (density(c[b] + c[k] + 2.0) + density(8.0 - c[b] - c[k])) * w[k];
      CHECK(std::abs(mirrored(b, k) - expected - images) <= 32 * epsilon * (expected + images));
    }
  }
}

TEST_CASE("kernel: on equal narrow bins a density keeps its mass, whatever its family", "[smoothing]") {
  const LabelBins bins = LabelBins::uniform(-10.0, 10.0, 2000);
  for (const SmoothingKernel& kernel :
       {SmoothingKernel::gaussian_distance(0.5, EdgeRule::zero),
        SmoothingKernel::triangular_distance(1.5, EdgeRule::zero),
        SmoothingKernel::laplace_distance(0.3, EdgeRule::zero),
        SmoothingKernel::distance([](double d) { return d < 1.0 ? 0.5 : 0.0; }, 2.0, EdgeRule::zero)}) {
    const Eigen::SparseMatrix<double, Eigen::RowMajor> matrix = kernel.matrix(bins);
    const double mass = matrix.row(1000).sum();
    // The midpoint rule's error at a jump of 0.5 with bins of 0.01, the largest here.
    CHECK(std::abs(mass - 1.0) <= 0.01);
  }
}

TEST_CASE("kernel: a product smooths along each axis", "[smoothing]") {
  const LabelBins rows = unit_bins(3), columns = unit_bins(4);
  const LabelBins grid = LabelBins::product({rows, columns});
  const auto first = SmoothingKernel::gaussian(3, 1.0);
  const auto second = SmoothingKernel::triangular(5, EdgeRule::mirror);
  const Eigen::MatrixXd a = dense(first, rows), b = dense(second, columns);
  const Eigen::MatrixXd both = dense(SmoothingKernel::product({first, second}), grid);
  const Eigen::MatrixXd same = dense(first, grid);
  const Eigen::MatrixXd again = dense(first, columns);
  for (Index i = 0; i < 12; ++i) {
    for (Index j = 0; j < 12; ++j) {
      CHECK(both(i, j) == a(i / 4, j / 4) * b(i % 4, j % 4));
      CHECK(same(i, j) == a(i / 4, j / 4) * again(i % 4, j % 4));
    }
  }
  CHECK(rejects(
      [&] {
        return SmoothingKernel::product({first, second}).matrix(rows);
      },
      {"2 factors", "expected 1"}));
}

TEST_CASE("kernel: rejects what is not a kernel", "[smoothing][errors]") {
  CHECK(rejects([] { return SmoothingKernel::gaussian(4, 2.0); }, {"size is 4", "odd"}));
  CHECK(rejects([] { return SmoothingKernel::gaussian(-1, 2.0); }, {"size is -1"}));
  CHECK(rejects([] { return SmoothingKernel::gaussian(5, 0.0); }, {"sigma is 0"}));
  CHECK(rejects([] { return SmoothingKernel::laplace(5, std::nan("")); }, {"sigma is nan"}));
  CHECK(rejects([] { return SmoothingKernel::published_gaussian(5, 1e7); }, {"sigma is 10000000"}));
  CHECK(rejects([] { return SmoothingKernel::triangular(0); }, {"size is 0"}));
  CHECK(rejects([] { return SmoothingKernel::window(Eigen::Vector3d(1, -1, 0)); }, {"window[1] is -1"}));
  CHECK(rejects([] { return SmoothingKernel::window(Eigen::Vector3d(1, 0, 1)); }, {"middle of window is 0"}));
  CHECK(rejects([] { return SmoothingKernel::window(Eigen::Vector2d(1, 1)); }, {"size is 2"}));
  CHECK(rejects([] { return SmoothingKernel::gaussian_distance(-1.0); }, {"sigma is -1"}));
  CHECK(rejects([] { return SmoothingKernel::gaussian_distance(1.0, EdgeRule::mirror); }, {"mirror"}));
  CHECK(rejects([] { return SmoothingKernel::distance(nullptr, 1.0); }, {"density is empty"}));
  CHECK(rejects([] { return SmoothingKernel::product({}); }, {"factors is empty"}));
  CHECK(
      rejects([] { return SmoothingKernel::distance([](double) { return -1.0; }, 1.0).matrix(unit_bins(2)); },
              {"density(0) is -1"}));
  CHECK(
      rejects([] { return SmoothingKernel::distance([](double d) { return d; }, 1.0).matrix(unit_bins(2)); },
              {"density(0) is 0"}));
}
