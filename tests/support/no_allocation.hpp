// Include first, and in one file per program only: it changes inline functions of Eigen and replaces operator
// new.
#pragma once

#include <cstddef>
#include <cstdlib>
#include <new>
#include <stdexcept>

// In the source, not on the command line: active under NDEBUG too.
#define EIGEN_RUNTIME_NO_MALLOC
#define eigen_assert(x) ((x) ? static_cast<void>(0) : throw std::logic_error(#x))

#include <Eigen/Core>

inline std::size_t allocations = 0;

/// While it lives, an allocation by Eigen throws, and one by operator new is counted in `news()`.
class NoAllocation {
 public:
  NoAllocation() : before_(allocations) { Eigen::internal::set_is_malloc_allowed(false); }
  ~NoAllocation() { Eigen::internal::set_is_malloc_allowed(true); }
  NoAllocation(const NoAllocation&) = delete;
  NoAllocation& operator=(const NoAllocation&) = delete;
  [[nodiscard]] std::size_t news() const { return allocations - before_; }

 private:
  std::size_t before_;
};

// Not inlined: g++ would see a new that it does not inline meet std::free, and warn.
[[gnu::noinline]] inline void* counted_malloc(std::size_t size) noexcept {
  ++allocations;
  return std::malloc(size == 0 ? 1 : size);
}
[[gnu::noinline]] inline void counted_free(void* memory) noexcept {
  std::free(memory);
}

void* operator new(std::size_t size) {
  if (void* memory = counted_malloc(size)) return memory;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted_malloc(size);
}
void operator delete(void* memory) noexcept {
  counted_free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  counted_free(memory);
}
