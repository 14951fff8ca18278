// SPDX-License-Identifier: MIT
#include <cblas.h>

#include <memory>
#include <vector>

#include "peers/peers.hpp"

namespace bench::peers {

Step openblas_covariance(const BinnedFeatures& p) {
  struct Work {
    std::vector<std::vector<Index>> rows_of;  // of each bin
    Eigen::MatrixXf rows;                     // a bin's, a column each
    std::vector<Eigen::MatrixXf> products;    // lower triangles
  };
  const auto work = std::make_shared<Work>();
  work->rows_of.resize(static_cast<std::size_t>(p.bins));
  for (Index i = 0; i < p.samples; ++i) work->rows_of[static_cast<std::size_t>(p.labels[i])].push_back(i);
  work->products.assign(static_cast<std::size_t>(p.bins), Eigen::MatrixXf::Zero(p.dimensions, p.dimensions));
  work->rows.resize(p.dimensions, p.samples);

  const auto call = [work, p] {
    for (std::size_t b = 0; b < work->rows_of.size(); ++b) {
      const auto& members = work->rows_of[b];
      const Index size = static_cast<Index>(members.size());
      auto rows = work->rows.leftCols(size);
      Eigen::VectorXf mean = Eigen::VectorXf::Zero(p.dimensions);
      for (Index i = 0; i < size; ++i) {
        rows.col(i) = Eigen::Map<const Eigen::VectorXf>(
            p.features + members[static_cast<std::size_t>(i)] * p.dimensions, p.dimensions);
        mean += rows.col(i);
      }
      mean /= static_cast<float>(size);
      for (Index i = 0; i < size; ++i) rows.col(i) -= mean;
      cblas_ssyrk(CblasColMajor, CblasLower, CblasNoTrans, static_cast<int>(p.dimensions),
                  static_cast<int>(size), 1.0f, rows.data(), static_cast<int>(p.dimensions), 0.0f,
                  work->products[b].data(), static_cast<int>(p.dimensions));
    }
  };
  const auto result = [work, p] {
    Eigen::MatrixXd stacked(p.bins * p.dimensions, p.dimensions);
    for (Index b = 0; b < p.bins; ++b) {
      const Eigen::MatrixXf& lower = work->products[static_cast<std::size_t>(b)];
      stacked.middleRows(b * p.dimensions, p.dimensions) =
          Eigen::MatrixXf(lower.selfadjointView<Eigen::Lower>()).cast<double>();
    }
    return stacked;
  };
  return {call, result};
}

}  // namespace bench::peers
