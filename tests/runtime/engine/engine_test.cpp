// Engine and Spec: options, files, parameters, refusals, and the disk cache as an engine uses it.
#include "runtime/api/engine.h"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "runtime/api/environment.h"
#include "runtime/cache/directory.h"
#include "tests/runtime/cache/support.h"
#include "tests/runtime/engine/problem.h"

namespace maskjit::testing {
namespace {

using cache::testing::TemporaryDirectory;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Engine, WrongOptionsAreSaidByEveryLoad) {
  const auto message = [](EngineOptions options) {
    options.cache_mode = CacheMode::Off;
    const auto spec = Engine(options).load_text("", "causal");
    return spec ? "" : spec.error().message;
  };
  EXPECT_EQ(message({}), "");
  EXPECT_EQ(message({.target = "x86-64+avx22"}),
            "there is no target 'x86-64+avx22'; did you mean 'x86-64+avx2'?");
  EXPECT_THAT(message({.target = "sparc"}),
              HasSubstr("there is no target 'sparc'; possible are x86-64, "));
  EXPECT_THAT(message({.only_template = "host/attention_forwrd"}),
              HasSubstr("did you mean 'host/attention_forward'?"));
  EXPECT_EQ(message({.opt_level = 7}), "opt_level is 7; 0 and 3 are possible");
  EXPECT_EQ(message({.threads = -1}), "threads is -1; 0 (all) to 4096 are possible");
}

TEST(Engine, LoadsFilesTextsAndStandardMaskers) {
  const Engine engine(memory_only());
  const TemporaryDirectory directory;
  const std::string path = directory.path() + "/two.masker";
  std::ofstream(path) << "masker near(n: int = 5) = local(n)\nattention main(runtime c: float) { "
                         "mask near() score s * c }\n";
  const auto spec = engine.load_file(path);
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->name(), "main");
  EXPECT_EQ(spec->warnings(), "");
  ASSERT_EQ(spec->parameters().size(), 1u);
  EXPECT_EQ(spec->parameters()[0].name, "c");
  EXPECT_EQ(spec->parameters()[0].type, "float");
  EXPECT_EQ(spec->parameters()[0].binding_time, "runtime");
  EXPECT_EQ(engine.load_file(path, "near")->parameters()[0].default_value, "5");
  EXPECT_EQ(engine.load_text("", "sink")->parameters()[0].binding_time, "const");

  const auto missing = engine.load_file(directory.path() + "/none.masker");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::Io);
  EXPECT_THAT(missing.error().message, HasSubstr("cannot read '"));
  EXPECT_EQ(engine.load_file(directory.path()).error().kind, ErrorKind::Io);
  const auto bad = engine.load_text("masker main() = causl()", "", "bad.masker");
  ASSERT_FALSE(bad);
  EXPECT_THAT(bad.error().message,
              AllOf(HasSubstr("bad.masker:1:17"), HasSubstr("[unknown-masker]")));
}

TEST(Engine, BindingErrorsAreDiagnostics) {
  const Engine engine(memory_only());
  const auto spec = engine.load_text("masker main(window: int) = local(window)");
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_THAT(spec->bind().error().message, HasSubstr("[missing-value]"));
  EXPECT_THAT(spec->bind({{"windov", int64_t{1}}}).error().message,
              AllOf(HasSubstr("[unknown-parameter]"), HasSubstr("did you mean 'window'?")));
  EXPECT_THAT(spec->bind({{"window", 0.5}}).error().message, HasSubstr("[invalid-value]"));
  const auto bound = spec->bind({{"window", int64_t{4}}});
  ASSERT_TRUE(bound);
  EXPECT_TRUE(bound->parameters().empty());
  const auto open =
      engine.load_text("masker main(t: tensor<i32>[batch, kv_len]) = t[batch, k] > 0")->bind();
  ASSERT_EQ(open->parameters().size(), 1u);
  EXPECT_EQ(open->parameters()[0].type, "i32[batch, kv_len]");
  EXPECT_EQ(open->parameters()[0].binding_time, "tensor");
}

class EngineCache : public ::testing::Test {
 protected:
  // The output of a small call, and where its kernel came from.
  struct Outcome {
    std::vector<double> output;
    std::string origin;
  };
  Outcome run(CacheMode mode) {
    EngineOptions options;
    options.cache_directory = directory_.path();
    options.cache_mode = mode;
    const Engine engine(options);
    Tensor q(ElementType::F32, {1, 2, 20, 16}), out(ElementType::F32, {1, 2, 20, 16});
    for (int64_t i = 0; i < q.size(); ++i) q.set(i, static_cast<double>(i % 17) / 17);
    const auto attention = engine.load_text("", "causal")->bind();
    const AttentionInputs inputs{.query = q.view(), .key = q.view(), .value = q.view()};
    const auto info = attention->prepare(inputs, {.output = out.view()});
    EXPECT_TRUE(info) << info.error().message;
    const Status done = attention->run(inputs, {.output = out.view()});
    EXPECT_TRUE(done) << done.error().message;
    return {out.values(), info ? info->origin : ""};
  }
  std::string only_entry() const {
    const auto entries = cache::list_entries(directory_.path(), codegen::build_id());
    EXPECT_EQ(entries.size(), 1u);
    EXPECT_EQ(entries.at(0).problem, "");
    EXPECT_EQ(entries.at(0).template_name, "host/attention_forward");
    return entries.at(0).path;
  }

  TemporaryDirectory directory_;
};

TEST_F(EngineCache, AHitCannotBeToldFromACompile) {
  const Outcome fresh = run(CacheMode::ReadWrite);
  EXPECT_EQ(fresh.origin, "compiled");
  only_entry();
  for (CacheMode mode : {CacheMode::ReadWrite, CacheMode::ReadOnly, CacheMode::Check}) {
    const Outcome hit = run(mode);
    EXPECT_EQ(hit.origin, "disk") << name_of(mode);
    EXPECT_EQ(hit.output, fresh.output);
  }
}

TEST_F(EngineCache, ABrokenCacheCannotBeToldFromAnEmptyOne) {
  const Outcome fresh = run(CacheMode::ReadWrite);
  const std::string path = only_entry();
  const auto size = std::filesystem::file_size(path);
  for (uintmax_t length : {uintmax_t{0}, uintmax_t{40}, uintmax_t{200}, size / 2, size - 1}) {
    std::filesystem::resize_file(path, length);
    ::testing::internal::CaptureStderr();
    const Outcome again = run(CacheMode::ReadWrite);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(),
                HasSubstr("maskjit: warning: cache entry "));
    EXPECT_EQ(again.origin, "compiled") << length;
    EXPECT_EQ(again.output, fresh.output);
  }
}

// An intact entry whose object is none, as after a bug of the writer: the loader refuses it.
TEST_F(EngineCache, AnObjectThatDoesNotLoadIsCompiledAgain) {
  const Outcome fresh = run(CacheMode::ReadWrite);
  const std::string path = only_entry();
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const auto good = std::get<cache::Entry>(cache::parse(bytes));
  std::string other = good.artifact.object;
  std::fill(other.begin() + 20, other.end(), '\x5A');
  for (const std::string& object :
       {std::string(), std::string("text"), good.artifact.object.substr(0, 64),
        good.artifact.object.substr(0, good.artifact.object.size() / 2), other}) {
    cache::Entry entry = good;
    entry.artifact.object = object;
    std::ofstream(path, std::ios::binary) << cache::print(entry);
    ::testing::internal::CaptureStderr();
    const Outcome again = run(CacheMode::ReadWrite);
    EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("cannot be loaded"));
    EXPECT_EQ(again.origin, "compiled");
    EXPECT_EQ(again.output, fresh.output);
  }
}

class EnvironmentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : kNames) {
      const char* value = getenv(name);
      saved_.emplace_back(value == nullptr ? std::nullopt : std::optional<std::string>(value));
      unsetenv(name);
    }
  }
  void TearDown() override {
    for (size_t i = 0; i < std::size(kNames); ++i) {
      if (saved_[i])
        setenv(kNames[i], saved_[i]->c_str(), 1);
      else
        unsetenv(kNames[i]);
    }
  }
  static constexpr const char* kNames[] = {"MASKJIT_CACHE", "MASKJIT_CACHE_DIR", "MASKJIT_LOG",
                                           "XDG_CACHE_HOME", "HOME"};
  std::vector<std::optional<std::string>> saved_;
};

TEST_F(EnvironmentTest, CacheDirectory) {
  EXPECT_EQ(read_environment().cache_directory, "");
  setenv("HOME", "/home/someone", 1);
  EXPECT_EQ(read_environment().cache_directory, "/home/someone/.cache/maskjit");
  setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(read_environment().cache_directory, "/home/someone/.cache/maskjit");
  setenv("XDG_CACHE_HOME", "/var/cache/x", 1);
  EXPECT_EQ(read_environment().cache_directory, "/var/cache/x/maskjit");
  setenv("MASKJIT_CACHE_DIR", "/elsewhere", 1);
  EXPECT_EQ(read_environment().cache_directory, "/elsewhere");
}

TEST_F(EnvironmentTest, Switches) {
  EXPECT_FALSE(read_environment().cache_mode);
  EXPECT_EQ(read_environment().log_level, LogLevel::Warning);
  for (CacheMode mode :
       {CacheMode::Off, CacheMode::ReadOnly, CacheMode::ReadWrite, CacheMode::Check}) {
    setenv("MASKJIT_CACHE", std::string(name_of(mode)).c_str(), 1);
    EXPECT_EQ(read_environment().cache_mode, mode);
  }
  setenv("MASKJIT_LOG", "debug", 1);
  EXPECT_EQ(read_environment().log_level, LogLevel::Debug);
  EXPECT_TRUE(read_environment().problems.empty());
  setenv("MASKJIT_CACHE", "on", 1);
  setenv("MASKJIT_LOG", "loud", 1);
  EXPECT_THAT(
      read_environment().problems,
      ::testing::ElementsAre("MASKJIT_CACHE is 'on'; off, ro, rw and check are possible",
                             "MASKJIT_LOG is 'loud'; off, warning, info and debug are possible"));
}

}  // namespace
}  // namespace maskjit::testing
