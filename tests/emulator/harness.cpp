#include "tests/emulator/harness.h"

#include <fmt/format.h>

#include <cmath>
#include <random>

namespace maskjit::emulator {

std::string module_text(std::string_view body, std::string_view target) {
  return fmt::format(".version 8.8\n.target {}\n.address_size 64\n{}", target, body);
}

Module parse_or_fail(const std::string& text) {
  auto parsed = Module::parse(text);
  if (auto* error = std::get_if<ParseError>(&parsed)) {
    ADD_FAILURE() << error->render() << "\n" << text;
    return std::get<Module>(Module::parse(module_text("")));
  }
  return std::get<Module>(std::move(parsed));
}

ParseError parse_error(const std::string& text) {
  auto parsed = Module::parse(text);
  if (auto* error = std::get_if<ParseError>(&parsed)) return *error;
  ADD_FAILURE() << "this should not parse:\n" << text;
  return {};
}

std::vector<uint64_t> evaluate(const Statement& statement,
                               const std::vector<std::vector<uint64_t>>& sources,
                               uint64_t initial) {
  static const char* kNames[] = {"%a", "%b", "%c", "%e"};
  const auto bytes_of_type = [](const std::string& type) {
    return type == "b16" ? 2 : type == "b64" ? 8 : 4;
  };
  std::string params = ".param .u64 p_out, .param .u32 p_n", loads;
  std::string declarations = fmt::format("\t.reg .{} %d;\n", statement.result);
  for (size_t j = 0; j < statement.sources.size(); ++j) {
    const std::string& type = statement.sources[j];
    const int bytes = bytes_of_type(type);
    params += fmt::format(", .param .u64 p_{}", j);
    declarations += fmt::format("\t.reg .{} {};\n", type, kNames[j]);
    loads += fmt::format("\tld.param.b64 %rd1, [p_{}];\n\tmad.wide.u32 %rd2, %r0, {}, %rd1;\n", j,
                         bytes);
    if (type == "pred") {
      loads += fmt::format("\tld.global.b32 %r1, [%rd2];\n\tsetp.ne.b32 {}, %r1, 0;\n", kNames[j]);
    } else {
      loads += fmt::format("\tld.global.{} {}, [%rd2];\n", type, kNames[j]);
    }
  }
  const bool is_predicate = statement.result == "pred";
  const std::string store_type = is_predicate ? "b32" : statement.result;
  const int result_bytes = bytes_of_type(statement.result);
  std::string start, finish;
  if (is_predicate) {
    start = fmt::format("\tsetp.ne.u64 %d, {}, 0;\n", static_cast<int64_t>(initial));
    finish = "\tselp.b32 %r2, 1, 0, %d;\n\tst.global.b32 [%rd4], %r2;\n";
  } else {
    start = fmt::format("\tmov.{} %d, {};\n", statement.result, static_cast<int64_t>(initial));
    finish = fmt::format("\tst.global.{} [%rd4], %d;\n", store_type);
  }
  const std::string text = module_text(
      fmt::format(".visible .entry k({})\n{{\n"
                  "\t.reg .pred %p<4>;\n\t.reg .b32 %r<8>;\n\t.reg .b64 %rd<8>;\n{}"
                  "\tmov.u32 %r3, %tid.x;\n\tmov.u32 %r4, %ctaid.x;\n\tmov.u32 %r5, %ntid.x;\n"
                  "\tmad.lo.s32 %r0, %r4, %r5, %r3;\n\tld.param.u32 %r6, [p_n];\n"
                  "\tsetp.ge.u32 %p0, %r0, %r6;\n\t@%p0 bra DONE;\n{}{}\t{}\n"
                  "\tld.param.b64 %rd3, [p_out];\n\tmad.wide.u32 %rd4, %r0, {}, %rd3;\n{}"
                  "DONE:\n\tret;\n}}\n",
                  params, declarations, loads, start, statement.text, result_bytes, finish),
      statement.target);
  const auto parsed = Module::parse(text);
  if (const auto* error = std::get_if<ParseError>(&parsed)) {
    ADD_FAILURE() << error->render();
    return {};
  }
  const size_t n = sources.empty() ? 1 : sources[0].size();
  Memory memory;
  const auto pack = [](const std::vector<uint64_t>& values, int bytes) {
    std::vector<std::byte> packed(values.size() * static_cast<size_t>(bytes));
    for (size_t i = 0; i < values.size(); ++i)
      std::memcpy(&packed[i * static_cast<size_t>(bytes)], &values[i], static_cast<size_t>(bytes));
    return packed;
  };
  const DeviceAddress out = memory.allocate(n * static_cast<size_t>(result_bytes));
  Parameters arguments;
  arguments.add(out).add(static_cast<uint32_t>(n));
  for (size_t j = 0; j < sources.size(); ++j)
    arguments.add(upload(memory, pack(sources[j], bytes_of_type(statement.sources[j]))));
  LaunchConfig config;
  config.block = {256, 1, 1};
  config.grid = {static_cast<uint32_t>((n + 255) / 256), 1, 1};
  config.params = arguments.bytes();
  const Report report = launch(std::get<Module>(parsed), memory, "k", config);
  if (!report.ok()) {
    ADD_FAILURE() << report.fault->render();
    return {};
  }
  std::vector<uint64_t> results(n);
  const auto stored = download<std::byte>(memory, out, n * static_cast<size_t>(result_bytes));
  for (size_t i = 0; i < n; ++i)
    std::memcpy(&results[i], &stored[i * static_cast<size_t>(result_bytes)],
                static_cast<size_t>(result_bytes));
  return results;
}

std::vector<std::vector<uint64_t>> pairs(const std::vector<uint64_t>& a,
                                         const std::vector<uint64_t>& b) {
  std::vector<std::vector<uint64_t>> result(2);
  for (const uint64_t x : a) {
    for (const uint64_t y : b) {
      result[0].push_back(x);
      result[1].push_back(y);
    }
  }
  return result;
}

std::vector<std::vector<uint64_t>> triples(const std::vector<uint64_t>& a,
                                           const std::vector<uint64_t>& b,
                                           const std::vector<uint64_t>& c) {
  std::vector<std::vector<uint64_t>> result(3);
  for (const uint64_t x : a) {
    for (const uint64_t y : b) {
      for (const uint64_t z : c) {
        result[0].push_back(x);
        result[1].push_back(y);
        result[2].push_back(z);
      }
    }
  }
  return result;
}

std::vector<uint64_t> integers(int bits, size_t random) {
  const uint64_t ones = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  const uint64_t top = uint64_t{1} << (bits - 1);
  std::vector<uint64_t> values = {0,   1,       2,       3,    5,        7,       31,
                                  32,  33,      63,      64,   100,      255,     256,
                                  top, top - 1, top + 1, ones, ones - 1, ones - 6};
  std::mt19937_64 generator(static_cast<uint64_t>(bits));
  for (size_t i = 0; i < random; ++i) values.push_back(generator() >> (generator() % 64));
  for (uint64_t& value : values) value &= ones;
  return values;
}

std::vector<uint64_t> floats32(size_t random) {
  std::vector<uint64_t> values;
  for (const float x : {0.0f,          1.0f,        0.5f,       1.5f,     2.0f,
                        3.0f,          0.1f,        1e10f,      3e38f,    1.17549435e-38f,
                        1e-40f,        1.4e-45f,    65504.0f,   65520.0f, 2147483648.0f,
                        4294967296.0f, 0.99999994f, 1.0000001f, 2.5f,     126.5f,
                        INFINITY}) {
    values.push_back(bits(x));
    values.push_back(bits(-x));
  }
  values.push_back(0x7FC00000);
  values.push_back(0xFFC12345);
  std::mt19937 generator(32);
  for (size_t i = 0; i < random; ++i) values.push_back(generator());
  return values;
}

std::vector<uint64_t> floats64(size_t random) {
  std::vector<uint64_t> values;
  for (const double x :
       {0.0, 1.0, 0.5, 3.0, 0.1, 1e300, 1e-300, 5e-324, 1e-40, 1e40, 65519.99, 2147483648.5,
        9223372036854775808.0, 18446744073709551616.0, double(INFINITY)}) {
    values.push_back(bits(x));
    values.push_back(bits(-x));
  }
  values.push_back(0x7FF8000000000000);
  std::mt19937_64 generator(64);
  for (size_t i = 0; i < random; ++i) values.push_back(generator());
  return values;
}

std::vector<uint64_t> halves(size_t random) {
  std::vector<uint64_t> values = {0x0000, 0x8000, 0x3C00, 0xBC00, 0x0001, 0x03FF,
                                  0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00, 0x7E00,
                                  0x3555, 0x4248, 0x5640, 0x3C01, 0x3BFF};
  std::mt19937 generator(16);
  for (size_t i = 0; i < random; ++i) values.push_back(generator() & 0xFFFF);
  return values;
}

std::vector<uint64_t> brains(size_t random) {
  std::vector<uint64_t> values = {0x0000, 0x8000, 0x3F80, 0xBF80, 0x0001, 0x007F,
                                  0x0080, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80, 0x7FC0,
                                  0x3EAB, 0x4049, 0x42C8, 0x3F81, 0x3F7F};
  std::mt19937 generator(8);
  for (size_t i = 0; i < random; ++i) values.push_back(generator() & 0xFFFF);
  return values;
}

double f16_value(uint64_t h) {
  const int exponent = static_cast<int>(h >> 10 & 31), mantissa = static_cast<int>(h & 1023);
  double value = exponent == 31  ? (mantissa == 0 ? INFINITY : std::nan(""))
                 : exponent == 0 ? std::ldexp(mantissa, -24)
                                 : std::ldexp(1024 + mantissa, exponent - 25);
  return (h >> 15 & 1) != 0 ? -value : value;
}

double bf16_value(uint64_t h) { return std::bit_cast<float>(static_cast<uint32_t>(h) << 16); }

}  // namespace maskjit::emulator
