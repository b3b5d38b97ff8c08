// Engine and Spec: options, files and parameters -> a bound program.
#include "runtime/api/engine.h"

#include <filesystem>

#include "codegen/spec/device_templates.h"
#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/diag/text.h"
#include "runtime/api/environment.h"
#include "runtime/api/state.h"

namespace maskjit {
namespace {

cache::CacheOptions cache_options_of(const EngineOptions& options, const Environment& environment,
                                     const Log& log) {
  cache::CacheOptions cache;
  cache.mode = options.cache_mode.value_or(environment.cache_mode.value_or(CacheMode::ReadWrite));
  cache.directory =
      options.cache_directory.empty() ? environment.cache_directory : options.cache_directory;
  cache.limit_bytes = options.cache_limit_bytes;
  cache.build_id = codegen::build_id();
  cache.log = log;
  return cache;
}

template <typename Names>
std::string alternatives(std::string_view name, const Names& names) {
  const std::string closest = diag::closest_name(name, names);
  if (!closest.empty()) return fmt::format("did you mean '{}'?", closest);
  std::string list;
  for (const std::string& n : names) list += (list.empty() ? "" : ", ") + n;
  return "possible are " + list;
}

std::optional<Error> check_host_target(const EngineOptions& options,
                                       const codegen::Target& target) {
  const auto parsed = codegen::Target::parse(options.target);
  if (parsed && !parsed->is_host()) {
    return Error{ErrorKind::InvalidInput,
                 fmt::format("{} is a GPU: give a device (emulator, cuda) for it",
                             diag::quoted(options.target))};
  }
  if (!options.target.empty() && !parsed) {
    return Error{ErrorKind::InvalidInput,
                 fmt::format("there is no target {}; {}", diag::quoted(options.target),
                             alternatives(options.target, codegen::Target::names()))};
  }
  if (!codegen::Target::executable(target)) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("this CPU cannot execute code for {}; it supports {}", target.print(),
                             codegen::Target::host().print())};
  }
  return std::nullopt;
}

std::optional<Error> check_options(const EngineOptions& options, const codegen::Target& target) {
  const auto invalid = [](std::string message) {
    return Error{ErrorKind::InvalidInput, std::move(message)};
  };
  if (options.device.empty()) {
    if (auto error = check_host_target(options, target)) return error;
  }
  if (!options.only_template.empty()) {
    std::vector<std::string> names;
    for (const codegen::KernelTemplate& t :
         target.is_host() ? codegen::kernel_templates() : codegen::device_templates())
      names.push_back(t.name);
    if (std::find(names.begin(), names.end(), options.only_template) == names.end()) {
      return invalid(fmt::format("there is no template {}; {}", diag::quoted(options.only_template),
                                 alternatives(options.only_template, names)));
    }
  }
  if (options.opt_level != 0 && options.opt_level != 3) {
    return invalid(fmt::format("opt_level is {}; 0 and 3 are possible", options.opt_level));
  }
  if (options.threads < 0 || options.threads > 4096) {
    return invalid(fmt::format("threads is {}; 0 (all) to 4096 are possible", options.threads));
  }
  if (options.require_packed && options.packed_kernels.empty())
    return invalid("require_packed is set, but packed_kernels names no directory");
  return std::nullopt;
}

// Opens the packed kernels; what is wrong with one is an error where they are required.
std::optional<Error> open_packs(const EngineOptions& options, const Log& log,
                                std::vector<cache::KernelPack>& packs) {
  for (const std::string& directory : options.packed_kernels) {
    auto pack = cache::KernelPack::open(directory, codegen::build_id());
    if (pack) {
      packs.push_back(std::move(*pack));
    } else if (options.require_packed) {
      return pack.error();
    } else {
      log.warning(pack.error().message + "; ignored");
    }
  }
  return std::nullopt;
}

cache::KernelCache::Load load_function(const std::shared_ptr<device::Device>& device) {
  if (device == nullptr) return codegen::load;
  return [device](const codegen::CodeArtifact& artifact)
             -> std::variant<std::unique_ptr<codegen::LoadedKernel>, codegen::CompileError> {
    auto loaded = device->load(artifact);
    if (!loaded) return codegen::CompileError{loaded.error().message};
    return std::unique_ptr<codegen::LoadedKernel>(std::move(*loaded));
  };
}

Error rendered(const diag::DiagnosticEmitter& diagnostics) {
  return {ErrorKind::InvalidInput, diag::render_all(diagnostics)};
}

driver::ParamValue driver_value(const Value& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return ir::Scalar::of_bool(*flag);
  if (const auto* integer = std::get_if<int64_t>(&value)) return ir::Scalar::of_int(*integer);
  if (const auto* real = std::get_if<double>(&value)) return ir::Scalar::of_float(*real);
  return ir::Share{std::get<Share>(value).share};
}

Result<Spec> make_spec(std::shared_ptr<const detail::EngineState> engine,
                       driver::CheckedSource checked) {
  if (!checked.program) return rendered(checked.diagnostics);
  auto state = std::make_shared<detail::SpecState>();
  state->engine = std::move(engine);
  state->program = std::move(*checked.program);
  state->warnings = diag::render_all(checked.diagnostics);
  return Spec(std::move(state));
}

}  // namespace

detail::EngineState::EngineState(EngineOptions given, cache::CacheOptions cache_options,
                                 EngineDevice engine_device, Log to_log)
    : options(std::move(given)),
      device(std::move(engine_device.device)),
      target(engine_device.target),
      ptxas(std::move(engine_device.ptxas)),
      log(std::move(to_log)),
      error(engine_device.error ? std::move(engine_device.error) : check_options(options, target)),
      kernels(std::move(cache_options), load_function(device)),
      executor(error ? 1 : options.threads, options.thread_pool) {}

Engine::Engine(EngineOptions options) {
  const Environment environment = read_environment();
  const Log log(environment.log_level);
  for (const std::string& problem : environment.problems) log.warning(problem);
  detail::EngineDevice device = detail::open_engine_device(options, environment);
  cache::CacheOptions cache = cache_options_of(options, environment, log);
  if (!device.error) device.error = open_packs(options, log, cache.packs);
  if (options.require_packed) cache.mode = CacheMode::Off;
  if (cache.directory.empty() && cache.mode != CacheMode::Off) {
    log.warning("there is no directory for the kernel cache: set MASKJIT_CACHE_DIR or HOME");
  }
  state_ = std::make_shared<detail::EngineState>(std::move(options), std::move(cache),
                                                 std::move(device), log);
}

device::Device* Engine::device() const { return state_->device.get(); }

Result<Spec> Engine::load_file(const std::string& path, const std::string& entry) const {
  if (state_->error) return *state_->error;
  std::error_code ignored;
  std::optional<std::string> text;
  if (!std::filesystem::is_directory(path, ignored)) text = driver::disk_reader()(path);
  if (!text) return Error{ErrorKind::Io, fmt::format("cannot read {}", diag::quoted(path))};
  return make_spec(state_, driver::check(path, std::move(*text), entry));
}

Result<Spec> Engine::load_text(const std::string& text, const std::string& entry,
                               const std::string& name) const {
  if (state_->error) return *state_->error;
  return make_spec(state_, driver::check(name, text, entry));
}

const std::string& Spec::name() const { return state_->program.name; }
const std::string& Spec::warnings() const { return state_->warnings; }

std::vector<ParameterInfo> Spec::parameters() const {
  return detail::describe_parameters(state_->program.function, false);
}

Result<Attention> Spec::bind(const Values& values) const {
  std::map<std::string, driver::ParamValue> driver_values;
  for (const auto& [name, value] : values) driver_values.emplace(name, driver_value(value));
  diag::DiagnosticEmitter diagnostics;
  auto bound = driver::bind(state_->program, driver_values, diagnostics);
  if (!bound) return rendered(diagnostics);
  auto state = std::make_shared<detail::AttentionState>();
  state->engine = state_->engine;
  state->signature = plan::signature_of(bound->program, bound->tiles);
  state->bound = std::move(*bound);
  return Attention(std::move(state));
}

std::vector<ParameterInfo> detail::describe_parameters(const ir::Function& function,
                                                       bool open_only) {
  std::vector<ParameterInfo> parameters;
  for (const ir::Param& param : function.params()) {
    if (open_only && param.time == ir::BindingTime::Const) continue;
    ParameterInfo info{param.name, std::string(ir::name_of(param.type)),
                       std::string(ir::name_of(param.time)), ""};
    if (param.default_share) {
      info.default_value = fmt::format("{}%", param.default_share->share * 100);
    } else if (param.default_value) {
      const ir::Scalar& scalar = *param.default_value;
      switch (scalar.type) {
        case ir::Type::Bool:
          info.default_value = scalar.integer != 0 ? "true" : "false";
          break;
        case ir::Type::Int:
          info.default_value = std::to_string(scalar.integer);
          break;
        case ir::Type::Float:
          info.default_value = fmt::format("{}", scalar.real);
          break;
      }
    }
    parameters.push_back(std::move(info));
  }
  for (const ir::Tensor& tensor : function.tensors()) {
    std::string dims;
    for (const ir::Dim& dim : tensor.dims) dims += (dims.empty() ? "" : ", ") + ir::name_of(dim);
    parameters.push_back({tensor.name, fmt::format("{}[{}]", ir::name_of(tensor.element), dims),
                          std::string(ir::name_of(ir::BindingTime::Tensor)), ""});
  }
  return parameters;
}

}  // namespace maskjit
