#include <iostream>

#include <ballast/ballast.hpp>

int main() {
  const ballast::ClassDistribution classes(Eigen::Vector4i(0, 1, 1, 2));
  std::cout << "prior " << classes.prior().transpose() << '\n';
  return classes.classes() == 3 ? 0 : 1;
}
