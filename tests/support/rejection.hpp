// Checks that a call is refused with a message that names what it should.
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>

/// The message of the std::invalid_argument that `call` throws; "(not refused)" if it throws none.
template <typename Call>
std::string rejection(const Call& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "(not refused)";
}

/// True if `call` throws std::invalid_argument and its message holds every one of `parts`.
template <typename Call>
bool rejects(const Call& call, std::initializer_list<const char*> parts) {
  const std::string message = rejection(call);
  if (message.rfind("ballast: ", 0) != 0) return false;
  for (const char* part : parts) {
    if (message.find(part) == std::string::npos) return false;
  }
  return true;
}
