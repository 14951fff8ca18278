// SPDX-License-Identifier: MIT
// Mean and covariance of features per label bin, streamed: one batch into the running statistics.

#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <ballast/smoothing/bin_statistics.hpp>

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

struct Batch {
  Batch(Features features_, bench::Labels labels_, Index bins_)
      : features(std::move(features_)),
        labels(std::move(labels_)),
        bins(bins_),
        counts(Eigen::VectorXd::Zero(bins)),
        mean(Eigen::MatrixXd::Zero(bins, features.cols())) {
    for (Index i = 0; i < labels.size(); ++i) {
      counts[labels[i]] += 1;
      mean.row(labels[i]) += features.row(i).cast<double>();
    }
    mean.array().colwise() /= counts.array().max(1.0);
  }

  [[nodiscard]] bench::peers::BinnedFeatures problem() const {
    return {features.rows(), features.cols(), bins, features.data(), labels.data()};
  }

  /// sum (z - mu)^2 of each bin and feature; full: of the pairs of features, stacked by bin.
  [[nodiscard]] Eigen::MatrixXd squares(bool full) const {
    const Index dimensions = features.cols();
    Eigen::MatrixXd result = Eigen::MatrixXd::Zero(full ? bins * dimensions : bins, dimensions);
    for (Index i = 0; i < labels.size(); ++i) {
      const Eigen::RowVectorXd deviation = features.row(i).cast<double>() - mean.row(labels[i]);
      if (full) {
        result.middleRows(labels[i] * dimensions, dimensions) += deviation.transpose() * deviation;
      } else {
        result.row(labels[i]) += deviation.cwiseAbs2();
      }
    }
    return result;
  }

  Features features;
  bench::Labels labels;
  Index bins;
  Eigen::VectorXd counts;
  Eigen::MatrixXd mean;
};

/// In units of 1e-4 of the largest entry: enough to tell right from wrong, and what float sums of a peer
/// keep.
double error(const Eigen::MatrixXd& came, const Eigen::MatrixXd& expected) {
  return (came - expected).cwiseAbs().maxCoeff() / (1e-4 * expected.cwiseAbs().maxCoeff());
}

template <Covariance Form>
Implementation ours(const std::shared_ptr<Batch>& batch) {
  const auto statistics =
      std::make_shared<ballast::BinStatistics<float, Form>>(batch->bins, batch->features.cols());
  return {[=] { statistics->update(batch->features, batch->labels); },
          [=] {
            const auto state = statistics->state();
            return std::max(error(state.mean, batch->mean),
                            error(state.m2, batch->squares(Form == Covariance::full)));
          }};
}

Implementation peer_means(const std::shared_ptr<Batch>& batch,
                          bench::peers::Step make(const bench::peers::BinnedFeatures&)) {
  const auto step = make(batch->problem());
  return {step.call, [=] {
            return error(step.result(), batch->mean);
          }};
}

Implementation peer_squares(const std::shared_ptr<Batch>& batch,
                            bench::peers::Step make(const bench::peers::BinnedFeatures&)) {
  const auto step = make(batch->problem());
  return {step.call, [=] {
            return error(step.result(), batch->squares(true));
          }};
}

void add_diagonal(Index samples, Index dimensions, Index bins) {
  const std::string parameters = "diagonal/" + std::to_string(samples) + "x" + std::to_string(dimensions) +
                                 "/" + std::to_string(bins) + "_bins";
  const auto against = [=](const std::string& name, auto reference) {
    bench::add("bin_statistics", parameters, name, [=] {
      const auto batch = std::make_shared<Batch>(bench::normal_matrix<Features>(samples, dimensions, 1),
                                                 bench::long_tailed_labels(samples, bins, 2), bins);
      return Pair{ours<Covariance::diagonal>(batch), reference(batch)};
    });
  };
  against("read_only", [](const std::shared_ptr<Batch>& batch) {
    return Implementation{[=] {
      bench::limits::read_only(batch->features.data(), batch->features.size());
    }};
  });
  if constexpr (bench::peers::have_libtorch) {
    against("libtorch_index_add", [](const std::shared_ptr<Batch>& batch) {
      return peer_means(batch, bench::peers::libtorch_index_add);
    });
    against("published_loop", [](const std::shared_ptr<Batch>& batch) {
      return peer_means(batch, bench::peers::published_update);
    });
  }
}

/// `per_bin` samples of each bin, shuffled.
void add_full(Index per_bin, Index dimensions, Index bins) {
  const std::string parameters = "full/" + std::to_string(per_bin) + "_per_bin/" +
                                 std::to_string(dimensions) + "/" + std::to_string(bins) + "_bins";
  const auto against = [=](const std::string& name, auto reference) {
    bench::add("bin_statistics", parameters, name, [=] {
      const auto batch =
          std::make_shared<Batch>(bench::normal_matrix<Features>(per_bin * bins, dimensions, 1),
                                  bench::shuffled_labels(per_bin, bins, 2), bins);
      return Pair{ours<Covariance::full>(batch), reference(batch)};
    });
  };
  against("fma_peak", [=](const std::shared_ptr<Batch>&) {
    // A triangle of each rank-one update.
    const Index products = per_bin * bins * dimensions * (dimensions + 1) / 2;
    return Implementation{[=] {
      bench::limits::fma_peak<float>(products);
    }};
  });
  if constexpr (bench::peers::have_openblas) {
    against("openblas_syrk", [](const std::shared_ptr<Batch>& batch) {
      return peer_squares(batch, bench::peers::openblas_covariance);
    });
  }
  if constexpr (bench::peers::have_libtorch) {
    against("libtorch", [](const std::shared_ptr<Batch>& batch) {
      return peer_squares(batch, bench::peers::libtorch_covariance);
    });
  }
}

}  // namespace

void bench::register_cases() {
  add_diagonal(2048, 512, 100);
  add_diagonal(65536, 512, 100);  // 128 MiB
  add_full(256, 256, 8);
  add_full(512, 512, 4);
  add_full(16, 64, 100);
  add_full(8, 32, 100);
}
