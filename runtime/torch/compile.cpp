// Texts -> specs, for each device that they are called on.
#include <atomic>
#include <cctype>
#include <mutex>

#include "runtime/torch/attention.h"
#include "runtime/torch/checks.h"
#include "runtime/torch/devices.h"

namespace maskjit::torch {
namespace {

// "import", "masker", "score" or "attention" at the start of a line: declarations.
bool has_declarations(std::string_view text) {
  constexpr std::string_view kKeywords[] = {"import", "masker", "score", "attention"};
  while (!text.empty()) {
    const size_t begin = text.find_first_not_of(" \t\r");
    std::string_view line = begin == std::string_view::npos ? "" : text.substr(begin);
    for (std::string_view keyword : kKeywords) {
      if (line.starts_with(keyword) && line.size() > keyword.size() &&
          std::isspace(static_cast<unsigned char>(line[keyword.size()]))) {
        return true;
      }
    }
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return false;
}

bool is_name(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

Result<Spec> load(const Engine& engine, const Source& source) {
  const std::string name = source.path.empty() ? "<text>" : source.path;
  if (!source.path.empty() || has_declarations(source.program)) {
    return engine.load_text(source.program, source.entry, name);
  }
  if (source.program.empty() || is_name(source.program)) {
    // A standard masker, named by one of the two.
    if (source.program.empty() || source.entry.empty()) {
      return engine.load_text("", source.program + source.entry, name);
    }
    return engine.load_text(source.program, source.entry, name);
  }
  return engine.load_text("masker expression() = " + source.program, source.entry, name);
}

Attention bound(const Engine& engine, const Source& source, std::string& warnings) {
  const Result<Spec> spec = load(engine, source);
  if (!spec) raise(spec.error());
  warnings = spec->warnings();
  Result<Attention> attention = spec->bind(source.constants);
  if (!attention) raise(attention.error());
  return std::move(*attention);
}

}  // namespace

struct CompiledSpec::State {
  explicit State(Source given)
      : source(std::move(given)),
        on_cpu(bound(engine(), source, warnings)),
        parameters(on_cpu.parameters()) {}

  const Source source;
  std::string warnings;
  const Attention on_cpu;
  const std::vector<ParameterInfo> parameters;
  // By the device's index; what is there stays.
  std::array<std::atomic<const Attention*>, kMaxCudaDevices> on_cuda = {};
  std::mutex mutex;  // of whoever adds one
  std::vector<std::unique_ptr<const Attention>> added;
};

CompiledSpec::CompiledSpec(Source source) : state_(std::make_shared<State>(std::move(source))) {}

const Attention& CompiledSpec::on(c10::Device device) const {
  if (device.is_cpu()) return state_->on_cpu;
  const Engine& there = engine(device);
  std::atomic<const Attention*>& place = state_->on_cuda[static_cast<size_t>(device.index())];
  if (const Attention* known = place.load(std::memory_order_acquire)) return *known;
  const std::lock_guard lock(state_->mutex);
  if (const Attention* known = place.load(std::memory_order_acquire)) return *known;
  std::string said_before;
  state_->added.push_back(
      std::make_unique<const Attention>(bound(there, state_->source, said_before)));
  place.store(state_->added.back().get(), std::memory_order_release);
  return *state_->added.back();
}

const std::vector<ParameterInfo>& CompiledSpec::parameters() const { return state_->parameters; }
const std::string& CompiledSpec::warnings() const { return state_->warnings; }

CompiledSpec compile(Source source) { return CompiledSpec(std::move(source)); }

CompiledSpec compile(std::string program, Values constants) {
  return CompiledSpec({std::move(program), "", "", std::move(constants)});
}

}  // namespace maskjit::torch
