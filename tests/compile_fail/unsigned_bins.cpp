// expect: ballast: bins go to a vector of a signed integer type
#include <ballast/data/label_bins.hpp>

#ifdef BALLAST_EXPECT_ERROR
using Bin = unsigned;
#else
using Bin = int;
#endif

void find(const ballast::LabelBins& bins, const Eigen::VectorXf& labels, Eigen::Matrix<Bin, -1, 1>& found);
void find(const ballast::LabelBins& bins, const Eigen::VectorXf& labels, Eigen::Matrix<Bin, -1, 1>& found) {
  bins.find(labels, found);
}
