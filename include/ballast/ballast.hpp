// SPDX-License-Identifier: MIT
#pragma once

/// Everything but interop/, which is included by who has the library it talks to.

#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/data/label_bins.hpp>
#include <ballast/smoothing/bin_groups.hpp>
#include <ballast/smoothing/bin_maps.hpp>
#include <ballast/smoothing/bin_mixing.hpp>
#include <ballast/smoothing/bin_statistics.hpp>
#include <ballast/smoothing/covariance_map.hpp>
#include <ballast/smoothing/feature_distribution.hpp>
#include <ballast/smoothing/kernel.hpp>
#include <ballast/smoothing/moments.hpp>
#include <ballast/smoothing/shrinkage.hpp>
#include <ballast/version.hpp>
