// Planted bugs, each caught with its kind, line, thread and address.
#include <fmt/format.h>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

struct Launch {
  uint32_t threads = 64;
  uint64_t dynamic_shared_bytes = 0;
  LaunchOptions options;
  bool check_initialised = false;
  uint64_t out_bytes = 4096;
};

Launch with_threads(uint32_t threads, uint64_t dynamic_shared_bytes = 0) {
  Launch how;
  how.threads = threads;
  how.dynamic_shared_bytes = dynamic_shared_bytes;
  return how;
}

// Kernel "k(out)"; %rd1 is out, %rd2 out + 4 * thread, %r1 the thread, %rd3 and %rd4 shared memory
// and the thread's word in it. Bytes 1024 to 2047 of out are zeros.
Report run(const std::string& body, const Launch& how = {}) {
  const Module module = parse_or_fail(module_text(fmt::format(R"(
.shared .align 16 .b8 tile[4096];
.visible .entry k(.param .u64 p)
{{
.reg .pred %p<8>; .reg .b16 %h<8>; .reg .b32 %r<32>; .reg .b64 %rd<16>;
ld.param.u64 %rd1, [p]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd5, %r1, 4; add.s64 %rd2, %rd1, %rd5;
mov.u64 %rd3, tile; add.s64 %rd4, %rd3, %rd5;
{}
ret;
}})",
                                                              body),
                                                  "sm_90"));
  Memory memory;
  const DeviceAddress before = memory.allocate(100, {"before", false, false});
  const DeviceAddress out = memory.allocate(how.out_bytes, {"out", how.check_initialised, false});
  memory.fill(out + 1024, std::byte{0}, 1024);
  (void)before;
  Parameters parameters;
  parameters.add(out);
  LaunchConfig config;
  config.block = {how.threads, 1, 1};
  config.params = parameters.bytes();
  config.dynamic_shared_bytes = how.dynamic_shared_bytes;
  return launch(module, memory, "k", config, how.options);
}

// The body's first line: three come from module_text, seven from the prologue.
constexpr uint32_t kFirstLine = 11;

#define EXPECT_FAULT(report, expected, text)                                                 \
  do {                                                                                       \
    const Report& seen_ = (report);                                                          \
    ASSERT_FALSE(seen_.ok());                                                                \
    EXPECT_EQ(seen_.fault->kind, expected) << seen_.fault->render();                         \
    EXPECT_NE(seen_.fault->render().find(text), std::string::npos) << seen_.fault->render(); \
  } while (false)
#define EXPECT_FINE(...)                                  \
  do {                                                    \
    const Report report_ = __VA_ARGS__;                   \
    EXPECT_TRUE(report_.ok()) << report_.fault->render(); \
  } while (false)

const std::string kExchange = R"(st.shared.b32 [%rd4], %r1;
{}
xor.b32 %r2, %r1, {};
mul.wide.u32 %rd6, %r2, 4; add.s64 %rd6, %rd6, %rd3;
ld.shared.b32 %r3, [%rd6];
st.global.b32 [%rd2], %r3;)";
std::string exchange(std::string_view between, int with) {
  return fmt::format(fmt::runtime(kExchange), between, with);
}

TEST(EmulatorChecks, MissingBarrier) {
  EXPECT_FINE(run(exchange("bar.sync 0;", 32)));
  for (uint64_t seed = 0; seed < 8; ++seed) {
    Launch how;
    how.options.seed = seed;
    const Report report = run(exchange("", 32), how);
    ASSERT_FALSE(report.ok());
    // Which warp is first decides whether the read races or finds nothing.
    EXPECT_TRUE(report.fault->kind == FaultKind::Race ||
                report.fault->kind == FaultKind::UninitialisedMemory);
    EXPECT_EQ(report.fault->kernel, "k");
    EXPECT_TRUE(report.fault->address.has_value());
    if (report.fault->kind == FaultKind::Race) EXPECT_NE(report.fault->notes.size(), 0u);
  }
}

TEST(EmulatorChecks, RacesTellBothSides) {
  // Everything is written first; the second write overwrites what another warp may still read.
  const Report report = run(R"(st.shared.b32 [%rd4], %r1;
bar.sync 0;
xor.b32 %r2, %r1, 32; mul.wide.u32 %rd6, %r2, 4; add.s64 %rd6, %rd6, %rd3;
ld.shared.b32 %r3, [%rd6];
st.shared.b32 [%rd4], %r3;)");
  // Whichever comes second is at fault; the note names the other.
  EXPECT_FAULT(report, FaultKind::Race, "nothing orders this");
  const bool at_store = report.fault->line == kFirstLine + 4;
  EXPECT_EQ(report.fault->line, kFirstLine + (at_store ? 4 : 3));
  const std::string load = "ld.shared.b32 %r3, [%rd6];", store = "st.shared.b32 [%rd4], %r3;";
  EXPECT_EQ(report.fault->instruction, at_store ? store : load);
  ASSERT_EQ(report.fault->notes.size(), 1u);
  EXPECT_NE(report.fault->notes[0].find(at_store ? load : store), std::string::npos);
  EXPECT_EQ(*report.fault->address,
            4 * (at_store ? report.fault->thread[0] : report.fault->thread[0] ^ 32));
  EXPECT_EQ(report.fault->warp, report.fault->thread[0] / 32);
  EXPECT_EQ(report.fault->lane, report.fault->thread[0] % 32);
}

TEST(EmulatorChecks, RacesWithinAWarp) {
  EXPECT_FINE(run(exchange("bar.warp.sync -1;", 1)));
  EXPECT_FAULT(run(exchange("", 1)), FaultKind::Race, "another lane of this warp wrote");
  Launch lenient;
  lenient.options.check_warp_races = false;
  EXPECT_FINE(run(exchange("", 1), lenient));
  // Two lanes store different values to one place; equal values are fine.
  EXPECT_FAULT(run("st.shared.b32 [tile], %r1;", with_threads(32)), FaultKind::Race,
               "another lane stores another value");
  EXPECT_FINE(run("st.shared.b32 [tile], 7;", with_threads(32)));
  EXPECT_FAULT(run("st.shared.b32 [tile], 7;", with_threads(64)), FaultKind::Race,
               "another warp wrote");
}

TEST(EmulatorChecks, AtomicsAndFlagsDoNotRace) {
  EXPECT_FINE(run(R"(setp.ne.u32 %p1, %r1, 0; @!%p1 st.shared.b32 [tile], 0;
bar.sync 0;
red.shared.add.u32 [tile], %r1;
bar.sync 0;
ld.shared.b32 %r2, [tile]; st.global.b32 [%rd2], %r2;)"));
  EXPECT_FAULT(run(R"(setp.ne.u32 %p1, %r1, 0; @!%p1 st.shared.b32 [tile], 0;
bar.sync 0;
red.shared.add.u32 [tile], %r1;
ld.shared.b32 %r2, [tile]; st.global.b32 [%rd2], %r2;)"),
               FaultKind::Race, "[tile]");
  // A flag hands data from one warp to another.
  EXPECT_FINE(run(R"(setp.ne.u32 %p1, %r1, 0; @!%p1 st.shared.b32 [tile+1024], 0;
bar.sync 0;
setp.ge.u32 %p2, %r1, 32; @%p2 bra CONSUMER;
st.shared.b32 [%rd4], %r1;
bar.warp.sync -1;
setp.eq.u32 %p3, %r1, 0; @%p3 st.release.cta.shared.b32 [tile+1024], 1;
bra END;
CONSUMER:
ld.acquire.cta.shared.b32 %r2, [tile+1024];
setp.eq.u32 %p4, %r2, 0; @%p4 bra CONSUMER;
ld.shared.b32 %r3, [%rd4+-128]; st.global.b32 [%rd2], %r3;
END:)"));
}

TEST(EmulatorChecks, Bounds) {
  Report report = run("st.global.b32 [%rd2+4092], %r1;");
  EXPECT_FAULT(report, FaultKind::OutOfBounds, "at the end of out (4096 bytes at");
  EXPECT_EQ(report.fault->thread[0], 1u);
  report = run("ld.global.v2.b32 {%r2, %r3}, [%rd1+-8]; st.global.b32 [%rd2], %r2;");
  EXPECT_FAULT(report, FaultKind::OutOfBounds, "8 bytes before out");
  EXPECT_FAULT(run("ld.global.b32 %r2, [4096]; st.global.b32 [%rd2], %r2;"), FaultKind::OutOfBounds,
               "far from every allocation");
  report = run("st.shared.b32 [%rd4+3844], %r1;");
  EXPECT_FAULT(report, FaultKind::OutOfBounds,
               "offset 0x1000 of shared memory, which has 4096 bytes (4096 static, 0 dynamic)");
  EXPECT_EQ(report.fault->lane, 31u);
  EXPECT_FINE(run("st.shared.b32 [tile+4108], 1;", with_threads(32, 16)));
  EXPECT_FAULT(run(".local .b32 x[4]; .reg .b64 %l; mov.u64 %l, x; st.local.b32 [%l+16], 1;"),
               FaultKind::OutOfBounds, "local memory");
  EXPECT_FAULT(run("ld.param.u64 %rd6, [p+8];"), FaultKind::OutOfBounds,
               "the kernel's parameters, which has 8 bytes");
}

TEST(EmulatorChecks, Misalignment) {
  Report report = run("ld.global.b32 %r2, [%rd1+2]; st.global.b32 [%rd2], %r2;");
  EXPECT_FAULT(report, FaultKind::Misaligned, "not a multiple of 4");
  EXPECT_FAULT(run("st.shared.v4.b32 [%rd4], {%r1, %r1, %r1, %r1};"), FaultKind::Misaligned,
               "not a multiple of 16");
  EXPECT_FAULT(run("cp.async.ca.shared.global [%rd4], [%rd2], 8;"), FaultKind::Misaligned,
               "not a multiple of 8");
}

TEST(EmulatorChecks, Uninitialised) {
  const Report report = run("ld.shared.b32 %r2, [%rd4]; st.global.b32 [%rd2], %r2;");
  EXPECT_FAULT(report, FaultKind::UninitialisedMemory,
               "nothing wrote these bytes (shared memory, offset 0x0)");
  EXPECT_EQ(report.fault->line, kFirstLine);
  EXPECT_FAULT(run(".local .b32 x[4]; .reg .b64 %l; mov.u64 %l, x; st.local.b32 [%l], 1; "
                   "ld.local.v2.b32 {%r2, %r3}, [%l]; st.global.b32 [%rd2], %r3;"),
               FaultKind::UninitialisedMemory, "local memory, offset 0x4");
  const std::string global = "ld.global.b32 %r2, [%rd2]; st.global.b32 [%rd2], %r2;";
  EXPECT_FINE(run(global));  // global memory is checked only where asked for
  Launch checked;
  checked.check_initialised = true;
  EXPECT_FAULT(run(global, checked), FaultKind::UninitialisedMemory, "byte 0 of out");
  EXPECT_FINE(
      run("ld.global.b32 %r2, [%rd2+1024]; st.global.b32 [%rd2], %r2; ld.global.b32 %r3, [%rd2]; "
          "st.global.b32 [%rd2], %r3;",
          checked));
}

TEST(EmulatorChecks, UnwrittenRegisters) {
  const Report report =
      run("setp.lt.u32 %p1, %r1, 40; @%p1 mov.u32 %r5, 1; add.u32 %r6, %r5, 1; st.global.b32 "
          "[%rd2], %r6;");
  EXPECT_FAULT(report, FaultKind::UninitialisedRegister, "nothing wrote %r5 in lanes 0xffffff00");
  EXPECT_EQ(report.fault->lane, 8u);
  EXPECT_EQ(report.fault->warp, 1u);
  EXPECT_FAULT(run("add.u32 %r6, %r7, 1; st.global.b32 [%rd2], %r6;"),
               FaultKind::UninitialisedRegister, "%r7");
  EXPECT_FAULT(run("@%p6 bra END; st.global.b32 [%rd2], %r1; END:"),
               FaultKind::UninitialisedRegister, "%p6");
  // A copy hands on that nothing wrote; compilers copy undefined values that nobody looks at.
  EXPECT_FINE(run("mov.b32 %r5, %r6; st.global.b32 [%rd2], %r1;"));
  EXPECT_FAULT(run("mov.b32 %r5, %r6; mov.b32 %r7, %r5; st.global.b32 [%rd2], %r7;"),
               FaultKind::UninitialisedRegister, "%r7");
  // So does the part of a wider register, and a register of whose parts none was written.
  EXPECT_FINE(
      run("mov.b64 {_, %r5}, %rd9; mov.b64 %rd9, {%r1, %r5}; mov.b64 {%r6, _}, %rd9; "
          "st.global.b32 [%rd2], %r6;"));
  EXPECT_FAULT(run("mov.b64 {_, %r5}, %rd9; st.global.b32 [%rd2], %r5;"),
               FaultKind::UninitialisedRegister, "%r5");
  EXPECT_FAULT(run("mov.b32 %r5, %r6; mov.b64 %rd9, {%r5, %r6}; st.global.b64 [%rd2], %rd9;"),
               FaultKind::UninitialisedRegister, "%rd9");
  EXPECT_FINE(
      run("setp.lt.u32 %p1, %r1, 40; @%p1 mov.u32 %r5, 1; @%p1 add.u32 %r6, %r5, 1; @%p1 "
          "st.global.b32 [%rd2], %r6;"));
  Launch lenient;
  lenient.options.check_registers = false;
  EXPECT_FINE(run("add.u32 %r6, %r7, 1; st.global.b32 [%rd2], %r6;", lenient));
}

TEST(EmulatorChecks, DivergentBarrier) {
  const Report report =
      run("setp.eq.u32 %p1, %r1, 37; @%p1 bra SKIP; bar.sync 0; SKIP: st.global.b32 [%rd2], %r1;");
  EXPECT_FAULT(report, FaultKind::DivergentBarrier, "without lanes 0x00000020 of their warp");
  EXPECT_EQ(report.fault->warp, 1u);
  EXPECT_EQ(report.fault->instruction, "bar.sync 0;");
  // A whole warp may go elsewhere, but then the others wait in vain.
  const Report deadlock =
      run("setp.lt.u32 %p1, %r1, 32; @%p1 bra SKIP; bar.sync 0; SKIP: bar.sync 1; st.global.b32 "
          "[%rd2], %r1;");
  EXPECT_FAULT(deadlock, FaultKind::Deadlock, "bar.sync 1;");
  EXPECT_GE(deadlock.fault->notes.size(), 2u);
  // Threads that have exited are not waited for.
  EXPECT_FINE(run("setp.lt.u32 %p1, %r1, 33; @%p1 exit; bar.sync 0; st.global.b32 [%rd2], %r1;"));
  EXPECT_FAULT(run("bar.sync 16;"), FaultKind::InvalidOperand, "barrier 16 of 16");
  EXPECT_FAULT(run("bar.sync 0, 40;"), FaultKind::InvalidOperand, "not a multiple of 32");
  EXPECT_FAULT(run("bar.sync 0, 96;"), FaultKind::Deadlock, "waits for threads that do not arrive");
  EXPECT_FAULT(
      run("setp.lt.u32 %p1, %r1, 16; @%p1 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r2}, [tile];"),
      FaultKind::DivergentBarrier, "it takes all 32");
}

TEST(EmulatorChecks, Masks) {
  EXPECT_FAULT(run("shfl.sync.bfly.b32 %r2, %r1, 1, 31, 0x0000FFFF;"), FaultKind::InvalidMask,
               "lane 16 executes this with the mask 0x0000ffff");
  EXPECT_FAULT(run("setp.lt.u32 %p1, %r1, 16; @%p1 shfl.sync.bfly.b32 %r2, %r1, 1, 31, -1;",
                   with_threads(32)),
               FaultKind::InvalidMask, "0xffff0000");
  EXPECT_FAULT(run("setp.lt.u32 %p1, %r1, 16; @%p1 bra LOW; bra END; LOW: shfl.sync.bfly.b32 %r2, "
                   "%r1, 1, 31, -1; st.global.b32 [%rd2], %r2; END:",
                   with_threads(32)),
               FaultKind::Deadlock, "wait for lanes of their warp");
  EXPECT_FAULT(run("setp.lt.u32 %p1, %r1, 16; @%p1 bra LOW; bra END; LOW: shfl.sync.bfly.b32 %r2, "
                   "%r1, 16, 31, 0xFFFF; st.global.b32 [%rd2], %r2; END:",
                   with_threads(32)),
               FaultKind::InvalidMask, "reads lane 16, which does not take part");
  EXPECT_FAULT(run("selp.b32 %r2, -1, 0x1F, %p1; setp.lt.u32 %p1, %r1, 5; selp.b32 %r2, -1, "
                   "0xFFFFFFE0, %p1; bar.warp.sync %r2;"),
               FaultKind::UninitialisedRegister, "%p1");
  EXPECT_FAULT(run("setp.lt.u32 %p1, %r1, 5; selp.b32 %r2, -1, 0xFFFFFFE0, %p1; redux.sync.add.u32 "
                   "%r3, %r1, %r2;",
                   with_threads(32)),
               FaultKind::InvalidMask, "but lane 5 of it names");
}

TEST(EmulatorChecks, EndlessLoop) {
  Launch how;
  how.options.step_limit = 10000;
  const Report report = run("LOOP: add.u32 %r1, %r1, 1; bra LOOP;", how);
  EXPECT_FAULT(report, FaultKind::StepLimit, "10000 instructions without an end");
  EXPECT_GE(report.fault->line, kFirstLine);
  EXPECT_FAULT(run("setp.eq.u32 %p1, %r1, 3; @%p1 trap;"), FaultKind::Trap, "thread (3, 0, 0)");
}

TEST(EmulatorChecks, ReadOnly) {
  const Module module =
      parse_or_fail(module_text(".const .u32 c = 1; .visible .entry k() { .reg .b64 %r; mov.u64 "
                                "%r, c; st.global.b32 [%r], 2; ret; }"));
  Memory memory;
  EXPECT_FAULT(launch(module, memory, "k", LaunchConfig()), FaultKind::ReadOnlyMemory,
               "c is read-only");
}

TEST(EmulatorChecks, Launches) {
  const Module module = parse_or_fail(
      module_text(".shared .b8 big[1024]; .visible .entry k(.param .u32 x) .maxntid 64, 1, 1 { "
                  ".reg .b32 %r; mov.u32 %r, 0; st.shared.b32 [big], %r; ret; }"));
  Memory memory;
  const uint32_t x = 0;
  LaunchConfig config;
  config.params = std::as_bytes(std::span(&x, 1));
  EXPECT_TRUE(launch(module, memory, "k", config).ok());
  EXPECT_FAULT(launch(module, memory, "no", config), FaultKind::InvalidLaunch, "no kernel no");
  LaunchConfig bad = config;
  bad.block = {65, 1, 1};
  EXPECT_FAULT(launch(module, memory, "k", bad), FaultKind::InvalidLaunch, ".maxntid allows 64");
  bad.block = {1025, 1, 1};
  EXPECT_FAULT(launch(module, memory, "k", bad), FaultKind::InvalidLaunch, "1024");
  bad = config;
  bad.grid = {1, 0, 1};
  EXPECT_FAULT(launch(module, memory, "k", bad), FaultKind::InvalidLaunch, "is 0");
  bad = config;
  bad.params = {};
  EXPECT_FAULT(launch(module, memory, "k", bad), FaultKind::InvalidLaunch,
               "0 bytes of parameters, but k takes 4");
  bad = config;
  bad.dynamic_shared_bytes = uint64_t{1} << 20;
  EXPECT_FAULT(launch(module, memory, "k", bad), FaultKind::InvalidLaunch, "shared memory");
}

}  // namespace
}  // namespace maskjit::emulator
