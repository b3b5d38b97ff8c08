#pragma once
// What runs a problem: a template compiled natively, or one compiled by the JIT for a target and level.
#include <memory>
#include <string>
#include <vector>

#include "tests/conformance/problem.h"

namespace maskjit::conformance {

class Executor {
 public:
  virtual ~Executor() = default;
  virtual std::string name() const = 0;
  // Empty if the executor runs this problem, else why it does not.
  virtual std::string refuses(const Problem& problem) const = 0;
  virtual Results run(const Problem& problem, int threads) const = 0;
};

// The templates compiled with the tests; hooks call the f64 interpreter.
std::unique_ptr<Executor> native_executor(const std::string& template_name);
// `template_name` empty: the one that is selected.
std::unique_ptr<Executor> jit_executor(const std::string& target, int opt_level,
                                       const std::string& template_name = {});

}  // namespace maskjit::conformance
