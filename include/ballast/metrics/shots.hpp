// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include <ballast/data/class_distribution.hpp>

namespace ballast {

/// One value for each group of classes or bins: many, medium, few.
template <typename Value>
struct ByShot {
  Value many{};
  Value medium{};
  Value few{};

  [[nodiscard]] constexpr Value& operator[](Shot shot) noexcept {
    return shot == Shot::many ? many : shot == Shot::medium ? medium : few;
  }
  [[nodiscard]] constexpr const Value& operator[](Shot shot) const noexcept {
    return shot == Shot::many ? many : shot == Shot::medium ? medium : few;
  }
};

/// A figure per group. `std::nullopt` says that the group has no samples: there is then no figure, not a 0 or
/// a NaN.
using ShotFigures = ByShot<std::optional<double>>;

/// The mean of the values added so far, without a value while there are none.
class Mean {
 public:
  void add(double value) noexcept {
    sum_ += value;
    ++values_;
  }
  void merge(const Mean& other) noexcept {
    sum_ += other.sum_;
    values_ += other.values_;
  }
  [[nodiscard]] Count values() const noexcept { return values_; }
  [[nodiscard]] std::optional<double> value() const noexcept {
    if (values_ == 0) return std::nullopt;
    return sum_ / static_cast<double>(values_);
  }

 private:
  double sum_ = 0.0;
  Count values_ = 0;
};

/// The mean of each group: what accuracies and errors by shot are read from.
[[nodiscard]] inline ShotFigures figures(const ByShot<Mean>& means) noexcept {
  return {means.many.value(), means.medium.value(), means.few.value()};
}

}  // namespace ballast
