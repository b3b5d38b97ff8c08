// Counts against numbers worked out by hand.
#include <fmt/format.h>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

// One warp; %r1 the lane, %rd1 an aligned buffer of 64 KiB, %rd2 shared memory of 16 KiB.
Report run(const std::string& body, uint32_t threads = 32) {
  const Module module = parse_or_fail(module_text(fmt::format(R"(
.shared .align 128 .b8 tile[16384];
.visible .entry k(.param .u64 p)
{{
.reg .pred %p<8>; .reg .b16 %h<4>; .reg .b32 %r<32>; .reg .b64 %rd<16>;
ld.param.u64 %rd1, [p]; mov.u32 %r1, %laneid; mov.u64 %rd2, tile;
{}
ret;
}})",
                                                              body),
                                                  "sm_90"));
  Memory memory;
  const DeviceAddress buffer = memory.allocate(65536);
  Parameters parameters;
  parameters.add(buffer);
  LaunchConfig config;
  config.block = {threads, 1, 1};
  config.params = parameters.bytes();
  Report report = launch(module, memory, "k", config);
  EXPECT_TRUE(report.ok()) << report.fault->render();
  return report;
}

std::string at(std::string_view base, int scale) {
  return fmt::format("mul.wide.u32 %rd3, %r1, {}; add.s64 %rd4, {}, %rd3;\n", scale, base);
}

TEST(EmulatorCounts, GlobalSectors) {
  struct Case {
    std::string access;
    int stride;
    uint64_t sectors, useful, lane_bytes;
  };
  for (const Case& c : std::vector<Case>{
           {"ld.global.b32 %r2, [%rd4];", 4, 4, 128, 128},     // coalesced
           {"ld.global.b32 %r2, [%rd4];", 8, 8, 128, 128},     // every other word
           {"ld.global.b32 %r2, [%rd4];", 128, 32, 128, 128},  // one sector a lane
           {"ld.global.b32 %r2, [%rd4];", 0, 1, 4, 128},       // all the same
           {"ld.global.b8 %r2, [%rd4];", 1, 1, 32, 32},
           {"ld.global.b64 %rd5, [%rd4];", 8, 8, 256, 256},
           {"ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd4];", 16, 16, 512, 512},
           {"ld.global.v4.b32 {%r2, %r3, %r4, %r5}, [%rd4];", 64, 32, 512, 512},
           {"ld.global.b32 %r2, [%rd4+16];", 4, 5, 128, 128}}) {  // beside a sector's start
    const GlobalTraffic traffic = run(at("%rd1", c.stride) + c.access).counts.global_loads;
    EXPECT_EQ(traffic.requests, 1u) << c.access;
    EXPECT_EQ(traffic.sectors, c.sectors) << c.access << c.stride;
    EXPECT_EQ(traffic.useful_bytes, c.useful) << c.access << c.stride;
    EXPECT_EQ(traffic.lane_bytes, c.lane_bytes) << c.access << c.stride;
    EXPECT_EQ(traffic.wasted_bytes(), 32 * c.sectors - c.useful);
  }
  // In any order of lanes.
  const Report backwards =
      run("sub.u32 %r6, 31, %r1; mul.wide.u32 %rd3, %r6, 4; add.s64 %rd4, %rd1, %rd3; "
          "st.global.b32 [%rd4], %r1;");
  EXPECT_EQ(backwards.counts.global_stores.sectors, 4u);
  EXPECT_EQ(backwards.counts.global_loads.requests, 0u);
  // Lanes that are off ask for nothing.
  const Report half =
      run(at("%rd1", 4) + "setp.lt.u32 %p1, %r1, 8; @%p1 ld.global.b32 %r2, [%rd4];");
  EXPECT_EQ(half.counts.global_loads.sectors, 1u);
  const Report none =
      run(at("%rd1", 4) + "setp.gt.u32 %p1, %r1, 99; @%p1 ld.global.b32 %r2, [%rd4];");
  EXPECT_EQ(none.counts.global_loads.requests, 0u);
  EXPECT_EQ(run(at("%rd1", 4) + "red.global.add.u32 [%rd4], 1;").counts.global_atomics.sectors, 4u);
}

TEST(EmulatorCounts, BankConflicts) {
  struct Case {
    std::string access;
    int stride;
    uint64_t wavefronts, conflicts;
  };
  for (const Case& c :
       std::vector<Case>{{"st.shared.b32 [%rd4], %r1;", 4, 1, 0},
                         {"st.shared.b32 [%rd4], %r1;", 8, 2, 1},
                         {"st.shared.b32 [%rd4], %r1;", 16, 4, 3},
                         {"st.shared.b32 [%rd4], %r1;", 128, 32, 31},
                         {"st.shared.b32 [%rd4], %r1;", 132, 1, 0},  // padded rows
                         {"st.shared.b32 [%rd4], 1;", 0, 1, 0},      // one word for all
                         {"st.shared.b8 [%rd4], %r1;", 1, 1, 0},     // four lanes a word
                         {"st.shared.v2.b32 [%rd4], {%r1, %r1};", 8, 2, 0},
                         {"st.shared.v2.b32 [%rd4], {%r1, %r1};", 16, 4, 2},
                         {"st.shared.v4.b32 [%rd4], {%r1, %r1, %r1, %r1};", 16, 4, 0},
                         {"st.shared.v4.b32 [%rd4], {%r1, %r1, %r1, %r1};", 128, 32, 28}}) {
    const Report report = run(at("%rd2", c.stride) + c.access);
    EXPECT_EQ(report.counts.shared_stores.wavefronts, c.wavefronts) << c.access << c.stride;
    EXPECT_EQ(report.counts.shared_stores.conflicts, c.conflicts) << c.access << c.stride;
    // The line that causes them is named.
    uint64_t by_line = 0;
    for (const LineCounts& line : report.counts.lines) {
      if (line.shared.conflicts == 0) continue;
      by_line += line.shared.conflicts;
      EXPECT_EQ(line.opcode, c.access.substr(0, c.access.find(' ')));
    }
    EXPECT_EQ(by_line, c.conflicts);
  }
  // Rows of 128 bytes: eight rows of a matrix are in the same banks, unless they are swizzled.
  const std::string fill =
      "mov.u32 %r5, 0; FILL: mad.lo.u32 %r6, %r5, 512, 0; cvt.u64.u32 %rd6, %r6; add.s64 %rd6, "
      "%rd6, %rd2; mul.wide.u32 %rd7, %r1, 16; add.s64 %rd6, %rd6, %rd7;"
      "st.shared.v4.b32 [%rd6], {%r1, %r1, %r1, %r1}; add.u32 %r5, %r5, 1; setp.lt.u32 %p1, %r5, "
      "16; @%p1 bra FILL; bar.warp.sync -1;\n";
  const std::string load =
      "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r10, %r11, %r12, %r13}, [%rd4];";
  EXPECT_EQ(run(fill + at("%rd2", 128) + load).counts.matrix_loads.conflicts, 28u);
  EXPECT_EQ(run(fill +
                "and.b32 %r7, %r1, 7; shl.b32 %r7, %r7, 4; shl.b32 %r8, %r1, 7; xor.b32 %r8, %r8, "
                "%r7; cvt.u64.u32 %rd8, %r8; add.s64 %rd4, %rd2, %rd8;" +
                load)
                .counts.matrix_loads.conflicts,
            0u);
  EXPECT_EQ(
      run(at("%rd2", 128) + "cp.async.cg.shared.global [%rd4], [%rd1], 16; cp.async.wait_all;")
          .counts.async_writes.conflicts,
      28u);
}

TEST(EmulatorCounts, InstructionsByClassAndLine) {
  const Report report = run(R"(mov.u32 %r2, 0;
LOOP:
add.u32 %r2, %r2, 1;
setp.lt.u32 %p1, %r2, %r1;
@%p1 bra LOOP;
ex2.approx.ftz.f32 %r3, %r2;
fma.rn.f32 %r4, %r3, %r3, %r3;
cvt.rn.f32.u32 %r5, %r2;
shfl.sync.bfly.b32 %r6, %r5, 1, 31, -1;
bar.sync 0;)",
                            64);
  ASSERT_TRUE(report.ok());
  const Counts& counts = report.counts;
  // The loop runs as often as its slowest lane, 31 times; lanes 0 and 1 make one trip, lane 2 two,
  // ...
  EXPECT_EQ(counts.by_opcode.at("add.u32"), 62u);
  EXPECT_EQ(counts.by_class.at("compare"), 62u);
  EXPECT_EQ(counts.by_class.at("special"), 2u);
  EXPECT_EQ(counts.by_class.at("float"), 2u);
  EXPECT_EQ(counts.by_class.at("convert"), 2u);
  EXPECT_EQ(counts.by_class.at("warp"), 2u);
  EXPECT_EQ(counts.by_class.at("barrier"), 2u);
  EXPECT_EQ(counts.barriers, 1u);
  EXPECT_EQ(counts.divergent_jumps, 60u);
  uint64_t total = 0, threads = 0;
  for (const auto& [name, count] : counts.by_class) total += count;
  EXPECT_EQ(total, counts.warp_instructions);
  for (const LineCounts& line : counts.lines) {
    threads += line.lanes;
    if (line.opcode == "add.u32") {
      EXPECT_EQ(line.executions, 62u);
      EXPECT_EQ(line.lanes, 2 * (1 + 31 * 32 / 2));
      EXPECT_EQ(line.line, 12u);
    }
  }
  EXPECT_EQ(threads, counts.thread_instructions);
}

TEST(EmulatorCounts, SharedBytes) {
  const Report report = run("st.shared.b32 [tile+1000], 1;");
  EXPECT_EQ(report.counts.shared_bytes, 16384u);
  EXPECT_EQ(report.counts.peak_shared_bytes, 1004u);
}

}  // namespace
}  // namespace maskjit::emulator
