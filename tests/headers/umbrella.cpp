#include <stdexcept>
#include <string>

#include <ballast/ballast.hpp>

// Called from the other translation unit: both see the same inline definitions.
const char* first_error_message();

const char* first_error_message() {
  static std::string message;
  try {
    ballast::ClassDistribution(Eigen::VectorXi::Constant(1, -1));
  } catch (const std::invalid_argument& error) {
    message = error.what();
  }
  return message.c_str();
}
