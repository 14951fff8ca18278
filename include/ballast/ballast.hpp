// SPDX-License-Identifier: MIT
#pragma once

/// Everything but interop/, which is included by who has the library it talks to.

#include <ballast/adjustment/logit_adjustment.hpp>
#include <ballast/classifiers/head_diagnostics.hpp>
#include <ballast/classifiers/head_training.hpp>
#include <ballast/classifiers/linear_head.hpp>
#include <ballast/classifiers/nearest_class_mean.hpp>
#include <ballast/classifiers/retraining.hpp>
#include <ballast/classifiers/tau_normalized.hpp>
#include <ballast/classifiers/weight_scaling.hpp>
#include <ballast/core/argmax.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/product.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/rank_correlation.hpp>
#include <ballast/core/row_norms.hpp>
#include <ballast/core/stream_copy.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/version.hpp>
