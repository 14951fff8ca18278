// Catch2 2.13 and 3.x by one name.
#pragma once

// Catch2 2.13 leaves variadic parameters of its own macros empty, which clang from 15 on calls an extension.
#if defined(__clang__) && __clang_major__ >= 15
#pragma clang diagnostic ignored "-Wc++20-extensions"
#endif

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
