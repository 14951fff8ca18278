// Links one object per public header with two that include them all; checks the version against CMake's.
#include <cstring>
#include <iostream>
#include <string>

#include <ballast/ballast.hpp>

const char* first_error_message();

int main(int count, char** arguments) {
  using ballast::Version;
  const std::string version = std::to_string(Version::major) + "." + std::to_string(Version::minor) + "." +
                              std::to_string(Version::patch);
  if (count != 2 || version != arguments[1]) {
    std::cerr << "version.hpp says " << version << ", CMake says " << (count == 2 ? arguments[1] : "nothing")
              << '\n';
    return 1;
  }
  return std::strstr(first_error_message(), "labels[0] is -1") == nullptr ? 1 : 0;
}
