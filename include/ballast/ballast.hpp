// SPDX-License-Identifier: MIT
#pragma once

/// Everything but interop/, which is included by who has the library it talks to.

#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/random.hpp>
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
