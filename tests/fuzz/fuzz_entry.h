#pragma once
// One input of the front-end fuzzer: any bytes as a source text. Everything that takes text must
// survive it; what is accepted must verify, format to something of the same meaning, and mean the
// same bound as unbound.
#include <cstddef>
#include <cstdint>

namespace maskjit::fuzz {

void run(const uint8_t* data, size_t size, bool bind_always = false);

}  // namespace maskjit::fuzz
