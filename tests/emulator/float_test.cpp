// Floating-point arithmetic against the host's arithmetic in wider types, and comparisons.
#include <fmt/format.h>

#include <cfenv>
#include <cmath>
#include <functional>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

constexpr uint32_t kNaN = 0x7FFFFFFF;

float flushed(float x) { return std::fabs(x) < 0x1p-126f ? std::copysign(0.0f, x) : x; }

// Bits of an f32 result as PTX gives it.
uint32_t result_bits(float x, bool ftz = false) {
  if (std::isnan(x)) return kNaN;
  return std::bit_cast<uint32_t>(ftz ? flushed(x) : x);
}

// The long double (64 bits of precision) of a sum or product of two floats is exact enough to round
// to f32 in any direction once: sums of floats whose exponents differ by more are sticky.
float round_f32(long double x, int mode) {
  const auto nearest = static_cast<float>(x);
  if (mode == FE_TONEAREST || static_cast<long double>(nearest) == x || std::isnan(x))
    return nearest;
  const float below =
      static_cast<long double>(nearest) < x ? nearest : std::nextafterf(nearest, -INFINITY);
  const float above =
      static_cast<long double>(nearest) > x ? nearest : std::nextafterf(nearest, INFINITY);
  if (mode == FE_DOWNWARD) return below;
  if (mode == FE_UPWARD) return above;
  return x > 0 ? below : above;
}

struct Mode {
  const char* name;
  int host;
};
const Mode kModes[] = {
    {"rn", FE_TONEAREST}, {"rz", FE_TOWARDZERO}, {"rm", FE_DOWNWARD}, {"rp", FE_UPWARD}};

TEST(EmulatorFloat, AddSubMulF32) {
  const auto inputs = pairs(floats32(), floats32());
  for (const bool ftz : {false, true}) {
    const auto check = [&](const std::string& opcode,
                           const std::function<float(float, float)>& formula) {
      const auto outputs =
          evaluate({fmt::format("{}{}.f32 %d, %a, %b;", opcode, ftz ? ".ftz" : "")}, inputs);
      ASSERT_EQ(outputs.size(), inputs[0].size());
      for (size_t i = 0; i < outputs.size(); ++i) {
        float a = f32(inputs[0][i]), b = f32(inputs[1][i]);
        if (ftz) {
          a = flushed(a);
          b = flushed(b);
        }
        ASSERT_EQ(outputs[i], result_bits(formula(a, b), ftz)) << opcode << " " << a << " " << b;
      }
    };
    check("add.rn", [](float a, float b) { return a + b; });
    check("add", [](float a, float b) { return a + b; });
    check("sub.rn", [](float a, float b) { return a - b; });
    check("mul.rn", [](float a, float b) { return a * b; });
    check("div.rn", [](float a, float b) { return a / b; });
    check("min", [](float a, float b) {
      return std::isnan(a)   ? b
             : std::isnan(b) ? a
             : a == b        ? (std::signbit(a) ? a : b)
                             : std::fmin(a, b);
    });
    check("max", [](float a, float b) {
      return std::isnan(a)   ? b
             : std::isnan(b) ? a
             : a == b        ? (std::signbit(a) ? b : a)
                             : std::fmax(a, b);
    });
  }
  const auto nan = evaluate({"min.NaN.f32 %d, %a, %b;"}, inputs);
  for (size_t i = 0; i < nan.size(); ++i) {
    const float a = f32(inputs[0][i]), b = f32(inputs[1][i]);
    if (std::isnan(a) || std::isnan(b)) {
      ASSERT_EQ(nan[i], kNaN);
    }
  }
  const auto saturated = evaluate({"add.sat.f32 %d, %a, %b;"}, inputs);
  for (size_t i = 0; i < saturated.size(); ++i) {
    const float sum = f32(inputs[0][i]) + f32(inputs[1][i]);
    ASSERT_EQ(saturated[i], bits(std::isnan(sum) || sum <= 0 ? 0.0f : std::fmin(sum, 1.0f)));
  }
}

TEST(EmulatorFloat, DirectedRoundings) {
  const auto inputs = pairs(floats32(), floats32());
  const auto wide = pairs(floats64(6), floats64(6));
  for (const Mode& mode : kModes) {
    SCOPED_TRACE(mode.name);
    const auto sum = evaluate({fmt::format("add.{}.f32 %d, %a, %b;", mode.name)}, inputs);
    const auto product = evaluate({fmt::format("mul.{}.f32 %d, %a, %b;", mode.name)}, inputs);
    for (size_t i = 0; i < sum.size(); ++i) {
      const float a = f32(inputs[0][i]), b = f32(inputs[1][i]);
      if (!std::isfinite(a) || !std::isfinite(b)) continue;
      // Products of two floats are exact in long double; sums are, unless their exponents are far
      // apart.
      if (const long double p = static_cast<long double>(a) * b; p != 0)
        ASSERT_EQ(product[i], result_bits(round_f32(p, mode.host))) << a << " " << b;
      if (const long double s = static_cast<long double>(a) + b; s != 0 && s - a == b && s - b == a)
        ASSERT_EQ(sum[i], result_bits(round_f32(s, mode.host))) << a << " " << b;
    }
    // f64 under the host's own rounding.
    const auto sum64 =
        evaluate({fmt::format("add.{}.f64 %d, %a, %b;", mode.name), "b64", {"b64", "b64"}}, wide);
    const auto quotient64 =
        evaluate({fmt::format("div.{}.f64 %d, %a, %b;", mode.name), "b64", {"b64", "b64"}}, wide);
    for (size_t i = 0; i < sum64.size(); ++i) {
      const volatile double a = f64(wide[0][i]), b = f64(wide[1][i]);
      std::fesetround(mode.host);
      const volatile double s = a + b, q = a / b;
      std::fesetround(FE_TONEAREST);
      if (!std::isnan(s)) ASSERT_EQ(sum64[i], bits(double(s)));
      if (!std::isnan(q)) ASSERT_EQ(quotient64[i], bits(double(q)));
    }
    const std::vector<std::vector<uint64_t>> one = {floats32(100)};
    const auto root =
        evaluate({fmt::format("sqrt.{}.f32 %d, %a;", mode.name), "b32", {"b32"}}, one);
    const auto reciprocal =
        evaluate({fmt::format("rcp.{}.f32 %d, %a;", mode.name), "b32", {"b32"}}, one);
    for (size_t i = 0; i < root.size(); ++i) {
      const float a = f32(one[0][i]);
      if (!std::isfinite(a) || a == 0) continue;
      if (a > 0) ASSERT_EQ(root[i], result_bits(round_f32(sqrtl(a), mode.host))) << a;
      const long double r = 1.0L / a;
      if (std::fabs(r) < 3e38L) ASSERT_EQ(reciprocal[i], result_bits(round_f32(r, mode.host))) << a;
    }
  }
}

TEST(EmulatorFloat, Fma) {
  const auto inputs = triples(floats32(2), floats32(2), floats32(2));
  for (const Mode& mode : kModes) {
    const auto outputs = evaluate(
        {fmt::format("fma.{}.f32 %d, %a, %b, %c;", mode.name), "b32", {"b32", "b32", "b32"}},
        inputs);
    ASSERT_EQ(outputs.size(), inputs[0].size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      const float a = f32(inputs[0][i]), b = f32(inputs[1][i]), c = f32(inputs[2][i]);
      std::fesetround(mode.host);
      const volatile float x = a, y = b, z = c;
      const volatile float r = std::fmaf(x, y, z);
      std::fesetround(FE_TONEAREST);
      ASSERT_EQ(outputs[i], result_bits(r)) << mode.name << " " << a << " " << b << " " << c;
    }
  }
  // One rounding, not two.
  const auto once = evaluate({"fma.rn.f32 %d, %a, %b, %c;", "b32", {"b32", "b32", "b32"}},
                             {{0x3F800001}, {0x3F800001}, {0xBF800002}});
  EXPECT_EQ(f32(once[0]), 0x1p-46f);
  const auto wide =
      evaluate({"fma.rn.f64 %d, %a, %b, %c;", "b64", {"b64", "b64", "b64"}},
               {{bits(1.0 + 0x1p-52)}, {bits(1.0 + 0x1p-52)}, {bits(-1.0 - 0x1p-51)}});
  EXPECT_EQ(f64(wide[0]), 0x1p-104);
}

// Approximate instructions are within their documented error, and exact where the ISA says so.
TEST(EmulatorFloat, Approximations) {
  std::vector<uint64_t> values;
  for (double x = -140; x < 130; x += 0.3719) values.push_back(bits(static_cast<float>(x)));
  for (double x = 1e-38; x < 1e38; x *= 3.7) values.push_back(bits(static_cast<float>(x)));
  for (const uint64_t x : floats32(0)) values.push_back(x);
  const auto check = [&](const std::string& opcode, const std::function<double(double)>& exact,
                         double bound) {
    SCOPED_TRACE(opcode);
    const auto outputs = evaluate({opcode + ".f32 %d, %a;", "b32", {"b32"}}, {values});
    const bool ftz = opcode.find("ftz") != std::string::npos;
    for (size_t i = 0; i < outputs.size(); ++i) {
      const float a = ftz ? flushed(f32(values[i])) : f32(values[i]);
      const double want = exact(a);
      const float got = f32(outputs[i]);
      if (std::isnan(want)) {
        ASSERT_EQ(outputs[i], kNaN) << a;
      } else if (std::fabs(want) > 3.4028235e38) {
        ASSERT_EQ(got, std::copysign(INFINITY, static_cast<float>(want))) << a;
      } else if (std::fabs(want) < 0x1p-126) {
        if (ftz)
          ASSERT_EQ(got, 0.0f) << a;
        else
          ASSERT_NEAR(got, want, 0x1p-149) << a;
      } else {
        ASSERT_NEAR(got, want, bound * std::fabs(want)) << a;
      }
    }
  };
  check("ex2.approx", [](double x) { return std::exp2(x); }, 0x1p-23);
  check("ex2.approx.ftz", [](double x) { return std::exp2(x); }, 0x1p-23);
  check("lg2.approx.ftz", [](double x) { return x == 0 ? -INFINITY : std::log2(x); }, 0x1p-23);
  check("rcp.approx.ftz", [](double x) { return 1 / x; }, 0x1p-23);
  check("rsqrt.approx.ftz", [](double x) { return 1 / std::sqrt(x); }, 0x1p-23);
  check("sqrt.approx", [](double x) { return std::sqrt(x); }, 0x1p-23);
  check("sin.approx", [](double x) { return std::sin(x); }, 0x1p-23);
  check("cos.approx", [](double x) { return std::cos(x); }, 0x1p-23);
  check("tanh.approx", [](double x) { return std::tanh(x); }, 0x1p-23);
  // Whole exponents are exact: what an online softmax relies on for its maximum.
  const auto powers = evaluate({"ex2.approx.ftz.f32 %d, %a;", "b32", {"b32"}},
                               {{bits(0.0f), bits(-0.0f), bits(1.0f), bits(-126.0f),
                                 bits(-INFINITY), bits(127.0f), bits(128.0f)}});
  EXPECT_EQ(f32(powers[0]), 1.0f);
  EXPECT_EQ(f32(powers[1]), 1.0f);
  EXPECT_EQ(f32(powers[2]), 2.0f);
  EXPECT_EQ(f32(powers[3]), 0x1p-126f);
  EXPECT_EQ(f32(powers[4]), 0.0f);
  EXPECT_EQ(f32(powers[5]), 0x1p127f);
  EXPECT_EQ(f32(powers[6]), INFINITY);
  const auto inputs = pairs(floats32(), floats32());
  for (const char* opcode : {"div.approx.f32", "div.full.f32"}) {
    const auto outputs = evaluate({fmt::format("{} %d, %a, %b;", opcode)}, inputs);
    for (size_t i = 0; i < outputs.size(); ++i)
      ASSERT_EQ(outputs[i], result_bits(f32(inputs[0][i]) / f32(inputs[1][i])));
  }
}

TEST(EmulatorFloat, SignsAndProperties) {
  const std::vector<std::vector<uint64_t>> one = {floats32(50)};
  const auto neg = evaluate({"neg.f32 %d, %a;", "b32", {"b32"}}, one),
             abs = evaluate({"abs.f32 %d, %a;", "b32", {"b32"}}, one),
             flush = evaluate({"abs.ftz.f32 %d, %a;", "b32", {"b32"}}, one);
  for (size_t i = 0; i < neg.size(); ++i) {
    const float a = f32(one[0][i]);
    ASSERT_EQ(neg[i], one[0][i] ^ 0x80000000u);
    ASSERT_EQ(abs[i], one[0][i] & 0x7FFFFFFFu);
    if (!std::isnan(a)) ASSERT_EQ(flush[i], bits(std::fabs(flushed(a))));
  }
  const auto two = pairs(floats32(2), floats32(2));
  const auto sign = evaluate({"copysign.f32 %d, %a, %b;"}, two);
  for (size_t i = 0; i < sign.size(); ++i)
    ASSERT_EQ(sign[i], (two[0][i] & 0x80000000u) | (two[1][i] & 0x7FFFFFFFu));
  const std::map<std::string, std::function<bool(float)>> kProperties = {
      {"finite", [](float x) { return std::isfinite(x); }},
      {"infinite", [](float x) { return std::isinf(x); }},
      {"number", [](float x) { return !std::isnan(x); }},
      {"notanumber", [](float x) { return std::isnan(x); }},
      {"normal", [](float x) { return std::isnormal(x); }},
      {"subnormal", [](float x) { return std::fpclassify(x) == FP_SUBNORMAL; }}};
  for (const auto& [name, formula] : kProperties) {
    const auto outputs =
        evaluate({fmt::format("testp.{}.f32 %d, %a;", name), "pred", {"b32"}}, one);
    for (size_t i = 0; i < outputs.size(); ++i)
      ASSERT_EQ(outputs[i] != 0, formula(f32(one[0][i]))) << name << " " << f32(one[0][i]);
  }
}

// f16 and bf16: the exact result in f64, rounded once.
uint64_t round_half(double x, bool brain) {
  if (std::isnan(x)) return 0x7FFF;
  const int mantissa = brain ? 7 : 10, least = brain ? -126 : -14;
  const uint64_t sign = std::signbit(x) ? 0x8000 : 0;
  const double a = std::fabs(x);
  if (a == 0) return sign;
  if (std::isinf(a)) return sign | (brain ? 0x7F80 : 0x7C00);
  int e = std::max(std::ilogb(a), least);
  const double unit = std::ldexp(1.0, e - mantissa);
  double steps = std::nearbyint(a / unit);  // exact quotient: unit is a power of two
  uint64_t result = static_cast<uint64_t>(steps);
  if (e > least || steps >= std::ldexp(1.0, mantissa))
    result += static_cast<uint64_t>(e - least) << mantissa;
  const uint64_t infinity = brain ? 0x7F80 : 0x7C00;
  return sign | std::min(result, infinity);
}

TEST(EmulatorFloat, Halves) {
  for (const bool brain : {false, true}) {
    const std::string type = brain ? "bf16" : "f16";
    const auto value = brain ? bf16_value : f16_value;
    const auto values = brain ? brains() : halves();
    const auto two = pairs(values, values);
    const auto check = [&](const std::string& opcode,
                           const std::function<double(double, double)>& formula) {
      SCOPED_TRACE(opcode + "." + type);
      const auto outputs =
          evaluate({fmt::format("{}.{} %d, %a, %b;", opcode, type), "b16", {"b16", "b16"}}, two);
      for (size_t i = 0; i < outputs.size(); ++i)
        ASSERT_EQ(outputs[i], round_half(formula(value(two[0][i]), value(two[1][i])), brain))
            << value(two[0][i]) << " " << value(two[1][i]);
    };
    check("add.rn", [](double a, double b) { return a + b; });
    check("sub.rn", [](double a, double b) { return a - b; });
    check("mul.rn", [](double a, double b) { return a * b; });
    check("max", [](double a, double b) {
      return std::isnan(a)   ? b
             : std::isnan(b) ? a
             : a == b        ? (std::signbit(a) ? b : a)
                             : std::fmax(a, b);
    });
    const auto three = triples(
        values, values, {values[2], values[4], values[6], values[13], values[20], values[25]});
    const auto fma = evaluate(
        {fmt::format("fma.rn.{} %d, %a, %b, %c;", type), "b16", {"b16", "b16", "b16"}}, three);
    const auto relu = evaluate(
        {fmt::format("fma.rn.relu.{} %d, %a, %b, %c;", type), "b16", {"b16", "b16", "b16"}}, three);
    for (size_t i = 0; i < fma.size(); ++i) {
      // 64 bits of precision hold these sums, or what is left out does not decide a tie.
      const long double product = static_cast<long double>(value(three[0][i])) * value(three[1][i]);
      const long double c = value(three[2][i]), sum = product + c;
      if (!std::isnan(sum) && !std::isinf(sum) && (sum - product != c || sum - c != product))
        continue;
      if (static_cast<long double>(static_cast<double>(sum)) != sum && !std::isnan(sum)) continue;
      const uint64_t want = round_half(static_cast<double>(sum), brain);
      ASSERT_EQ(fma[i], want) << value(three[0][i]) << " " << value(three[1][i]) << " "
                              << value(three[2][i]);
      ASSERT_EQ(relu[i], want == 0x7FFF ? want : (want & 0x8000) != 0 ? 0 : want);
    }
    // Packed: both halves.
    const auto packed =
        evaluate({fmt::format("{{ .reg .b32 %x, %y, %z; mov.b32 %x, {{%a, %b}}; mov.b32 %y, {{%b, "
                              "%a}}; sub.rn.{}x2 %z, %x, %y; mov.b32 %d, %z; }}",
                              type),
                  "b32",
                  {"b16", "b16"}},
                 two);
    for (size_t i = 0; i < packed.size(); ++i) {
      const double a = value(two[0][i]), b = value(two[1][i]);
      ASSERT_EQ(packed[i], round_half(a - b, brain) | round_half(b - a, brain) << 16);
    }
    const std::vector<std::vector<uint64_t>> one = {values};
    const auto exp = evaluate(
        {fmt::format("ex2.approx{}.{} %d, %a;", brain ? ".ftz" : "", type), "b16", {"b16"}}, one);
    const auto tanh = evaluate({fmt::format("tanh.approx.{} %d, %a;", type), "b16", {"b16"}}, one);
    const auto neg = evaluate({fmt::format("neg.{} %d, %a;", type), "b16", {"b16"}}, one);
    for (size_t i = 0; i < exp.size(); ++i) {
      const double a = value(values[i]);
      const double e = brain && std::fabs(a) < 0x1p-126 ? 1 : std::exp2(a);
      if (!(brain && e < 0x1p-126)) ASSERT_EQ(exp[i], round_half(e, brain)) << a;
      ASSERT_EQ(tanh[i], round_half(std::tanh(a), brain)) << a;
      ASSERT_EQ(neg[i], values[i] ^ 0x8000);
    }
  }
}

// A sum that is a tie in f16 but for a bit far below: rounding twice gets it wrong.
TEST(EmulatorFloat, FmaOfHalvesRoundsOnce) {
  // 1024 + 2048 ... : a * b = 2^11 + 1 in units of the result's last place, plus half, plus 2^-24.
  const auto outputs = evaluate({"fma.rn.f16 %d, %a, %b, %c;", "b16", {"b16", "b16", "b16"}},
                                {{0x6800 /* 2048 */, 0x6800},
                                 {0x3C01 /* 1 + 2^-10 */, 0x3C01},
                                 {0x0001 /* 2^-24 */, 0x8001}});
  // 2050 is even in units of 2; the exact sums lie beside it.
  EXPECT_EQ(outputs[0], round_half(2050.0, false));
  const auto tie = evaluate({"fma.rn.f16 %d, %a, %b, %c;", "b16", {"b16", "b16", "b16"}},
                            {{0x3C01, 0x3C01}, {0x6400 /* 1024 */, 0x6400}, {0x3C00, 0xBC00}});
  EXPECT_EQ(tie[0], round_half(1026.0, false));
  EXPECT_EQ(tie[1], round_half(1024.0, false));
  // (1 + 2^-10) * (1 + 2^-10) * 1 = 1 + 2^-9 + 2^-20: above, with -2^-24 still above, the tie 1 +
  // 2^-9 is not one.
  const auto near = evaluate({"fma.rn.bf16 %d, %a, %b, %c;", "b16", {"b16", "b16", "b16"}},
                             {{0x3F80, 0x3F80}, {0x3F80, 0x3F80}, {0x3B80 /* 2^-8 */, 0x3B80}});
  EXPECT_EQ(near[0], 0x3F80u);  // a tie goes to even
  const auto sticky = evaluate({"fma.rn.bf16 %d, %a, %b, %c;", "b16", {"b16", "b16", "b16"}},
                               {{0x4000}, {0x0080 /* 2^-126 */}, {0x3F80}});
  EXPECT_EQ(sticky[0], 0x3F80u);
}

TEST(EmulatorFloat, Comparisons) {
  struct Case {
    const char* name;
    std::function<bool(double, double)> formula;
  };
  const auto unordered = [](double a, double b) { return std::isnan(a) || std::isnan(b); };
  const std::vector<Case> cases = {
      {"eq", [](double a, double b) { return a == b; }},
      {"ne", [&](double a, double b) { return !unordered(a, b) && a != b; }},
      {"lt", [](double a, double b) { return a < b; }},
      {"le", [](double a, double b) { return a <= b; }},
      {"gt", [](double a, double b) { return a > b; }},
      {"ge", [](double a, double b) { return a >= b; }},
      {"equ", [&](double a, double b) { return unordered(a, b) || a == b; }},
      {"neu", [&](double a, double b) { return unordered(a, b) || a != b; }},
      {"ltu", [&](double a, double b) { return unordered(a, b) || a < b; }},
      {"leu", [&](double a, double b) { return unordered(a, b) || a <= b; }},
      {"gtu", [&](double a, double b) { return unordered(a, b) || a > b; }},
      {"geu", [&](double a, double b) { return unordered(a, b) || a >= b; }},
      {"num", [&](double a, double b) { return !unordered(a, b); }},
      {"nan", [&](double a, double b) { return unordered(a, b); }}};
  const auto in32 = pairs(floats32(5), floats32(5)), in64 = pairs(floats64(5), floats64(5)),
             in16 = pairs(halves(5), halves(5));
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const auto p32 =
        evaluate({fmt::format("setp.{}.f32 %d, %a, %b;", c.name), "pred", {"b32", "b32"}}, in32);
    const auto ftz = evaluate(
        {fmt::format("setp.{}.ftz.f32 %d, %a, %b;", c.name), "pred", {"b32", "b32"}}, in32);
    const auto set = evaluate({fmt::format("set.{}.f32.f32 %d, %a, %b;", c.name)}, in32);
    const auto p64 =
        evaluate({fmt::format("setp.{}.f64 %d, %a, %b;", c.name), "pred", {"b64", "b64"}}, in64);
    const auto p16 =
        evaluate({fmt::format("setp.{}.f16 %d, %a, %b;", c.name), "pred", {"b16", "b16"}}, in16);
    for (size_t i = 0; i < p32.size(); ++i) {
      const float a = f32(in32[0][i]), b = f32(in32[1][i]);
      ASSERT_EQ(p32[i] != 0, c.formula(a, b)) << a << " " << b;
      ASSERT_EQ(ftz[i] != 0, c.formula(flushed(a), flushed(b))) << a << " " << b;
      ASSERT_EQ(set[i], c.formula(a, b) ? bits(1.0f) : 0u);
    }
    for (size_t i = 0; i < p64.size(); ++i)
      ASSERT_EQ(p64[i] != 0, c.formula(f64(in64[0][i]), f64(in64[1][i])));
    for (size_t i = 0; i < p16.size(); ++i)
      ASSERT_EQ(p16[i] != 0, c.formula(f16_value(in16[0][i]), f16_value(in16[1][i])));
  }
  const std::map<std::string, std::function<bool(int64_t, int64_t)>> kOrders = {
      {"eq", std::equal_to<>()},   {"ne", std::not_equal_to<>()}, {"lt", std::less<>()},
      {"le", std::less_equal<>()}, {"gt", std::greater<>()},      {"ge", std::greater_equal<>()}};
  const auto in = pairs(integers(32), integers(32));
  for (const auto& [name, formula] : kOrders) {
    const auto s =
        evaluate({fmt::format("setp.{}.s32 %d, %a, %b;", name), "pred", {"b32", "b32"}}, in);
    const auto u =
        evaluate({fmt::format("setp.{}.u32 %d, %a, %b;", name), "pred", {"b32", "b32"}}, in);
    const auto set = evaluate({fmt::format("set.{}.u32.s32 %d, %a, %b;", name)}, in);
    for (size_t i = 0; i < s.size(); ++i) {
      const auto a = static_cast<int32_t>(in[0][i]), b = static_cast<int32_t>(in[1][i]);
      ASSERT_EQ(s[i] != 0, formula(a, b));
      ASSERT_EQ(u[i] != 0, formula(static_cast<int64_t>(in[0][i]), static_cast<int64_t>(in[1][i])));
      ASSERT_EQ(set[i], formula(a, b) ? 0xFFFFFFFFu : 0u);
    }
  }
}

TEST(EmulatorFloat, CombinedPredicatesAndSelection) {
  const auto inputs = triples(integers(32, 2), integers(32, 2), {0, 1});
  const std::vector<std::string> sources = {"b32", "b32", "pred"};
  for (const std::string op : {"and", "or", "xor"}) {
    const auto combine = [&](bool x, bool c) {
      return op == "and" ? x && c : op == "or" ? x || c : x != c;
    };
    const auto plain =
        evaluate({fmt::format("setp.lt.{}.s32 %d, %a, %b, %c;", op), "pred", sources}, inputs);
    const auto negated =
        evaluate({fmt::format("setp.lt.{}.s32 %d, %a, %b, !%c;", op), "pred", sources}, inputs);
    const auto second =
        evaluate({fmt::format("setp.lt.{}.s32 %p2|%d, %a, %b, %c;", op), "pred", sources}, inputs);
    for (size_t i = 0; i < plain.size(); ++i) {
      const bool x = static_cast<int32_t>(inputs[0][i]) < static_cast<int32_t>(inputs[1][i]),
                 c = inputs[2][i] != 0;
      ASSERT_EQ(plain[i] != 0, combine(x, c));
      ASSERT_EQ(negated[i] != 0, combine(x, !c));
      ASSERT_EQ(second[i] != 0, combine(!x, c));
    }
  }
  const auto select = evaluate({"selp.b32 %d, %a, %b, %c;", "b32", sources}, inputs);
  for (size_t i = 0; i < select.size(); ++i)
    ASSERT_EQ(select[i], inputs[2][i] != 0 ? inputs[0][i] : inputs[1][i]);
  const auto by = triples(integers(32, 1), {7}, integers(32, 3));
  const auto sign = evaluate({"slct.b32.s32 %d, %a, %b, %c;", "b32", {"b32", "b32", "b32"}}, by);
  for (size_t i = 0; i < sign.size(); ++i)
    ASSERT_EQ(sign[i], static_cast<int32_t>(by[2][i]) >= 0 ? by[0][i] : 7u);
  const auto halves2 =
      evaluate({"{ .reg .b32 %x, %y; .reg .pred %q; mov.b32 %x, {%a, %b}; mov.b32 %y, {%b, %b}; "
                "setp.lt.f16x2 %p2|%q, %x, %y; selp.b32 %d, 1, 0, %p2; @%q add.u32 %d, %d, 2; }",
                "b32",
                {"b16", "b16"}},
               pairs(halves(3), halves(3)));
  const auto in16 = pairs(halves(3), halves(3));
  for (size_t i = 0; i < halves2.size(); ++i)
    ASSERT_EQ(halves2[i], f16_value(in16[0][i]) < f16_value(in16[1][i]) ? 1u : 0u);
}

}  // namespace
}  // namespace maskjit::emulator
