#include "runtime/device/emulator/module.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/device/emulator/control_flow.h"
#include "runtime/device/emulator/decoder.h"
#include "runtime/device/emulator/layout.h"
#include "runtime/device/emulator/numbers.h"
#include "runtime/device/emulator/parser.h"

namespace maskjit::emulator {
namespace {

ParseError error_at(uint32_t line, std::string message) { return {line, std::move(message), ""}; }

// A variable of the module, without its initial values.
std::optional<ParseError> declare(const syntax::Variable& tree, Variable& variable) {
  variable.name = std::string(tree.name);
  variable.space = tree.space;
  variable.type = tree.type;
  variable.bytes = tree.count * static_cast<uint64_t>(bytes_of(tree.type));
  variable.alignment = static_cast<uint32_t>(
      std::max<uint64_t>(tree.alignment, static_cast<uint64_t>(bytes_of(tree.type))));
  if (tree.space == Space::Local || tree.space == Space::Param)
    return error_at(tree.line, fmt::format("{} must be declared in a function", tree.name));
  if (tree.is_extern || tree.is_unsized) {
    if (tree.space != Space::Shared || !tree.is_extern)
      return error_at(tree.line, fmt::format("{} is not defined in this module", tree.name));
    variable.is_dynamic = tree.is_unsized;
    if (tree.is_unsized) variable.bytes = 0;
  }
  if (!tree.values.empty() && tree.space == Space::Shared)
    return error_at(tree.line, fmt::format("{}: shared memory has no initial values", tree.name));
  return std::nullopt;
}

std::optional<ParseError> initialise(const syntax::Variable& tree, const ModuleNames& names,
                                     const std::vector<Variable>& variables, Variable& variable) {
  if (tree.space == Space::Shared) return std::nullopt;
  variable.initial.assign(variable.bytes, std::byte{0});
  const int bytes = bytes_of(tree.type);
  for (size_t i = 0; i < tree.values.size(); ++i) {
    const syntax::Initializer& value = tree.values[i];
    const uint64_t offset = i * static_cast<uint64_t>(bytes);
    uint64_t bits = value.value;
    if (!value.symbol.empty()) {
      const auto found = names.variables.find(value.symbol);
      if (found == names.variables.end() || bytes != 8)
        return error_at(tree.line,
                        fmt::format("{} cannot hold the address of {}", tree.name, value.symbol));
      const Space space = variables[found->second].space;
      if (space != Space::Global && space != Space::Const)
        return error_at(tree.line, fmt::format("{} has no address before a launch", value.symbol));
      variable.relocations.push_back({offset, found->second, value.value, value.is_generic});
      continue;
    }
    if (value.is_float) {
      const double wide = value.is_f32 ? std::bit_cast<float>(static_cast<uint32_t>(bits))
                                       : std::bit_cast<double>(bits);
      if (bytes == 8) {
        bits = std::bit_cast<uint64_t>(wide);
      } else if (bytes == 4) {
        bits = value.is_f32 ? bits : std::bit_cast<uint32_t>(static_cast<float>(wide));
      } else {
        return error_at(tree.line,
                        fmt::format("{} cannot hold a floating-point constant", tree.name));
      }
    }
    std::memcpy(variable.initial.data() + offset, &bits, static_cast<size_t>(std::min(bytes, 8)));
  }
  return std::nullopt;
}

// Frames are laid out statically, so that no function may call itself, however indirectly.
bool is_recursive(const Program& program) {
  std::vector<uint8_t> state(program.functions.size(), 0);  // 1: on the path, 2: done
  for (uint32_t root = 0; root < program.functions.size(); ++root) {
    std::vector<std::pair<uint32_t, size_t>> stack = {{root, 0}};
    if (state[root] != 0) continue;
    state[root] = 1;
    while (!stack.empty()) {
      auto& [node, next] = stack.back();
      if (next < program.functions[node].callees.size()) {
        const uint32_t callee = program.functions[node].callees[next++];
        if (state[callee] == 1) return true;
        if (state[callee] == 0) {
          state[callee] = 1;
          stack.emplace_back(callee, 0);
        }
      } else {
        state[node] = 2;
        stack.pop_back();
      }
    }
  }
  return false;
}

}  // namespace

std::string Program::statement(const Function& function, uint32_t pc) const {
  if (pc >= function.lines.size()) return {};
  const SourceLine& where = function.lines[pc];
  std::string line;
  for (const char c : std::string_view(text).substr(where.begin, where.end - where.begin)) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank)
      line += c;
    else if (!line.empty() && line.back() != ' ')
      line += ' ';
    if (line.size() > 300) break;
  }
  return line.empty() ? "(end of the function)" : line;
}

std::variant<Module, ParseError> Module::parse(std::string_view text) {
  const auto program = std::make_shared<Program>();
  program->text = std::string(text);
  auto parsed = parse_module(program->text);
  if (auto* error = std::get_if<ParseError>(&parsed)) return std::move(*error);
  const syntax::Module& tree = std::get<syntax::Module>(parsed);
  program->version_major = tree.version_major;
  program->version_minor = tree.version_minor;
  program->target = std::string(tree.target);

  ModuleNames names;
  names.syntax = &tree;
  program->variables.reserve(tree.variables.size());
  for (const syntax::Variable& variable : tree.variables) {
    Variable declared;
    if (auto error = declare(variable, declared)) return std::move(*error);
    if (!names.variables
             .try_emplace(variable.name, static_cast<uint32_t>(program->variables.size()))
             .second)
      return error_at(variable.line, fmt::format("{} is defined twice", variable.name));
    program->variables.push_back(std::move(declared));
  }
  for (size_t i = 0; i < tree.variables.size(); ++i) {
    if (auto error =
            initialise(tree.variables[i], names, program->variables, program->variables[i]))
      return std::move(*error);
  }
  for (uint32_t i = 0; i < tree.functions.size(); ++i) {
    const syntax::Function& function = tree.functions[i];
    // A declaration may precede the definition.
    const auto [place, added] = names.functions.try_emplace(function.name, i);
    if (added) continue;
    const bool defined = tree.functions[place->second].has_body;
    if (defined && function.has_body)
      return error_at(function.line, fmt::format("{} is defined twice", function.name));
    if (!defined) place->second = i;
  }
  program->functions.resize(tree.functions.size());
  for (uint32_t i = 0; i < tree.functions.size(); ++i) {
    const syntax::Function& from = tree.functions[i];
    Function& function = program->functions[i];
    function.name = std::string(from.name);
    function.is_entry = from.is_entry;
    function.max_threads = from.max_threads;
    function.required_threads = from.required_threads;
    if (!from.has_body) continue;
    if (auto error = Decoder(names, program->variables, function).run(from, program->text))
      return std::move(*error);
    finish_function(function);
  }
  for (uint32_t i = 0; i < program->functions.size(); ++i) {
    if (tree.functions[i].has_body) program->function_index.emplace(program->functions[i].name, i);
  }
  if (is_recursive(*program)) return error_at(1, "recursive functions are not supported");
  return Module(program);
}

std::vector<std::string_view> Module::kernels() const {
  std::vector<std::string_view> names;
  for (const Function& function : program_->functions) {
    if (function.is_entry && !function.code.empty()) names.push_back(function.name);
  }
  return names;
}

std::string_view Module::target() const { return program_->target; }

std::optional<KernelInfo> Module::kernel(std::string_view name) const {
  const auto found = program_->function_index.find(name);
  if (found == program_->function_index.end()) return std::nullopt;
  const Function& function = program_->functions[found->second];
  if (!function.is_entry) return std::nullopt;
  KernelInfo info;
  info.name = function.name;
  for (const uint32_t index : function.params) {
    const Variable& variable = function.variables[index];
    info.parameters.push_back({variable.name, variable.offset, variable.bytes, variable.alignment});
  }
  info.parameter_bytes = function.param_bytes;
  info.max_threads = function.max_threads;
  info.required_threads = function.required_threads;
  const KernelLayout layout = lay_out(*program_, found->second);
  info.static_shared_bytes = layout.static_shared_bytes;
  info.local_bytes = layout.local_bytes;
  for (const auto& part : layout.functions)
    info.instructions += program_->functions[part.function].code.size();
  return info;
}

}  // namespace maskjit::emulator
