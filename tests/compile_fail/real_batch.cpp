// expect: ballast: indices go to a vector of integers
#include <ballast/sampling/class_sampler.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Sample = float;
#else
using Sample = int;
#endif

void draw(const ballast::PowerLawSampler& sampler, ballast::VectorX<Sample>& batch);
void draw(const ballast::PowerLawSampler& sampler, ballast::VectorX<Sample>& batch) {
  sampler.draw(0, 0, batch);
}
