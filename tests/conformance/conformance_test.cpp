// Every executor against the f64 reference on every problem. The tolerance is relative to the error
// of a plain computation in the same precision: 1.5 times for 16-bit types, 3 times for f32 (whose
// errors are a few rounding errors of sums in another order), both with a floor of one rounding of
// the type.
#include <cmath>
#include <limits>

#include "tests/conformance/executor.h"
#include "tests/conformance/problems.h"
#include "tests/sanitized.h"

namespace maskjit::conformance {
namespace {

std::vector<std::shared_ptr<Executor>> executors() {
  std::vector<std::shared_ptr<Executor>> all;
  for (const char* name : {"forward", "decode", "reference", "select"})
    all.push_back(native_executor(name));
  const std::string host = codegen::Target::host().print();
#if __has_feature(address_sanitizer)
  // Sanitizers do not see inside of jitted code: one target is enough for what surrounds it.
  all.push_back(jit_executor(host, 3));
  all.push_back(jit_executor(host, 0));
#else
  for (const std::string& target : codegen::Target::names()) all.push_back(jit_executor(target, 3));
  all.push_back(jit_executor(host, 0));
  all.push_back(jit_executor("x86-64", 0, "host/attention_forward"));
  all.push_back(jit_executor(host, 3, "host/attention_forward"));
  all.push_back(jit_executor(host, 3, "host/attention_reference"));
#endif
  all.push_back(emulator_executor("sm_80"));
  all.push_back(emulator_executor("sm_80", "nvptx/attention_forward"));
  all.push_back(emulator_executor("sm_80", "nvptx/attention_reference"));
  for (const char* target : {"sm_86", "sm_90a", "sm_120a"})
    all.push_back(emulator_executor(target));
  for (const char* name : {"", "nvptx/attention_forward", "nvptx/attention_reference"})
    all.push_back(cuda_executor(name));
  return all;
}

double norm(const std::vector<double>& v) {
  double sum = 0;
  for (double x : v) {
    if (std::isfinite(x)) sum += x * x;
  }
  return std::sqrt(sum);
}

// Norm of the difference; infinite if a value is not finite where the other is, or differs in
// infinity.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return INFINITY;
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const double d = a[i] - b[i];
    if (!std::isfinite(d)) return INFINITY;
    sum += d * d;
  }
  return std::sqrt(sum);
}

using Parameter = std::tuple<std::shared_ptr<Executor>, size_t>;

// Multiplications of a dense problem, which the emulator's time follows.
int64_t multiplications(const ProblemDescription& d) {
  const int value_dim = d.head_dim_v == 0 ? d.head_dim : d.head_dim_v;
  return d.batch * d.num_heads * d.q_len * d.kv_len * (d.head_dim + value_dim);
}

// What an executor runs of the problems.
struct Sample {
  double share = 1;
  int64_t largest = std::numeric_limits<int64_t>::max();  // multiplications
};

// Sanitizers do not see into jitted code, and tests/emulator is about the emulator's own: they get
// a sample of both. Other hosts and later devices get the same code from other back-end tables, and
// templates that are not the selected one the same problems: they run a sample, too.
Sample sample_of(const Executor& executor) {
  const std::string name = executor.name();
  const bool emulated = name.starts_with("emulator");
  if (kSanitized) {
    if (emulated) return {1.0 / 12, 2'000'000};
    return {name.starts_with("jit") ? 0.25 : 1};
  }
  if (!emulated) {
    const bool other_host =
        name.starts_with("jit_O3") &&
        !name.starts_with(jit_executor(codegen::Target::host().print(), 3)->name());
    return {other_host ? 0.5 : 1};
  }
  if (name == "emulator_sm_80") return {};
  return {name.starts_with("emulator_sm_80") ? 1.0 / 3 : 1.0 / 7, 4'000'000};
}

// Multiples of the golden ratio are spread evenly, whatever the periods of the problems; each
// executor begins elsewhere.
bool takes(const Sample& sample, size_t executor, size_t index, const ProblemDescription& d) {
  if (multiplications(d) > sample.largest) return false;
  const double at = static_cast<double>(index) * 0.6180339887498949 +
                    static_cast<double>(executor) * 0.7548776662466927;
  return at - std::floor(at) < sample.share;
}

std::vector<Parameter> parameters() {
  const std::vector<ProblemDescription> problems = conformance_problems();
  const auto all_executors = executors();
  std::vector<Parameter> all;
  for (size_t e = 0; e < all_executors.size(); ++e) {
    const auto& executor = all_executors[e];
    if (!executor->unavailable().empty()) {  // one test says why
      all.emplace_back(executor, 0);
      continue;
    }
    const Sample sample = sample_of(*executor);
    // Emulated selection takes seconds: a fifth of the sequences.
    const bool emulated = executor->name().starts_with("emulator");
    for (size_t i = 0; i < problems.size(); ++i) {
      if (!takes(sample, e, i, problems[i])) continue;
      if (emulated && problems[i].sequence && i % 5 != 0) continue;
      if (executor->considers(problems[i])) all.emplace_back(executor, i);
    }
  }
  return all;
}

// A problem and its solution, which all executors share.
struct Solved {
  explicit Solved(const ProblemDescription& description)
      : problem(description), expected(problem.reference()), plain(problem.plain()) {}
  Problem problem;
  Results expected, plain;
};

const Solved& solve(size_t index) {
  static const std::vector<ProblemDescription> problems = conformance_problems();
  static std::vector<std::unique_ptr<Solved>> solved(problems.size());
  if (!solved[index]) solved[index] = std::make_unique<Solved>(problems[index]);
  return *solved[index];
}

class Conformance : public testing::TestWithParam<Parameter> {};

TEST_P(Conformance, AgreesWithTheReference) {
  const auto& [executor, index] = GetParam();
  if (!executor->unavailable().empty()) GTEST_SKIP() << executor->unavailable();
  const auto& [problem, expected, plain] = solve(index);
  const ProblemDescription& description = problem.description();
  SCOPED_TRACE(description.print());
  const double unit = description.element == MJ_F32   ? 6e-8
                      : description.element == MJ_F16 ? 5e-4
                                                      : 4e-3;
  const double factor = description.element == MJ_F32 ? 3 : 1.5;
  // Decoding is planned for several threads in half of the cases, so that keys are split and
  // merged.
  const Results actual = executor->run(problem, index % 2 == 0 ? 1 : 7);
  const auto check = [&](const char* what, const std::vector<double>& a,
                         const std::vector<double>& e, const std::vector<double>& p, double floor) {
    const double error = distance(a, e);
    const double limit = factor * distance(p, e) + floor * norm(e) + 1e-30;
    EXPECT_LE(error, limit) << what << ": error " << error / norm(e) << " relative, plain "
                            << distance(p, e) / norm(e);
  };
  check("output", actual.output, expected.output, plain.output,
        description.element == MJ_F32 ? 2e-7 : unit / 8);
  check("numerator", actual.numerator, expected.numerator, plain.numerator, 2e-7);
  check("denominator", actual.denominator, expected.denominator, plain.denominator, 2e-7);
  check("lse", actual.lse, expected.lse, plain.lse, 2e-7);
  check("row maximum", actual.row_max, expected.row_max, plain.row_max, 2e-7);
  check("weights", actual.weights, expected.weights, plain.weights, 4e-7);
  if (actual.output_alone.empty()) return;
  check("output alone", actual.output_alone, expected.output, plain.output,
        description.element == MJ_F32 ? 2e-7 : unit / 8);
  check("lse without a row maximum", actual.lse_alone, expected.lse, plain.lse, 2e-7);
}

INSTANTIATE_TEST_SUITE_P(All, Conformance, testing::ValuesIn(parameters()), [](const auto& info) {
  return std::get<0>(info.param)->name() + "_" + std::to_string(std::get<1>(info.param));
});

}  // namespace
}  // namespace maskjit::conformance
