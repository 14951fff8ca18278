// SPDX-License-Identifier: MIT
#pragma once

/// Learning from imbalanced labels, over Eigen.
namespace ballast {

/// The version of these headers; the project's CMake version is checked against it.
struct Version {
  static constexpr int major = 0;
  static constexpr int minor = 1;
  static constexpr int patch = 0;
};

}  // namespace ballast
