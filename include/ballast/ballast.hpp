// SPDX-License-Identifier: MIT
#pragma once

/// Everything but interop/, which is included by who has the library it talks to.

#include <ballast/adjustment/calibration.hpp>
#include <ballast/adjustment/prior_shift.hpp>
#include <ballast/adjustment/selection.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/newton.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/prefetch.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/rows.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/data/long_tail_profile.hpp>
#include <ballast/data/samples_by_class.hpp>
#include <ballast/sampling/alias_table.hpp>
#include <ballast/sampling/class_sampler.hpp>
#include <ballast/sampling/instance_permutation.hpp>
#include <ballast/sampling/rank_positions.hpp>
#include <ballast/sampling/sampler_support.hpp>
#include <ballast/sampling/shuffled_cycle.hpp>
#include <ballast/metrics/calibration.hpp>
#include <ballast/metrics/classification.hpp>
#include <ballast/metrics/shots.hpp>
#include <ballast/core/rank_correlation.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/data/label_bins.hpp>
#include <ballast/losses/balanced_mse.hpp>
#include <ballast/losses/reduction.hpp>
#include <ballast/losses/regression.hpp>
#include <ballast/losses/regression_batch.hpp>
#include <ballast/metrics/regression.hpp>
#include <ballast/metrics/shots.hpp>
#include <ballast/smoothing/kernel.hpp>
#include <ballast/smoothing/label_distribution.hpp>
#include <ballast/version.hpp>
