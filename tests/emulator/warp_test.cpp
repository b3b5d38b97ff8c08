// Divergence, shuffles, votes and other instructions of a warp.
#include <fmt/format.h>

#include <random>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

// One warp; each thread stores %r9 and %r8.
Report run(const std::string& body, std::vector<uint32_t>* first,
           std::vector<uint32_t>* second = nullptr, uint32_t threads = 32,
           LaunchOptions options = {}) {
  const Module module = parse_or_fail(module_text(fmt::format(R"(
    .visible .entry k(.param .u64 p)
    {{
      .reg .pred %p<8>; .reg .b32 %r<32>; .reg .b64 %rd<16>;
      ld.param.u64 %rd1, [p]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 8; add.s64 %rd1, %rd1, %rd2;
      mov.u32 %r8, 0; mov.u32 %r9, 0;
      {}
      st.global.v2.b32 [%rd1], {{%r9, %r8}};
      ret;
    }})",
                                                              body),
                                                  "sm_90"));
  Memory memory;
  const DeviceAddress out = memory.allocate(threads * 8);
  Parameters parameters;
  parameters.add(out);
  LaunchConfig config;
  config.block = {threads, 1, 1};
  config.params = parameters.bytes();
  Report report = launch(module, memory, "k", config, options);
  const auto words = download<uint32_t>(memory, out, threads * 2);
  if (first != nullptr) {
    first->clear();
    for (uint32_t t = 0; t < threads; ++t) first->push_back(words[2 * t]);
  }
  if (second != nullptr) {
    second->clear();
    for (uint32_t t = 0; t < threads; ++t) second->push_back(words[2 * t + 1]);
  }
  return report;
}

#define RUN(...)                                          \
  do {                                                    \
    const Report report_ = run(__VA_ARGS__);              \
    ASSERT_TRUE(report_.ok()) << report_.fault->render(); \
  } while (false)

// The ISA's definition, in its own terms.
TEST(EmulatorWarp, Shuffles) {
  for (const std::string mode : {"up", "down", "bfly", "idx"}) {
    for (const uint32_t b : {0u, 1u, 3u, 16u, 31u}) {
      for (const uint32_t width : {32u, 16u, 8u, 4u}) {
        const uint32_t segment = 32 - width;
        const uint32_t c = segment << 8 | (mode == "up" ? 0 : 31);
        std::vector<uint32_t> values, valid;
        RUN(fmt::format("mul.lo.u32 %r2, %r1, 100; shfl.sync.{}.b32 %r9|%p1, %r2, {}, {}, -1; "
                        "selp.u32 %r8, 1, 0, %p1;",
                        mode, b, c),
            &values, &valid);
        for (uint32_t lane = 0; lane < 32; ++lane) {
          const uint32_t max_lane = (lane & segment) | ((c & 31) & ~segment),
                         min_lane = lane & segment;
          int j = 0;
          bool p = false;
          if (mode == "up")
            j = static_cast<int>(lane) - static_cast<int>(b), p = j >= static_cast<int>(max_lane);
          if (mode == "down") j = static_cast<int>(lane + b), p = j <= static_cast<int>(max_lane);
          if (mode == "bfly") j = static_cast<int>(lane ^ b), p = j <= static_cast<int>(max_lane);
          if (mode == "idx")
            j = static_cast<int>(min_lane | (b & ~segment)), p = j <= static_cast<int>(max_lane);
          if (!p) j = static_cast<int>(lane);
          ASSERT_EQ(values[lane], 100u * static_cast<uint32_t>(j))
              << mode << " " << b << " " << width << " lane " << lane;
          ASSERT_EQ(valid[lane], p ? 1u : 0u);
        }
      }
    }
  }
}

TEST(EmulatorWarp, Votes) {
  std::vector<uint32_t> a, b;
  RUN("setp.gt.u32 %p1, %r1, 9; vote.sync.ballot.b32 %r9, %p1, -1; vote.sync.ballot.b32 %r8, !%p1, "
      "-1;",
      &a, &b);
  EXPECT_EQ(a[3], 0xFFFFFC00u);
  EXPECT_EQ(b[3], 0x000003FFu);
  for (const bool none : {false, true}) {
    const std::string all = none ? "99" : "0";
    RUN(fmt::format("setp.ge.u32 %p1, %r1, {}; vote.sync.all.pred %p2, %p1, -1; vote.sync.any.pred "
                    "%p3, %p1, -1; vote.sync.uni.pred %p4, %p1, -1;"
                    "selp.u32 %r2, 1, 0, %p2; selp.u32 %r3, 2, 0, %p3; selp.u32 %r4, 4, 0, %p4; "
                    "or.b32 %r9, %r2, %r3; or.b32 %r9, %r9, %r4;",
                    all),
        &a);
    EXPECT_EQ(a[0], none ? 4u : 7u);
  }
  RUN("and.b32 %r2, %r1, 3; match.any.sync.b32 %r9, %r2, -1; match.all.sync.b32 %r8|%p1, %r2, -1;",
      &a, &b);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(a[lane], 0x11111111u << (lane % 4));
    EXPECT_EQ(b[lane], 0u);
  }
  RUN("redux.sync.add.s32 %r9, %r1, -1; redux.sync.max.u32 %r8, %r1, -1;", &a, &b);
  EXPECT_EQ(a[7], 496u);
  EXPECT_EQ(b[7], 31u);
  RUN("not.b32 %r2, %r1; redux.sync.min.s32 %r9, %r2, -1; redux.sync.xor.b32 %r8, %r1, -1;", &a,
      &b);
  EXPECT_EQ(a[0], 0xFFFFFFE0u);
  EXPECT_EQ(b[0], 0u);
  RUN("elect.sync %r9|%p1, -1; selp.u32 %r8, 1, 0, %p1;", &a, &b);
  EXPECT_EQ(a[9], 0u);
  EXPECT_EQ(b[0], 1u);
  EXPECT_EQ(b[9], 0u);
  RUN("mov.u32 %r9, %lanemask_lt; mov.u32 %r8, %lanemask_ge;", &a, &b);
  EXPECT_EQ(a[5], 31u);
  EXPECT_EQ(b[5], ~31u);
}

// Lanes that go different ways meet at the immediate post-dominator, and only there.
TEST(EmulatorWarp, Reconvergence) {
  std::vector<uint32_t> inside, after;
  RUN(R"(
    and.b32 %r2, %r1, 1; setp.eq.u32 %p1, %r2, 0;
    @%p1 bra EVEN;
    activemask.b32 %r8;
    bra JOIN;
  EVEN:
    setp.lt.u32 %p2, %r1, 8;
    activemask.b32 %r8;
    @!%p2 bra JOIN;
    activemask.b32 %r8;
  JOIN:
    activemask.b32 %r9;)",
      &after, &inside);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(after[lane], 0xFFFFFFFFu);
    EXPECT_EQ(inside[lane], lane % 2 == 1 ? 0xAAAAAAAAu : lane < 8 ? 0x55u : 0x55555555u);
  }
  // A loop of as many trips as the lane's number; the blocks stand out of order.
  RUN(R"(
    mov.u32 %r2, 0;
    bra HEAD;
  BODY:
    add.u32 %r9, %r9, %r2;
    add.u32 %r2, %r2, 1;
    bra HEAD;
  AFTER:
    activemask.b32 %r8;
    bra END;
  HEAD:
    setp.lt.u32 %p1, %r2, %r1;
    @%p1 bra BODY;
    bra AFTER;
  END:)",
      &after, &inside);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(after[lane], lane * (lane - 1) / 2);
    EXPECT_EQ(inside[lane], 0xFFFFFFFFu);
  }
}

TEST(EmulatorWarp, NestedLoopsAgainstTheHost) {
  std::vector<uint32_t> sums, active;
  RUN(R"(
    mov.u32 %r2, 0;
  OUTER:
    and.b32 %r3, %r1, 3;
    add.u32 %r3, %r3, %r2;
  INNER:
    mad.lo.u32 %r9, %r9, 3, %r3;
    setp.gt.u32 %p1, %r3, 5;
    @%p1 bra NEXT;
    add.u32 %r3, %r3, 2;
    setp.lt.u32 %p2, %r3, 9;
    @%p2 bra INNER;
  NEXT:
    activemask.b32 %r8;
    add.u32 %r2, %r2, 1;
    shr.u32 %r4, %r1, 2;
    setp.le.u32 %p3, %r2, %r4;
    @%p3 bra OUTER;)",
      &sums, &active);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i <= lane / 4; ++i) {
      for (uint32_t x = lane % 4 + i;;) {
        sum = sum * 3 + x;
        if (x > 5) break;
        x += 2;
        if (x >= 9) break;
      }
    }
    EXPECT_EQ(sums[lane], sum) << lane;
    // The lanes of an outer trip meet behind the inner loop.
    EXPECT_EQ(active[lane], 0xFFFFFFFFu << (lane / 4 * 4)) << lane;
  }
}

TEST(EmulatorWarp, JumpTables) {
  std::vector<uint32_t> values, active;
  RUN(R"(
    and.b32 %r2, %r1, 3;
    setp.eq.u32 %p1, %r1, 31;
    @%p1 bra C3;
    TABLE: .branchtargets C0, C1, C2, C3;
    brx.idx %r2, TABLE;
  C0: mov.u32 %r9, 100; bra JOIN;
  C2: mov.u32 %r9, 300; bra JOIN;
  C1: mov.u32 %r9, 200;
  C3: add.u32 %r9, %r9, 7;
  JOIN: activemask.b32 %r8;)",
      &values, &active);
  const uint32_t expected[] = {100, 207, 300, 7};
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(values[lane], expected[lane % 4]);
    EXPECT_EQ(active[lane], 0xFFFFFFFFu);
  }
}

TEST(EmulatorWarp, PartsOfAWarp) {
  std::vector<uint32_t> values, other;
  // Each half names its own mask, in one instruction and in two.
  RUN(R"(
    setp.lt.u32 %p1, %r1, 16;
    selp.b32 %r2, 0x0000FFFF, 0xFFFF0000, %p1;
    redux.sync.add.u32 %r9, %r1, %r2;
    @%p1 bra LOW;
    redux.sync.add.u32 %r8, %r1, 0xFFFF0000;
    bra JOIN;
  LOW:
    redux.sync.add.u32 %r8, %r1, 0x0000FFFF;
  JOIN:)",
      &values, &other);
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(values[lane], lane < 16 ? 120u : 376u);
    EXPECT_EQ(other[lane], lane < 16 ? 120u : 376u);
  }
  // Lanes that diverged wait for each other at the same instruction: a loop entered at different
  // times.
  RUN(R"(
    setp.lt.u32 %p1, %r1, 4;
    mov.u32 %r2, 1;
    @%p1 mov.u32 %r2, 2;
    mov.u32 %r3, 0;
    @%p1 bra SKIP;
    add.u32 %r3, %r3, 5;
  SKIP:
    shfl.sync.bfly.b32 %r9, %r3, 31, 31, -1;)",
      &values);
  for (uint32_t lane = 0; lane < 32; ++lane) EXPECT_EQ(values[lane], lane >= 28 ? 0u : 5u);
  // Exited lanes are not waited for.
  RUN("setp.ge.u32 %p1, %r1, 30; @%p1 exit; redux.sync.add.u32 %r9, 1, -1;", &values);
  EXPECT_EQ(values[0], 30u);
}

// The same result whatever the order of warps.
TEST(EmulatorWarp, Interleavings) {
  const std::string body = R"(
    mov.u32 %r2, %warpid; mov.u64 %rd3, buffer; mul.wide.u32 %rd4, %r1, 4; add.s64 %rd4, %rd4, %rd3;
    st.shared.b32 [%rd4], %r1;
    bar.sync 0;
    xor.b32 %r3, %r1, 127; mul.wide.u32 %rd5, %r3, 4; add.s64 %rd5, %rd5, %rd3;
    ld.shared.b32 %r9, [%rd5];
    bar.sync 1, 128;
    st.shared.b32 [%rd4], %r9;
    barrier.sync 2;
    ld.shared.b32 %r8, [%rd5];
    bar.red.popc.u32 %r10, 3, %p7;)";
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::vector<uint32_t> first, second;
    LaunchOptions options;
    options.seed = seed;
    options.quantum = 1 + static_cast<uint32_t>(seed);
    RUN(".shared .align 4 .b8 buffer[512]; setp.eq.u32 %p7, %r1, 3;" + body, &first, &second, 128,
        options);
    for (uint32_t t = 0; t < 128; ++t) {
      EXPECT_EQ(first[t], t ^ 127);
      EXPECT_EQ(second[t], t);
    }
  }
}

TEST(EmulatorWarp, BarrierReductions) {
  std::vector<uint32_t> counts, flags;
  RUN(R"(
    and.b32 %r2, %r1, 3; setp.eq.u32 %p1, %r2, 0;
    bar.red.popc.u32 %r9, 0, %p1;
    bar.red.and.pred %p2, 0, %p1; bar.red.or.pred %p3, 0, 96, !%p1;
    selp.u32 %r3, 1, 0, %p2; selp.u32 %r4, 2, 0, %p3; or.b32 %r8, %r3, %r4;)",
      &counts, &flags, 96);
  EXPECT_EQ(counts[95], 24u);
  EXPECT_EQ(flags[0], 2u);
}

// Producers arrive and do not wait.
TEST(EmulatorWarp, ArriveAndSync) {
  std::vector<uint32_t> values;
  RUN(R"(
    .shared .align 4 .b8 mailbox[256];
    mov.u64 %rd3, mailbox; and.b32 %r2, %r1, 31; mul.wide.u32 %rd4, %r2, 4; add.s64 %rd4, %rd4, %rd3;
    setp.lt.u32 %p1, %r1, 32;
    @%p1 bra PRODUCER;
    bar.sync 5, 64;
    ld.shared.b32 %r9, [%rd4];
    bra END;
  PRODUCER:
    mul.lo.u32 %r3, %r1, 11;
    st.shared.b32 [%rd4], %r3;
    bar.arrive 5, 64;
  END:)",
      &values, nullptr, 64);
  for (uint32_t t = 32; t < 64; ++t) EXPECT_EQ(values[t], (t - 32) * 11);
}

TEST(EmulatorWarp, SpecialRegistersOfBlocks) {
  const Module module = parse_or_fail(module_text(R"(
    .visible .entry k(.param .u64 p)
    {
      .reg .b32 %r<32>; .reg .b64 %rd<8>;
      ld.param.u64 %rd1, [p];
      mov.u32 %r1, %tid.x; mov.u32 %r2, %tid.y; mov.u32 %r3, %tid.z; mov.u32 %r4, %ntid.x; mov.u32 %r5, %ntid.y; mov.u32 %r6, %ntid.z;
      mov.u32 %r7, %ctaid.x; mov.u32 %r8, %ctaid.y; mov.u32 %r9, %ctaid.z; mov.u32 %r10, %nctaid.x; mov.u32 %r11, %nctaid.y;
      mad.lo.u32 %r12, %r3, %r5, %r2; mad.lo.u32 %r12, %r12, %r4, %r1;
      mad.lo.u32 %r13, %r9, %r11, %r8; mad.lo.u32 %r13, %r13, %r10, %r7;
      mul.lo.u32 %r14, %r4, %r5; mul.lo.u32 %r14, %r14, %r6;
      mad.lo.u32 %r15, %r13, %r14, %r12;
      mul.wide.u32 %rd2, %r15, 4; add.s64 %rd2, %rd2, %rd1;
      mov.u32 %r16, %laneid; mov.u32 %r17, %warpid; mad.lo.u32 %r16, %r17, 32, %r16;
      sub.u32 %r16, %r16, %r12;
      add.u32 %r15, %r15, %r16;
      st.global.b32 [%rd2], %r15;
      ret;
    })"));
  Memory memory;
  LaunchConfig config;
  config.grid = {3, 2, 2};
  config.block = {5, 3, 4};
  const size_t threads = 12 * 60;
  const DeviceAddress out = memory.allocate(threads * 4);
  Parameters parameters;
  parameters.add(out);
  config.params = parameters.bytes();
  const Report report = launch(module, memory, "k", config);
  ASSERT_TRUE(report.ok()) << report.fault->render();
  const auto words = download<uint32_t>(memory, out, threads);
  for (uint32_t i = 0; i < threads; ++i) ASSERT_EQ(words[i], i);
  EXPECT_EQ(report.counts.ctas, 12u);
  EXPECT_EQ(report.counts.warps, 24u);
}

}  // namespace
}  // namespace maskjit::emulator
