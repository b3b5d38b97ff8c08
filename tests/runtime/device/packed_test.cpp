// Kernels compiled ahead of time: written, read, refused, and used by engines that may not compile.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "codegen/spec/device_templates.h"
#include "runtime/api/state.h"
#include "runtime/cache/kernel_pack.h"
#include "tests/runtime/cache/support.h"
#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

namespace fs = std::filesystem;
using cache::KernelPack;
using cache::testing::TemporaryDirectory;
using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr const char* kSpec = "masker main() = causal()";

struct Call {
  Call() : q(ElementType::F32, {1, 2, 40, 16}), output(ElementType::F32, {1, 2, 40, 16}) {
    for (int64_t i = 0; i < q.size(); ++i) q.set(i, std::sin(static_cast<double>(i)));
    inputs = {.query = q.view(), .key = q.view(), .value = q.view()};
  }
  Tensor q, output;
  AttentionInputs inputs;
};

// Packs the kernel that `options` give for the call.
void pack(const EngineOptions& options, const std::string& directory) {
  const Engine engine(options);
  const auto attention = *engine.load_text(kSpec)->bind();
  const Call call;
  const auto info = attention.prepare(call.inputs, {.output = call.output.view()});
  ASSERT_TRUE(info) << info.error().message;
  const auto& state = attention.state();
  codegen::ProblemSpec problem;
  problem.head_dim = problem.head_dim_v = 16;
  const codegen::Target target = *codegen::Target::parse(info->target);
  const codegen::KernelSpec spec =
      *codegen::select_template(state.bound.program, problem, target).spec;
  const codegen::SpecKey key = codegen::spec_key(state.bound.program, spec, target);
  ASSERT_EQ(key.hex(), info->key);
  auto compiled = codegen::compile(state.bound.program, state.bound.tiles, spec, target);
  const auto written =
      cache::write_pack(directory, {{key, std::get<codegen::CodeArtifact>(compiled), "main"}},
                        codegen::build_id(), codegen::llvm_version());
  ASSERT_TRUE(written) << written.error().message;
}

EngineOptions packed_only(const std::string& directory) {
  EngineOptions options = memory_only();
  options.packed_kernels = {directory};
  options.require_packed = true;
  return options;
}

std::string load_error(const EngineOptions& options) {
  const auto spec = Engine(options).load_text("", "causal");
  return spec ? "" : spec.error().message;
}

TEST(Packed, IsUsedWithoutCompilingAndGivesTheSame) {
  const TemporaryDirectory directory;
  const std::string folder = directory.path() + "/pack";
  pack(memory_only(), folder);
  Call want, got;
  const Engine fresh(memory_only());
  ASSERT_TRUE((*fresh.load_text(kSpec)->bind()).run(want.inputs, {.output = want.output.view()}));
  // A deployment's directory cannot be written to.
  for (const auto& file : fs::directory_iterator(folder))
    fs::permissions(file.path(), fs::perms::owner_read | fs::perms::others_read);
  fs::permissions(folder, fs::perms::owner_read | fs::perms::owner_exec);
  const Engine engine(packed_only(folder));
  const auto spec = engine.load_text("masker other_name() = k <= q");  // the same program
  ASSERT_TRUE(spec) << spec.error().message;
  const auto attention = *spec->bind();
  const auto info = attention.prepare(got.inputs, {.output = got.output.view()});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->origin, "packed");
  ASSERT_TRUE(attention.run(got.inputs, {.output = got.output.view()}));
  EXPECT_EQ(got.output.values(), want.output.values());
  fs::permissions(folder, fs::perms::owner_all);
}

TEST(Packed, AMissNamesWhatIsWantedAndWhatIsThere) {
  const TemporaryDirectory directory;
  pack(memory_only(), directory.path());
  const Engine engine(packed_only(directory.path()));
  Call call;
  const auto local = *engine.load_text("masker main() = local(4)")->bind();
  const Status done = local.run(call.inputs, {.output = call.output.view()});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().kind, ErrorKind::Unsupported);
  EXPECT_THAT(done.error().message,
              AllOf(HasSubstr("no packed kernel for this problem"),
                    HasSubstr("wanted: host/attention_forward element=0 d=16"), HasSubstr("key "),
                    HasSubstr(directory.path() + " has 1 kernels"), HasSubstr("main: host/")));
  // Where compiling is allowed it is compiled.
  EngineOptions options = packed_only(directory.path());
  options.require_packed = false;
  const Engine other(options);
  const auto compiled = *other.load_text("masker main() = local(4)")->bind();
  EXPECT_EQ(compiled.prepare(call.inputs, {.output = call.output.view()})->origin, "compiled");
  const auto packed = *other.load_text(kSpec)->bind();
  EXPECT_EQ(packed.prepare(call.inputs, {.output = call.output.view()})->origin, "packed");
}

TEST(Packed, OlderTargetsServeNewerOnes) {
  if (codegen::Target::host().level == codegen::HostLevel::Baseline)
    GTEST_SKIP() << "this CPU is of the oldest target";
  const TemporaryDirectory directory;
  EngineOptions baseline = memory_only();
  baseline.target = "x86-64";
  pack(baseline, directory.path());
  const Engine engine(packed_only(directory.path()));
  const auto attention = *engine.load_text(kSpec)->bind();
  Call call;
  const auto info = attention.prepare(call.inputs, {.output = call.output.view()});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->target, "x86-64");
  ASSERT_TRUE(attention.run(call.inputs, {.output = call.output.view()}));
}

TEST(Packed, DeviceKernelsToo) {
  const TemporaryDirectory directory;
  EngineOptions device = memory_only();
  device.device = "emulator";
  device.target = "sm_80";
  pack(device, directory.path());
  EngineOptions options = packed_only(directory.path());
  options.device = "emulator";
  options.target = "sm_90a";  // takes code for sm_80
  const Engine engine(options);
  const auto attention = *engine.load_text(kSpec)->bind();
  Call want, got;
  const auto info = attention.prepare(got.inputs, {.output = got.output.view()});
  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->origin, "packed");
  EXPECT_EQ(info->target, "sm_80");
  ASSERT_TRUE(attention.run(got.inputs, {.output = got.output.view()}));
  const auto on_host = *Engine(memory_only()).load_text(kSpec)->bind();
  ASSERT_TRUE(on_host.run(want.inputs, {.output = want.output.view()}));
  for (int64_t i = 0; i < want.output.size(); ++i)
    ASSERT_NEAR(got.output.at(i), want.output.at(i), 1e-5);
}

TEST(Packed, BadPacksAreRefused) {
  const TemporaryDirectory directory;
  const std::string folder = directory.path() + "/pack";
  EXPECT_THAT(load_error(packed_only(folder)),
              HasSubstr(folder + " has no packed kernels: there is no"));
  EngineOptions nothing = memory_only();
  nothing.require_packed = true;
  EXPECT_EQ(load_error(nothing), "require_packed is set, but packed_kernels names no directory");
  pack(memory_only(), folder);
  const std::string manifest = folder + "/manifest.txt";
  std::stringstream text;
  text << std::ifstream(manifest).rdbuf();
  const std::string good = text.str();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = good;
    changed.replace(changed.find(from), from.size(), to);
    std::ofstream(manifest) << changed;
    return load_error(packed_only(folder));
  };
  EXPECT_EQ(with("maskjit-pack 1", "maskjit-pack 1"), "");
  EXPECT_THAT(with("maskjit-pack 1", "maskjit-pack 9"), HasSubstr("has format 9, not 1"));
  EXPECT_THAT(with("maskjit-pack", "something"), HasSubstr("is no manifest of packed kernels"));
  EXPECT_THAT(with("build\t", "build\tother"),
              AllOf(HasSubstr("were made by maskjit build other"), HasSubstr("pack them again")));
  EXPECT_THAT(with("kernel\t", "kernel\tx"), HasSubstr("is malformed in line 4"));
  EXPECT_THAT(with("build\t", "bulid\t"), HasSubstr("is malformed in line 2"));
  EXPECT_THAT(with("main\t", "main"), HasSubstr("is malformed in line 4"));
  // Without being required it is left out of account.
  EngineOptions optional = packed_only(folder);
  optional.require_packed = false;
  EXPECT_EQ(load_error(optional), "");
  // Packing into a pack of another build would mix them.
  with("build\t", "build\tother");
  const auto mixed = cache::write_pack(folder, {}, codegen::build_id(), "x");
  ASSERT_FALSE(mixed);
  EXPECT_THAT(mixed.error().message, HasSubstr("were made by maskjit build other"));
}

TEST(Packed, ADamagedKernelIsNoKernel) {
  const TemporaryDirectory directory;
  pack(memory_only(), directory.path());
  for (const auto& file : fs::directory_iterator(directory.path())) {
    if (file.path().extension() == ".mjk") fs::resize_file(file.path(), 200);
  }
  Call call;
  const Engine strict(packed_only(directory.path()));
  const auto attention = *strict.load_text(kSpec)->bind();
  const Status done = attention.run(call.inputs, {.output = call.output.view()});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("cannot be used, and nothing may be compiled"));
  EngineOptions options = packed_only(directory.path());
  options.require_packed = false;
  const Engine other(options);
  EXPECT_TRUE((*other.load_text(kSpec)->bind()).run(call.inputs, {.output = call.output.view()}));
}

TEST(Packed, IsAddedTo) {
  const TemporaryDirectory directory;
  pack(memory_only(), directory.path());
  EngineOptions device = memory_only();
  device.device = "emulator";
  pack(device, directory.path());
  pack(device, directory.path());
  const auto both = KernelPack::open(directory.path(), codegen::build_id());
  ASSERT_TRUE(both);
  EXPECT_EQ(both->kernels().size(), 2u);
}

}  // namespace
}  // namespace maskjit::testing
