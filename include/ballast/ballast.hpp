// SPDX-License-Identifier: MIT
#pragma once

/// Everything but interop/, which is included by who has the library it talks to.

#include <ballast/classifiers/cosine_head.hpp>
#include <ballast/core/check.hpp>
#include <ballast/core/parallel.hpp>
#include <ballast/core/random.hpp>
#include <ballast/core/types.hpp>
#include <ballast/core/view.hpp>
#include <ballast/data/class_distribution.hpp>
#include <ballast/losses/binary.hpp>
#include <ballast/losses/deferred_reweighting.hpp>
#include <ballast/version.hpp>
