#pragma once
// What runs a problem: a template compiled natively, or one compiled by the JIT for a target and
// level.
#include <memory>
#include <string>
#include <vector>

#include "tests/conformance/problem.h"

namespace maskjit::conformance {

class Executor {
 public:
  virtual ~Executor() = default;
  virtual std::string name() const = 0;
  // The templates that this executor uses are made for such a problem.
  virtual bool considers(const ProblemDescription& problem) const = 0;
  // Why this machine cannot run the executor; empty if it can.
  virtual std::string unavailable() const { return {}; }
  virtual Results run(const Problem& problem, int threads) const = 0;
};

// The templates compiled with the tests; hooks call the f64 interpreter.
std::unique_ptr<Executor> native_executor(const std::string& template_name);
// `template_name` empty: the one that is selected.
std::unique_ptr<Executor> jit_executor(const std::string& target, int opt_level,
                                       const std::string& template_name = {});

// A device template's PTX on the emulator. `template_name` empty: the one that is selected.
std::unique_ptr<Executor> emulator_executor(const std::string& target,
                                            const std::string& template_name = {});

// The same on the first GPU, by the CUDA driver.
std::unique_ptr<Executor> cuda_executor(const std::string& template_name = {});

}  // namespace maskjit::conformance
