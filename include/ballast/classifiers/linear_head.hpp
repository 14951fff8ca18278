// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast {

namespace detail {

/// sums[k] = sum_i term(i, k), each in double; walks in the storage order of what `term` reads.
template <int Order, typename Scalar, typename Term>
void column_sums(Index rows, Index cols, const Term& term, Scalar* sums) {
  constexpr Index strip = 64;
  double total[strip];
  for (Index begin = 0; begin < cols; begin += strip) {
    const Index width = std::min(strip, cols - begin);
    std::fill_n(total, width, 0.0);
    if constexpr (Order == Eigen::RowMajor) {
      for (Index i = 0; i < rows; ++i) {
        for (Index k = 0; k < width; ++k) total[k] += static_cast<double>(term(i, begin + k));
      }
    } else {
      for (Index k = 0; k < width; ++k) {
        for (Index i = 0; i < rows; ++i) total[k] += static_cast<double>(term(i, begin + k));
      }
    }
    for (Index k = 0; k < width; ++k) sums[begin + k] = static_cast<Scalar>(total[k]);
  }
}

}  // namespace detail

/// A linear classifier on features, the head that decoupled training replaces (Kang et al., ICLR 2020):
///
///     f = z W^T + b,   W: classes x dimensions,   b: classes, or absent
///
/// A value: copied and assigned by its parameters, which are one vector, the rows of W one after
/// the other and then b. The gradient of a head has the shape of a head, so an optimiser needs one line:
/// `head.parameters() -= rate * gradient.parameters()`.
///
/// Both storage orders, blocks and maps are taken as they are. Concurrent const calls are safe.
template <typename Scalar_>
class LinearHead {
 public:
  using Scalar = Scalar_;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: LinearHead's Scalar is float or double");

  using Weights = Eigen::Map<RowMatrixX<Scalar>>;
  using ConstWeights = Eigen::Map<const RowMatrixX<Scalar>>;
  using Vector = Eigen::Map<VectorX<Scalar>>;
  using ConstVector = Eigen::Map<const VectorX<Scalar>>;

  /// All there is to a head; an empty `bias` means none.
  struct State {
    RowMatrixX<Scalar> weights;
    VectorX<Scalar> bias;
  };

  /// A head without bias.
  /// @param weights  classes x dimensions, at least 1 x 1, finite
  template <typename W>
  explicit LinearHead(const Eigen::MatrixBase<W>& weights) : LinearHead(weights, VectorX<Scalar>()) {}

  /// @param weights  classes x dimensions, at least 1 x 1, finite
  /// @param bias     one per class, finite, or -inf for a class that is never to be predicted; empty: no bias
  template <typename W, typename B>
  LinearHead(const Eigen::MatrixBase<W>& weights, const Eigen::MatrixBase<B>& bias)
      : LinearHead(weights.rows(), weights.cols(), bias.size() > 0) {
    static_assert(std::is_same_v<typename W::Scalar, Scalar> && std::is_same_v<typename B::Scalar, Scalar>,
                  "ballast: the scalar type differs from the head's; write .cast<Scalar>()");
    static_assert(B::IsVectorAtCompileTime, "ballast: bias is a vector, one per class");
    if (has_bias()) detail::require_size("LinearHead", "bias", bias.size(), classes(), "classes");
    this->weights() = weights;
    for (Index k = 0; k < bias.size(); ++k) this->bias()[k] = bias.derived().coeff(k);
    detail::require_finite_rows("LinearHead", "weights", this->weights());
    for (Index k = 0; k < bias.size(); ++k) {
      detail::require(this->bias()[k] < std::numeric_limits<Scalar>::infinity(), "LinearHead", "bias[", k,
                      "] is ", this->bias()[k], ", expected a finite number or -inf");
    }
  }

  explicit LinearHead(const State& state) : LinearHead(state.weights, state.bias) {}

  /// All parameters 0: a gradient or a velocity to be.
  [[nodiscard]] static LinearHead zeros(Index classes, Index dimensions, bool with_bias = true) {
    return LinearHead(classes, dimensions, with_bias);
  }

  /// Weights and bias uniform in +-1 / sqrt(dimensions), the usual start of a linear layer. The same on
  /// every platform.
  [[nodiscard]] static LinearHead uniform(Index classes, Index dimensions, std::uint64_t seed,
                                          bool with_bias = true) {
    LinearHead head(classes, dimensions, with_bias);
    const RandomStream stream(seed, ~std::uint64_t(0));  // no epoch's: samplers draw from those
    const double bound = 1 / std::sqrt(static_cast<double>(dimensions));
    for (Index i = 0; i < head.parameters_.size(); ++i) {
      head.parameters_[i] =
          static_cast<Scalar>(bound * (2 * stream.uniform(static_cast<std::uint64_t>(i)) - 1));
    }
    return head;
  }

  [[nodiscard]] Index classes() const noexcept { return classes_; }
  [[nodiscard]] Index dimensions() const noexcept { return dimensions_; }
  [[nodiscard]] bool has_bias() const noexcept { return parameters_.size() > classes_ * dimensions_; }

  /// W, classes x dimensions, row-major. The mutable forms are for an optimiser; they cannot change a shape.
  [[nodiscard]] ConstWeights weights() const { return {parameters_.data(), classes_, dimensions_}; }
  [[nodiscard]] Weights weights() { return {parameters_.data(), classes_, dimensions_}; }
  /// b, one per class; empty without bias.
  [[nodiscard]] ConstVector bias() const { return {bias_data(), bias_size()}; }
  [[nodiscard]] Vector bias() { return {parameters_.data() + classes_ * dimensions_, bias_size()}; }
  /// W row by row, then b.
  [[nodiscard]] ConstVector parameters() const { return {parameters_.data(), parameters_.size()}; }
  [[nodiscard]] Vector parameters() { return {parameters_.data(), parameters_.size()}; }

  [[nodiscard]] State state() const { return {weights(), bias()}; }

  /// The head whose logits are these plus `offset`, by its bias, which a head without one gains: so a
  /// post-hoc adjustment (`LogitAdjustment::offset()`, -tau log pi_k) costs nothing at prediction.
  /// @param offset  one per class, finite or -inf
  template <typename O>
  [[nodiscard]] LinearHead with_offset(const Eigen::MatrixBase<O>& offset) const {
    detail::require_size("LinearHead::with_offset", "offset", offset.size(), classes_, "classes");
    VectorX<Scalar> sum = offset;
    if (has_bias()) sum += bias();
    return LinearHead(weights(), sum);
  }

  /// f = z W^T + b. O(samples classes dimensions), no allocation.
  /// @param features  samples x dimensions
  /// @param logits    samples x classes, overwritten; overlaps no input
  /// @throws std::invalid_argument on a wrong shape; `logits` is then untouched
  template <typename Features, typename Logits>
  void forward(const Eigen::MatrixBase<Features>& features, Logits&& logits) const {
    require_features("LinearHead::forward", features);
    detail::require_shape("LinearHead::forward", "logits", logits, features.rows(), classes_);
    const auto out = detail::mutable_view<Scalar>(logits);
    if (has_bias()) detail::map(out).rowwise() = bias().transpose();
    detail::multiply(detail::view<Scalar>(features), detail::transposed(detail::view<Scalar>(weights())), out,
                     has_bias() ? detail::Product::add : detail::Product::assign);
  }

  /// From G = dL/df to the gradient of the parameters:
  ///
  ///     dL/dW = G^T z,   dL/db = sum_i G_i
  ///
  /// O(samples classes dimensions), no allocation.
  /// @param features          samples x dimensions, as given to `forward`
  /// @param logit_gradient    samples x classes
  /// @param weights_gradient  classes x dimensions, overwritten
  /// @param bias_gradient     one per class, overwritten; empty without bias
  /// @throws std::invalid_argument on a wrong shape; nothing is then written
  template <typename Features, typename Gradient, typename WeightsGradient, typename BiasGradient>
  void backward(const Eigen::MatrixBase<Features>& features,
                const Eigen::MatrixBase<Gradient>& logit_gradient, WeightsGradient&& weights_gradient,
                BiasGradient&& bias_gradient) const {
    require_backward(features, logit_gradient, weights_gradient, bias_gradient);
    const auto gradient = detail::view<Scalar>(logit_gradient);
    detail::multiply(detail::transposed(gradient), detail::view<Scalar>(features),
                     detail::mutable_view<Scalar>(weights_gradient));
    if (has_bias()) {
      detail::column_sums<detail::storage_order<Gradient>>(gradient.rows, gradient.cols, gradient,
                                                           detail::mutable_view<Scalar>(bias_gradient).data);
    }
  }

  /// Also dL/dz = G W, for the encoder below.
  /// @param features_gradient  samples x dimensions, overwritten; overlaps no input
  template <typename Features, typename Gradient, typename WeightsGradient, typename BiasGradient,
            typename FeaturesGradient>
  void backward(const Eigen::MatrixBase<Features>& features,
                const Eigen::MatrixBase<Gradient>& logit_gradient, WeightsGradient&& weights_gradient,
                BiasGradient&& bias_gradient, FeaturesGradient&& features_gradient) const {
    detail::require_shape("LinearHead::backward", "features_gradient", features_gradient, features.rows(),
                          features.cols());
    backward(features, logit_gradient, weights_gradient, bias_gradient);
    detail::multiply(detail::view<Scalar>(logit_gradient), detail::view<Scalar>(weights()),
                     detail::mutable_view<Scalar>(features_gradient));
  }

 private:
  LinearHead(Index classes, Index dimensions, bool with_bias) : classes_(classes), dimensions_(dimensions) {
    detail::require(classes >= 1 && dimensions >= 1, "LinearHead", "weights is ", classes, " x ", dimensions,
                    ", expected at least 1 x 1 (classes x dimensions)");
    parameters_ = VectorX<Scalar>::Zero(classes * dimensions + (with_bias ? classes : 0));
  }

  [[nodiscard]] const Scalar* bias_data() const { return parameters_.data() + classes_ * dimensions_; }
  [[nodiscard]] Index bias_size() const { return has_bias() ? classes_ : 0; }

  template <typename Features>
  void require_features(const char* function, const Eigen::MatrixBase<Features>& features) const {
    detail::require(features.cols() == dimensions_, function, "features is ", features.rows(), " x ",
                    features.cols(), ", expected samples x ", dimensions_, " (dimensions)");
  }

  template <typename Features, typename Gradient, typename WeightsGradient, typename BiasGradient>
  void require_backward(const Features& features, const Gradient& logit_gradient,
                        const WeightsGradient& weights_gradient, const BiasGradient& bias_gradient) const {
    constexpr const char* function = "LinearHead::backward";
    static_assert(BiasGradient::IsVectorAtCompileTime, "ballast: bias_gradient is a vector, one per class");
    require_features(function, features);
    detail::require_shape(function, "logit_gradient", logit_gradient, features.rows(), classes_);
    detail::require_shape(function, "weights_gradient", weights_gradient, classes_, dimensions_);
    detail::require_size(function, "bias_gradient", bias_gradient.size(), bias_size(),
                         has_bias() ? "classes" : "a head without bias");
  }

  Index classes_;
  Index dimensions_;
  VectorX<Scalar> parameters_;
};

}  // namespace ballast
