// cp.async, its groups, and mbarriers: what lands when, and who may look.
#include <fmt/format.h>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

struct Outcome {
  Report report;
  std::vector<uint32_t> words;
};

// Kernel "k(in, out)": in holds 0, 1, 2, ... ; %rd3 = in + 16 * thread, %rd4 = out + 16 * thread,
// %rd6 = tile + 16 * thread.
Outcome run(const std::string& body, uint32_t threads = 64, LaunchOptions options = {}) {
  const Module module = parse_or_fail(module_text(fmt::format(R"(
    .shared .align 128 .b8 tile[8192];
    .shared .align 8 .b64 mbar;
    .visible .entry k(.param .u64 in, .param .u64 out)
    {{
      .reg .pred %p<8>; .reg .b32 %r<32>; .reg .b64 %rd<32>;
      ld.param.u64 %rd1, [in]; ld.param.u64 %rd2, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd5, %r1, 16;
      add.s64 %rd3, %rd1, %rd5; add.s64 %rd4, %rd2, %rd5; mov.u64 %rd6, tile; add.s64 %rd6, %rd6, %rd5;
      {}
      ret;
    }})",
                                                              body),
                                                  "sm_90"));
  std::vector<uint32_t> input(8192);
  for (uint32_t i = 0; i < input.size(); ++i) input[i] = i;
  Memory memory;
  const DeviceAddress in = upload(memory, input, "in"), out = memory.allocate(16 * threads);
  memory.fill(out, std::byte{0}, 16 * threads);
  Parameters parameters;
  parameters.add(in).add(out);
  LaunchConfig config;
  config.block = {threads, 1, 1};
  config.params = parameters.bytes();
  Outcome outcome;
  outcome.report = launch(module, memory, "k", config, options);
  outcome.words = download<uint32_t>(memory, out, 4 * threads);
  return outcome;
}

const std::string kLoad =
    "ld.shared.v4.b32 {%r2, %r3, %r4, %r5}, [%rd6]; st.global.v4.b32 [%rd4], {%r2, %r3, %r4, "
    "%r5};\n";
const std::string kCopy = "cp.async.cg.shared.global [%rd6], [%rd3], 16;\n";

#define EXPECT_FAULT(outcome, expected, text)                                      \
  do {                                                                             \
    const Outcome& seen_ = (outcome);                                              \
    ASSERT_FALSE(seen_.report.ok());                                               \
    EXPECT_EQ(seen_.report.fault->kind, expected) << seen_.report.fault->render(); \
    EXPECT_NE(seen_.report.fault->render().find(text), std::string::npos)          \
        << seen_.report.fault->render();                                           \
  } while (false)

TEST(EmulatorAsync, CopiesLand) {
  const Outcome outcome = run(kCopy + "cp.async.commit_group; cp.async.wait_group 0;\n" + kLoad);
  ASSERT_TRUE(outcome.report.ok()) << outcome.report.fault->render();
  for (uint32_t i = 0; i < 256; ++i) ASSERT_EQ(outcome.words[i], i);
  const Counts& counts = outcome.report.counts;
  EXPECT_EQ(counts.async_copies.requests, 2u);
  EXPECT_EQ(counts.async_copies.sectors, 32u);
  EXPECT_EQ(counts.async_copies.useful_bytes, 1024u);
  EXPECT_EQ(counts.async_writes.wavefronts, 8u);
  EXPECT_EQ(counts.async_writes.conflicts, 0u);
  EXPECT_EQ(counts.global_loads.sectors, 0u);
  EXPECT_TRUE(run(kCopy + "cp.async.wait_all;\n" + kLoad).report.ok());
}

TEST(EmulatorAsync, SmallerCopiesAndZeroFill) {
  const Outcome outcome = run(R"(
    cp.async.ca.shared.global [%rd6], [%rd3], 4;
    cp.async.ca.shared.global.L2::128B [%rd6+8], [%rd3+8], 8, 4;
    setp.gt.u32 %p1, %r1, 9; selp.b32 %r9, 0, 4, %p1;
    cp.async.ca.shared.global [%rd6+4], [%rd3+4], 4, %r9;
    cp.async.wait_all;
    )" + kLoad);
  ASSERT_TRUE(outcome.report.ok()) << outcome.report.fault->render();
  for (uint32_t t = 0; t < 64; ++t) {
    EXPECT_EQ(outcome.words[4 * t], 4 * t);
    EXPECT_EQ(outcome.words[4 * t + 1], t > 9 ? 0 : 4 * t + 1);
    EXPECT_EQ(outcome.words[4 * t + 2], 4 * t + 2);
    EXPECT_EQ(outcome.words[4 * t + 3], 0u);
  }
  // A size of 0 reads nothing, so that its source may be anywhere.
  const Outcome nowhere =
      run("mov.u64 %rd7, 64; mov.u32 %r9, 0; cp.async.cg.shared.global [%rd6], [%rd7], 16, %r9; "
          "cp.async.wait_all;\n" +
          kLoad);
  ASSERT_TRUE(nowhere.report.ok()) << nowhere.report.fault->render();
  EXPECT_EQ(nowhere.words[5], 0u);
  EXPECT_EQ(nowhere.report.counts.async_copies.sectors, 0u);
  EXPECT_FAULT(run("mov.u64 %rd7, 64; cp.async.cg.shared.global [%rd6], [%rd7], 16;"),
               FaultKind::OutOfBounds, "a read of 16 bytes of global memory");
  EXPECT_FAULT(run("cp.async.cg.shared.global [%rd6], [%rd3], 16, %r1;"), FaultKind::InvalidOperand,
               "17 source bytes for a copy of 16");
}

TEST(EmulatorAsync, MissingWait) {
  Outcome outcome = run(kCopy + "cp.async.commit_group;\n" + kLoad);
  EXPECT_FAULT(outcome, FaultKind::StaleRead, "no wait covers yet");
  EXPECT_NE(outcome.report.fault->notes[0].find("cp.async.cg.shared.global"), std::string::npos);
  // Waiting for all but one group leaves the group that is read.
  EXPECT_FAULT(run(kCopy + "cp.async.commit_group; cp.async.wait_group 1;\n" + kLoad),
               FaultKind::StaleRead, "cp.async");
  // What is not committed is in no group.
  EXPECT_FAULT(run(kCopy + "cp.async.wait_group 0;\n" + kLoad), FaultKind::StaleRead, "cp.async");
  // An empty group counts as one.
  const Outcome empty =
      run(kCopy + "cp.async.commit_group; cp.async.commit_group; cp.async.wait_group 1;\n" + kLoad);
  EXPECT_TRUE(empty.report.ok()) << empty.report.fault->render();
  // Writing where a copy is on its way.
  EXPECT_FAULT(run(kCopy + "st.shared.b32 [%rd6], %r1;"), FaultKind::AsyncConflict,
               "no wait covers yet");
  EXPECT_FAULT(run(kCopy + kCopy), FaultKind::AsyncConflict, "no wait covers yet");
}

TEST(EmulatorAsync, WaitsAreOfTheThreadThatCopied) {
  const std::string other =
      "xor.b32 %r9, %r1, 32; mul.wide.u32 %rd7, %r9, 16; mov.u64 %rd6, tile; add.s64 %rd6, %rd6, "
      "%rd7;\n";
  const std::string copy = kCopy + "cp.async.wait_all;\n";
  for (uint64_t seed = 0; seed < 6; ++seed) {
    LaunchOptions options;
    options.seed = seed;
    options.quantum = 4;
    const Outcome fine = run(copy + "bar.sync 0;\n" + other + kLoad, 64, options);
    ASSERT_TRUE(fine.report.ok()) << fine.report.fault->render();
    EXPECT_EQ(fine.words[0], 128u);
    const Outcome outcome = run(copy + other + kLoad, 64, options);
    ASSERT_FALSE(outcome.report.ok());
    EXPECT_TRUE(outcome.report.fault->kind == FaultKind::Race ||
                outcome.report.fault->kind == FaultKind::UninitialisedMemory ||
                outcome.report.fault->kind == FaultKind::StaleRead)
        << outcome.report.fault->render();
    // A barrier without the wait does not help.
    EXPECT_FAULT(run(kCopy + "bar.sync 0;\n" + other + kLoad, 64, options), FaultKind::StaleRead,
                 "cp.async");
  }
}

// A ring of two stages: the copy of the next tile must not overtake the readers of the last.
TEST(EmulatorAsync, PipelinesNeedTheirBarrier) {
  const auto pipeline = [](bool with_barrier) {
    return fmt::format(R"(
      mov.u32 %r10, 0; mov.u32 %r11, 0; mov.u64 %rd10, %rd3; mov.u64 %rd11, %rd6;
      cp.async.cg.shared.global [%rd11], [%rd10], 16; cp.async.commit_group;
    LOOP:
      add.s64 %rd10, %rd10, 1024;
      xor.b64 %rd12, %rd11, 1024;
      cp.async.cg.shared.global [%rd12], [%rd10], 16; cp.async.commit_group;
      cp.async.wait_group 1;
      bar.sync 0;
      xor.b64 %rd13, %rd11, 512;
      ld.shared.b32 %r12, [%rd13];
      add.u32 %r11, %r11, %r12;
      {}
      mov.u64 %rd11, %rd12;
      add.u32 %r10, %r10, 1; setp.lt.u32 %p1, %r10, 4; @%p1 bra LOOP;
      cp.async.wait_all;
      st.global.b32 [%rd4], %r11;)",
                       with_barrier ? "bar.sync 0;" : "");
  };
  const Outcome fine = run(pipeline(true));
  ASSERT_TRUE(fine.report.ok()) << fine.report.fault->render();
  for (uint32_t t = 0; t < 64; ++t)
    EXPECT_EQ(fine.words[4 * t], 4 * (4 * (t ^ 32)) + 256 * (0 + 1 + 2 + 3));
  for (uint64_t seed = 0; seed < 4; ++seed) {
    LaunchOptions options;
    options.seed = seed;
    const Outcome outcome = run(pipeline(false), 64, options);
    // The copy starts while the last tile is read, or the tile is read while the copy is on its
    // way.
    ASSERT_FALSE(outcome.report.ok());
    EXPECT_TRUE(outcome.report.fault->kind == FaultKind::Race ||
                outcome.report.fault->kind == FaultKind::StaleRead);
    EXPECT_NE(outcome.report.fault->render().find("[%rd12], [%rd10], 16;"), std::string::npos)
        << outcome.report.fault->render();
  }
}

const std::string kInit =
    "setp.ne.u32 %p1, %r1, 0; @!%p1 mbarrier.init.shared.b64 [mbar], {};\nbar.sync 0;\n";
const std::string kWaitParity =
    "WAIT: mbarrier.try_wait.parity.shared.b64 %p2, [mbar], 0; @!%p2 bra WAIT;\n";

TEST(EmulatorAsync, BarriersInMemory) {
  const std::string share = "st.shared.v4.b32 [%rd6], {%r1, %r1, %r1, %r1};\n";
  const std::string other =
      "xor.b32 %r9, %r1, 32; mul.wide.u32 %rd7, %r9, 16; mov.u64 %rd6, tile; add.s64 %rd6, %rd6, "
      "%rd7;\n";
  const auto init = [](int count) { return fmt::format(fmt::runtime(kInit), count); };
  Outcome outcome = run(init(64) + share + "mbarrier.arrive.shared.b64 %rd9, [mbar];\n" +
                        kWaitParity + other + kLoad);
  ASSERT_TRUE(outcome.report.ok()) << outcome.report.fault->render();
  EXPECT_EQ(outcome.words[0], 32u);
  // By the state that arrive returns, and with counts.
  outcome = run(init(128) + share +
                "mbarrier.arrive.release.cta.shared::cta.b64 %rd9, [mbar], 2;\nWAIT: "
                "mbarrier.test_wait.shared.b64 %p2, [mbar], %rd9; @!%p2 bra WAIT;\n" +
                other + kLoad);
  ASSERT_TRUE(outcome.report.ok()) << outcome.report.fault->render();
  // Without waiting it is a race.
  outcome = run(init(64) + share + "mbarrier.arrive.shared.b64 _, [mbar];\n" + other + kLoad);
  EXPECT_FALSE(outcome.report.ok());
  // Waiting for arrivals that do not come.
  LaunchOptions options;
  options.step_limit = 10000;
  EXPECT_FAULT(run(init(65) + "mbarrier.arrive.shared.b64 _, [mbar];\n" + kWaitParity, 64, options),
               FaultKind::StepLimit, "bra WAIT");
  EXPECT_FAULT(run("mbarrier.arrive.shared.b64 _, [mbar];"), FaultKind::UninitialisedMemory,
               "nothing wrote");
  EXPECT_FAULT(run(init(1) + "mbarrier.arrive.shared.b64 _, [mbar], 2;"), FaultKind::InvalidOperand,
               "2 arrivals, but the phase expects 1 more");
  EXPECT_FAULT(run("setp.ne.u32 %p1, %r1, 0; @!%p1 mbarrier.init.shared.b64 [mbar], "
                   "64;\nmbarrier.arrive.shared.b64 _, [mbar];"),
               FaultKind::Race, "mbarrier.init");
}

TEST(EmulatorAsync, CopiesThatArrive) {
  const std::string other =
      "xor.b32 %r9, %r1, 32; mul.wide.u32 %rd7, %r9, 16; mov.u64 %rd6, tile; add.s64 %rd6, %rd6, "
      "%rd7;\n";
  const std::string init = fmt::format(fmt::runtime(kInit), 64);
  const std::string arrive = "cp.async.mbarrier.arrive.noinc.shared.b64 [mbar];\n";
  const Outcome outcome = run(init + kCopy + arrive + kWaitParity + other + kLoad);
  ASSERT_TRUE(outcome.report.ok()) << outcome.report.fault->render();
  EXPECT_EQ(outcome.words[0], 128u);
  // Without .noinc the arrival is one more, and everybody still has to arrive.
  const Outcome counted =
      run(init + kCopy +
          "cp.async.mbarrier.arrive.shared.b64 [mbar]; mbarrier.arrive.shared.b64 %rd9, [mbar];\n" +
          kWaitParity + other + kLoad);
  EXPECT_TRUE(counted.report.ok()) << counted.report.fault->render();
  EXPECT_FALSE(run(init + kCopy + arrive + other + kLoad).report.ok());
  // Its own bytes, too, are not there before the wait.
  EXPECT_FAULT(run(init + kCopy + arrive + kLoad), FaultKind::StaleRead, "cp.async");
}

}  // namespace
}  // namespace maskjit::emulator
