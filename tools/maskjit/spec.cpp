#include "tools/maskjit/spec.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <chrono>
#include <cstdio>

#include "tools/io/file.h"
#include "tools/io/tensor_file.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"

namespace maskjit::cli {
namespace {

double milliseconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
      .count();
}

Error invalid(std::string message) { return {ErrorKind::InvalidInput, std::move(message)}; }

// name=value; nullopt if there is no name.
std::optional<std::pair<std::string, std::string>> split(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return std::nullopt;
  return std::pair(text.substr(0, equals), text.substr(equals + 1));
}

bool is_file(const std::string& path) {
  struct stat status = {};
  return ::stat(path.c_str(), &status) == 0;
}

std::string rendered(const diag::DiagnosticEmitter& diagnostics) {
  return diag::render_all(diagnostics, {.color = color_on_stderr()});
}

Result<std::map<std::string, driver::ParamValue>> parse_settings(
    const std::vector<std::string>& settings) {
  std::map<std::string, driver::ParamValue> values;
  for (const std::string& setting : settings) {
    const auto pair = split(setting);
    if (!pair.has_value()) return invalid(fmt::format("--set {}: name=value is expected", setting));
    const std::optional<driver::ParamValue> value = driver::parse_param_value(pair->second);
    if (!value.has_value()) {
      return invalid(fmt::format("--set {}: '{}' is not a value; 12, 0.5, true and 10% are",
                                 setting, pair->second));
    }
    if (!values.emplace(pair->first, *value).second) {
      return invalid(fmt::format("--set {}: '{}' is set twice", setting, pair->first));
    }
  }
  return values;
}

// The same value, read as a parameter of type `type`.
std::optional<ir::Scalar> as_type(const ir::Scalar& value, ir::Type type) {
  if (value.type == type) return value;
  if (value.type == ir::Type::Int && type == ir::Type::Float) {
    return ir::Scalar::of_float(static_cast<double>(value.integer));
  }
  return std::nullopt;
}

// Converted to `type`, or an error if an element changes its value on the way to an integer type.
Result<io::Tensor> fitted(const std::string& argument, const io::Tensor& tensor, ElementType type) {
  Result<io::Tensor> converted = io::convert(tensor.view(), type);
  if (!converted || tensor.view().type == type) return converted;
  const bool to_integer = ir::value_type(element_of(type)) != ir::Type::Float;
  if (to_integer) {
    const Result<io::Tensor> source = io::convert(tensor.view(), tensor.view().type);
    if (!source) return source;
    for (int64_t i = 0; i < source->view().elements(); ++i) {
      const double before = io::load_double(source->view().data, source->view().type, i);
      const double after = io::load_double(converted->view().data, type, i);
      if (before != after) {
        return invalid(fmt::format("--tensor {}: the value {} does not fit {}", argument, before,
                                   name_of(type)));
      }
    }
  }
  return converted;
}

}  // namespace

void add_spec_options(CLI::App& command, SpecOptions& options) {
  command.add_option("spec", options.spec, "A .masker file, or a standard masker by name (causal)")
      ->required();
  command.add_option("--entry", options.entry,
                     "The attention or masker of the file (default: the only one)");
  command
      .add_option("--set", options.settings,
                  "name=value of a parameter: 12, 0.5, true, or 10% of the keys; may be repeated")
      ->allow_extra_args(false);
  command
      .add_option("--tensor", options.tensors,
                  "name=file of a tensor parameter (.npy, .safetensors:name); may be repeated")
      ->allow_extra_args(false);
}

Result<SpecText> read_spec(const SpecOptions& options) {
  const bool could_be_name = options.spec.find_first_of("./") == std::string::npos;
  if (could_be_name && !is_file(options.spec)) return SpecText{"<library>", "", options.spec};
  Result<std::string> text = io::read_text(options.spec);
  if (!text) return text.error();
  return SpecText{options.spec, std::move(*text), options.entry};
}

Result<Spec> load_spec(const SpecOptions& options) {
  Result<SpecText> source = read_spec(options);
  if (!source) return source.error();
  auto values = parse_settings(options.settings);
  if (!values) return values.error();

  auto start = std::chrono::steady_clock::now();
  driver::CheckedSource checked = driver::check(source->name, source->text, source->entry);
  const double check_milliseconds = milliseconds_since(start);
  if (!checked.program.has_value()) return invalid(rendered(checked.diagnostics));
  if (!checked.diagnostics.diagnostics().empty()) {
    std::fputs(rendered(checked.diagnostics).c_str(), stderr);
  }
  diag::DiagnosticEmitter diagnostics;
  start = std::chrono::steady_clock::now();
  std::optional<driver::BoundProgram> bound = driver::bind(*checked.program, *values, diagnostics);
  const double bind_milliseconds = milliseconds_since(start);
  if (!bound.has_value()) return invalid(rendered(diagnostics));
  return Spec{std::move(*source), std::move(*checked.program), std::move(*bound),
              std::move(*values), check_milliseconds,          bind_milliseconds};
}

Result<std::vector<ir::Scalar>> runtime_values(const Spec& spec) {
  std::vector<ir::Scalar> values;
  for (const ir::Param& param : spec.bound.program.function.params()) {
    const auto found = spec.values.find(param.name);
    std::optional<ir::Scalar> value = param.default_value;
    if (found != spec.values.end()) {
      const auto* scalar = std::get_if<ir::Scalar>(&found->second);
      value = scalar == nullptr ? std::nullopt : as_type(*scalar, param.type);
    }
    if (!value.has_value()) {
      return invalid(fmt::format("the run-time parameter '{}' ({}) needs a value: --set {}=VALUE",
                                 param.name, ir::name_of(param.type), param.name));
    }
    values.push_back(*value);
  }
  return values;
}

Values api_values(const Spec& spec, ir::BindingTime time) {
  Values values;
  for (const ir::Param& param : spec.program.function.params()) {
    const auto found = spec.values.find(param.name);
    if (param.time != time || found == spec.values.end()) continue;
    if (const auto* share = std::get_if<ir::Share>(&found->second)) {
      values[param.name] = Share{share->share};
      continue;
    }
    const ir::Scalar& scalar = std::get<ir::Scalar>(found->second);
    switch (scalar.type) {
      case ir::Type::Bool:
        values[param.name] = scalar.integer != 0;
        break;
      case ir::Type::Int:
        values[param.name] = scalar.integer;
        break;
      case ir::Type::Float:
        values[param.name] = scalar.real;
        break;
    }
  }
  return values;
}

std::string print_value(const driver::ParamValue& value) {
  if (const auto* share = std::get_if<ir::Share>(&value))
    return fmt::format("{:g}%", share->share * 100);
  const ir::Scalar& scalar = std::get<ir::Scalar>(value);
  switch (scalar.type) {
    case ir::Type::Bool:
      return scalar.integer != 0 ? "true" : "false";
    case ir::Type::Int:
      return fmt::format("{}", scalar.integer);
    case ir::Type::Float:
      return fmt::format("{}", scalar.real);
  }
  return "";
}

Result<std::map<std::string, io::Tensor>> read_tensors(const SpecOptions& options,
                                                       const Spec& spec) {
  std::map<std::string, io::Tensor> tensors;
  const std::vector<ir::Tensor>& declared = spec.program.function.tensors();
  for (const std::string& argument : options.tensors) {
    const auto pair = split(argument);
    if (!pair.has_value())
      return invalid(fmt::format("--tensor {}: name=file is expected", argument));
    const auto found = std::find_if(declared.begin(), declared.end(),
                                    [&](const ir::Tensor& t) { return t.name == pair->first; });
    if (found == declared.end()) {
      std::vector<std::string> names;
      for (const ir::Tensor& tensor : declared) names.push_back(tensor.name);
      const std::string close = diag::closest_name(pair->first, names);
      return invalid(fmt::format("--tensor {}: the spec has no tensor '{}'{}", argument,
                                 pair->first,
                                 close.empty() ? "" : fmt::format("; did you mean '{}'?", close)));
    }
    const Result<io::Tensor> tensor = io::read_tensor(pair->second, pair->first);
    if (!tensor) return tensor.error();
    // An explicit mask comes as Booleans.
    const std::optional<ElementType> type = found->element == ir::Element::Bit
                                                ? ElementType::Bool
                                                : parse_element_type(ir::name_of(found->element));
    Result<io::Tensor> converted = fitted(argument, *tensor, *type);
    if (!converted) return converted.error();
    if (!tensors.emplace(pair->first, std::move(*converted)).second) {
      return invalid(fmt::format("--tensor {}: '{}' is given twice", argument, pair->first));
    }
  }
  return tensors;
}

ir::Element element_of(ElementType type) {
  switch (type) {
    case ElementType::Bool:
      return ir::Element::Bool;
    case ElementType::I8:
      return ir::Element::I8;
    case ElementType::U8:
      return ir::Element::U8;
    case ElementType::I16:
      return ir::Element::I16;
    case ElementType::I32:
      return ir::Element::I32;
    case ElementType::I64:
      return ir::Element::I64;
    case ElementType::F16:
      return ir::Element::F16;
    case ElementType::BF16:
      return ir::Element::BF16;
    case ElementType::F32:
      return ir::Element::F32;
    case ElementType::F64:
      return ir::Element::F64;
  }
  return ir::Element::F32;
}

std::optional<ElementType> parse_element_type(std::string_view text) {
  for (const ElementType type :
       {ElementType::Bool, ElementType::I8, ElementType::U8, ElementType::I16, ElementType::I32,
        ElementType::I64, ElementType::F16, ElementType::BF16, ElementType::F32,
        ElementType::F64}) {
    if (name_of(type) == text) return type;
  }
  return std::nullopt;
}

}  // namespace maskjit::cli
