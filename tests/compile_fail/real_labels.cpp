// expect: ballast: labels are integers
#include <ballast/data/class_distribution.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Label = float;
#else
using Label = int;
#endif

ballast::ClassDistribution count(const Eigen::Matrix<Label, -1, 1>& labels);
ballast::ClassDistribution count(const Eigen::Matrix<Label, -1, 1>& labels) {
  return ballast::ClassDistribution(labels);
}
