// check, fmt, show, explain and compile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/cli/program.h"
#include "tools/io/file.h"

namespace maskjit::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kTwo =
    "masker a(n: int = 4) = local(n)\nattention b { mask a() }\nattention c { mask causal() }\n";

TEST(Check, ReportsEveryFile) {
  const Program program;
  program.write("good.masker", kTwo);
  program.write("bad.masker", "masker x() = q < nme\nmasker y() = k + 1\n");
  const Outcome good = program.run({"check", "good.masker"});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.out, "good.masker: ok\n");
  EXPECT_EQ(program.run({"check", "good.masker", "--entry", "b"}).code, 0);
  EXPECT_EQ(program.run({"check", "good.masker", "--entry", "nothing"}).code, 1);
  const Outcome both = program.run({"check", "bad.masker", "good.masker"});
  EXPECT_EQ(both.code, 1);
  EXPECT_EQ(both.out, "good.masker: ok\n");
  EXPECT_THAT(both.err, HasSubstr("bad.masker:1:18: error:"));
  EXPECT_THAT(both.err, HasSubstr("[unknown-name]"));
  EXPECT_THAT(both.err, HasSubstr("bad.masker:2:"));
  EXPECT_THAT(both.err, Not(HasSubstr("\x1b")));
}

TEST(Check, Json) {
  const Program program;
  program.write("bad.masker", "masker x() = q < nme\n");
  const Outcome outcome = program.run({"check", "--json", "bad.masker", "none.masker"});
  EXPECT_EQ(outcome.code, 1);
  const auto json = outcome.json();
  ASSERT_EQ(json.size(), 2U);
  EXPECT_EQ(json[0]["file"], "bad.masker");
  EXPECT_EQ(json[0]["ok"], false);
  EXPECT_EQ(json[0]["diagnostics"][0]["kind"], "unknown-name");
  EXPECT_EQ(json[0]["diagnostics"][0]["line"], 1);
  EXPECT_EQ(json[0]["diagnostics"][0]["column"], 18);
  EXPECT_THAT(json[1]["problem"].get<std::string>(), HasSubstr("none.masker: cannot open it"));
}

TEST(Fmt, FormatsInPlaceAndChecks) {
  const Program program;
  const std::string text = "masker   a( n:int=4 )=local( n )\n";
  program.write("a.masker", text);
  const Outcome check = program.run({"fmt", "--check", "a.masker"});
  EXPECT_EQ(check.code, 1);
  EXPECT_EQ(check.out, "a.masker: not formatted\n");
  EXPECT_EQ(*io::read_text(program.folder() / "a.masker"), text);
  EXPECT_EQ(program.run({"fmt", "a.masker"}).code, 0);
  EXPECT_EQ(*io::read_text(program.folder() / "a.masker"), "masker a(n: int = 4) = local(n)\n");
  const Outcome again = program.run({"fmt", "--check", "a.masker"});
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.out, IsEmpty());
  const Outcome piped = program.run({"fmt", "-"}, text);
  EXPECT_EQ(piped.code, 0);
  EXPECT_EQ(piped.out, "masker a(n: int = 4) = local(n)\n");
}

TEST(Fmt, LeavesBrokenFilesAlone) {
  const Program program;
  program.write("a.masker", "masker a( = \n");
  const Outcome outcome = program.run({"fmt", "a.masker"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("a.masker:1:"));
  EXPECT_EQ(*io::read_text(program.folder() / "a.masker"), "masker a( = \n");
}

TEST(Show, DrawsElements) {
  const Outcome outcome =
      Program().run({"show", "local", "--set", "n=2", "--kv-len", "5", "--q-len", "4"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "local(n = 2), 4 queries x 5 keys\n"
            "   0\n"
            "0  # # . . .\n"
            "1  . # # . .\n"
            "2  . . # # .\n"
            "3  . . . # #\n"
            "# active   . not\n"
            "40% active; tiles of 64 x 64: 0 empty, 1 partial, 0 full\n");
}

TEST(Show, DrawsCellsOfLongMasks) {
  const Outcome outcome = Program().run({"show", "causal", "--kv-len", "1024"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_THAT(
      outcome.out,
      HasSubstr("a character is 32 x 16 (queries x keys):  # all active   + some   . none"));
  EXPECT_THAT(outcome.out, HasSubstr("tiles of 64 x 64: 120 empty, 16 partial, 120 full"));
  EXPECT_THAT(outcome.out, HasSubstr("50% active"));
}

TEST(Show, FollowsHeadsBatchesAndTensors) {
  const Program program;
  program.write("h.masker", "masker h() = k <= head + 10 * batch\n");
  const Outcome head =
      program.run({"show", "h.masker", "--kv-len", "4", "--q-len", "1", "--head", "2"});
  EXPECT_EQ(head.code, 0) << head.err;
  EXPECT_THAT(head.out, HasSubstr("1 queries x 4 keys, batch 0, head 2\n"));
  EXPECT_THAT(head.out, HasSubstr("0  # # # .\n"));
  EXPECT_EQ(program.run({"show", "h.masker", "--head", "-1"}).code, 1);

  program.write("t.masker", "masker t(allowed: tensor<i32>[kv_len]) = allowed[k] == 1\n");
  // int64 in the file, i32 in the spec: converted, since every value fits.
  const std::string header = "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }\n";
  std::string npy = std::string("\x93NUMPY\x01\0", 8) + static_cast<char>(header.size()) +
                    std::string(1, '\0') + header;
  for (const char value : {1, 0, 1}) npy += std::string(1, value) + std::string(7, '\0');
  program.write("a.npy", npy);
  const Outcome tensor = program.run(
      {"show", "t.masker", "--tensor", "allowed=a.npy", "--kv-len", "3", "--q-len", "1"});
  EXPECT_EQ(tensor.code, 0) << tensor.err;
  EXPECT_THAT(tensor.out, HasSubstr("0  # . #\n"));
  const Outcome shape =
      program.run({"show", "t.masker", "--tensor", "allowed=a.npy", "--kv-len", "4"});
  EXPECT_EQ(shape.code, 1);
  EXPECT_EQ(shape.err,
            "maskjit: the tensor 'allowed' is i32[3], expected [kv_len = 4] (1 broadcasts)\n");
  npy[npy.size() - 1] = 1;
  program.write("a.npy", npy);
  const Outcome value =
      program.run({"show", "t.masker", "--tensor", "allowed=a.npy", "--kv-len", "3"});
  EXPECT_EQ(value.code, 1);
  EXPECT_THAT(value.err, HasSubstr("does not fit i32"));
}

TEST(Show, WritesPictures) {
  const Program program;
  const Outcome outcome =
      program.run({"show", "causal", "--kv-len", "128", "--png", "m.png", "--svg", "m.svg"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("wrote m.png\nwrote m.svg\n"));
  EXPECT_EQ(io::read_text(program.folder() / "m.png")->substr(1, 3), "PNG");
  const std::string svg = *io::read_text(program.folder() / "m.svg");
  EXPECT_THAT(svg, HasSubstr("<svg xmlns="));
  EXPECT_THAT(svg, HasSubstr("1 empty, 2 partial, 1 full"));
}

TEST(Show, Json) {
  const auto json = Program().run({"show", "causal", "--kv-len", "4", "--json"}).json();
  EXPECT_EQ(json["active"], nlohmann::json::parse("[[1,0,0,0],[1,1,0,0],[1,1,1,0],[1,1,1,1]]"));
  EXPECT_EQ(json["density"], 0.625);
  EXPECT_EQ(json["tiles"]["partial"], 1);
}

TEST(Explain, SaysWhatAMaskReachesAndCosts) {
  const Program program;
  program.write("s.masker",
                "masker near(n: int = 4, w: int = 64) = causal() & (sink(n) | local(w))\n");
  const Outcome outcome =
      program.run({"explain", "s.masker", "--set", "w=100", "--kv-len", "1000"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  for (const char* part :
       {"near (s.masker)", "4 (default)", "100", "const", "Keys that a query can reach", "empty",
        "partial", "full", "host/attention_forward", "not host/attention_decode: ", "optimise",
        "key "}) {
    EXPECT_THAT(outcome.out, HasSubstr(part));
  }
}

TEST(Explain, CountsAreExact) {
  const Program program;
  const auto json =
      program.run({"explain", "local", "--set", "n=100", "--kv-len", "1000", "--json"}).json();
  double active = 0;
  for (int q = 0; q < 1000; ++q) active += std::min(q + 1, 100);
  EXPECT_DOUBLE_EQ(json["density"].get<double>(), active / 1e6);
  EXPECT_EQ(json["density_is_exact"], true);
  int empty = 0, partial = 0, full = 0;
  const int tile_q = json["tiles"]["q"].get<int>(), tile_k = json["tiles"]["k"].get<int>();
  ASSERT_GT(tile_q, 0);
  ASSERT_GT(tile_k, 0);
  for (int q0 = 0; q0 < 1000; q0 += tile_q) {
    for (int k0 = 0; k0 < 1000; k0 += tile_k) {
      const int q1 = std::min(q0 + tile_q, 1000) - 1, k1 = std::min(k0 + tile_k, 1000) - 1;
      const bool none = k0 > q1 || k1 <= q0 - 100, all = k1 <= q0 && k0 > q1 - 100;
      (none ? empty : all ? full : partial) += 1;
    }
  }
  EXPECT_EQ(json["tiles"]["empty"], empty);
  EXPECT_EQ(json["tiles"]["partial"], partial);
  EXPECT_EQ(json["tiles"]["full"], full);
  EXPECT_EQ(json["parameters"][0]["value"], "100");
  EXPECT_EQ(json["kernel"]["template"], "host/attention_forward");
  EXPECT_GT(json["compile_milliseconds"]["optimise"].get<double>(), 0);
}

TEST(Explain, HugeMasksAreSampled) {
  const Outcome outcome =
      Program().run({"explain", "causal", "--kv-len", "1000000", "--q-len", "1000000", "--json"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  const auto json = outcome.json();
  EXPECT_EQ(json["density_is_exact"], false);
  EXPECT_NEAR(json["density"].get<double>(), 0.5, 0.01);
  // A window's work grows with its own tiles: nothing needs to be sampled.
  const auto window =
      Program().run({"explain", "local", "--set", "n=64", "--kv-len", "100000", "--json"}).json();
  EXPECT_EQ(window["density_is_exact"], true);
  EXPECT_DOUBLE_EQ(window["density"].get<double>(), (64.0 * 100000 - 63 * 32) / 1e10);
}

TEST(Explain, AverageOverHeadsAndBatches) {
  const Program program;
  program.write("h.masker", "masker h() = k <= head\n");
  const auto json =
      program.run({"explain", "h.masker", "--kv-len", "4", "--heads", "4", "--json"}).json();
  EXPECT_DOUBLE_EQ(json["density"].get<double>(), (1 + 2 + 3 + 4) / 16.0);
  EXPECT_EQ(json["tiles"]["partial"].get<int>() + json["tiles"]["full"].get<int>(), 4);
}

TEST(Explain, SequencesHaveAPlan) {
  const Program program;
  program.write("s.masker", "attention chosen { mask causal() & (sink(4) then top_k(16)) }\n");
  const Outcome outcome = program.run({"explain", "s.masker", "--kv-len", "100"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("stage 1  top_k(n = 16) by logits: scores -> threshold"));
  EXPECT_THAT(outcome.out, HasSubstr("host/attention_select for"));
  const auto json = program.run({"explain", "s.masker", "--kv-len", "100", "--json"}).json();
  EXPECT_EQ(json["kernel"]["template"], "host/attention_select");
  EXPECT_THAT(json["plan"].get<std::string>(), HasSubstr("limit    k <= q -> candidates"));
  EXPECT_THAT(program.run({"compile", "s.masker", "--emit", "plan"}).out, HasSubstr("attend"));
}

TEST(Explain, SequencesOnDevicesAreSeveralKernels) {
  const Program program;
  program.write("s.masker", "attention chosen { mask causal() & top_k(16) }\n");
  const std::vector<std::string> decoding = {"s.masker", "--target", "sm_80", "--q-len",
                                             "1",        "--kv-len", "32768", "--heads",
                                             "8",        "--dtype",  "bf16"};
  const auto with = [&](std::vector<std::string> command, std::vector<std::string> more) {
    command.insert(command.end(), decoding.begin(), decoding.end());
    command.insert(command.end(), more.begin(), more.end());
    return program.run(command);
  };
  const Outcome plan = with({"compile"}, {"--emit", "plan"});
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("computed anew for each digit"));
  EXPECT_THAT(plan.out, HasSubstr("kernels of nvptx/select_decode for sm_80"));
  EXPECT_THAT(plan.out, HasSubstr("mj_select     8 blocks of 512 threads"));
  EXPECT_THAT(plan.out, HasSubstr("mj_merge"));
  EXPECT_THAT(plan.out, HasSubstr("workspace"));
  const auto json = with({"explain"}, {"--json"}).json();
  EXPECT_EQ(json["kernel"]["template"], "nvptx/select_decode");
  EXPECT_THAT(json["launch"].get<std::string>(), HasSubstr("mj_attention"));
  const Outcome ptx = with({"compile"}, {"--emit", "ptx"});
  EXPECT_EQ(ptx.code, 0) << ptx.err;
  for (const char* kernel : {"mj_select", "mj_attention", "mj_merge"})
    EXPECT_THAT(ptx.out, HasSubstr(std::string(".entry ") + kernel));
}

TEST(Explain, DevicesSayWhatASequenceIsTooLongFor) {
  const Program program;
  std::string text = "attention chosen { mask top_k(1)";
  for (int i = 0; i < 8; ++i) text += " then top_k(1)";
  program.write("s.masker", text + " }\n");
  const Outcome outcome =
      program.run({"compile", "s.masker", "--target", "sm_80", "--emit", "ptx"});
  EXPECT_NE(outcome.code, 0);
  EXPECT_THAT(outcome.err, HasSubstr("no kernel of sm_80 supports 'chosen'"));
  EXPECT_THAT(outcome.err, HasSubstr("9 stages; 8 are possible"));
}

TEST(Compile, EmitsEveryStage) {
  const Program program;
  program.write("s.masker", "masker near(n: int = 4) = causal() & local(n)\n");
  const std::pair<const char*, const char*> stages[] = {
      {"tokens", "Masker"},      {"ast", "masker"},  {"ir", "result mask"}, {"tiles", "result may"},
      {"llvm-before", "define"}, {"llvm", "define"}, {"asm", "mj_run"}};
  for (const auto& [stage, expected] : stages) {
    const Outcome outcome = program.run({"compile", "s.masker", std::string("--emit=") + stage});
    EXPECT_EQ(outcome.code, 0) << stage << outcome.err;
    EXPECT_THAT(outcome.out, HasSubstr(expected)) << stage;
  }
  const Outcome object = program.run({"compile", "s.masker", "--emit=object", "-o", "s.o"});
  EXPECT_EQ(object.code, 0) << object.err;
  EXPECT_THAT(object.out, IsEmpty());
  EXPECT_EQ(io::read_text(program.folder() / "s.o")->substr(1, 3), "ELF");
}

TEST(Compile, TheTreeOfABrokenFileIsShownWithItsErrors) {
  const Program program;
  program.write("broken.masker", "masker broken() = q <\n");
  const Outcome outcome = program.run({"compile", "broken.masker", "--emit=ast"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("(masker broken"));
  EXPECT_THAT(outcome.err, HasSubstr("broken.masker:1:"));
}

TEST(Compile, TargetsDiffer) {
  const Program program;
  const std::string base = program.run({"compile", "causal", "--target", "x86-64"}).out;
  const std::string wide = program.run({"compile", "causal", "--target", "x86-64+avx512"}).out;
  EXPECT_THAT(base, Not(HasSubstr("zmm")));
  EXPECT_THAT(wide, HasSubstr("zmm"));
}

}  // namespace
}  // namespace maskjit::testing
