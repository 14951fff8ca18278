// SPDX-License-Identifier: MIT
#pragma once

namespace ballast {

/// How the losses L_i of a batch become one value. w_i is the sample weight (1 if none is given), and i runs
/// over the samples that are not ignored. The three agree when nothing is weighted, but for the division.
enum class Reduction {
  weighted_mean,  ///< sum_i w_i L_i / sum_i w_i alpha_{y_i}: the rule of the field's frameworks
  mean,           ///< sum_i w_i L_i / (number of samples that are not ignored)
  sum             ///< sum_i w_i L_i
};

}  // namespace ballast
