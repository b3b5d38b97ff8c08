// mov, cvt, cvta: brute force where the source is small, independent formulas elsewhere.
#include <fmt/format.h>

#include <cmath>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

const char* kRoundings[] = {"rn", "rz", "rm", "rp"};

// The candidates around x are the format's numbers just below and above; the mode picks.
double nearest_of(double x, double below, double above, bool below_is_even,
                  const std::string& mode) {
  if (below == above) return below;
  if (mode == "rz") return x > 0 ? below : above;
  if (mode == "rm") return below;
  if (mode == "rp") return above;
  if (mode == "rna")
    return x - below < above - x ? below : x - below > above - x ? above : x > 0 ? above : below;
  return x - below < above - x   ? below
         : x - below > above - x ? above
         : below_is_even         ? below
                                 : above;
}

// Every finite f16 (or bf16), in ascending order, with its bits; and the first beyond the largest.
struct Number {
  double value;
  uint64_t bits;
};
std::vector<Number> all_numbers(bool brain) {
  std::vector<Number> numbers;
  const uint64_t infinity = brain ? 0x7F80 : 0x7C00;
  for (uint64_t b = infinity - 1; b > 0; --b)
    numbers.push_back({-(brain ? bf16_value(b) : f16_value(b)), b | 0x8000});
  numbers.push_back({0, 0});
  for (uint64_t b = 1; b < infinity; ++b)
    numbers.push_back({brain ? bf16_value(b) : f16_value(b), b});
  return numbers;
}

uint64_t narrow(double x, const std::vector<Number>& numbers, bool brain, const std::string& mode) {
  if (std::isnan(x)) return 0x7FFF;
  const uint64_t sign = std::signbit(x) ? 0x8000 : 0, infinity = brain ? 0x7F80 : 0x7C00;
  if (std::isinf(x)) return sign | infinity;
  if (x == 0) return sign;
  const double largest = numbers.back().value;
  if (std::fabs(x) > largest) {
    // As if the format went on: the next number would be largest + its last place.
    const double step = largest - numbers[numbers.size() - 2].value;
    const double next = largest + step;
    const double a = std::fabs(x);
    const std::string magnitude_mode = mode == "rm"   ? (x > 0 ? "rz" : "up")
                                       : mode == "rp" ? (x > 0 ? "up" : "rz")
                                                      : mode;
    const bool up = magnitude_mode == "up" || (magnitude_mode == "rn" && a >= (largest + next) / 2);
    return sign | (up ? infinity : infinity - 1);
  }
  auto above = std::lower_bound(numbers.begin(), numbers.end(), x,
                                [](const Number& n, double v) { return n.value < v; });
  if (above->value == x) return above->bits == 0 ? sign : above->bits;
  const auto below = std::prev(above);
  const double picked = nearest_of(x, below->value, above->value, (below->bits & 1) == 0, mode);
  const uint64_t result = picked == below->value ? below->bits : above->bits;
  return (result & 0x7FFF) == 0 ? sign : result;
}

std::vector<uint64_t> interesting_f32() {
  std::vector<uint64_t> values = floats32(300);
  for (const auto& list : {all_numbers(false), all_numbers(true)}) {
    // Numbers of the format, ties between neighbours, and their neighbours in f32.
    for (size_t i = 0; i + 1 < list.size(); i += 37) {
      const auto exact = static_cast<float>(list[i].value),
                 tie = static_cast<float>((list[i].value + list[i + 1].value) / 2);
      for (const float x :
           {exact, tie, std::nextafterf(tie, INFINITY), std::nextafterf(tie, -INFINITY)})
        values.push_back(bits(x));
    }
  }
  for (const float x : {65519.996f, 65520.0f, 65535.0f, 3.3961775e38f, 3.3895314e38f}) {
    values.push_back(bits(x));
    values.push_back(bits(-x));
  }
  return values;
}

TEST(EmulatorConvert, HalvesToF32) {
  std::vector<uint64_t> all(65536);
  for (uint64_t i = 0; i < all.size(); ++i) all[i] = i;
  const auto from_f16 = evaluate({"cvt.f32.f16 %d, %a;", "b32", {"b16"}}, {all});
  const auto from_bf16 = evaluate({"cvt.f32.bf16 %d, %a;", "b32", {"b16"}}, {all});
  for (uint64_t i = 0; i < all.size(); ++i) {
    const double h = f16_value(i), b = bf16_value(i);
    ASSERT_EQ(from_f16[i], std::isnan(h) ? 0x7FFFFFFFu : bits(static_cast<float>(h))) << i;
    ASSERT_EQ(from_bf16[i], std::isnan(b) ? 0x7FFFFFFFu : bits(static_cast<float>(b))) << i;
  }
}

TEST(EmulatorConvert, F32ToHalves) {
  const auto values = interesting_f32();
  for (const bool brain : {false, true}) {
    const auto numbers = all_numbers(brain);
    for (const char* mode : kRoundings) {
      SCOPED_TRACE(mode);
      const auto outputs = evaluate(
          {fmt::format("cvt.{}.{}.f32 %d, %a;", mode, brain ? "bf16" : "f16"), "b16", {"b32"}},
          {values});
      for (size_t i = 0; i < values.size(); ++i)
        ASSERT_EQ(outputs[i], narrow(f32(values[i]), numbers, brain, mode)) << f32(values[i]);
    }
    // Two at once: the first source goes to the high half.
    std::vector<uint64_t> reversed(values.rbegin(), values.rend());
    const std::string type = brain ? "bf16x2" : "f16x2";
    for (const char* mode : {"rn", "rz"}) {
      const auto packed =
          evaluate({fmt::format("cvt.{}.{}.f32 %d, %a, %b;", mode, type)}, {values, reversed});
      const auto relu =
          evaluate({fmt::format("cvt.{}.relu.{}.f32 %d, %a, %b;", mode, type)}, {values, reversed});
      for (size_t i = 0; i < values.size(); ++i) {
        const uint64_t high = narrow(f32(values[i]), numbers, brain, mode),
                       low = narrow(f32(reversed[i]), numbers, brain, mode);
        ASSERT_EQ(packed[i], high << 16 | low);
        const auto clip = [](uint64_t h) {
          return h == 0x7FFF ? h : (h & 0x8000) != 0 ? uint64_t{0} : h;
        };
        ASSERT_EQ(relu[i], clip(high) << 16 | clip(low));
      }
    }
    const auto finite =
        evaluate({fmt::format("cvt.rn.satfinite.{}.f32 %d, %a, %b;", type)},
                 {{bits(1e38f * 3.4f), bits(INFINITY)}, {bits(-1e38f * 3.4f), bits(-INFINITY)}});
    EXPECT_EQ(finite[0], brain ? 0x7F7FFF7Fu : 0x7BFFFBFFu);
  }
}

TEST(EmulatorConvert, F64Narrows) {
  auto values = floats64(100);
  for (const uint64_t x : interesting_f32())
    values.push_back(bits(static_cast<double>(f32(x)) * (1 + 0x1p-40)));
  const auto numbers = all_numbers(false);
  for (const char* mode : kRoundings) {
    const auto half =
        evaluate({fmt::format("cvt.{}.f16.f64 %d, %a;", mode), "b16", {"b64"}}, {values});
    const auto single =
        evaluate({fmt::format("cvt.{}.f32.f64 %d, %a;", mode), "b32", {"b64"}}, {values});
    for (size_t i = 0; i < values.size(); ++i) {
      const double x = f64(values[i]);
      ASSERT_EQ(half[i], narrow(x, numbers, false, mode)) << x;
      if (std::isnan(x)) {
        ASSERT_EQ(single[i], 0x7FFFFFFFu);
        continue;
      }
      const auto near = static_cast<float>(x);
      if (static_cast<double>(near) == x) {
        ASSERT_EQ(single[i], bits(near));
        continue;
      }
      const float below = near < x ? near : std::nextafterf(near, -INFINITY),
                  above = near > x ? near : std::nextafterf(near, INFINITY);
      const std::string m = mode;
      const float want = m == "rn"   ? near
                         : m == "rz" ? (x > 0 ? below : above)
                         : m == "rm" ? below
                                     : above;
      ASSERT_EQ(single[i], bits(want)) << x;
    }
  }
  const std::vector<std::vector<uint64_t>> one = {floats32(50)};
  const auto wide = evaluate({"cvt.f64.f32 %d, %a;", "b64", {"b32"}}, one);
  for (size_t i = 0; i < wide.size(); ++i) {
    if (!std::isnan(f32(one[0][i]))) ASSERT_EQ(wide[i], bits(static_cast<double>(f32(one[0][i]))));
  }
}

// 10 bits of mantissa in the layout of f32.
TEST(EmulatorConvert, Tf32) {
  const auto values = interesting_f32();
  for (const std::string mode : {"rna", "rn", "rz"}) {
    const auto outputs =
        evaluate({fmt::format("cvt.{}.tf32.f32 %d, %a;", mode), "b32", {"b32"}, "sm_90"}, {values});
    for (size_t i = 0; i < values.size(); ++i) {
      const float x = f32(values[i]);
      if (std::isnan(x) || std::isinf(x)) continue;
      const uint64_t low = values[i] & ~uint64_t{0x1FFF}, sign = values[i] & 0x80000000u;
      const uint64_t rest = values[i] & 0x1FFF;
      bool up = false;
      if (mode == "rna") up = rest >= 0x1000;
      if (mode == "rn") up = rest > 0x1000 || (rest == 0x1000 && (low & 0x2000) != 0);
      ASSERT_EQ(outputs[i], (low & 0x7FFFFFFF) + (up ? 0x2000 : 0) + sign) << x << " " << mode;
    }
  }
}

TEST(EmulatorConvert, FloatsToIntegers) {
  auto values = floats32(200);
  for (const float x : {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 255.5f, 256.0f, -128.5f, 32767.5f, 65535.5f,
                        2147483520.0f, 4294967040.0f, 9.2e18f, 1.8e19f})
    values.push_back(bits(x));
  for (const std::string type : {"u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"}) {
    const int n = std::stoi(type.substr(1));
    const bool is_signed_type = type[0] == 's';
    const std::string result = n == 64 ? "b64" : n == 32 ? "b32" : "b16";
    for (const std::string mode : {"rni", "rzi", "rmi", "rpi"}) {
      const auto outputs =
          evaluate({fmt::format("cvt.{}.{}.f32 %d, %a;", mode, type), result, {"b32"}}, {values});
      for (size_t i = 0; i < values.size(); ++i) {
        const long double x = f32(values[i]);
        long double y = mode == "rni"   ? nearbyintl(x)
                        : mode == "rzi" ? truncl(x)
                        : mode == "rmi" ? floorl(x)
                                        : ceill(x);
        const long double high = ldexpl(1, is_signed_type ? n - 1 : n) - 1,
                          low = is_signed_type ? -ldexpl(1, n - 1) : 0;
        if (std::isnan(y)) y = 0;
        y = fminl(fmaxl(y, low), high);
        uint64_t want =
            y < 0 ? static_cast<uint64_t>(static_cast<int64_t>(y)) : static_cast<uint64_t>(y);
        if (result != "b64") want &= result == "b32" ? 0xFFFFFFFFu : 0xFFFFu;
        ASSERT_EQ(outputs[i], want) << type << " " << mode << " " << static_cast<double>(x);
      }
    }
  }
  const auto whole = evaluate({"cvt.rni.f32.f32 %d, %a;", "b32", {"b32"}}, {values});
  for (size_t i = 0; i < values.size(); ++i) {
    const float x = f32(values[i]);
    if (!std::isnan(x)) ASSERT_EQ(whole[i], bits(std::nearbyintf(x)));
  }
  const auto sat = evaluate({"cvt.sat.f32.f32 %d, %a;", "b32", {"b32"}}, {values});
  for (size_t i = 0; i < values.size(); ++i) {
    const float x = f32(values[i]);
    ASSERT_EQ(sat[i], bits(x > 0 ? std::fmin(x, 1.0f) : 0.0f));
  }
}

TEST(EmulatorConvert, IntegersToFloats) {
  for (const std::string type : {"u16", "s16", "u32", "s32", "u64", "s64"}) {
    const int n = std::stoi(type.substr(1));
    const std::string source = "b" + std::to_string(n);
    auto values = integers(n, 100);
    if (n == 64) values.push_back(0x8000008000000001);
    for (const std::string mode : kRoundings) {
      const auto single =
          evaluate({fmt::format("cvt.{}.f32.{} %d, %a;", mode, type), "b32", {source}}, {values});
      const auto half =
          evaluate({fmt::format("cvt.{}.f16.{} %d, %a;", mode, type), "b16", {source}}, {values});
      const auto numbers = all_numbers(false);
      for (size_t i = 0; i < values.size(); ++i) {
        const uint64_t ones = n == 64 ? 0 : ~((uint64_t{1} << n) - 1);
        const bool negative = type[0] == 's' && (values[i] >> (n - 1) & 1) != 0;
        const long double x = negative
                                  ? static_cast<long double>(static_cast<int64_t>(values[i] | ones))
                                  : static_cast<long double>(values[i]);
        const auto near = static_cast<float>(x);
        const float below = near <= x ? near : std::nextafterf(near, -INFINITY),
                    above = near >= x ? near : std::nextafterf(near, INFINITY);
        const float want = mode == "rn"   ? near
                           : mode == "rz" ? (x > 0 ? below : above)
                           : mode == "rm" ? below
                                          : above;
        ASSERT_EQ(single[i], bits(want)) << type << " " << values[i] << " " << mode;
        if (std::fabs(x) < 0x1p50L)
          ASSERT_EQ(half[i], narrow(static_cast<double>(x), numbers, false, mode))
              << type << " " << values[i];
      }
    }
  }
}

TEST(EmulatorConvert, IntegersToIntegers) {
  const std::vector<std::string> types = {"u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64"};
  const auto storage = [](int n) { return n == 64 ? "b64" : n == 32 ? "b32" : "b16"; };
  for (const std::string& from : types) {
    for (const std::string& to : types) {
      const int n = std::stoi(from.substr(1)), m = std::stoi(to.substr(1));
      const auto values = integers(std::max(n, 16), 40);
      for (const bool saturates : {false, true}) {
        const auto outputs =
            evaluate({fmt::format("cvt{}.{}.{} %d, %a;", saturates ? ".sat" : "", to, from),
                      storage(m),
                      {storage(n)}},
                     {values});
        for (size_t i = 0; i < values.size(); ++i) {
          const auto read = [](uint64_t raw, const std::string& type) -> __int128 {
            const int bits_count = std::stoi(type.substr(1));
            const __int128 modulus = static_cast<__int128>(1) << bits_count;
            __int128 x = static_cast<__int128>(raw) % modulus;
            if (type[0] == 's' && x >= modulus / 2) x -= modulus;
            return x;
          };
          __int128 x = read(values[i], from);
          if (saturates) {
            const __int128 high = (static_cast<__int128>(1) << (to[0] == 's' ? m - 1 : m)) - 1;
            const __int128 low = to[0] == 's' ? -high - 1 : 0;
            x = x > high ? high : x < low ? low : x;
          }
          x = read(static_cast<uint64_t>(x), to);  // extended into the register by its sign
          const int width = std::max(m, 16);
          const uint64_t want = width == 64
                                    ? static_cast<uint64_t>(x)
                                    : static_cast<uint64_t>(x) & ((uint64_t{1} << width) - 1);
          ASSERT_EQ(outputs[i], want)
              << from << " to " << to << " " << values[i] << (saturates ? " sat" : "");
        }
      }
    }
  }
  // Registers may be wider than the types.
  const auto wide = evaluate({"cvt.s64.s8 %d, %a;", "b64", {"b32"}}, {{0x80, 0x7F, 0x1FF}});
  EXPECT_EQ(wide[0], 0xFFFFFFFFFFFFFF80u);
  EXPECT_EQ(wide[1], 0x7Fu);
  EXPECT_EQ(wide[2], 0xFFFFFFFFFFFFFFFFu);
  const auto into = evaluate({"cvt.u8.u32 %d, %a;", "b32", {"b32"}}, {{0x1234}});
  EXPECT_EQ(into[0], 0x34u);
}

TEST(EmulatorConvert, Moves) {
  const auto two = pairs(integers(16, 3), integers(16, 3));
  const auto pack = evaluate({"mov.b32 %d, {%a, %b};", "b32", {"b16", "b16"}}, two);
  const auto unpack =
      evaluate({"{ .reg .b16 %t; .reg .b32 %w; mov.b32 %w, {%a, %b}; mov.b32 {%t, %d}, %w; }",
                "b16",
                {"b16", "b16"}},
               two);
  const auto sink = evaluate(
      {"{ .reg .b32 %w; mov.b32 %w, {%a, %b}; mov.b32 {%d, _}, %w; }", "b16", {"b16", "b16"}}, two);
  const auto four = evaluate({"mov.b64 %d, {%a, %b, %b, %a};", "b64", {"b16", "b16"}}, two);
  for (size_t i = 0; i < pack.size(); ++i) {
    const uint64_t a = two[0][i], b = two[1][i];
    ASSERT_EQ(pack[i], a | b << 16);
    ASSERT_EQ(unpack[i], b);
    ASSERT_EQ(sink[i], a);
    ASSERT_EQ(four[i], a | b << 16 | b << 32 | a << 48);
  }
  const auto halves64 = evaluate(
      {"{ .reg .b32 %x, %y; mov.b64 {%x, %y}, %a; mov.b64 %d, {%y, %x}; }", "b64", {"b64"}},
      {{0x1122334455667788}});
  EXPECT_EQ(halves64[0], 0x5566778811223344u);
  EXPECT_EQ(evaluate({"mov.b32 %d, 0f3F800000;", "b32", {"b32"}}, {{0}})[0], 0x3F800000u);
  EXPECT_EQ(evaluate({"mov.f32 %d, 1.5;", "b32", {"b32"}}, {{0}})[0], bits(1.5f));
  EXPECT_EQ(evaluate({"mov.f64 %d, 0d3FF8000000000000;", "b64", {"b32"}}, {{0}})[0], bits(1.5));
  EXPECT_EQ(evaluate({"mov.u32 %d, -1;", "b32", {"b32"}}, {{0}})[0], 0xFFFFFFFFu);
  EXPECT_EQ(evaluate({"mov.u32 %d, 0b101;", "b32", {"b32"}}, {{0}})[0], 5u);
  EXPECT_EQ(evaluate({"mov.u32 %d, 017;", "b32", {"b32"}}, {{0}})[0], 15u);
  EXPECT_EQ(evaluate({"mov.u32 %d, WARP_SZ;", "b32", {"b32"}}, {{0}})[0], 32u);
}

}  // namespace
}  // namespace maskjit::emulator
