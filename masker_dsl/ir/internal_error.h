#pragma once
// Internal checks: a failed one is our bug, never the user's. It prints where and what, and stops.
#include <string>

namespace maskjit::ir {

[[noreturn]] void internal_error(const char* file, int line, const std::string& message);

}  // namespace maskjit::ir

#define MASKJIT_CHECK(condition, message)                                           \
  do {                                                                              \
    if (!(condition)) ::maskjit::ir::internal_error(__FILE__, __LINE__, (message)); \
  } while (false)
