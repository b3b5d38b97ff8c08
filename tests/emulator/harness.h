#pragma once
// Runs PTX in tests: whole modules, or one statement over many inputs.
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/device/emulator/launch.h"

namespace maskjit::emulator {

// ".version ... .address_size 64" and `body`.
std::string module_text(std::string_view body, std::string_view target = "sm_80");
// Fails the test if the text does not parse.
Module parse_or_fail(const std::string& text);
// The error of a text that must not parse.
ParseError parse_error(const std::string& text);

// A kernel "k" of one statement: it loads the sources %a, %b, %c, %e of thread i, executes
// `statement`, which writes %d, and stores that. Types are "b16", "b32", "b64" or "pred".
struct Statement {
  std::string text;
  std::string result = "b32";
  std::vector<std::string> sources = {"b32", "b32"};
  std::string target = "sm_90";
};
// sources[j][i]: the value of source j in thread i. Results that the statement does not write keep
// `initial`.
std::vector<uint64_t> evaluate(const Statement& statement,
                               const std::vector<std::vector<uint64_t>>& sources,
                               uint64_t initial = 0xCDCDCDCDCDCDCDCDull);

// All pairs or triples of the values.
std::vector<std::vector<uint64_t>> pairs(const std::vector<uint64_t>& a,
                                         const std::vector<uint64_t>& b);
std::vector<std::vector<uint64_t>> triples(const std::vector<uint64_t>& a,
                                           const std::vector<uint64_t>& b,
                                           const std::vector<uint64_t>& c);

// Numbers at which operations tend to go wrong, and some random ones.
std::vector<uint64_t> integers(int bits, size_t random = 20);
std::vector<uint64_t> floats32(size_t random = 20);
std::vector<uint64_t> floats64(size_t random = 20);
std::vector<uint64_t> halves(size_t random = 20);  // bits of f16
std::vector<uint64_t> brains(size_t random = 20);  // bits of bf16

inline float f32(uint64_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits)); }
inline double f64(uint64_t bits) { return std::bit_cast<double>(bits); }
inline uint64_t bits(float value) { return std::bit_cast<uint32_t>(value); }
inline uint64_t bits(double value) { return std::bit_cast<uint64_t>(value); }
// Independent of the emulator's conversions: by ldexp and comparison.
double f16_value(uint64_t bits);
double bf16_value(uint64_t bits);

// Device memory from and to vectors.
template <typename T>
DeviceAddress upload(Memory& memory, const std::vector<T>& values, std::string name = {},
                     bool check_initialised = false) {
  const DeviceAddress address =
      memory.allocate(values.size() * sizeof(T), {std::move(name), check_initialised, false});
  memory.copy_in(address, std::as_bytes(std::span(values)));
  return address;
}
template <typename T>
std::vector<T> download(const Memory& memory, DeviceAddress address, size_t count) {
  std::vector<T> values(count);
  EXPECT_TRUE(memory.copy_out(std::as_writable_bytes(std::span(values)), address));
  return values;
}

}  // namespace maskjit::emulator
