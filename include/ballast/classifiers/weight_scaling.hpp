// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/classifiers/head_training.hpp>
#include <ballast/classifiers/linear_head.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/losses/presets.hpp>

namespace ballast {

/// Learnable weight scaling, LWS (Kang et al., ICLR 2020, section 4.2): a trained head stays as it is, and
/// one number per class is learnt,
///
///     f_k = s_k (w_k . z + b_k)
///
/// from s = 1, by default on class-balanced batches. The bias is scaled too, as in the published code.
///
/// Concurrent const calls are safe.
template <typename Scalar_>
class LearnableWeightScaling {
 public:
  using Scalar = Scalar_;

  /// The trained head and the scales, one per class.
  struct State {
    typename LinearHead<Scalar>::State head;
    VectorX<Scalar> scales;
  };

  /// s = 1.
  /// @param head  with finite parameters: fold a mask into `scaled_head()`, after
  explicit LearnableWeightScaling(const LinearHead<Scalar>& head)
      : LearnableWeightScaling(head, VectorX<Scalar>::Ones(head.classes())) {}

  explicit LearnableWeightScaling(const State& state)
      : LearnableWeightScaling(LinearHead<Scalar>(state.head), state.scales) {}

  [[nodiscard]] State state() const { return {head_.state(), scales_}; }

  [[nodiscard]] Index classes() const noexcept { return head_.classes(); }
  [[nodiscard]] Index dimensions() const noexcept { return head_.dimensions(); }
  /// The head as it was trained.
  [[nodiscard]] const LinearHead<Scalar>& head() const noexcept { return head_; }
  /// s, one per class.
  [[nodiscard]] const VectorX<Scalar>& scales() const noexcept { return scales_; }
  /// The head with rows s_k w_k and bias s_k b_k: the same logits, without the scales.
  [[nodiscard]] LinearHead<Scalar> scaled_head() const {
    LinearHead<Scalar> result = head_;
    result.weights().array().colwise() *= scales_.array();
    if (result.has_bias()) result.bias().array() *= scales_.array();
    return result;
  }

  /// f from features. O(samples classes dimensions), no allocation.
  /// @param features  samples x dimensions
  /// @param logits    samples x classes, overwritten
  template <typename Features, typename Logits>
  void forward(const Eigen::MatrixBase<Features>& features, Logits&& logits) const {
    head_.forward(features, logits);
    scale(logits, logits);
  }

  /// f from the logits w_k . z + b_k of `head()`: a user's own training loop keeps those for `backward`.
  /// @param raw_logits  samples x classes
  /// @param logits      samples x classes in the same storage order; may be `raw_logits` itself
  template <typename RawLogits, typename Logits>
  void scale(const Eigen::MatrixBase<RawLogits>& raw_logits, Logits&& logits) const {
    constexpr const char* function = "LearnableWeightScaling::scale";
    detail::assert_same_order<RawLogits, Logits>();
    detail::require_shape(function, "raw_logits", raw_logits, raw_logits.rows(), classes());
    detail::require_shape(function, "logits", logits, raw_logits.rows(), classes());
    const auto from = detail::map(detail::view<Scalar>(raw_logits));
    auto to = detail::map(detail::mutable_view<Scalar>(logits));
    to = (from.array().rowwise() * scales_.transpose().array()).matrix();
  }

  /// dL/ds_k = sum_i G_ik (w_k . z_i + b_k), G = dL/df. O(samples classes), totals in double, no allocation.
  /// @param raw_logits       samples x classes, as `head()` gave them
  /// @param logit_gradient   samples x classes
  /// @param scales_gradient  one per class, overwritten
  template <typename RawLogits, typename Gradient, typename ScalesGradient>
  void backward(const Eigen::MatrixBase<RawLogits>& raw_logits,
                const Eigen::MatrixBase<Gradient>& logit_gradient, ScalesGradient&& scales_gradient) const {
    constexpr const char* function = "LearnableWeightScaling::backward";
    detail::require_shape(function, "raw_logits", raw_logits, raw_logits.rows(), classes());
    detail::require_shape(function, "logit_gradient", logit_gradient, raw_logits.rows(), classes());
    detail::require_size(function, "scales_gradient", scales_gradient.size(), classes(), "classes");
    const auto f = detail::view<Scalar>(raw_logits);
    const auto g = detail::view<Scalar>(logit_gradient);
    detail::column_sums<detail::storage_order<RawLogits>>(
        f.rows, classes(),
        [&](Index i, Index k) { return static_cast<double>(g(i, k)) * static_cast<double>(f(i, k)); },
        detail::mutable_view<Scalar>(scales_gradient).data);
  }

  /// Trains s from where it stands, as TrainingOptions say; W and b stay.
  /// @param features  samples x dimensions, finite; at least one
  /// @param labels    one per sample, integral, in [0, classes())
  /// @param loss      as in retrain_head
  /// @throws std::invalid_argument on a wrong shape, label, feature or option; s is then unchanged
  template <typename Features, typename Labels, typename Loss>
  void fit(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels,
           const TrainingOptions& options, const Loss& loss) {
    constexpr const char* function = "LearnableWeightScaling::fit";
    detail::require_training(function, options);
    detail::require_training_data(function, features, labels, dimensions(), classes());

    LearnableWeightScaling trained = *this;
    const Index width = std::min(options.batch, features.rows());
    RowMatrixX<Scalar> raw(width, classes()), logits(width, classes()), logit_gradient(width, classes());
    detail::train_on_features<Scalar>(
        features, labels, classes(), options,
        Eigen::Map<VectorX<Scalar>>(trained.scales_.data(), trained.scales_.size()),
        [&](const auto& batch, const auto& batch_labels, VectorX<Scalar>& gradient) {
          const Index size = batch.rows();
          head_.forward(batch, raw.topRows(size));
          trained.scale(raw.topRows(size), logits.topRows(size));
          const Scalar value = loss(logits.topRows(size), batch_labels, logit_gradient.topRows(size));
          trained.backward(raw.topRows(size), logit_gradient.topRows(size), gradient);
          return value;
        });
    scales_ = std::move(trained.scales_);
  }

  /// The same with the softmax cross-entropy.
  template <typename Features, typename Labels>
  void fit(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels,
           const TrainingOptions& options = {}) {
    fit(features, labels, options, cross_entropy_loss<Scalar>(classes()));
  }

 private:
  LearnableWeightScaling(const LinearHead<Scalar>& head, VectorX<Scalar> scales)
      : head_(head), scales_(std::move(scales)) {
    detail::require_all_finite("LearnableWeightScaling", "head.bias", head_.bias());
    detail::require_size("LearnableWeightScaling", "scales", scales_.size(), classes(), "classes");
    detail::require_all_finite("LearnableWeightScaling", "scales", scales_);
  }

  LinearHead<Scalar> head_;
  VectorX<Scalar> scales_;
};

}  // namespace ballast
