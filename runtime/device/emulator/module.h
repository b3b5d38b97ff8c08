#pragma once
// PTX text -> a module whose kernels can be launched (launch.h).
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "runtime/device/emulator/lexer.h"

namespace maskjit::emulator {

struct Program;

// Of one parameter of a kernel.
struct ParameterInfo {
  std::string_view name;
  uint64_t offset = 0, bytes = 0, alignment = 1;
};

struct KernelInfo {
  std::string_view name;
  std::vector<ParameterInfo> parameters;
  uint64_t parameter_bytes = 0;
  std::optional<std::array<uint32_t, 3>> max_threads, required_threads;
  uint64_t static_shared_bytes = 0;  // without dynamic shared memory
  uint64_t local_bytes = 0;          // of a thread
  uint64_t instructions = 0;
};

// Immutable and cheap to copy; copies are the same module.
class Module {
 public:
  // Unknown instructions and modifiers, wrong operand widths, unknown names, ... are errors.
  static std::variant<Module, ParseError> parse(std::string_view text);

  std::vector<std::string_view> kernels() const;
  std::optional<KernelInfo> kernel(std::string_view name) const;
  std::string_view target() const;  // "sm_80"
  const Program& program() const { return *program_; }
  const std::shared_ptr<const Program>& handle() const { return program_; }

 private:
  explicit Module(std::shared_ptr<const Program> program) : program_(std::move(program)) {}
  std::shared_ptr<const Program> program_;
};

}  // namespace maskjit::emulator
