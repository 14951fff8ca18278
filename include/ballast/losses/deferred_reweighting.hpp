// SPDX-License-Identifier: MIT
#pragma once

#include <utility>

#include <ballast/core/check.hpp>
#include <ballast/core/types.hpp>

namespace ballast {

/// Deferred re-weighting, the schedule of LDAM-DRW (Cao et al., NeurIPS 2019, section 3.3): every class
/// weighs 1 until the features have formed, then alpha. Published: effective-number weights with beta =
/// 0.9999, from epoch 160 of 200 on.
///
///     const ballast::DeferredReweighting<float> alpha(
///         ballast::effective_number_weights<float>(classes, 0.9999), 160);
///     for (Index epoch = 0; epoch < 200; ++epoch) {
///       const auto loss = ballast::ldam_loss<float>(classes, 0.5f, 30.0f, alpha(epoch));
///       ...
///     }
///
/// Immutable; many threads may share it.
template <typename Scalar>
class DeferredReweighting {
 public:
  /// @param weights      alpha, one per class
  /// @param first_epoch  the epoch, counted from 0, from which the weights hold; >= 0
  DeferredReweighting(VectorX<Scalar> weights, Index first_epoch)
      : weights_(std::move(weights)), first_epoch_(first_epoch) {
    detail::require(first_epoch >= 0, "DeferredReweighting", "first_epoch is ", first_epoch,
                    ", expected >= 0");
  }

  /// The class weights of an epoch as every loss takes them: empty, which means 1, before `first_epoch`.
  [[nodiscard]] const VectorX<Scalar>& operator()(Index epoch) const {
    return epoch < first_epoch_ ? none_ : weights_;
  }

 private:
  VectorX<Scalar> none_;
  VectorX<Scalar> weights_;
  Index first_epoch_;
};

}  // namespace ballast
