// SPDX-License-Identifier: MIT
// FDS calibration of a batch: z' = A_b (z - mu_b) + mu'_b, from the frozen statistics of an epoch.

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>

#include <Eigen/Eigenvalues>

#include <ballast/smoothing/feature_distribution.hpp>

#include "peers/peers.hpp"
#include "support/cases.hpp"
#include "support/data.hpp"
#include "support/limits.hpp"

namespace {

using ballast::Covariance;
using ballast::Index;
using bench::Implementation;
using bench::Pair;
using Features = ballast::RowMatrixX<float>;

/// A batch, an object that has seen an epoch of features, and the same calibration as plain tables.
template <Covariance Form>
struct Calibration {
  static constexpr bool full = Form == Covariance::full;

  Calibration(bench::Labels labels_, Index dimensions, Index bins_)
      : labels(std::move(labels_)),
        bins(bins_),
        features(bench::normal_matrix<Features>(labels.size(), dimensions, 1)),
        smoothed(labels.size(), dimensions),
        fds(dimensions, ballast::LabelBins::uniform(0, static_cast<double>(bins), bins), kernel()) {
    // Enough samples in each bin for a covariance that has an inverse.
    const Index epoch = bins * (full ? 2 * dimensions : 16);
    Features seen = bench::normal_matrix<Features>(epoch, dimensions, 3);
    bench::Labels seen_labels(epoch);
    for (Index i = 0; i < epoch; ++i) {
      seen_labels[i] = i % bins;
      seen.row(i).array() *= 1 + 0.3f * static_cast<float>(i % bins) / static_cast<float>(bins);
      seen.row(i).array() += 0.01f * static_cast<float>(i % bins);
    }
    fds.update(seen, seen_labels);
    fds.finish_epoch();
    set_tables();
  }

  static ballast::SmoothingKernel kernel() { return ballast::SmoothingKernel::gaussian(5, 2.0); }

  void set_tables() {
    const auto state = fds.state();
    const auto smooth = kernel().matrix(fds.bins());
    const Index dimensions = features.cols();
    const Eigen::MatrixXd target = smooth * Eigen::MatrixXd(state.mean);
    Eigen::MatrixXd maps(state.covariance.rows(), dimensions);
    if constexpr (full) {
      for (Index b = 0; b < bins; ++b) {
        Eigen::MatrixXd after = Eigen::MatrixXd::Zero(dimensions, dimensions);
        for (Index other = 0; other < bins; ++other) {
          after += smooth.coeff(b, other) * state.covariance.middleRows(other * dimensions, dimensions);
        }
        const Eigen::MatrixXd before = state.covariance.middleRows(b * dimensions, dimensions);
        using Solver = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>;
        maps.middleRows(b * dimensions, dimensions) =
            Solver(after).operatorSqrt() * Solver(before).operatorInverseSqrt();
      }
    } else {
      const Eigen::ArrayXXd after = (smooth * Eigen::MatrixXd(state.covariance)).array();
      maps = (after / state.covariance.array()).max(0.1).min(10.0).sqrt();
    }
    mean = state.mean.template cast<float>();
    target_mean = target.cast<float>();
    map = maps.cast<float>();
  }

  /// In units of 1e-3 of the largest entry: enough to tell right from wrong for either form in float.
  [[nodiscard]] double error(const Eigen::MatrixXd& came) const {
    Eigen::MatrixXd expected(features.rows(), features.cols());
    const Index dimensions = features.cols();
    for (Index i = 0; i < features.rows(); ++i) {
      const Index b = labels[i];
      const Eigen::RowVectorXd centred = (features.row(i) - mean.row(b)).template cast<double>();
      if constexpr (full) {
        const Eigen::MatrixXd a = map.middleRows(b * dimensions, dimensions).template cast<double>();
        expected.row(i) = centred * a.transpose();
      } else {
        expected.row(i) = centred.cwiseProduct(map.row(b).template cast<double>());
      }
      expected.row(i) += target_mean.row(b).template cast<double>();
    }
    return (came - expected).cwiseAbs().maxCoeff() / (1e-3 * expected.cwiseAbs().maxCoeff());
  }

  [[nodiscard]] bench::peers::CalibrationProblem problem() const {
    return {{features.rows(), features.cols(), bins, features.data(), labels.data()},
            mean.data(),
            map.data(),
            target_mean.data()};
  }

  bench::Labels labels;
  Index bins;
  Features features, smoothed;
  ballast::FeatureDistributionSmoothing<float, Form> fds;
  Features mean, map, target_mean;
};

template <Covariance Form>
using Problem = std::shared_ptr<Calibration<Form>>;

template <Covariance Form>
Implementation ours(const Problem<Form>& problem) {
  return {[=] { problem->fds.smooth(problem->features, problem->labels, problem->smoothed); },
          [=] {
            return problem->error(problem->smoothed.template cast<double>());
          }};
}

template <Covariance Form>
Implementation peer(const Problem<Form>& problem,
                    bench::peers::Step make(const bench::peers::CalibrationProblem&)) {
  const auto step = make(problem->problem());
  return {[=] { step.call(); },
          [=] {
            return problem->error(step.result());
          }};
}

void add_diagonal(Index samples, Index dimensions, Index bins) {
  const std::string parameters = "diagonal/" + std::to_string(samples) + "x" + std::to_string(dimensions) +
                                 "/" + std::to_string(bins) + "_bins";
  const auto against = [=](const std::string& name, auto reference) {
    bench::add("fds_calibration", parameters, name, [=] {
      const auto problem = std::make_shared<Calibration<Covariance::diagonal>>(
          bench::long_tailed_labels(samples, bins, 2), dimensions, bins);
      return Pair{ours(problem), reference(problem)};
    });
  };
  against("memcpy", [](const auto& problem) {
    return Implementation{[=] {
      bench::limits::copy(problem->features.data(), problem->features.size(), problem->smoothed.data());
    }};
  });
  if constexpr (bench::peers::have_libtorch) {
    against("libtorch_gather",
            [](const auto& problem) { return peer(problem, bench::peers::libtorch_gather_calibration); });
    against("published_loop",
            [](const auto& problem) { return peer(problem, bench::peers::published_calibration); });
  }
}

/// The products alone, of rows that lie together: what is left without the gathering.
Implementation eigen_gemm(const Problem<Covariance::full>& problem, Index per_bin) {
  return {[=] {
    const Index dimensions = problem->features.cols();
    for (Index b = 0; b < problem->bins; ++b) {
      problem->smoothed.middleRows(b * per_bin, per_bin).noalias() =
          problem->features.middleRows(b * per_bin, per_bin) *
          problem->map.middleRows(b * dimensions, dimensions).transpose();
    }
  }};
}

/// `per_bin` samples of each bin, shuffled.
void add_full(Index per_bin, Index dimensions, Index bins) {
  const std::string parameters = "full/" + std::to_string(per_bin) + "_per_bin/" +
                                 std::to_string(dimensions) + "/" + std::to_string(bins) + "_bins";
  const auto against = [=](const std::string& name, auto reference) {
    bench::add("fds_calibration", parameters, name, [=] {
      const auto problem = std::make_shared<Calibration<Covariance::full>>(
          bench::shuffled_labels(per_bin, bins, 2), dimensions, bins);
      return Pair{ours(problem), reference(problem)};
    });
  };
  against("eigen_gemm", [=](const auto& problem) { return eigen_gemm(problem, per_bin); });
  if constexpr (bench::peers::have_libtorch) {
    against("libtorch",
            [](const auto& problem) { return peer(problem, bench::peers::libtorch_full_calibration); });
  }
}

}  // namespace

void bench::register_cases() {
  add_diagonal(2048, 512, 100);
  add_diagonal(65536, 512, 100);  // 128 MiB
  add_full(64, 128, 16);
  add_full(256, 128, 16);
  add_full(16, 64, 100);
}
