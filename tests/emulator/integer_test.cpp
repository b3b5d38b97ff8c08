// Integer arithmetic, logic, shifts and bit fields against independent formulas in 128 bits.
#include <fmt/format.h>

#include <functional>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

using Int = __int128;

int bits_of_type(const std::string& type) { return std::stoi(type.substr(1)); }
bool is_signed_type(const std::string& type) { return type[0] == 's'; }
std::string storage(const std::string& type) { return "b" + type.substr(1); }

// The value of the low bits.
Int value(uint64_t raw, const std::string& type) {
  const int n = bits_of_type(type);
  const uint64_t ones = n == 64 ? ~uint64_t{0} : (uint64_t{1} << n) - 1;
  raw &= ones;
  if (is_signed_type(type) && (raw >> (n - 1) & 1) != 0)
    return static_cast<Int>(raw) - (static_cast<Int>(1) << n);
  return static_cast<Int>(raw);
}
uint64_t wrap(Int x, int n) {
  const auto raw = static_cast<uint64_t>(x);
  return n == 64 ? raw : raw & ((uint64_t{1} << n) - 1);
}

using Binary = std::function<Int(Int, Int)>;

void check_binary(const std::string& opcode, const std::string& type, const Binary& formula,
                  const std::string& result_type = {}) {
  SCOPED_TRACE(opcode + "." + type);
  const int n = bits_of_type(type);
  const std::string result = result_type.empty() ? type : result_type;
  const auto inputs = pairs(integers(n), integers(n));
  const auto outputs = evaluate({fmt::format("{}.{} %d, %a, %b;", opcode, type),
                                 storage(result),
                                 {storage(type), storage(type)}},
                                inputs);
  ASSERT_EQ(outputs.size(), inputs[0].size());
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Int a = value(inputs[0][i], type), b = value(inputs[1][i], type);
    ASSERT_EQ(outputs[i], wrap(formula(a, b), bits_of_type(result)))
        << fmt::format("{:#x} and {:#x}", inputs[0][i], inputs[1][i]);
  }
}

const std::vector<std::string> kTypes = {"u16", "s16", "u32", "s32", "u64", "s64"};

TEST(EmulatorInteger, AddSubMul) {
  for (const auto& type : kTypes) {
    const int n = bits_of_type(type);
    check_binary("add", type, [](Int a, Int b) { return a + b; });
    check_binary("sub", type, [](Int a, Int b) { return a - b; });
    check_binary("mul.lo", type, [](Int a, Int b) {
      return static_cast<Int>(static_cast<unsigned __int128>(a) *
                              static_cast<unsigned __int128>(b));
    });
    check_binary("mul.hi", type, [&](Int a, Int b) {
      if (!is_signed_type(type))
        return static_cast<Int>(
            (static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b)) >> n);
      return (a * b) >> n;
    });
    check_binary("min", type, [](Int a, Int b) { return a < b ? a : b; });
    check_binary("max", type, [](Int a, Int b) { return a < b ? b : a; });
  }
  for (const auto& type :
       {std::string("u16"), std::string("s16"), std::string("u32"), std::string("s32")})
    check_binary(
        "mul.wide", type, [](Int a, Int b) { return a * b; },
        type.substr(0, 1) + std::to_string(2 * bits_of_type(type)));
  const auto saturate = [](Int x) {
    return x > INT32_MAX ? Int(INT32_MAX) : x < INT32_MIN ? Int(INT32_MIN) : x;
  };
  check_binary("add.sat", "s32", [&](Int a, Int b) { return saturate(a + b); });
  check_binary("sub.sat", "s32", [&](Int a, Int b) { return saturate(a - b); });
}

TEST(EmulatorInteger, DivRem) {
  for (const auto& type : kTypes) {
    // A quotient by zero has no defined value; the emulator gives all ones.
    check_binary("div", type, [](Int a, Int b) { return b == 0 ? Int(-1) : a / b; });
    check_binary("rem", type, [](Int a, Int b) { return b == 0 ? a : a % b; });
  }
}

TEST(EmulatorInteger, Mad) {
  for (const auto& type : kTypes) {
    const int n = bits_of_type(type);
    const auto inputs = triples(integers(n, 4), integers(n, 4), integers(n, 4));
    const std::vector<std::string> sources(3, storage(type));
    const auto low =
        evaluate({fmt::format("mad.lo.{} %d, %a, %b, %c;", type), storage(type), sources}, inputs);
    const auto high =
        evaluate({fmt::format("mad.hi.{} %d, %a, %b, %c;", type), storage(type), sources}, inputs);
    const auto sad =
        evaluate({fmt::format("sad.{} %d, %a, %b, %c;", type), storage(type), sources}, inputs);
    for (size_t i = 0; i < low.size(); ++i) {
      const Int a = value(inputs[0][i], type), b = value(inputs[1][i], type),
                c = value(inputs[2][i], type);
      const auto product = static_cast<unsigned __int128>(a) * static_cast<unsigned __int128>(b);
      const Int top =
          is_signed_type(type) ? static_cast<Int>(product) >> n : static_cast<Int>(product >> n);
      const auto sum = static_cast<unsigned __int128>(product) + static_cast<unsigned __int128>(c);
      ASSERT_EQ(low[i], wrap(static_cast<Int>(sum), n)) << type;
      ASSERT_EQ(high[i], wrap(top + c, n)) << type;
      ASSERT_EQ(sad[i], wrap(c + (a < b ? b - a : a - b), n)) << type;
    }
  }
  const auto inputs = triples(integers(32, 4), integers(32, 4), integers(64, 4));
  for (const char* type : {"u32", "s32"}) {
    const auto wide = evaluate(
        {fmt::format("mad.wide.{} %d, %a, %b, %c;", type), "b64", {"b32", "b32", "b64"}}, inputs);
    for (size_t i = 0; i < wide.size(); ++i)
      ASSERT_EQ(wide[i], wrap(value(inputs[0][i], type) * value(inputs[1][i], type) +
                                  static_cast<Int>(inputs[2][i]),
                              64));
  }
}

// 128-bit sums, differences and products from carries, as compilers write them.
TEST(EmulatorInteger, Carries) {
  const auto inputs = triples(integers(64, 6), integers(64, 6), integers(64, 6));
  const auto sum = evaluate({"{ .reg .b64 %t; add.cc.u64 %t, %a, %b; addc.u64 %d, %c, 0; }",
                             "b64",
                             {"b64", "b64", "b64"}},
                            inputs);
  const auto difference = evaluate({"{ .reg .b64 %t; sub.cc.u64 %t, %a, %b; subc.u64 %d, %c, 0; }",
                                    "b64",
                                    {"b64", "b64", "b64"}},
                                   inputs);
  const auto product =
      evaluate({"{ .reg .b64 %t; mad.lo.cc.u64 %t, %a, %b, %c; madc.hi.u64 %d, %a, %b, 0; }",
                "b64",
                {"b64", "b64", "b64"}},
               inputs);
  for (size_t i = 0; i < sum.size(); ++i) {
    const unsigned __int128 a = inputs[0][i], b = inputs[1][i];
    const uint64_t c = inputs[2][i];
    ASSERT_EQ(sum[i], static_cast<uint64_t>((a + b) >> 64) + c);
    ASSERT_EQ(difference[i], c - (a < b ? 1 : 0));
    ASSERT_EQ(product[i], static_cast<uint64_t>((a * b + c) >> 64));
  }
  const auto narrow = evaluate(
      {"{ .reg .b32 %t; add.cc.u32 %t, %a, %b; addc.u32 %d, 0, 0; }", "b32", {"b32", "b32"}},
      pairs(integers(32), integers(32)));
  const auto narrow_inputs = pairs(integers(32), integers(32));
  for (size_t i = 0; i < narrow.size(); ++i)
    ASSERT_EQ(narrow[i], (narrow_inputs[0][i] + narrow_inputs[1][i]) >> 32);
}

TEST(EmulatorInteger, Logic) {
  for (const int n : {16, 32, 64}) {
    const std::string type = "u" + std::to_string(n), bits_type = "b" + std::to_string(n);
    const auto inputs = pairs(integers(n), integers(n));
    const auto run = [&](const std::string& opcode) {
      return evaluate(
          {fmt::format("{}.{} %d, %a, %b;", opcode, bits_type), bits_type, {bits_type, bits_type}},
          inputs);
    };
    const auto run1 = [&](const std::string& opcode) {
      return evaluate(
          {fmt::format("{}.{} %d, %a;", opcode, bits_type), bits_type, {bits_type, bits_type}},
          inputs);
    };
    const auto and_ = run("and"), or_ = run("or"), xor_ = run("xor"), not_ = run1("not"),
               cnot = run1("cnot");
    for (size_t i = 0; i < inputs[0].size(); ++i) {
      const uint64_t a = inputs[0][i], b = inputs[1][i];
      ASSERT_EQ(and_[i], a & b);
      ASSERT_EQ(or_[i], a | b);
      ASSERT_EQ(xor_[i], a ^ b);
      ASSERT_EQ(not_[i], wrap(static_cast<Int>(~a), n));
      ASSERT_EQ(cnot[i], a == 0 ? 1u : 0u);
    }
  }
  const auto inputs = triples({0, 1}, {0, 1}, {0, 1});
  const auto run = [&](const std::string& text) {
    return evaluate({text, "pred", {"pred", "pred", "pred"}}, inputs);
  };
  const auto and_ = run("and.pred %d, %a, %b;"), or_ = run("or.pred %d, %a, %b;"),
             xor_ = run("xor.pred %d, %a, %b;"), not_ = run("not.pred %d, %a;"),
             mov = run("mov.pred %d, %c;");
  for (size_t i = 0; i < 8; ++i) {
    const uint64_t a = inputs[0][i], b = inputs[1][i], c = inputs[2][i];
    EXPECT_EQ(and_[i], a & b);
    EXPECT_EQ(or_[i], a | b);
    EXPECT_EQ(xor_[i], a ^ b);
    EXPECT_EQ(not_[i], 1 - a);
    EXPECT_EQ(mov[i], c);
  }
}

TEST(EmulatorInteger, Lop3) {
  const auto inputs = triples(integers(32, 2), integers(32, 2), integers(32, 2));
  for (const int table : {0x00, 0x80, 0xFE, 0x96, 0xCA, 0x1B, 0xFF, 0xE8}) {
    const auto outputs = evaluate(
        {fmt::format("lop3.b32 %d, %a, %b, %c, {};", table), "b32", {"b32", "b32", "b32"}}, inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      uint64_t expected = 0;
      for (int bit = 0; bit < 32; ++bit) {
        const uint64_t index = (inputs[0][i] >> bit & 1) * 4 + (inputs[1][i] >> bit & 1) * 2 +
                               (inputs[2][i] >> bit & 1);
        expected |= static_cast<uint64_t>(table >> index & 1) << bit;
      }
      ASSERT_EQ(outputs[i], expected) << table;
    }
  }
}

TEST(EmulatorInteger, Shifts) {
  const std::vector<uint64_t> amounts = {0,  1,  7,  15, 16, 17,   31,
                                         32, 33, 63, 64, 65, 1000, 0xFFFFFFFF};
  for (const std::string type : {"u16", "s16", "u32", "s32", "u64", "s64"}) {
    const int n = bits_of_type(type);
    const auto inputs = pairs(integers(n), amounts);
    const auto left = evaluate(
        {fmt::format("shl.b{} %d, %a, %b;", n), storage(type), {storage(type), "b32"}}, inputs);
    const auto right = evaluate(
        {fmt::format("shr.{} %d, %a, %b;", type), storage(type), {storage(type), "b32"}}, inputs);
    for (size_t i = 0; i < left.size(); ++i) {
      const int by = static_cast<int>(std::min<uint64_t>(inputs[1][i], static_cast<uint64_t>(n)));
      const Int a = value(inputs[0][i], type);
      ASSERT_EQ(left[i],
                wrap(static_cast<Int>(static_cast<unsigned __int128>(inputs[0][i]) << by), n))
          << type << " " << by;
      ASSERT_EQ(right[i], wrap(a >> by, n)) << type << " " << by;
    }
  }
  const auto inputs = triples(integers(32, 4), integers(32, 4), amounts);
  for (const bool is_left : {true, false}) {
    for (const bool wraps : {true, false}) {
      const auto outputs = evaluate({fmt::format("shf.{}.{}.b32 %d, %a, %b, %c;",
                                                 is_left ? "l" : "r", wraps ? "wrap" : "clamp"),
                                     "b32",
                                     {"b32", "b32", "b32"}},
                                    inputs);
      for (size_t i = 0; i < outputs.size(); ++i) {
        const uint64_t both = inputs[1][i] << 32 | inputs[0][i];
        const uint64_t n = wraps ? inputs[2][i] & 31 : std::min<uint64_t>(inputs[2][i], 32);
        const uint64_t expected =
            is_left ? static_cast<uint64_t>((static_cast<unsigned __int128>(both) << n) >> 32) &
                          0xFFFFFFFF
                    : both >> n & 0xFFFFFFFF;
        ASSERT_EQ(outputs[i], expected);
      }
    }
  }
}

// The definition in the ISA, bit by bit.
TEST(EmulatorInteger, BitFields) {
  const std::vector<uint64_t> positions = {0, 1, 5, 31, 32, 40, 63, 64, 255, 256, 300};
  for (const std::string type : {"u32", "s32", "u64", "s64"}) {
    const int msb = bits_of_type(type) - 1;
    const auto inputs = triples(integers(msb + 1, 4), positions, positions);
    const auto outputs = evaluate(
        {fmt::format("bfe.{} %d, %a, %b, %c;", type), storage(type), {storage(type), "b32", "b32"}},
        inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      const uint64_t a = inputs[0][i];
      const int pos = static_cast<int>(inputs[1][i] & 255),
                len = static_cast<int>(inputs[2][i] & 255);
      const uint64_t sbit =
          !is_signed_type(type) || len == 0 ? 0 : a >> std::min(pos + len - 1, msb) & 1;
      uint64_t d = 0;
      for (int b = 0; b <= msb; ++b)
        d |= (b < len && pos + b <= msb ? a >> (pos + b) & 1 : sbit) << b;
      ASSERT_EQ(outputs[i], d) << fmt::format("{} {:#x} {} {}", type, a, pos, len);
    }
  }
  for (const int n : {32, 64}) {
    const std::string type = "b" + std::to_string(n);
    std::vector<std::vector<uint64_t>> inputs(4);
    for (const uint64_t a : integers(n, 3)) {
      for (const uint64_t b : {integers(n, 3)[1], integers(n, 3)[17], integers(n, 3)[20]}) {
        for (const uint64_t pos : positions) {
          for (const uint64_t len : positions) {
            inputs[0].push_back(a);
            inputs[1].push_back(b);
            inputs[2].push_back(pos);
            inputs[3].push_back(len);
          }
        }
      }
    }
    const auto outputs = evaluate(
        {fmt::format("bfi.{} %d, %a, %b, %c, %e;", type), type, {type, type, "b32", "b32"}},
        inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      uint64_t f = inputs[1][i];
      const uint64_t pos = inputs[2][i] & 255, len = inputs[3][i] & 255;
      for (uint64_t b = 0; b < len && pos + b < static_cast<uint64_t>(n); ++b) {
        f &= ~(uint64_t{1} << (pos + b));
        f |= (inputs[0][i] >> b & 1) << (pos + b);
      }
      ASSERT_EQ(outputs[i], f);
    }
  }
}

TEST(EmulatorInteger, Permute) {
  std::vector<uint64_t> selectors = {0x0123, 0x3210, 0x7654, 0x5410,    0x7632,
                                     0x8888, 0xFEDC, 0x9A31, 0xFFFFBEEF};
  const auto inputs = triples(integers(32, 4), integers(32, 4), selectors);
  const auto byte = [&](size_t i, uint64_t index) {
    return (inputs[1][i] << 32 | inputs[0][i]) >> (8 * index) & 255;
  };
  const auto outputs = evaluate({"prmt.b32 %d, %a, %b, %c;", "b32", {"b32", "b32", "b32"}}, inputs);
  for (size_t i = 0; i < outputs.size(); ++i) {
    uint64_t expected = 0;
    for (uint64_t j = 0; j < 4; ++j) {
      const uint64_t nibble = inputs[2][i] >> (4 * j) & 15;
      uint64_t b = byte(i, nibble & 7);
      if ((nibble & 8) != 0) b = (b & 128) != 0 ? 255 : 0;
      expected |= b << (8 * j);
    }
    ASSERT_EQ(outputs[i], expected);
  }
  // The tables of the ISA: bytes from the most significant to the least for selector 0 to 3.
  const std::map<std::string, std::array<std::array<int, 4>, 4>> kModes = {
      {"f4e", {{{3, 2, 1, 0}, {4, 3, 2, 1}, {5, 4, 3, 2}, {6, 5, 4, 3}}}},
      {"b4e", {{{5, 6, 7, 0}, {6, 7, 0, 1}, {7, 0, 1, 2}, {0, 1, 2, 3}}}},
      {"rc8", {{{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 2, 2, 2}, {3, 3, 3, 3}}}},
      {"ecl", {{{3, 2, 1, 0}, {3, 2, 1, 1}, {3, 2, 2, 2}, {3, 3, 3, 3}}}},
      {"ecr", {{{0, 0, 0, 0}, {1, 1, 1, 0}, {2, 2, 1, 0}, {3, 2, 1, 0}}}},
      {"rc16", {{{1, 0, 1, 0}, {3, 2, 3, 2}, {1, 0, 1, 0}, {3, 2, 3, 2}}}}};
  for (const auto& [mode, table] : kModes) {
    const auto permuted = evaluate(
        {fmt::format("prmt.b32.{} %d, %a, %b, %c;", mode), "b32", {"b32", "b32", "b32"}}, inputs);
    for (size_t i = 0; i < permuted.size(); ++i) {
      const auto& row = table[inputs[2][i] & 3];
      uint64_t expected = 0;
      for (size_t j = 0; j < 4; ++j)
        expected = expected << 8 | byte(i, static_cast<uint64_t>(row[j]));
      ASSERT_EQ(permuted[i], expected) << mode;
    }
  }
}

TEST(EmulatorInteger, BitCounts) {
  for (const std::string type : {"u32", "s32", "u64", "s64"}) {
    const int n = bits_of_type(type);
    const std::vector<std::vector<uint64_t>> inputs = {integers(n, 60)};
    const auto run = [&](const std::string& text, const std::string& result) {
      return evaluate({text, result, {storage(type)}}, inputs);
    };
    const auto popc = run(fmt::format("popc.b{} %d, %a;", n), "b32"),
               clz = run(fmt::format("clz.b{} %d, %a;", n), "b32"),
               brev = run(fmt::format("brev.b{} %d, %a;", n), storage(type)),
               bfind = run(fmt::format("bfind.{} %d, %a;", type), "b32"),
               amount = run(fmt::format("bfind.shiftamt.{} %d, %a;", type), "b32");
    for (size_t i = 0; i < popc.size(); ++i) {
      const uint64_t a = inputs[0][i];
      int ones = 0, highest = -1, found = -1;
      uint64_t reversed = 0;
      const bool negative = is_signed_type(type) && (a >> (n - 1) & 1) != 0;
      for (int b = 0; b < n; ++b) {
        const uint64_t bit = a >> b & 1;
        ones += static_cast<int>(bit);
        if (bit != 0) highest = b;
        if ((bit != 0) != negative) found = b;
        reversed |= bit << (n - 1 - b);
      }
      ASSERT_EQ(popc[i], static_cast<uint64_t>(ones));
      ASSERT_EQ(clz[i], static_cast<uint64_t>(n - 1 - highest));
      ASSERT_EQ(brev[i], reversed);
      ASSERT_EQ(bfind[i], static_cast<uint32_t>(found)) << type << " " << a;
      ASSERT_EQ(amount[i], found < 0 ? 0xFFFFFFFFu : static_cast<uint32_t>(n - 1 - found));
    }
  }
  const std::vector<uint64_t> small = {0, 1, 5, 31, 32, 40};
  const auto inputs = pairs(small, small);
  const auto clamp = evaluate({"bmsk.clamp.b32 %d, %a, %b;"}, inputs),
             wrapped = evaluate({"bmsk.wrap.b32 %d, %a, %b;"}, inputs);
  for (size_t i = 0; i < clamp.size(); ++i) {
    const auto mask = [](uint64_t at, uint64_t count) {
      uint32_t m = 0;
      for (uint64_t b = at; b < at + count && b < 32; ++b) m |= 1u << b;
      return m;
    };
    EXPECT_EQ(clamp[i], mask(inputs[0][i], inputs[1][i]));
    EXPECT_EQ(wrapped[i], mask(inputs[0][i] & 31, inputs[1][i] & 31));
  }
}

TEST(EmulatorInteger, AbsNegAndPacked) {
  for (const std::string type : {"s16", "s32", "s64"}) {
    const int n = bits_of_type(type);
    const std::vector<std::vector<uint64_t>> inputs = {integers(n, 40)};
    const auto abs =
        evaluate({fmt::format("abs.{} %d, %a;", type), storage(type), {storage(type)}}, inputs);
    const auto neg =
        evaluate({fmt::format("neg.{} %d, %a;", type), storage(type), {storage(type)}}, inputs);
    for (size_t i = 0; i < abs.size(); ++i) {
      const Int a = value(inputs[0][i], type);
      ASSERT_EQ(abs[i], wrap(a < 0 ? -a : a, n));
      ASSERT_EQ(neg[i], wrap(-a, n));
    }
  }
  const auto inputs = pairs(integers(32), integers(32));
  const auto check = [&](const std::string& opcode, const std::string& part,
                         const Binary& formula) {
    const auto outputs = evaluate({fmt::format("{}x2 %d, %a, %b;", opcode)}, inputs);
    for (size_t i = 0; i < outputs.size(); ++i) {
      uint64_t expected = 0;
      for (int h = 0; h < 2; ++h)
        expected |= wrap(formula(value(inputs[0][i] >> (16 * h), part),
                                 value(inputs[1][i] >> (16 * h), part)),
                         16)
                    << (16 * h);
      ASSERT_EQ(outputs[i], expected) << opcode;
    }
  };
  check("add.u16", "u16", [](Int a, Int b) { return a + b; });
  check("min.s16", "s16", [](Int a, Int b) { return a < b ? a : b; });
  check("max.u16", "u16", [](Int a, Int b) { return a < b ? b : a; });
}

TEST(EmulatorInteger, DotProducts) {
  const auto inputs = triples(integers(32, 6), integers(32, 6), integers(32, 2));
  for (const std::string a : {"u32", "s32"}) {
    for (const std::string b : {"u32", "s32"}) {
      const std::string a8 = a.substr(0, 1) + "8", b8 = b.substr(0, 1) + "8",
                        a16 = a.substr(0, 1) + "16";
      const std::vector<std::string> sources(3, "b32");
      const auto four =
          evaluate({fmt::format("dp4a.{}.{} %d, %a, %b, %c;", a, b), "b32", sources}, inputs);
      const auto low =
          evaluate({fmt::format("dp2a.lo.{}.{} %d, %a, %b, %c;", a, b), "b32", sources}, inputs);
      const auto high =
          evaluate({fmt::format("dp2a.hi.{}.{} %d, %a, %b, %c;", a, b), "b32", sources}, inputs);
      for (size_t i = 0; i < four.size(); ++i) {
        Int s4 = static_cast<Int>(inputs[2][i]), lo = s4, hi = s4;
        for (int j = 0; j < 4; ++j)
          s4 += value(inputs[0][i] >> (8 * j), a8) * value(inputs[1][i] >> (8 * j), b8);
        for (int j = 0; j < 2; ++j) {
          lo += value(inputs[0][i] >> (16 * j), a16) * value(inputs[1][i] >> (8 * j), b8);
          hi += value(inputs[0][i] >> (16 * j), a16) * value(inputs[1][i] >> (16 + 8 * j), b8);
        }
        ASSERT_EQ(four[i], wrap(s4, 32));
        ASSERT_EQ(low[i], wrap(lo, 32));
        ASSERT_EQ(high[i], wrap(hi, 32));
      }
    }
  }
}

}  // namespace
}  // namespace maskjit::emulator
