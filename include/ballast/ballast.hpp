// SPDX-License-Identifier: MIT
#pragma once

/// Everything but interop/, which is included by who has the library it talks to.

#include <ballast/core/check.hpp>
#include <ballast/core/exp.hpp>
#include <ballast/core/packet.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/softmax_passes.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/losses/class_weights.hpp>
#include <ballast/losses/margins.hpp>
#include <ballast/losses/presets.hpp>
#include <ballast/losses/shapes.hpp>
#include <ballast/losses/softmax_block.hpp>
#include <ballast/losses/softmax_kernel.hpp>
#include <ballast/losses/softmax_loss.hpp>
#include <ballast/losses/softmax_outcome.hpp>
#include <ballast/losses/softmax_rows.hpp>
#include <ballast/losses/softmax_strips.hpp>
#include <ballast/version.hpp>
