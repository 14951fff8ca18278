// expect: ballast: diagonal statistics keep no covariance
#include <ballast/smoothing/bin_statistics.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Statistics = ballast::BinStatistics<float>;
#else
using Statistics = ballast::BinStatistics<float, ballast::Covariance::full>;
#endif

Eigen::MatrixXd covariance(const Statistics& statistics);
Eigen::MatrixXd covariance(const Statistics& statistics) {
  return statistics.covariance(0);
}
