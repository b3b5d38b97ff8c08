#include "masker_dsl/ir/internal_error.h"

#include <cstdio>
#include <cstdlib>

namespace maskjit::ir {

void internal_error(const char* file, int line, const std::string& message) {
  std::fprintf(stderr, "maskjit: internal error: %s:%d: %s\n", file, line, message.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace maskjit::ir
