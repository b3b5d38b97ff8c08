// The key of a specialisation: equal where the code is equal, different where anything baked
// differs.
#include "codegen/compile.h"
#include "masker_dsl/driver/driver.h"

namespace maskjit::codegen {
namespace {

ir::Program program_of(const std::string& text,
                       const std::map<std::string, driver::ParamValue>& values = {}) {
  driver::CheckedSource checked = driver::check("key.masker", text);
  EXPECT_TRUE(checked.program) << diag::render_all(checked.diagnostics);
  diag::DiagnosticEmitter diagnostics;
  auto bound = driver::bind(*checked.program, values, diagnostics);
  EXPECT_TRUE(bound) << diag::render_all(diagnostics);
  return bound->program;
}

SpecKey key_of(
    const ir::Program& program,
    const std::function<void(ProblemSpec&)>& change = [](ProblemSpec&) {},
    const Target& target = Target{HostLevel::Avx2}) {
  ProblemSpec problem;
  problem.head_dim = problem.head_dim_v = 64;
  for (size_t i = 0; i < program.function.tensors().size(); ++i) problem.tensors.emplace_back();
  change(problem);
  return spec_key(program, *select_template(program, problem, target).spec, target);
}

const char* const kWindow = "attention a(n: int = 8) { mask causal() & local(n) }";

TEST(Key, RenamingAndReorderingHit) {
  const SpecKey key = key_of(program_of(kWindow));
  EXPECT_EQ(key, key_of(program_of(kWindow)));
  EXPECT_EQ(key, key_of(program_of("attention b(width: int) { mask local(width) & causal() }",
                                   {{"width", ir::Scalar::of_int(8)}})));
  EXPECT_EQ(key,
            key_of(program_of("masker m(w: int) { let near = q - w < k  return near & k <= q }\n"
                              "attention c() { mask m(8) }")));
  EXPECT_EQ(key_of(program_of("attention a(runtime n: int) { mask local(n) }")),
            key_of(program_of("attention a(runtime m: int = 7) { mask local(m) }")));
}

TEST(Key, EverythingBakedMisses) {
  const ir::Program program = program_of(kWindow);
  std::vector<SpecKey> keys = {
      key_of(program),
      key_of(program_of(kWindow, {{"n", ir::Scalar::of_int(9)}})),
      key_of(program_of("attention a() { mask causal() }")),
      key_of(program_of("attention a(runtime n: int) { mask causal() & local(n) }")),
      key_of(program_of(
          "attention a(n: int = 8) { mask causal() & local(n)  score softcap(s, 3.0) }")),
      key_of(program, [](ProblemSpec& p) { p.head_dim = 128; }),
      key_of(program, [](ProblemSpec& p) { p.head_dim_v = 128; }),
      key_of(program, [](ProblemSpec& p) { p.element = MJ_F16; }),
      key_of(program, [](ProblemSpec& p) { p.additive = MJ_F32; }),
      key_of(program, [](ProblemSpec& p) { p.dense_results = true; }),
      key_of(program, [](ProblemSpec& p) { p.short_queries = true; }),  // another template
      key_of(
          program, [](ProblemSpec&) {}, Target{HostLevel::Avx512}),
  };
  const std::string tensor = "attention a(t: tensor<i32>[batch, kv_len]) { mask t[batch, k] < q }";
  keys.push_back(key_of(program_of(tensor)));
  keys.push_back(key_of(program_of(tensor), [](ProblemSpec& p) { p.tensors[0].broadcast = 1; }));
  keys.push_back(
      key_of(program_of(tensor), [](ProblemSpec& p) { p.tensors[0].unit_stride = false; }));
  for (size_t i = 0; i < keys.size(); ++i) {
    for (size_t j = i + 1; j < keys.size(); ++j) EXPECT_NE(keys[i], keys[j]) << i << " and " << j;
  }
}

TEST(Target, NamesRoundTrip) {
  for (const std::string& name : Target::names()) {
    ASSERT_TRUE(Target::parse(name)) << name;
    EXPECT_EQ(Target::parse(name)->print(), name);
  }
  EXPECT_FALSE(Target::parse("x86-64+avx"));
  EXPECT_TRUE(Target::executable(Target{HostLevel::Baseline}));
}

TEST(Selection, SaysWhyTemplatesAreRefused) {
  const ir::Program program = program_of("attention a() { mask causal() }");
  ProblemSpec problem;
  problem.head_dim = problem.head_dim_v = 512;
  const Selection large = select_template(program, problem, Target{});
  ASSERT_TRUE(large.spec);
  EXPECT_EQ(large.spec->template_name, "host/attention_reference");
  ASSERT_EQ(large.refused.size(), 2u);
  EXPECT_THAT(large.refused[1].reason, testing::HasSubstr("256"));
  problem.head_dim = problem.head_dim_v = 64;
  problem.short_queries = true;
  EXPECT_EQ(select_template(program, problem, Target{}).spec->template_name,
            "host/attention_decode");
  EXPECT_FALSE(select_template(program, problem, Target{}, "host/no_such_template").spec);
}

TEST(Load, DamagedObjectsAreErrors) {
  const ir::Program program = program_of("attention a() { mask causal() }");
  CodeArtifact artifact;
  EXPECT_TRUE(std::holds_alternative<CompileError>(load(artifact)));
  artifact.object = "not an object at all";
  EXPECT_TRUE(std::holds_alternative<CompileError>(load(artifact)));
  artifact.object = std::string(
                        "\x7f"
                        "ELF\2\1\1\0",
                        8) +
                    std::string(200, '\0');
  EXPECT_TRUE(std::holds_alternative<CompileError>(load(artifact)));
}

}  // namespace
}  // namespace maskjit::codegen
