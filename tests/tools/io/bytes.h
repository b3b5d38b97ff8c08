#pragma once
// Files in memory, each in a heap block of exactly its size, so that a sanitizer sees every read
// beyond it.
#include <cstring>
#include <memory>
#include <string>

#include "tools/io/file.h"

namespace maskjit::testing {

inline io::FileBytes file_of(const std::string& bytes) {
  std::shared_ptr<std::byte[]> memory(new std::byte[bytes.size()]);
  if (!bytes.empty()) std::memcpy(memory.get(), bytes.data(), bytes.size());
  return {{memory.get(), bytes.size()}, memory};
}

}  // namespace maskjit::testing
