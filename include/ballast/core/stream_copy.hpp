// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ballast::detail {

/// An output of this many bytes will not stay in cache, so that writing past it saves reading it first.
inline constexpr std::size_t stream_threshold = std::size_t(32) << 20;

/// Copies past the cache where the machine can, 64 bytes at a time. Call stream_fence() after the last one
/// and before another thread reads.
inline void stream_copy(const void* from, void* to, std::size_t bytes) noexcept {
#if defined(__SSE2__)
  const auto* source = static_cast<const char*>(from);
  auto* target = static_cast<char*>(to);
  const std::size_t head =
      std::min(bytes, static_cast<std::size_t>(-reinterpret_cast<std::uintptr_t>(to) & 63u));
  std::memcpy(target, source, head);
  std::size_t done = head;
  for (; done + 64 <= bytes; done += 64) {
    for (std::size_t i = done; i < done + 64; i += 16) {
      _mm_stream_si128(reinterpret_cast<__m128i*>(target + i),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + i)));
    }
  }
  std::memcpy(target + done, source + done, bytes - done);
#else
  std::memcpy(to, from, bytes);
#endif
}

inline void stream_fence() noexcept {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace ballast::detail
