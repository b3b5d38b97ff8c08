#include <fmt/format.h>

#include <array>
#include <set>

#include "masker_dsl/check/lowering.h"
#include "masker_dsl/check/modules.h"
#include "masker_dsl/check/names.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::check {

using diag::Kind;
using ir::Type;
using parse::Declaration;

namespace {

constexpr std::array<std::string_view, 6> kDimNames = {"batch", "num_heads", "num_kv_heads",
                                                       "q_len", "kv_len",    "head_dim"};
constexpr std::array<std::string_view, 11> kElementNames = {
    "bool", "bit", "i8", "u8", "i16", "i32", "i64", "f16", "bf16", "f32", "f64"};

template <size_t N>
std::vector<std::string> strings(const std::array<std::string_view, N>& names) {
  return {names.begin(), names.end()};
}

class Declarer {
 public:
  Declarer(Module& module, diag::DiagnosticEmitter& diagnostics)
      : module_(module), diagnostics_(diagnostics) {}

  void run() {
    for (const Declaration& declaration : module_.ast.declarations) {
      if (declaration.kind == Declaration::Kind::Import) continue;
      auto callable = std::make_unique<Callable>();
      callable->declaration = &declaration;
      callable->module = &module_;
      check_name(declaration);
      for (const parse::Param& param : declaration.params) resolve(param, *callable);
      const bool attention = declaration.kind == Declaration::Kind::Attention;
      if (!attention) module_.scope.try_emplace(callable->name(), callable.get());
      (attention ? module_.attentions : module_.callables).push_back(std::move(callable));
    }
    for (const Module::Import& import : module_.imports) add_import(import);
  }

 private:
  void check_name(const Declaration& declaration) {
    const std::string_view name = declaration.name.text();
    const std::string quoted = diag::quoted(name);
    if (const std::string_view builtin = builtin_category(name); !builtin.empty()) {
      diagnostics_
          .error(Kind::ShadowsBuiltin, declaration.name,
                 fmt::format("{} is {} of the language", quoted, builtin))
          .with_hint("choose another name");
    }
    const auto [known, added] = declared_.try_emplace(name, declaration.name);
    if (!added) {
      diagnostics_
          .error(Kind::DuplicateName, declaration.name, fmt::format("{} is declared twice", quoted))
          .note(known->second, "it is declared here before");
    } else if (!module_.is_library && declaration.kind != Declaration::Kind::Attention) {
      const auto& standard = standard_library().scope;
      if (const auto hidden = standard.find(name); hidden != standard.end()) {
        diagnostics_
            .warning(Kind::ShadowsLibrary, declaration.name,
                     fmt::format("{} hides the standard library's {} of that name", quoted,
                                 hidden->second->is_score() ? "score" : "masker"))
            .note(hidden->second->declaration->name, "the hidden one");
      }
    }
  }

  void add_import(const Module::Import& import) {
    if (import.module->failed_imports || import.module->ast.incomplete)
      module_.failed_imports = true;
    for (const auto& callable : import.module->callables) {
      const auto [known, added] = module_.scope.try_emplace(callable->name(), callable.get());
      if (added || known->second == callable.get()) continue;
      if (known->second->module == import.module) continue;  // reported there
      const bool own = known->second->module == &module_;
      diagnostics_
          .error(Kind::DuplicateName, own ? known->second->declaration->name : import.range,
                 diag::quoted(callable->name()) +
                     (own ? " is imported and declared here" : " is imported from two files"))
          .note(callable->declaration->name, "the imported one")
          .note(known->second->declaration->name,
                own ? "the one of this file" : "the other imported one");
    }
  }

  void resolve(const parse::Param& syntax, Callable& callable) {
    Parameter param;
    param.name = syntax.name.text();
    param.range = syntax.name;
    const std::string quoted = diag::quoted(param.name);
    bool good = resolve_type(syntax, param);
    if (const std::string_view builtin = builtin_category(param.name);
        !builtin.empty() &&
        (builtin == "a variable" || builtin == "a function" || builtin == "the logit")) {
      diagnostics_
          .error(Kind::ShadowsBuiltin, param.range,
                 fmt::format("{} is {} of the language", quoted, builtin))
          .with_hint("choose another name");
      good = false;
    }
    for (const Parameter& other : callable.params) {
      if (other.name != param.name) continue;
      diagnostics_
          .error(Kind::DuplicateName, param.range, fmt::format("{} is declared twice", quoted))
          .note(other.range, "it is declared here before");
      good = false;
      break;
    }
    if (good && syntax.default_value != nullptr)
      good = resolve_default(*syntax.default_value, param);
    if (!good) param.kind = Parameter::Kind::Invalid;
    callable.params.push_back(std::move(param));
  }

  bool resolve_type(const parse::Param& syntax, Parameter& param) {
    const parse::TypeName& type = syntax.type;
    const std::string_view name = type.name.text();
    if (type.is_tensor) {
      param.kind = Parameter::Kind::Tensor;
      if (syntax.is_runtime()) {
        diagnostics_
            .error(Kind::InvalidParameter, syntax.runtime, "a tensor is not declared runtime")
            .with_hint("leave runtime out: tensors are always given at launch");
        return false;
      }
      return resolve_tensor(type, param);
    }
    param.kind = Parameter::Kind::Scalar;
    if (const auto known = ir::parse_type(name)) {
      param.type = *known;
    } else {
      const std::string closest = diag::closest_name(name, {"int", "float", "bool", "tensor"});
      const bool element = ir::parse_element(name).has_value();
      diagnostics_
          .error(Kind::UnknownType, type.name,
                 fmt::format("no type is called {}", diag::quoted(name)))
          .with_hint(element ? "a scalar is int, float or bool; only tensor elements have sizes"
                     : closest.empty()
                         ? "types are int, float, bool and tensor<element>[dimensions]"
                         : fmt::format("did you mean '{}'?", closest));
      return false;
    }
    if (syntax.is_runtime()) {
      param.time = ir::BindingTime::Runtime;
      if (param.type == Type::Bool) {
        diagnostics_
            .error(Kind::InvalidParameter, syntax.range,
                   "a runtime parameter is an int or a float, found bool")
            .with_hint("pass an int and compare it with 0");
        return false;
      }
    }
    return true;
  }

  bool resolve_tensor(const parse::TypeName& type, Parameter& param) {
    bool good = true;
    if (const auto element = ir::parse_element(type.element.text())) {
      param.element = *element;
    } else {
      const std::string_view name = type.element.text();
      const std::string closest = diag::closest_name(name, strings(kElementNames));
      diagnostics_
          .error(Kind::UnknownType, type.element,
                 fmt::format("no element type is called {}", diag::quoted(name)))
          .with_hint(name == "int"     ? "a size belongs to it: i32 or i64"
                     : name == "float" ? "a size belongs to it: f16, bf16, f32 or f64"
                     : closest.empty()
                         ? fmt::format("element types are {}", fmt::join(kElementNames, ", "))
                         : fmt::format("did you mean '{}'?", closest));
      good = false;
    }
    for (const parse::Dimension& dim : type.dims) {
      if (dim.is_constant) {
        param.dims.push_back({ir::Dim::Kind::Constant, dim.constant});
        if (dim.constant < 1 || dim.constant > ir::kMaxPosition) {
          diagnostics_.error(Kind::OutOfRange, dim.range,
                             fmt::format("a dimension must be in [1, {}], found {}",
                                         ir::kMaxPosition, dim.constant));
          good = false;
        }
      } else if (const auto known = ir::parse_dim(dim.range.text())) {
        param.dims.push_back(*known);
      } else {
        const std::string closest = diag::closest_name(dim.range.text(), strings(kDimNames));
        diagnostics_
            .error(Kind::UnknownDimension, dim.range,
                   fmt::format("no dimension is called {}", diag::quoted(dim.range.text())))
            .with_hint(closest.empty() ? fmt::format("dimensions are {} and numbers",
                                                     fmt::join(kDimNames, ", "))
                                       : fmt::format("did you mean '{}'?", closest));
        good = false;
      }
    }
    if (type.dims.empty() || type.dims.size() > ir::kMaxTensorRank) {
      diagnostics_.error(Kind::InvalidParameter, type.range,
                         fmt::format("a tensor has 1 to {} dimensions, found {}",
                                     ir::kMaxTensorRank, type.dims.size()));
      good = false;
    }
    return good;
  }

  bool resolve_default(const parse::Expr& value, Parameter& param) {
    const parse::Expr& expr = parse::strip_parens(value);
    const std::string quoted = diag::quoted(param.name);
    if (expr.kind == parse::Expr::Kind::Error) return true;
    if (param.kind == Parameter::Kind::Tensor) {
      diagnostics_.error(Kind::InvalidDefault, value.range, "a tensor has no default");
      return false;
    }
    const bool runtime = param.time == ir::BindingTime::Runtime;
    if (expr.kind == parse::Expr::Kind::Percent && param.type == Type::Int) {
      if (runtime) {
        diagnostics_
            .error(Kind::InvalidDefault, value.range,
                   "a runtime parameter cannot be a share by default")
            .with_hint("leave runtime out, or give a number");
        return false;
      }
      param.default_share = ir::Share{expr.real};
      return true;
    }
    ir::Function scratch;
    Lowering lowering(scratch, diagnostics_, Lowering::Mode::Check);
    Frame frame;
    frame.module = &module_;
    if (expr.kind == parse::Expr::Kind::Name || expr.kind == parse::Expr::Kind::Subscript)
      return not_constant(value, quoted);
    const int errors = diagnostics_.error_count();
    const TypedValue result =
        lowering.expression_as(param.type, value, frame, fmt::format("the default of {}", quoted));
    if (result.is_error()) {
      if (diagnostics_.error_count() == errors) not_constant(value, quoted);
      return false;
    }
    param.default_value = lowering.builder().constant_of(result.value);
    if (!param.default_value) return not_constant(value, quoted);
    if (runtime && param.type == Type::Int &&
        std::abs(param.default_value->integer) > ir::kMaxRuntimeInt) {
      diagnostics_.error(
          Kind::OutOfRange, value.range,
          fmt::format("a runtime int must be within 2^31, found {}", param.default_value->integer));
      return false;
    }
    return true;
  }

  bool not_constant(const parse::Expr& value, const std::string& quoted) {
    diagnostics_
        .error(Kind::InvalidDefault, value.range,
               fmt::format("the default of {} is not a constant", quoted))
        .with_hint("write a number, true, false or N%");
    return false;
  }

  Module& module_;
  diag::DiagnosticEmitter& diagnostics_;
  std::map<std::string_view, source::SourceRange> declared_;
};

}  // namespace

std::string names_of(const std::vector<ir::Dim>& dims) {
  std::string text;
  for (const ir::Dim& dim : dims) text += (text.empty() ? "" : ", ") + ir::name_of(dim);
  return text;
}

std::string Parameter::describe() const {
  if (kind != Kind::Tensor)
    return fmt::format("{} {}", type == Type::Int ? "an" : "a", ir::name_of(type));
  if (dims.empty())
    return ir::value_type(element) == Type::Int ? "a tensor of ints" : "a tensor of floats";
  return fmt::format("a tensor<{}>[{}]", ir::name_of(element), names_of(dims));
}

void declare(Module& module, diag::DiagnosticEmitter& diagnostics) {
  Declarer(module, diagnostics).run();
}

}  // namespace maskjit::check
