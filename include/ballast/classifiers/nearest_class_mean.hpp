// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/classifiers/tau_normalized.hpp>
#include <ballast/core/argmax.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>

namespace ballast {

/// How near a feature is to a class mean.
enum class Nearness { cosine, euclidean };

/// The nearest class mean classifier on frozen features (Kang et al., ICLR 2020, section 4.2): nothing is
/// trained but one mean per class, which does not care how many samples the class has.
///
///     t(z) = z - c,  then divided by its norm if `normalize`          c: the centre; 0 if not given
///     m_k  = mean of t(z_i) over y_i = k
///     cosine:     s_k = t(z) . m_k / (|t(z)| |m_k|)
///     euclidean:  s_k = -|t(z) - m_k|^2
///
/// and the class of the largest s_k is predicted; one without samples has s_k = -inf and never is. A feature,
/// or a mean, that is zero has cosine 0. The published variants: UN is neither centred nor normalised, L2N
/// normalised, CL2N both with c the mean of the training features.
///
/// Means are sums in double, so they stream batch by batch, and shards merge. Memory O(classes dimensions).
/// Concurrent const calls are safe.
template <typename Scalar_>
class NearestClassMean {
 public:
  using Scalar = Scalar_;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: NearestClassMean's Scalar is float or double");

  struct Options {
    Nearness nearness = Nearness::cosine;
    bool normalize = false;  ///< features to unit length before they are averaged and compared
    bool center = false;     ///< subtract the mean of the features given to the constructor
  };

  /// All there is: sums of transformed features (classes x dimensions), samples per class, centre (empty:
  /// none), and the transformation.
  struct State {
    RowMatrixX<double> sums;
    CountVector counts;
    VectorX<Scalar> centre;
    Nearness nearness = Nearness::cosine;
    bool normalize = false;
  };

  /// Learns from all features at once; as many classes as the largest label plus one.
  /// @param features  samples x dimensions, finite; at least one
  /// @param labels    one per sample, integral, >= 0
  template <typename Features, typename Labels>
  NearestClassMean(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels,
                   const Options& options)
      : NearestClassMean(ClassDistribution(labels).classes(), features.cols(), options,
                         options.center ? mean_of(features) : VectorX<Scalar>()) {
    update(features, labels);
  }
  /// The same by cosine on features as they are.
  template <typename Features, typename Labels>
  NearestClassMean(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels)
      : NearestClassMean(features, labels, Options{}) {}

  /// Empty, to be streamed into by `update`. Centring needs the centre beforehand: give it.
  /// @param centre   one per dimension, finite; empty: none. `options.center` asks for a non-empty one
  NearestClassMean(Index classes, Index dimensions, const Options& options, VectorX<Scalar> centre = {})
      : NearestClassMean(State{checked_zeros(classes, dimensions), CountVector::Zero(classes),
                               std::move(centre), options.nearness, options.normalize}) {
    detail::require(!options.center || state_.centre.size() > 0, "NearestClassMean",
                    "centre is empty, expected one value per dimension (options.center is true)");
  }

  explicit NearestClassMean(State state) : state_(std::move(state)) { require_state(state_); }

  /// Adds a batch. O(samples dimensions); allocates a buffer for 32 features.
  /// @param features  samples x dimensions, finite
  /// @param labels    one per sample, in [0, classes())
  /// @throws std::invalid_argument on a wrong shape, a label outside or a feature that is not finite; nothing
  ///         is then added
  template <typename Features, typename Labels>
  void update(const Eigen::MatrixBase<Features>& features, const Eigen::DenseBase<Labels>& labels) {
    constexpr const char* function = "NearestClassMean::update";
    require_features(function, features);
    detail::require_size(function, "labels", labels.size(), features.rows(), "samples");
    detail::require_labels(function, "labels", labels, classes());
    detail::require_finite_rows(function, "features", features);
    for_each_block(features, [&](Index begin, const RowMatrixX<Scalar>& block) {
      for (Index i = 0; i < block.rows(); ++i) {
        const Index label = detail::label_index(labels.derived().coeff(begin + i));
        state_.sums.row(label) += block.row(i).template cast<double>();
        ++state_.counts[label];
      }
    });
  }

  /// Adds what another one learnt from other samples.
  /// @throws std::invalid_argument if it differs in size, centre, nearness or normalisation
  void merge(const NearestClassMean& other) {
    constexpr const char* function = "NearestClassMean::merge";
    detail::require_shape(function, "other", other.state_.sums, classes(), dimensions());
    detail::require(
        other.state_.centre.size() == state_.centre.size() && other.state_.centre == state_.centre, function,
        "other has another centre, expected the same one");
    detail::require(other.state_.nearness == state_.nearness && other.state_.normalize == state_.normalize,
                    function, "other has other options, expected the same nearness and normalize");
    state_.sums += other.state_.sums;
    state_.counts += other.state_.counts;
  }

  [[nodiscard]] Index classes() const noexcept { return state_.counts.size(); }
  [[nodiscard]] Index dimensions() const noexcept { return state_.sums.cols(); }
  /// Samples seen of each class.
  [[nodiscard]] const CountVector& counts() const noexcept { return state_.counts; }
  [[nodiscard]] const State& state() const noexcept { return state_; }
  /// m_k, classes x dimensions, of transformed features; 0 for a class without samples.
  [[nodiscard]] RowMatrixX<Scalar> means() const { return means_in_double().template cast<Scalar>(); }

  /// s_k of each feature: cosine similarities, or minus squared distances; -inf for a class without samples.
  /// O(samples classes dimensions); allocates the means and a buffer for 32 features.
  /// @param features  samples x dimensions
  /// @param scores    samples x classes, overwritten; overlaps not `features`
  template <typename Features, typename Scores>
  void scores(const Eigen::MatrixBase<Features>& features, Scores&& scores) const {
    constexpr const char* function = "NearestClassMean::scores";
    require_features(function, features);
    detail::require_shape(function, "scores", scores, features.rows(), classes());
    const auto out = detail::map(detail::mutable_view<Scalar>(scores));
    for_each_score_block(features, [&](Index begin, const RowMatrixX<Scalar>& block) {
      auto all = out;
      all.middleRows(begin, block.rows()) = block;
    });
  }

  /// The class of the nearest mean; of equally near ones the first. A feature that is not finite has none and
  /// gets `no_prediction`. Cost and allocation as `scores`, 32 samples at a time.
  /// @param features     samples x dimensions
  /// @param predictions  one per sample, any integral vector; overwritten
  /// @throws std::invalid_argument on a wrong shape, or when no class has a sample
  template <typename Features, typename Predictions>
  void predict(const Eigen::MatrixBase<Features>& features, Predictions&& predictions) const {
    constexpr const char* function = "NearestClassMean::predict";
    require_features(function, features);
    detail::require_predictions(function, predictions, features.rows(), classes());
    detail::require((state_.counts.array() > 0).any(), function,
                    "no class has samples, expected at least one");
    for_each_score_block(features, [&](Index begin, const RowMatrixX<Scalar>& block) {
      Index positions[block_rows];
      detail::argmax_rows(detail::view<Scalar>(block), static_cast<const Scalar*>(nullptr), positions);
      for (Index i = 0; i < block.rows(); ++i) {
        predictions.coeffRef(begin + i) =
            static_cast<typename std::decay_t<Predictions>::Scalar>(positions[i]);
      }
    });
  }

 private:
  static constexpr Index block_rows = 32;

  static RowMatrixX<double> checked_zeros(Index classes, Index dimensions) {
    detail::require(classes >= 1 && dimensions >= 1, "NearestClassMean", "the size is ", classes,
                    " classes x ", dimensions, " dimensions, expected at least 1 x 1");
    return RowMatrixX<double>::Zero(classes, dimensions);
  }

  template <typename Features>
  static VectorX<Scalar> mean_of(const Eigen::MatrixBase<Features>& features) {
    detail::require_finite_rows("NearestClassMean", "features", features);
    return (features.template cast<double>().colwise().sum() /
            static_cast<double>(std::max(features.rows(), Index(1))))
        .transpose()
        .template cast<Scalar>();
  }

  static void require_state(const State& state) {
    constexpr const char* function = "NearestClassMean";
    detail::require(state.sums.rows() >= 1 && state.sums.cols() >= 1, function, "sums is ", state.sums.rows(),
                    " x ", state.sums.cols(), ", expected at least 1 x 1 (classes x dimensions)");
    detail::require_size(function, "counts", state.counts.size(), state.sums.rows(), "classes");
    detail::require(state.centre.size() == 0 || state.centre.size() == state.sums.cols(), function,
                    "centre has size ", state.centre.size(), ", expected 0 or ", state.sums.cols(),
                    " (dimensions)");
    detail::require_all_finite(function, "centre", state.centre);
    detail::require_finite_rows(function, "sums", state.sums);
    for (Index k = 0; k < state.counts.size(); ++k) {
      detail::require(state.counts[k] >= 0, function, "counts[", k, "] is ", state.counts[k],
                      ", expected >= 0");
      detail::require(state.counts[k] > 0 || (state.sums.row(k).array() == 0).all(), function,
                      "sums is not 0 in row ", k, ", expected 0 where counts is 0");
    }
  }

  template <typename Features>
  void require_features(const char* function, const Eigen::MatrixBase<Features>& features) const {
    detail::require(features.cols() == dimensions(), function, "features is ", features.rows(), " x ",
                    features.cols(), ", expected samples x ", dimensions(), " (dimensions)");
  }

  /// The means, in double, because their differences matter and not their size.
  [[nodiscard]] RowMatrixX<double> means_in_double() const {
    return state_.sums.array().colwise() / state_.counts.cwiseMax(1).template cast<double>().array();
  }

  /// Calls body(first row, t(features)) for blocks of rows.
  template <typename Features, typename Body>
  void for_each_block(const Eigen::MatrixBase<Features>& features, const Body& body) const {
    const auto all = detail::map(detail::view<Scalar>(features));
    RowMatrixX<Scalar> block;
    for (Index begin = 0; begin < all.rows(); begin += block_rows) {
      block = all.middleRows(begin, std::min(block_rows, all.rows() - begin));
      if (state_.centre.size() > 0) block.rowwise() -= state_.centre.transpose();
      if (state_.normalize) tau_normalize(block, Scalar(1), block);
      body(begin, block);
    }
  }

  /// Calls body(first row, scores) for blocks of rows.
  template <typename Features, typename Body>
  void for_each_score_block(const Eigen::MatrixBase<Features>& features, const Body& body) const {
    // Distances do not change when everything moves: measured from the middle of the means, a common offset
    // of the features costs no digits.
    RowMatrixX<double> means = means_in_double();
    VectorX<Scalar> middle = VectorX<Scalar>::Zero(dimensions());
    if (state_.nearness == Nearness::euclidean) {
      middle = (state_.sums.colwise().sum() / std::max(1.0, state_.counts.template cast<double>().sum()))
                   .transpose()
                   .template cast<Scalar>();
      means.rowwise() -= middle.transpose().template cast<double>();
    }
    RowMatrixX<Scalar> directions = means.template cast<Scalar>();
    if (state_.nearness == Nearness::cosine) tau_normalize(directions, Scalar(1), directions);
    const VectorX<Scalar> square = directions.rowwise().squaredNorm();

    RowMatrixX<Scalar> block, scores;
    for_each_block(features, [&](Index begin, const RowMatrixX<Scalar>& transformed) {
      block = transformed;
      if (state_.nearness == Nearness::cosine)
        tau_normalize(block, Scalar(1), block);
      else
        block.rowwise() -= middle.transpose();
      scores.resize(block.rows(), classes());
      detail::multiply(detail::view<Scalar>(block), detail::transposed(detail::view<Scalar>(directions)),
                       detail::mutable_view<Scalar>(scores));
      if (state_.nearness == Nearness::euclidean) {
        // -|z - m|^2 = 2 z.m - |m|^2 - |z|^2
        scores *= Scalar(2);
        scores.rowwise() -= square.transpose();
        scores.colwise() -= block.rowwise().squaredNorm();
      }
      for (Index k = 0; k < classes(); ++k) {
        if (state_.counts[k] == 0) scores.col(k).setConstant(-std::numeric_limits<Scalar>::infinity());
      }
      body(begin, scores);
    });
  }

  State state_;
};

}  // namespace ballast
