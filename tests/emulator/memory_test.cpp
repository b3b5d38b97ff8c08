// Loads, stores and atomics in every space.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

// A kernel "k(out)" of one warp; %rd1 is out, %r1 the thread.
std::string kernel(std::string_view body, std::string_view globals = "") {
  return module_text(
      fmt::format("{}\n.visible .entry k(.param .u64 p)\n{{\n"
                  ".reg .pred %p<8>; .reg .b16 %h<16>; .reg .b32 %r<32>; .reg .b64 %rd<16>;\n"
                  "ld.param.u64 %rd1, [p];\nmov.u32 %r1, %tid.x;\n{}\nret;\n}}\n",
                  globals, body),
      "sm_90");
}

std::vector<uint32_t> run(const std::string& text, size_t words, uint32_t threads = 32,
                          std::vector<uint32_t> initial = {}) {
  const Module module = parse_or_fail(text);
  Memory memory;
  initial.resize(words, 0xCDCDCDCD);
  const DeviceAddress out = upload(memory, initial, "out");
  Parameters parameters;
  parameters.add(out);
  LaunchConfig config;
  config.block = {threads, 1, 1};
  config.params = parameters.bytes();
  const Report report = launch(module, memory, "k", config);
  EXPECT_TRUE(report.ok()) << report.fault->render();
  return download<uint32_t>(memory, out, words);
}

TEST(EmulatorMemory, WidthsAndSigns) {
  const auto words = run(kernel(R"(
    setp.ne.u32 %p1, %r1, 0;
    @%p1 bra DONE;
    ld.global.s8 %r2, [%rd1];      st.global.b32 [%rd1+16], %r2;
    ld.global.u8 %r2, [%rd1];      st.global.b32 [%rd1+20], %r2;
    ld.global.s16 %r2, [%rd1+2];   st.global.b32 [%rd1+24], %r2;
    ld.global.u16 %h1, [%rd1+2];   cvt.u32.u16 %r2, %h1; st.global.b32 [%rd1+28], %r2;
    ld.global.s32 %rd2, [%rd1+4];  st.global.b64 [%rd1+32], %rd2;
    ld.global.s8 %h2, [%rd1+1];    st.global.b16 [%rd1+40], %h2;
    mov.u32 %r3, 0x11223344;       st.global.u8 [%rd1+43], %r3;
    mov.u16 %h3, 0x5566;           st.global.b8 [%rd1+42], %h3;
    mov.u64 %rd3, 0x1122334455667788; st.global.b32 [%rd1+44], %rd3;
  DONE:)"),
                         12, 32, {0x8001F080u, 0x80000001u});
  EXPECT_EQ(words[4], 0xFFFFFF80u);
  EXPECT_EQ(words[5], 0x80u);
  EXPECT_EQ(words[6], 0xFFFF8001u);
  EXPECT_EQ(words[7], 0x8001u);
  EXPECT_EQ(words[8], 0x80000001u);
  EXPECT_EQ(words[9], 0xFFFFFFFFu);
  EXPECT_EQ(words[10], 0x4466FFF0u);
  EXPECT_EQ(words[11], 0x55667788u);
}

TEST(EmulatorMemory, VectorsInEverySpace) {
  const auto words = run(kernel(R"(
    .local .align 16 .b8 depot[32];
    mul.wide.u32 %rd2, %r1, 64;
    add.s64 %rd3, %rd1, %rd2;
    mul.lo.u32 %r2, %r1, 10;
    add.u32 %r3, %r2, 1; add.u32 %r4, %r2, 2; add.u32 %r5, %r2, 3;
    // global
    st.global.v4.b32 [%rd3], {%r2, %r3, %r4, %r5};
    // shared
    mov.u64 %rd4, tile; mul.wide.u32 %rd5, %r1, 16; add.s64 %rd4, %rd4, %rd5;
    st.shared.v2.b32 [%rd4], {%r3, %r2};
    st.shared.v2.b32 [%rd4+8], {%r5, %r4};
    ld.shared.v4.b32 {%r6, %r7, %r8, %r9}, [%rd4];
    st.global.v4.u32 [%rd3+16], {%r6, %r7, %r8, %r9};
    // local, and the same through a generic address
    mov.u64 %rd6, depot;
    st.local.v2.b32 [%rd6+8], {%r2, %r5};
    cvta.local.u64 %rd7, %rd6;
    ld.v2.b32 {%r10, _}, [%rd7+8];
    ld.b32 %r11, [%rd7+12];
    // shared through a generic address
    cvta.shared.u64 %rd8, %rd4;
    ld.b64 %rd9, [%rd8];
    mov.b64 {%r12, %r13}, %rd9;
    isspacep.shared %p1, %rd8; isspacep.local %p2, %rd8; isspacep.global %p3, %rd1;
    selp.u32 %r14, 1, 0, %p1; selp.u32 %r15, 2, 0, %p2; selp.u32 %r16, 4, 0, %p3;
    or.b32 %r14, %r14, %r15; or.b32 %r14, %r14, %r16;
    st.global.v4.b32 [%rd3+32], {%r10, %r11, %r12, %r14};
    // constants and initialised globals
    ld.const.b32 %r17, [table+8]; ld.global.b32 %r18, [start]; ld.global.u64 %rd10, [pointer]; ld.global.b32 %r19, [%rd10];
    ld.global.f32 %r20, [start+4];
    st.global.v4.b32 [%rd3+48], {%r17, %r18, %r19, %r20};)",
                                R"(
    .shared .align 16 .b8 tile[512];
    .const .align 4 .u32 table[4] = {10, 11, 12, 13};
    .global .align 8 .b32 start[2] = {77, 0f40490FDB};
    .global .align 8 .u64 pointer[1] = {generic(start)};)"),
                         32 * 16);
  for (uint32_t t = 0; t < 32; ++t) {
    const uint32_t* w = &words[16 * t];
    const uint32_t b = 10 * t;
    const std::vector<uint32_t> expected = {b, b + 1, b + 2, b + 3, b + 1, b,  b + 3, b + 2,
                                            b, b + 3, b + 1, 5,     12,    77, 77,    0x40490FDB};
    EXPECT_EQ(std::vector<uint32_t>(w, w + 16), expected) << t;
  }
}

TEST(EmulatorMemory, VariablesKeepTheirValues) {
  const Module module =
      parse_or_fail(kernel("atom.global.add.u32 %r2, [counter], 1; setp.eq.u32 %p1, %r1, 5; @%p1 "
                           "st.global.b32 [%rd1], %r2;",
                           ".global .u32 counter = 100;"));
  Memory memory;
  const DeviceAddress out = upload(memory, std::vector<uint32_t>{0});
  Parameters parameters;
  parameters.add(out);
  LaunchConfig config;
  config.block = {32, 1, 1};
  config.params = parameters.bytes();
  ASSERT_TRUE(launch(module, memory, "k", config).ok());
  EXPECT_EQ(download<uint32_t>(memory, out, 1)[0], 105u);
  ASSERT_TRUE(launch(module, memory, "k", config).ok());
  EXPECT_EQ(download<uint32_t>(memory, out, 1)[0], 137u);
  EXPECT_EQ(download<uint32_t>(memory, *variable_address(module, memory, "counter"), 1)[0], 164u);
  EXPECT_FALSE(variable_address(module, memory, "other").has_value());
}

TEST(EmulatorMemory, Atomics) {
  struct Case {
    std::string op, type;
    uint32_t initial, expected;
  };
  // Every one of 32 lanes applies its lane number.
  const std::vector<Case> cases = {
      {"add", "u32", 5, 5 + 496},     {"add", "s32", 0xFFFFFFFF, 495},
      {"min", "u32", 100, 0},         {"min", "s32", 0xFFFFFFF0, 0xFFFFFFF0},
      {"max", "s32", 0xFFFFFFF0, 31}, {"max", "u32", 0xFFFFFFF0, 0xFFFFFFF0},
      {"and", "b32", 0xFF, 0},        {"or", "b32", 0x100, 0x11F},
      {"xor", "b32", 0x100, 0x100},   {"exch", "b32", 7, 31}};
  for (const Case& c : cases) {
    for (const std::string space : {"global", "shared"}) {
      const bool shared = space == "shared";
      const std::string text = kernel(
          fmt::format(
              R"(
        {} mov.u64 %rd2, {};
        setp.ne.u32 %p1, %r1, 0;
        @!%p1 st.shared.b32 [cell], {};
        bar.sync 0;
        atom.{}.{}.{} %r2, [%rd2], %r1;
        {}
        bar.sync 0;
        ld.{}.b32 %r3, [%rd2]; st.global.b32 [%rd1], %r3;)",
              "", shared ? "cell" : "%rd1", static_cast<int32_t>(c.initial), space, c.op, c.type,
              c.op == "exch"
                  ? ""
                  : fmt::format("red.{}.{}.{} [%rd2], 0;", space,
                                c.op == "min" || c.op == "max" || c.op == "and" ? "add" : c.op,
                                c.op == "min" || c.op == "max" || c.op == "and" ? "u32" : c.type),
              space),
          ".shared .align 4 .b8 cell[4];");
      EXPECT_EQ(run(text, 1, 32, {c.initial})[0], c.expected)
          << c.op << "." << c.type << " " << space;
    }
  }
  // Returned values are those before; inc and dec wrap at their bound; cas swaps once.
  const auto words = run(kernel(R"(
    atom.global.inc.u32 %r2, [%rd1], 9;
    atom.global.dec.u32 %r3, [%rd1+4], 4;
    atom.global.cas.b32 %r4, [%rd1+8], 3, %r1;
    mul.wide.u32 %rd2, %r1, 8; add.s64 %rd2, %rd2, %rd1;
    cvt.rn.f32.u32 %r5, %r1;
    red.global.add.f32 [%rd1+12], %r5;
    atom.global.add.noftz.f16x2 %r6, [%rd1+16], 0x3C003C00;
    cvt.u64.u32 %rd3, %r1;
    red.relaxed.gpu.global.add.u64 [%rd1+24], %rd3;
    st.global.v2.b32 [%rd2+64], {%r2, %r3};)"),
                         16 + 64, 32, {0, 0, 3, 0, 0, 0, 0, 0});
  EXPECT_EQ(words[0], 2u);  // 32 increments modulo 10
  EXPECT_EQ(words[2], 0u);  // the first lane
  EXPECT_EQ(words[3], bits(496.0f));
  EXPECT_EQ(words[4], 0x50005000u);  // 32 in f16
  EXPECT_EQ(words[6], 496u);
  std::vector<uint32_t> seen;
  for (uint32_t t = 0; t < 32; ++t) seen.push_back(words[16 + 2 * t]);
  for (uint32_t t = 0; t < 32; ++t) EXPECT_EQ(seen[t], t % 10);
  EXPECT_EQ(words[16 + 1], 0u);  // dec of 0 gives the bound
  EXPECT_EQ(words[16 + 3], 4u);
}

TEST(EmulatorMemory, ParametersAndByvalStructs) {
  const Module module = parse_or_fail(module_text(R"(
    .visible .entry k(.param .u8 a, .param .u16 b, .param .align 16 .b8 s[24], .param .u64 out, .param .f32 x)
    {
      .reg .b32 %r<8>; .reg .b64 %rd<8>;
      ld.param.u64 %rd1, [out];
      ld.param.u8 %r1, [a]; ld.param.u16 %r2, [b]; ld.param.v2.b32 {%r3, %r4}, [s+8]; ld.param.f32 %r5, [x];
      mov.b64 %rd2, s; ld.param.b32 %r6, [%rd2+20];
      cvta.param.u64 %rd3, %rd2; ld.b32 %r7, [%rd3+16];
      st.global.v4.b32 [%rd1], {%r1, %r2, %r3, %r4};
      st.global.v2.b32 [%rd1+16], {%r5, %r6};
      st.global.b32 [%rd1+24], %r7;
      ret;
    })"));
  const auto info = module.kernel("k");
  ASSERT_TRUE(info.has_value());
  ASSERT_EQ(info->parameters.size(), 5u);
  EXPECT_EQ(info->parameters[2].offset, 16u);
  EXPECT_EQ(info->parameters[3].offset, 40u);
  EXPECT_EQ(info->parameter_bytes, 52u);
  Memory memory;
  const DeviceAddress out = memory.allocate(32);
  struct alignas(16) Struct {
    uint32_t words[6];
  } const s = {{1, 2, 3, 4, 5, 6}};
  Parameters parameters;
  parameters.add(uint8_t{200}).add(uint16_t{60000}).add(&s, 24, 16).add(out).add(2.5f);
  LaunchConfig config;
  config.params = parameters.bytes();
  const Report report = launch(module, memory, "k", config);
  ASSERT_TRUE(report.ok()) << report.fault->render();
  EXPECT_EQ(download<uint32_t>(memory, out, 7),
            (std::vector<uint32_t>{200, 60000, 3, 4, static_cast<uint32_t>(bits(2.5f)), 6, 5}));
}

TEST(EmulatorMemory, Functions) {
  const auto words = run(module_text(R"(
    .func (.param .b32 result) poly(.param .b32 a, .param .align 8 .b8 pair[8])
    {
      .reg .b32 %r<6>; .reg .pred %p<2>;
      ld.param.b32 %r1, [a]; ld.param.v2.b32 {%r2, %r3}, [pair];
      setp.lt.u32 %p1, %r1, 10;
      @%p1 bra SMALL;
      mad.lo.s32 %r4, %r1, %r2, %r3;
      st.param.b32 [result], %r4;
      ret;
    SMALL:
      neg.s32 %r4, %r1;
      st.param.b32 [result], %r4;
      ret;
    }
    .visible .entry k(.param .u64 p)
    {
      .reg .pred %p<4>; .reg .b32 %r<16>; .reg .b64 %rd<4>;
      ld.param.u64 %rd1, [p]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd1, %rd1, %rd2;
      mov.u32 %r9, 0;
      setp.eq.u32 %p2, %r1, 20;
      @%p2 bra AFTER;
      {
        .param .b32 x; .param .align 8 .b8 y[8]; .param .b32 z;
        st.param.b32 [x], %r1; st.param.v2.b32 [y], {3, 7};
        call.uni (z), poly, (x, y);
        ld.param.b32 %r9, [z];
      }
    AFTER:
      activemask.b32 %r10;
      setp.ne.u32 %p3, %r10, -1;
      @%p3 mov.u32 %r9, 12345;
      st.global.b32 [%rd1], %r9;
      ret;
    })"),
                         32);
  for (uint32_t t = 0; t < 32; ++t)
    EXPECT_EQ(words[t], t == 20 ? 0 : t < 10 ? 0u - t : 3 * t + 7) << t;
}

}  // namespace
}  // namespace maskjit::emulator
