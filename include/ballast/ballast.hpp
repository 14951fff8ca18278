// SPDX-License-Identifier: MIT
#pragma once

/// Everything but interop/, which is included by who has the library it talks to.

#include <ballast/adjustment/calibration.hpp>
#include <ballast/adjustment/prior_shift.hpp>
#include <ballast/adjustment/selection.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/newton.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/rows.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/metrics/calibration.hpp>
#include <ballast/metrics/classification.hpp>
#include <ballast/metrics/shots.hpp>
#include <ballast/version.hpp>
