// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/row_norms.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>

namespace ballast {

/// A classifier of cosine logits, the head that LDAM's margins are meant for (Cao et al., NeurIPS 2019; there
/// the loss multiplies by s = 30, here the scale is usually 1):
///
///     f_ij = s z_i . w_j / (|z_i| |w_j|)
///
/// The cosine with a row of zeros is taken as 0, and so is every gradient through it: nothing divides by
/// zero. Backward, with G = dL/df and A_ij = s G_ij / (|z_i| |w_j|):
///
///     dL/dz_i = (A W)_i    - z_i (z_i . (A W)_i)    / |z_i|^2
///     dL/dw_j = (A^T z)_j  - w_j (w_j . (A^T z)_j)  / |w_j|^2
///
/// i.e. what points along a vector is taken out: the length of a feature or a weight does not matter.
///
/// Both storage orders, blocks and maps are taken as they are. Owns scratch of samples x classes, which grows
/// once: a thread needs a head of its own.
template <typename Scalar_>
class CosineHead {
 public:
  using Scalar = Scalar_;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: CosineHead's Scalar is float or double");

  using Weights = Eigen::Map<RowMatrixX<Scalar>>;
  using ConstWeights = Eigen::Map<const RowMatrixX<Scalar>>;

  /// @param weights  classes x dimensions, at least 1 x 1, finite
  /// @param scale    s, > 0 and finite
  template <typename W>
  explicit CosineHead(const Eigen::MatrixBase<W>& weights, Scalar scale = 1)
      : weights_(weights), scale_(scale) {
    detail::require(weights_.rows() >= 1 && weights_.cols() >= 1, name, "weights is ", weights_.rows(), " x ",
                    weights_.cols(), ", expected at least 1 x 1 (classes x dimensions)");
    for (Index k = 0; k < classes(); ++k) {
      detail::require(weights_.row(k).allFinite(), name, "weights has a non-finite value in row ", k,
                      ", expected finite numbers");
    }
    detail::require(scale > 0 && std::isfinite(scale), name, "scale is ", scale,
                    ", expected a finite number > 0");
  }

  [[nodiscard]] Index classes() const noexcept { return weights_.rows(); }
  [[nodiscard]] Index dimensions() const noexcept { return weights_.cols(); }
  [[nodiscard]] Scalar scale() const noexcept { return scale_; }
  /// W, classes x dimensions. The mutable form is for an optimiser; it cannot change the shape.
  [[nodiscard]] ConstWeights weights() const { return {weights_.data(), classes(), dimensions()}; }
  [[nodiscard]] Weights weights() { return {weights_.data(), classes(), dimensions()}; }

  /// O(samples classes dimensions).
  /// @param features  samples x dimensions
  /// @param logits    samples x classes, overwritten; overlaps no input
  /// @throws std::invalid_argument on a wrong shape; `logits` is then untouched
  template <typename Features, typename Logits>
  void forward(const Eigen::MatrixBase<Features>& features, Logits&& logits) {
    require_features(features);
    detail::require_shape(name, "logits", logits, features.rows(), classes());
    const auto out = detail::mutable_view<Scalar>(logits);
    measure(detail::view<Scalar>(features));
    detail::multiply(detail::view<Scalar>(features), detail::transposed(detail::view<Scalar>(weights_)), out);
    scale_pairs(detail::map(out));
  }

  /// From G = dL/df to the gradients of features and weights. O(samples classes dimensions).
  /// @param features           samples x dimensions, as given to `forward`
  /// @param logit_gradient     samples x classes
  /// @param features_gradient  samples x dimensions, overwritten; overlaps no input
  /// @param weights_gradient   classes x dimensions, overwritten; overlaps no input
  /// @throws std::invalid_argument on a wrong shape; nothing is then written
  template <typename Features, typename Gradient, typename FeaturesGradient, typename WeightsGradient>
  void backward(const Eigen::MatrixBase<Features>& features,
                const Eigen::MatrixBase<Gradient>& logit_gradient, FeaturesGradient&& features_gradient,
                WeightsGradient&& weights_gradient) {
    require_features(features);
    detail::require_shape(name, "logit_gradient", logit_gradient, features.rows(), classes());
    detail::require_shape(name, "features_gradient", features_gradient, features.rows(), dimensions());
    detail::require_shape(name, "weights_gradient", weights_gradient, classes(), dimensions());
    const auto z = detail::view<Scalar>(features);
    const auto w = detail::view<Scalar>(weights_);
    const auto dz = detail::mutable_view<Scalar>(features_gradient);
    const auto dw = detail::mutable_view<Scalar>(weights_gradient);
    measure(z);
    grow(scratch_, features.rows() * classes());
    Weights scaled(scratch_.data(), features.rows(), classes());
    scaled = logit_gradient;
    scale_pairs(scaled);
    const auto a = detail::view<Scalar>(scaled);
    detail::multiply(a, w, dz);
    remove_along(detail::map(z), inverse_feature_norms_, detail::map(dz));
    detail::multiply(detail::transposed(a), z, dw);
    remove_along(detail::map(w), inverse_weight_norms_, detail::map(dw));
  }

 private:
  static constexpr const char* name = "CosineHead";

  template <typename Features>
  void require_features(const Eigen::MatrixBase<Features>& features) const {
    detail::require(features.cols() == dimensions(), name, "features is ", features.rows(), " x ",
                    features.cols(), ", expected samples x ", dimensions(), " (dimensions)");
  }

  template <typename Vector>
  static void grow(Vector& vector, Index size) {
    if (vector.size() < size) vector.resize(size);
  }

  template <int Order>
  void measure(const detail::MatrixView<const Scalar, Order>& features) {
    invert_norms(features, inverse_feature_norms_);
    invert_norms(detail::view<Scalar>(weights_), inverse_weight_norms_);
  }

  /// 1 / |row|, and 0 for a row of zeros.
  template <int Order>
  static void invert_norms(const detail::MatrixView<const Scalar, Order>& rows, Eigen::VectorXd& inverse) {
    grow(inverse, rows.rows);
    detail::row_norms(rows, inverse.data());
    for (Index i = 0; i < rows.rows; ++i) inverse[i] = inverse[i] == 0 ? 0 : 1 / inverse[i];
  }

  /// matrix_ij *= s / (|z_i| |w_j|)
  template <typename Matrix>
  void scale_pairs(Matrix&& matrix) const {
    for (Index i = 0; i < matrix.rows(); ++i) {
      const double scale = static_cast<double>(scale_) * inverse_feature_norms_[i];
      for (Index j = 0; j < matrix.cols(); ++j) {
        matrix(i, j) =
            static_cast<Scalar>(static_cast<double>(matrix(i, j)) * scale * inverse_weight_norms_[j]);
      }
    }
  }

  /// gradient_i -= rows_i (rows_i . gradient_i) / |rows_i|^2, in double: 1 / |rows_i|^2 may not fit a float.
  template <typename Rows, typename Gradient>
  static void remove_along(const Rows& rows, const Eigen::VectorXd& inverse_norms, Gradient&& gradient) {
    for (Index i = 0; i < rows.rows(); ++i) {
      const auto row = rows.row(i).template cast<double>();
      const auto whole = gradient.row(i).template cast<double>();
      const double along = row.dot(whole) * inverse_norms[i] * inverse_norms[i];
      gradient.row(i) = (whole - along * row).template cast<Scalar>();
    }
  }

  RowMatrixX<Scalar> weights_;
  Scalar scale_;
  Eigen::VectorXd inverse_feature_norms_;
  Eigen::VectorXd inverse_weight_norms_;
  VectorX<Scalar> scratch_;
};

}  // namespace ballast
