// SPDX-License-Identifier: MIT
// Post-hoc prediction: the largest of (logit - tau log prior) in each row.

#include <memory>
#include <string>
#include <utility>

#include <ballast/adjustment/logit_adjustment.hpp>

#include "peers/peers.hpp"
#include "support/cases.hpp"
#include "support/data.hpp"
#include "support/limits.hpp"

namespace {

using ballast::Index;
using bench::Implementation;
using bench::Pair;
using Logits = ballast::RowMatrixX<float>;

struct Batch {
  Batch(Index samples, Index classes)
      : logits(bench::normal_matrix<Logits>(samples, classes, 1)),
        adjust(bench::long_tail(classes), 1.0f),
        subtracted(-adjust.offset()),
        predictions(samples),
        largest(samples) {}

  /// The number of predictions that are not a largest one.
  template <typename Predictions>
  [[nodiscard]] double error(const Predictions& came) const {
    double wrong = 0;
    for (Index i = 0; i < logits.rows(); ++i) {
      const Eigen::RowVectorXf adjusted = logits.row(i) + adjust.offset().transpose();
      wrong += adjusted[static_cast<Index>(came[i])] != adjusted.maxCoeff();
    }
    return wrong;
  }

  Logits logits;
  ballast::LogitAdjustment<float> adjust;
  Eigen::VectorXf subtracted;
  ballast::IndexVector predictions;
  Eigen::VectorXf largest;
};

using BatchPtr = std::shared_ptr<Batch>;

Implementation ours(const BatchPtr& batch) {
  return {[=] { batch->adjust.predict(batch->logits, batch->predictions); },
          [=] {
            return batch->error(batch->predictions);
          }};
}

Implementation eigen_max_coeff(const BatchPtr& batch) {
  return {[=] {
            for (Index i = 0; i < batch->logits.rows(); ++i) {
              (batch->logits.row(i) - batch->subtracted.transpose()).maxCoeff(&batch->predictions[i]);
            }
          },
          [=] {
            return batch->error(batch->predictions);
          }};
}

Implementation max_only(const BatchPtr& batch) {
  return {[=] {
    bench::limits::max_only(batch->logits.data(), batch->subtracted.data(), batch->logits.rows(),
                            batch->logits.cols(), batch->largest.data());
  }};
}

Implementation libtorch(const BatchPtr& batch) {
  const auto step = bench::peers::libtorch_argmax(batch->logits.data(), batch->subtracted.data(),
                                                  batch->logits.rows(), batch->logits.cols());
  return {step.call, [=] {
            return batch->error(Eigen::VectorXd(step.result()));
          }};
}

}  // namespace

void bench::register_cases() {
  for (const auto& [samples, classes] :
       {std::pair<Index, Index>{2048, 100}, {256, 1000}, {8192, 1000}, {256, 10000}, {65536, 1000}}) {
    const auto against = [samples = samples, classes = classes](const std::string& name, auto reference) {
      bench::add("argmax", std::to_string(samples) + "x" + std::to_string(classes), name, [=] {
        const auto batch = std::make_shared<Batch>(samples, classes);
        return Pair{ours(batch), reference(batch)};
      });
    };
    against("eigen_max_coeff", eigen_max_coeff);
    against("max_only", max_only);
    if constexpr (peers::have_libtorch) against(peers::libtorch_name(), libtorch);
  }
}
