// Damaged PTX is refused or runs into a fault or not; it never crashes. Every mutant can be made
// again from its number; MASKJIT_FUZZ_MUTANTS=FIRST:COUNT runs others.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

std::vector<std::string> corpus() {
  std::vector<std::string> texts;
  for (const char* name : {"attention.ptx", "mixture.ptx"}) {
    std::ifstream stream(std::string(MASKJIT_SOURCE_DIR "/tests/emulator/kernels/") + name);
    std::ostringstream text;
    text << stream.rdbuf();
    texts.push_back(text.str());
  }
  // A short one of many instructions, so that most mutations meet something.
  texts.push_back(module_text(R"(
.global .align 8 .b64 table[2] = {table, 7};
.extern .shared .align 16 .b8 dynamic[];
.shared .align 8 .b64 mbar;
.func (.param .b32 r) twice(.param .b32 x) { .reg .b32 %r<3>; ld.param.b32 %r1, [x]; add.u32 %r2, %r1, %r1; st.param.b32 [r], %r2; ret; }
.visible .entry k(.param .u64 p, .param .align 4 .b8 s[12])
{
.reg .pred %p<4>; .reg .b16 %h<4>; .reg .b32 %r<16>; .reg .b64 %rd<8>; .local .align 8 .b8 depot[32];
mov.u32 %r1, %tid.x; ld.param.u64 %rd1, [p]; ld.param.b32 %r2, [s+4]; mul.wide.u32 %rd2, %r1, 16; add.s64 %rd3, %rd1, %rd2;
mov.u64 %rd4, dynamic; add.s64 %rd4, %rd4, %rd2; cp.async.cg.shared.global [%rd4], [%rd3], 16; cp.async.commit_group; cp.async.wait_group 0; bar.sync 0;
ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r3, %r4, %r5, %r6}, [%rd4]; mov.b32 %r7, 0f3F800000; mov.b32 %r8, %r7; mov.b32 %r9, %r7; mov.b32 %r10, %r7;
mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%r7, %r8, %r9, %r10}, {%r3, %r4, %r5, %r6}, {%r3, %r4}, {%r7, %r8, %r9, %r10};
shfl.sync.bfly.b32 %r11|%p1, %r7, 1, 31, -1; vote.sync.ballot.b32 %r12, %p1, -1; setp.gt.and.f32 %p2|%p3, %r7, 0f00000000, %p1; selp.b32 %r13, %r12, %r11, %p2;
mov.u64 %rd5, depot; st.local.v2.b32 [%rd5], {%r13, %r12}; cvta.local.u64 %rd6, %rd5; ld.b64 %rd7, [%rd6]; cvt.rn.bf16x2.f32 %r14, %r7, %r8;
setp.eq.u32 %p1, %r1, 0; @%p1 mbarrier.init.shared.b64 [mbar], 32; bar.sync 0; mbarrier.arrive.shared.b64 _, [mbar];
{ .param .b32 a; .param .b32 b; st.param.b32 [a], %r14; call (b), twice, (a); ld.param.b32 %r15, [b]; }
and.b32 %r2, %r1, 1; T: .branchtargets A, B; brx.idx %r2, T;
A: atom.global.add.u32 %r3, [%rd3], 1; bra C;
B: red.shared.add.u32 [%rd4], %r15;
C: st.global.v4.b32 [%rd3], {%r13, %r14, %r15, %r2}; @!%p1 bra D; bra.uni C2; C2: membar.gl; D: ret;
})"));
  return texts;
}

// Parses and, if that works, runs every kernel on a small block.
bool run(const std::string& text) {
  const auto parsed = Module::parse(text);
  if (const auto* error = std::get_if<ParseError>(&parsed)) {
    EXPECT_FALSE(error->message.empty());
    EXPECT_FALSE(error->render().empty());
    return false;
  }
  const Module& module = std::get<Module>(parsed);
  for (const std::string_view kernel : module.kernels()) {
    Memory memory;
    const DeviceAddress buffer = memory.allocate(1 << 16, {"buffer", false, false});
    memory.fill(buffer, std::byte{0x3F}, 1 << 16);
    const auto info = module.kernel(kernel);
    std::vector<std::byte> params(std::min<uint64_t>(info->parameter_bytes, 4096));
    for (size_t i = 0; i + 8 <= params.size(); i += 8) std::memcpy(&params[i], &buffer, 8);
    LaunchConfig config;
    config.block = {32, 1, 1};
    config.params = params;
    config.dynamic_shared_bytes = 4096;
    LaunchOptions options;
    options.step_limit = 20000;
    const Report report = launch(module, memory, kernel, config, options);
    if (report.fault) EXPECT_FALSE(report.fault->render().empty());
  }
  return true;
}

TEST(EmulatorMutations, Corpus) {
  for (const std::string& text : corpus()) EXPECT_TRUE(run(text));
}

TEST(EmulatorMutations, NeverCrash) {
  unsigned first = 0, count = 1500;
  if (const char* range = std::getenv("MASKJIT_FUZZ_MUTANTS")) {
    ASSERT_EQ(std::sscanf(range, "%u:%u", &first, &count), 2) << range;
  }
  static const std::vector<std::string> kPieces = {
      "%r1",         "%rd1",       "%p1",
      "%h1",         "_",          "0",
      "-1",          "4294967295", "9223372036854775808",
      "0f7F800000",  "[",          "]",
      "{",           "}",          ";",
      ",",           "@",          "!",
      ".v4",         ".v2",        ".b64",
      ".b8",         ".b16",       ".b32",
      ".f16",        ".bf16x2",    ".shared",
      ".global",     ".local",     ".param",
      ".s32",        ".u64",       ".pred",
      "bra ",        "ret;",       "exit;",
      "bar.sync 0;", "add.u32 ",   "ld",
      "st",          "cvt.",       "call ",
      "16",          "1024",       "+64",
      "|",           "dynamic",    "depot",
      "mbar",        "table",      "$L__BB0_3",
      "A",           "C",          "\n",
      "%tid.x",      ".x1",        ".trans",
      ".wide",       ".sat"};
  const std::vector<std::string> texts = corpus();
  unsigned ran = 0;
  for (unsigned number = first; number < first + count; ++number) {
    SCOPED_TRACE(number);
    std::mt19937 random(number);
    const auto below = [&](size_t n) {
      return std::uniform_int_distribution<size_t>(0, n - 1)(random);
    };
    std::string text = texts[below(10) < 7 ? 2 : below(2)];
    // Most of a text is its head; leave that alone more often than not.
    const size_t head = below(4) == 0 ? 0 : std::min<size_t>(60, text.size() / 2);
    for (size_t i = 0; i <= below(3); ++i) {
      const size_t at = head + below(text.size() - head);
      const size_t length = 1 + below(10);
      switch (below(5)) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text.insert(at, kPieces[below(kPieces.size())]);
          break;
        case 2:
          text.replace(at, std::min(length, text.size() - at), kPieces[below(kPieces.size())]);
          break;
        case 3:
          text.insert(at, text.substr(head + below(text.size() - head), 4 * length));
          break;
        default: {
          // A digit becomes another one: other registers, offsets, labels, counts.
          const size_t digit = text.find_first_of("0123456789", at);
          if (digit != std::string::npos) text[digit] = static_cast<char>('0' + below(10));
          break;
        }
      }
    }
    ran += run(text) ? 1 : 0;
  }
  // Some of them run.
  if (count >= 500) EXPECT_GT(ran, count / 20);
}

}  // namespace
}  // namespace maskjit::emulator
