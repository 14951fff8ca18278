// SPDX-License-Identifier: MIT
#include "peers/peers.hpp"

#include <cstdlib>

#if BALLAST_BENCH_LIBTORCH
#include <ATen/Parallel.h>
#endif
#if BALLAST_BENCH_OPENBLAS
#include <cblas.h>
#endif

namespace bench::peers {

void one_thread() {
  // Read by OpenMP and by oneDNN when they start, which is at their first use.
  setenv("OMP_NUM_THREADS", "1", 1);
#if BALLAST_BENCH_LIBTORCH
  at::set_num_threads(1);
#endif
#if BALLAST_BENCH_OPENBLAS
  openblas_set_num_threads(1);
#endif
}

std::string libtorch_name() {
  const char* capability = std::getenv("ATEN_CPU_CAPABILITY");
  return capability != nullptr && std::string(capability) == "avx512" ? "libtorch_avx512" : "libtorch";
}

}  // namespace bench::peers
