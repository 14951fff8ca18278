// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/losses/margins.hpp>
#include <ballast/losses/reduction.hpp>
#include <ballast/losses/shapes.hpp>
#include <ballast/losses/softmax_block.hpp>
#include <ballast/losses/softmax_kernel.hpp>

namespace ballast {

/// Settings of SoftmaxLoss.
template <typename Scalar>
struct SoftmaxLossOptions {
  /// eps in [0, 1]: the target is (1 - eps) q + eps r. Smoothing mass goes to classes that are not masked.
  Scalar smoothing = 0;
  /// r, one per class, >= 0, sum 1 (to 1e-3); empty: uniform. Uniform smoothing breaks the Fisher consistency
  /// of the adjusted losses, smoothing towards the prior does not.
  VectorX<Scalar> smoothing_target;
  /// Samples with this label have loss 0 and gradient 0 and enter no mean; their logits are not read. Only
  /// for label types that can hold the value: an unsigned type has none unless this is >= 0.
  std::int64_t ignore_index = -100;
  Reduction reduction = Reduction::weighted_mean;
};

/// The family of softmax losses: a weighting alpha, a margin and a shape phi, chosen independently. For a
/// sample with logits f, label y and target distribution q (one-hot, smoothed or given):
///
///     u = the margin row of label y applied to f        (see Margin)
///     l = log softmax(u),  p = exp(l)
///     L = sum_j q_j alpha_j phi(l_j)                    one-hot: alpha_y phi(l_y)
///     dL/df_k = s_k sum_j q_j alpha_j phi'(l_j) (1[k = j] - p_k)
///
/// With phi(l) = -l and a one-hot target this is the general loss of Menon et al. (ICLR 2021, eq. 11),
/// alpha_y log(1 + sum_{k != y} exp(Delta(y, k) + f_k - f_y)).
///
/// Logits may be anything. -inf off the label masks the class of that sample (p = 0, gradient 0); -inf at the
/// label gives +inf; +inf or NaN makes the loss and the gradient of that sample NaN and touches no other
/// sample. A sample of weight 0 adds 0, unless it is NaN.
///
/// The object is immutable: many threads may share it. A call costs O(samples * classes) and allocates
/// nothing; with OpenMP on, large batches are split over threads, to the same bits for any number of them.
///
/// @tparam Scalar  float or double: of the logits, the gradient and every vector of the loss
/// @tparam Shape   CrossEntropy, Focal, WeightInsideFocal, or one's own (see shapes.hpp)
///
///     #include <ballast/ballast.hpp>
///     int main() {
///       const Eigen::VectorXi train_labels = Eigen::VectorXi::LinSpaced(100, 0, 9);
///       const ballast::ClassDistribution classes(train_labels);
///       const auto loss = ballast::logit_adjusted_loss<float>(classes);
///       Eigen::MatrixXf logits = Eigen::MatrixXf::Random(64, 10), gradient(64, 10);
///       const float value = loss(logits, train_labels.head(64), gradient);
///       return value > 0 ? 0 : 1;
///     }
template <typename Scalar_, typename Shape_ = CrossEntropy>
class SoftmaxLoss {
 public:
  using Scalar = Scalar_;
  using Shape = Shape_;
  using Options = SoftmaxLossOptions<Scalar>;
  static_assert(std::is_same_v<Scalar, float> || std::is_same_v<Scalar, double>,
                "ballast: SoftmaxLoss: Scalar is float or double");

  /// @param classes  >= 1
  /// @param weights  alpha, one per class, finite and >= 0; empty: 1
  /// @param margin   see Margin
  /// @param shape    phi
  /// @throws std::invalid_argument naming the part that does not hold what is documented of it
  explicit SoftmaxLoss(Index classes, VectorX<Scalar> weights = {}, Margin<Scalar> margin = {},
                       Shape shape = {}, Options options = {})
      : classes_(classes),
        weights_(std::move(weights)),
        margin_(std::move(margin)),
        shape_(std::move(shape)),
        options_(std::move(options)) {
    check();
    const bool same_offset = margin_.target_offset.size() == 0 ||
                             (margin_.offset.size() > 0 && margin_.target_offset == margin_.offset);
    label_dependent_ = margin_.pairwise.size() > 0 || !same_offset;
    masks_ = has_mask(margin_.offset) || has_mask(margin_.target_offset);
    for (Index k = 0; k < classes_ && label_dependent_ && margin_.target_offset.size() > 0; ++k) {
      const Scalar offset = margin_.offset.size() > 0 ? margin_.offset[k] : Scalar(0);
      labels_stay_in_range_ = labels_stay_in_range_ && !(offset - margin_.target_offset[k] > 40);
    }
    offset_ = margin_.offset;
    if (offset_.size() == 0 && margin_.pairwise.size() == 0) offset_.setZero(classes_);
    if (options_.smoothing > 0) set_smoothing_weights();
  }

  [[nodiscard]] Index classes() const noexcept { return classes_; }
  [[nodiscard]] const VectorX<Scalar>& weights() const noexcept { return weights_; }
  [[nodiscard]] const Margin<Scalar>& margin() const noexcept { return margin_; }
  [[nodiscard]] const Shape& shape() const noexcept { return shape_; }
  [[nodiscard]] const Options& options() const noexcept { return options_; }

  /// Value and gradient of the reduced loss.
  /// @param logits    samples x classes, stored, of either order; no sample at all gives 0
  /// @param targets   labels: one per sample, integral, in [0, classes) or ignore_index; or soft targets:
  ///                  samples x classes of Scalar, rows >= 0 that sum to 1 (to 1e-3), for margins that do not
  ///                  depend on the label
  /// @param gradient  samples x classes in the storage order of the logits, overwritten with d value /
  ///                  d logits; may be the logits themselves, must not overlap them otherwise
  /// @throws std::invalid_argument on a wrong shape or the first bad target; nothing is then written
  template <typename Logits, typename Targets, typename Gradient>
  Scalar operator()(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                    Gradient&& gradient) const {
    return reduced(logits, targets, NoWeights{}, std::forward<Gradient>(gradient));
  }

  /// The same with a weight per sample.
  /// @param sample_weights  w, one per sample, of Scalar, finite and >= 0
  template <typename Logits, typename Targets, typename Weights, typename Gradient>
  Scalar operator()(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                    const Eigen::DenseBase<Weights>& sample_weights, Gradient&& gradient) const {
    return reduced(logits, targets, sample_weights, std::forward<Gradient>(gradient));
  }

  /// The value alone.
  template <typename Logits, typename Targets>
  [[nodiscard]] Scalar operator()(const Eigen::MatrixBase<Logits>& logits,
                                  const Eigen::DenseBase<Targets>& targets) const {
    return reduced(logits, targets, NoWeights{}, NoGradient{});
  }

  /// The value alone, with a weight per sample.
  template <typename Logits, typename Targets, typename Weights>
  [[nodiscard]] Scalar value(const Eigen::MatrixBase<Logits>& logits,
                             const Eigen::DenseBase<Targets>& targets,
                             const Eigen::DenseBase<Weights>& sample_weights) const {
    return reduced(logits, targets, sample_weights, NoGradient{});
  }

  /// No reduction: the loss of each sample, 0 for an ignored one.
  /// @param values  one per sample, overwritten
  template <typename Logits, typename Targets, typename Values>
  void each(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
            Values&& values) const {
    unreduced(logits, targets, std::forward<Values>(values), NoGradient{});
  }

  /// The same, and in each row of the gradient that of the sample's own loss.
  template <typename Logits, typename Targets, typename Values, typename Gradient>
  void each(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
            Values&& values, Gradient&& gradient) const {
    unreduced(logits, targets, std::forward<Values>(values), std::forward<Gradient>(gradient));
  }

  /// Mixup (Zhang et al., ICLR 2018): lambda * loss(labels) + (1 - lambda) * loss(other_labels), each reduced
  /// by itself, in one pass. The logits are those of the mixed inputs.
  /// @param lambda  in [0, 1]
  template <typename Logits, typename Labels, typename OtherLabels, typename Gradient>
  Scalar mixup(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Labels>& labels,
               const Eigen::DenseBase<OtherLabels>& other_labels, Scalar lambda, Gradient&& gradient) const {
    static_assert(std::is_integral_v<typename OtherLabels::Scalar>,
                  "ballast: mixup takes two vectors of labels; soft targets are mixed by the caller");
    detail::require_between("SoftmaxLoss::mixup", "lambda", lambda, Scalar(0), Scalar(1));
    detail::SoftmaxBatch<Scalar> batch = batch_of(logits);
    const double total = check_labels("labels", labels, logits.rows(), nullptr);
    const double other_total = check_labels("other_labels", other_labels, logits.rows(), nullptr);
    set_gradient(batch, logits, gradient);
    batch.factor = static_cast<double>(lambda) * normalizer(total);
    batch.other_factor = (1 - static_cast<double>(lambda)) * normalizer(other_total);
    return static_cast<Scalar>(run(batch, logits.rows(), labels.derived(), other_labels.derived()));
  }

 private:
  struct NoWeights {};
  struct NoGradient {};
  struct NoLabels {};

  static constexpr const char* name = "SoftmaxLoss";
  static constexpr Scalar infinity = std::numeric_limits<Scalar>::infinity();

  static bool has_mask(const VectorX<Scalar>& offsets) {
    return offsets.size() > 0 && offsets.minCoeff() == -infinity;
  }

  void check() const {
    detail::require(classes_ >= 1, name, "classes is ", classes_, ", expected at least 1");
    if (weights_.size() > 0) require_nonnegative("weights", weights_, classes_, "classes");
    detail::require_margin(name, margin_, classes_);
    detail::require_between(name, "options.smoothing", options_.smoothing, Scalar(0), Scalar(1));
    if (options_.smoothing_target.size() > 0) {
      require_nonnegative("options.smoothing_target", options_.smoothing_target, classes_, "classes");
      require_distribution("options.smoothing_target", options_.smoothing_target.sum());
    }
    check_shape(shape_, 0);
  }

  void set_smoothing_weights() {
    smoothing_weights_ = options_.smoothing_target;
    if (smoothing_weights_.size() == 0) smoothing_weights_.setOnes(classes_);
    smoothing_weights_ *= options_.smoothing / smoothing_weights_.sum();
    if (weights_.size() > 0) smoothing_weights_.array() *= weights_.array();
  }

  template <typename S>
  static auto check_shape(const S& shape, int) -> decltype(shape.check()) {
    shape.check();
  }
  template <typename S>
  static void check_shape(const S&, long) {}

  template <typename Derived>
  static void require_nonnegative(const char* argument, const Eigen::DenseBase<Derived>& vector, Index size,
                                  const char* unit) {
    detail::require_size(name, argument, vector.size(), size, unit);
    for (Index i = 0; i < size; ++i) {
      const Scalar value = vector.derived().coeff(i);
      detail::require(value >= 0 && std::isfinite(value), name, argument, "[", i, "] is ", value,
                      ", expected a finite number >= 0");
    }
  }

  static void require_distribution(const char* argument, Scalar sum) {
    detail::require(std::abs(sum - 1) <= Scalar(1e-3), name, argument, " sums to ", sum, ", expected 1");
  }

  // Targets: checked as a whole, and summed to what the reduction divides by.

  template <typename Label>
  bool ignored(Label label) const {
    if constexpr (std::is_unsigned_v<Label>) {
      return options_.ignore_index >= 0 &&
             static_cast<std::uint64_t>(label) == static_cast<std::uint64_t>(options_.ignore_index);
    } else {
      return static_cast<std::int64_t>(label) == options_.ignore_index;
    }
  }

  /// Class of a label, -1 for an ignored one.
  template <typename Label>
  Index class_of(Label label) const {
    return ignored(label) ? Index(-1) : detail::label_index(label);
  }

  Scalar offset_at_label(Index label) const {
    if (margin_.target_offset.size() > 0) return margin_.target_offset[label];
    return margin_.offset.size() > 0 ? margin_.offset[label] : Scalar(0);
  }

  Scalar weight(Index k) const { return weights_.size() > 0 ? weights_[k] : Scalar(1); }

  bool is_class(Index label) const {
    return static_cast<std::size_t>(label) < static_cast<std::size_t>(classes_);
  }

  /// Names the first label that is no class, or a class that the margin masks.
  template <typename Labels>
  [[gnu::noinline]] void reject_bad_label(const char* argument,
                                          const Eigen::DenseBase<Labels>& labels) const {
    for (Index i = 0; i < labels.size(); ++i) {
      const auto label = labels.derived().coeff(i);
      if (ignored(label)) continue;
      const Index y = detail::label_index(label);
      detail::require(is_class(y), name, argument, "[", i, "] is ", label, ", expected [0, ", classes_,
                      ") or the ignore_index ", options_.ignore_index);
      detail::require(offset_at_label(y) > -infinity, name, argument, "[", i, "] is ", label,
                      ", a class that the margin masks (offset -inf)");
    }
  }

  /// Sum over the samples that count of w alpha_y (weighted_mean) or 1 (mean).
  template <typename Labels>
  double check_labels(const char* argument, const Eigen::DenseBase<Labels>& labels, Index samples,
                      const Scalar* sample_weights) const {
    detail::assert_label_type<Labels>();
    detail::require_size(name, argument, labels.size(), samples, "samples");
    // Without a branch per label where all is well, which is nearly always.
    Index counted = 0;
    bool bad = false;
    for (Index i = 0; i < samples; ++i) {
      const auto label = labels.derived().coeff(i);
      const bool counts = !ignored(label);
      bad |= counts && !is_class(detail::label_index(label));
      counted += counts;
    }
    if (bad || masks_) reject_bad_label(argument, labels);
    const bool weighted = sample_weights != nullptr || weights_.size() > 0;
    if (options_.reduction != Reduction::weighted_mean || !weighted) return static_cast<double>(counted);

    const auto term = [&](Index i) {
      const Index y = class_of(labels.derived().coeff(i));
      const double alpha = y < 0 ? 0.0 : static_cast<double>(weight(y));
      return sample_weights != nullptr ? static_cast<double>(sample_weights[i]) * alpha : alpha;
    };
    double first = 0, second = 0, third = 0, fourth = 0;  // one running sum would wait for each addition
    Index i = 0;
    for (; i + 4 <= samples; i += 4) {
      first += term(i);
      second += term(i + 1);
      third += term(i + 2);
      fourth += term(i + 3);
    }
    for (; i < samples; ++i) first += term(i);
    return (first + second) + (third + fourth);
  }

  /// Sum over the samples of w sum_j q_j alpha_j (weighted_mean) or 1 (mean).
  template <typename Targets>
  double check_distributions(const Eigen::DenseBase<Targets>& targets, Index samples,
                             const Scalar* sample_weights) const {
    detail::require_shape(name, "soft targets", targets, samples, classes_);
    detail::require(!label_dependent_, name,
                    "soft targets came with a margin that depends on the label, expected labels (or a margin "
                    "without target_offset and pairwise)");
    double total = 0;
    for (Index i = 0; i < samples; ++i) {
      double mass = 0;
      double weighted_mass = 0;
      for (Index k = 0; k < classes_; ++k) {
        const Scalar q = targets.derived().coeff(i, k);
        const bool masked = masks_ && margin_.offset[k] == -infinity;
        detail::require(q >= 0 && std::isfinite(q) && !(masked && q > 0), name, "soft targets(", i, ", ", k,
                        ") is ", q, ", expected a finite number >= 0",
                        masked ? ", 0 for a masked class" : "");
        mass += static_cast<double>(q);
        weighted_mass += static_cast<double>(q) * static_cast<double>(weight(k));
      }
      detail::require(std::abs(mass - 1) <= 1e-3, name, "soft targets, row ", i, ", sum to ", mass,
                      ", expected 1");
      const Scalar sample_weight = sample_weights != nullptr ? sample_weights[i] : Scalar(1);
      total += options_.reduction == Reduction::weighted_mean
                   ? static_cast<double>(sample_weight) * weighted_mass
                   : 1.0;
    }
    return total;
  }

  /// What the reduction multiplies by; 0 where there is nothing to average.
  double normalizer(double total) const {
    if (options_.reduction == Reduction::sum) return 1.0;
    return total > 0 ? 1.0 / total : 0.0;
  }

  template <typename Logits>
  detail::SoftmaxBatch<Scalar> batch_of(const Eigen::MatrixBase<Logits>& logits) const {
    detail::require(logits.cols() == classes_, name, "logits has ", logits.cols(), " columns, expected ",
                    classes_, " (classes)");
    detail::SoftmaxBatch<Scalar> batch;
    batch.logits = detail::view<Scalar>(logits);
    return batch;
  }

  template <typename Logits, typename Gradient>
  static void set_gradient(detail::SoftmaxBatch<Scalar>& batch, const Eigen::MatrixBase<Logits>& logits,
                           Gradient&& gradient) {
    if constexpr (!std::is_same_v<std::decay_t<Gradient>, NoGradient>) {
      detail::assert_same_order<Logits, Gradient>();
      detail::require_shape(name, "gradient", gradient, logits.rows(), logits.cols());
      batch.gradient = detail::mutable_view<Scalar>(gradient);
    }
  }

  template <typename Weights>
  static void set_weights(detail::SoftmaxBatch<Scalar>& batch, const Weights& weights, Index samples) {
    if constexpr (!std::is_same_v<Weights, NoWeights>) {
      static_assert(Weights::IsVectorAtCompileTime, "ballast: sample weights are a vector, one per sample");
      batch.sample_weights = detail::view<Scalar>(weights).data;
      require_nonnegative("sample_weights", weights, samples, "samples");
    }
  }

  template <typename Logits, typename Targets, typename Weights, typename Gradient>
  Scalar reduced(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                 const Weights& sample_weights, Gradient&& gradient) const {
    detail::SoftmaxBatch<Scalar> batch = batch_of(logits);
    set_weights(batch, derived(sample_weights), logits.rows());
    const double total = check_targets(batch, targets, logits.rows());
    set_gradient(batch, logits, gradient);
    batch.factor = normalizer(total);
    return static_cast<Scalar>(run_targets(batch, logits.rows(), targets));
  }

  template <typename Logits, typename Targets, typename Values, typename Gradient>
  void unreduced(const Eigen::MatrixBase<Logits>& logits, const Eigen::DenseBase<Targets>& targets,
                 Values&& values, Gradient&& gradient) const {
    static_assert(std::decay_t<Values>::IsVectorAtCompileTime,
                  "ballast: values are a vector, one per sample");
    detail::SoftmaxBatch<Scalar> batch = batch_of(logits);
    check_targets(batch, targets, logits.rows());
    detail::require_size(name, "values", values.size(), logits.rows(), "samples");
    set_gradient(batch, logits, gradient);
    batch.values = detail::mutable_view<Scalar>(values).data;
    run_targets(batch, logits.rows(), targets);
  }

  template <typename Derived>
  static const Derived& derived(const Eigen::DenseBase<Derived>& weights) {
    return weights.derived();
  }
  static NoWeights derived(NoWeights none) { return none; }

  template <typename Targets>
  double check_targets(detail::SoftmaxBatch<Scalar>& batch, const Eigen::DenseBase<Targets>& targets,
                       Index samples) const {
    if constexpr (std::is_integral_v<typename Targets::Scalar>) {
      return check_labels("labels", targets, samples, batch.sample_weights);
    } else {
      batch.distributions = detail::view<Scalar>(targets);
      return check_distributions(targets, samples, batch.sample_weights);
    }
  }

  template <typename Targets>
  double run_targets(const detail::SoftmaxBatch<Scalar>& batch, Index samples,
                     const Eigen::DenseBase<Targets>& targets) const {
    if constexpr (std::is_integral_v<typename Targets::Scalar>) {
      return run(batch, samples, targets.derived(), NoLabels{});
    } else {
      return run(batch, samples, NoLabels{}, NoLabels{});
    }
  }

  // The pass over the batch. Rows go to the kernel in blocks that depend on the shape alone, with the labels
  // of a block as classes on the stack: so the kernel is compiled once for every type of label.

  static constexpr Index largest_spans = 64;

  template <typename Labels, typename OtherLabels>
  double run(const detail::SoftmaxBatch<Scalar>& batch, Index samples, const Labels& labels,
             const OtherLabels& other_labels) const {
    const Index block =
        std::clamp(Index(1 << 16) / classes_ / 64 * 64, Index(64), detail::softmax_block_rows);
    const detail::Blocks spans(samples, largest_spans, block);
    const detail::SoftmaxParameters<Scalar> parameters = this->parameters();
    std::array<double, largest_spans> totals;
    detail::parallel_for(spans.count(), samples * classes_, [&](Index span) {
      double total = 0;
      for (Index begin = spans.begin(span); begin < spans.end(span); begin += block) {
        const Index rows = std::min(block, spans.end(span) - begin);
        total += run_block(parameters, batch, begin, rows, labels, other_labels);
      }
      totals[static_cast<std::size_t>(span)] = total;
    });
    double total = 0;
    for (Index span = 0; span < spans.count(); ++span) total += totals[static_cast<std::size_t>(span)];
    return total;
  }

  template <typename Labels, typename OtherLabels>
  double run_block(const detail::SoftmaxParameters<Scalar>& parameters,
                   const detail::SoftmaxBatch<Scalar>& batch, Index begin, Index rows, const Labels& labels,
                   const OtherLabels& other_labels) const {
    std::array<Index, detail::softmax_block_rows> classes;
    std::array<Index, detail::softmax_block_rows> other_classes;
    detail::SoftmaxBatch<Scalar> part = batch.from(begin);
    part.labels = translate(labels, begin, rows, classes.data());
    part.other_labels = translate(other_labels, begin, rows, other_classes.data());
    return detail::SoftmaxBlock<Scalar, Shape>(parameters, shape_, part, rows).run();
  }

  template <typename Labels>
  const Index* translate(const Labels& labels, Index begin, Index rows, Index* classes) const {
    if constexpr (std::is_same_v<Labels, NoLabels>) {
      return nullptr;
    } else {
      for (Index i = 0; i < rows; ++i) classes[i] = class_of(labels.coeff(begin + i));
      return classes;
    }
  }

  detail::SoftmaxParameters<Scalar> parameters() const {
    const auto data = [](const auto& part) {
      return part.size() > 0 ? part.data() : nullptr;
    };
    detail::SoftmaxParameters<Scalar> result;
    result.classes = classes_;
    result.weights = data(weights_);
    result.scale = data(margin_.scale);
    result.offset = data(offset_);
    result.target_offset = data(margin_.target_offset);
    result.pairwise = data(margin_.pairwise);
    result.smoothing = options_.smoothing;
    result.smoothing_target = data(options_.smoothing_target);
    result.smoothing_weights = data(smoothing_weights_);
    result.smoothing_total = smoothing_weights_.sum();
    result.labels_stay_in_range = labels_stay_in_range_;
    return result;
  }

  Index classes_;
  VectorX<Scalar> weights_;
  Margin<Scalar> margin_;
  Shape shape_;
  Options options_;
  bool label_dependent_ = false;  // the margin row depends on the label
  bool masks_ = false;            // some offset is -inf
  // The kernels take the label out of the sum after its offset a_y was in the largest. That is exact as long
  // as exp does not underflow between u_y + a_y - b_y and u_y; beyond, the general kernel is used.
  bool labels_stay_in_range_ = true;
  VectorX<Scalar> offset_;             // a, zeros where the margin has none
  VectorX<Scalar> smoothing_weights_;  // eps r_k alpha_k
};

/// Composes a loss from its three parts; the number of classes is taken from the weights or the margin.
///
///     const auto loss = ballast::softmax_loss<float>(
///         ballast::effective_number_weights<float>(classes, 0.9999),
///         ballast::prior_margin<float>(classes, 1.0f),
///         ballast::Focal<float>{2.0f});
///
/// @throws std::invalid_argument if every part is empty (then use the constructor, which takes the number)
template <typename Scalar, typename Shape = CrossEntropy>
[[nodiscard]] SoftmaxLoss<Scalar, Shape> softmax_loss(VectorX<Scalar> weights, Margin<Scalar> margin,
                                                      Shape shape = {},
                                                      SoftmaxLossOptions<Scalar> options = {}) {
  const Index classes = std::max({weights.size(), margin.scale.size(), margin.offset.size(),
                                  margin.target_offset.size(), margin.pairwise.rows()});
  detail::require(classes > 0, "softmax_loss",
                  "weights and margin are empty, expected one that tells the number of classes (or use "
                  "SoftmaxLoss(classes, ...))");
  return SoftmaxLoss<Scalar, Shape>(classes, std::move(weights), std::move(margin), std::move(shape),
                                    std::move(options));
}

}  // namespace ballast
