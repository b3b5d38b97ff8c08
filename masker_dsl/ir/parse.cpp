// The parser of the text form: a scanner over words and punctuation, then one function per
// construct. A construct that fails records the first error and returns false.
#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <map>

#include "masker_dsl/ir/text.h"

namespace maskjit::ir {
namespace {

bool is_word_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '.' || c == '-' || c == '+';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  std::variant<Function, TextError> run() {
    if (!function()) return error_;
    std::vector<std::string> violations = verify(function_);
    if (!violations.empty()) return TextError{line_, violations.front()};
    return std::move(function_);
  }

 private:
  template <typename... Args>
  bool fail(fmt::format_string<Args...> format, Args&&... args) {
    error_ = {token_line_, fmt::format(format, std::forward<Args>(args)...)};
    return false;
  }

  void skip_space() {
    while (position_ < text_.size()) {
      const char c = text_[position_];
      if (c == '\n') ++line_;
      if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
        ++position_;
      } else if (text_.substr(position_, 2) == "//") {
        while (position_ < text_.size() && text_[position_] != '\n') ++position_;
      } else {
        break;
      }
    }
    token_line_ = line_;
  }

  // The next word, or nothing.
  std::string_view word() {
    skip_space();
    const size_t start = position_;
    while (position_ < text_.size() && is_word_char(text_[position_])) ++position_;
    return text_.substr(start, position_ - start);
  }

  bool accept(char c) {
    skip_space();
    if (position_ >= text_.size() || text_[position_] != c) return false;
    ++position_;
    return true;
  }

  bool expect(char c) {
    if (accept(c)) return true;
    if (position_ >= text_.size()) return fail("expected '{}', found the end of the text", c);
    const unsigned char found = static_cast<unsigned char>(text_[position_]);
    if (found < 0x20 || found > 0x7E) return fail("expected '{}', found byte {:#04x}", c, found);
    return fail("expected '{}', found '{}'", c, static_cast<char>(found));
  }

  bool identifier(std::string& out, std::string_view what) {
    const std::string_view text = word();
    if (!is_identifier(text)) return fail("'{}' is not a name for a {}", text, what);
    out = text;
    return true;
  }

  bool parameter_name(std::string& out, std::string_view what) {
    return expect('%') && identifier(out, what);
  }

  bool type(Type& out) {
    const std::string_view text = word();
    const std::optional<Type> parsed = parse_type(text);
    if (!parsed) return fail("'{}' is not a type", text);
    out = *parsed;
    return true;
  }

  bool real(std::string_view text, double& out) {
    const bool negative = !text.empty() && text[0] == '-';
    const std::string_view magnitude = negative ? text.substr(1) : text;
    if (text == "nan") {
      out = std::numeric_limits<double>::quiet_NaN();
      return true;
    }
    if (magnitude == "inf") {
      out = std::numeric_limits<double>::infinity() * (negative ? -1 : 1);
      return true;
    }
    const bool digit = !magnitude.empty() && magnitude[0] >= '0' && magnitude[0] <= '9';
    const char* end = text.data() + text.size();
    if (!digit) return fail("'{}' is not a float", text);
    auto [stop, error] = std::from_chars(text.data(), end, out);
    if (error != std::errc() || stop != end) return fail("'{}' is not a float", text);
    return true;
  }

  bool scalar(std::string_view text, Type wanted, Scalar& out) {
    switch (wanted) {
      case Type::Bool:
        if (text != "true" && text != "false") return fail("'{}' is not a bool", text);
        out = Scalar::of_bool(text == "true");
        return true;
      case Type::Int: {
        int64_t value = 0;
        const char* end = text.data() + text.size();
        auto [stop, error] = std::from_chars(text.data(), end, value);
        if (text.empty() || error != std::errc() || stop != end) {
          return fail("'{}' is not an int", text);
        }
        out = Scalar::of_int(value);
        return true;
      }
      case Type::Float: {
        double value = 0;
        if (!real(text, value)) return false;
        out = Scalar::of_float(value);
        return true;
      }
    }
    return false;
  }

  bool declared(const std::string& name) {
    for (const Param& param : function_.params()) {
      if (param.name == name) return true;
    }
    for (const Tensor& tensor : function_.tensors()) {
      if (tensor.name == name) return true;
    }
    return false;
  }

  bool param(BindingTime time) {
    Param out;
    out.time = time;
    if (!parameter_name(out.name, "parameter") || !expect(':') || !type(out.type)) return false;
    if (declared(out.name)) return fail("the name '{}' is declared twice", out.name);
    if (accept('=')) {
      std::string_view text = word();
      Scalar value;
      if (text == "share") {
        double share = 0;
        if (!real(word(), share)) return false;
        if (out.type != Type::Int || time != BindingTime::Const) {
          return fail("parameter '{}' cannot have a share as its default", out.name);
        }
        out.default_share = Share{share};
      } else if (scalar(text, out.type, value)) {
        out.default_value = value;
      } else {
        return false;
      }
    }
    function_.add_param(std::move(out));
    return true;
  }

  bool tensor() {
    Tensor out;
    if (!parameter_name(out.name, "tensor") || !expect(':')) return false;
    const std::string_view element = word();
    const std::optional<Element> parsed = parse_element(element);
    if (!parsed) return fail("'{}' is not an element type", element);
    out.element = *parsed;
    if (declared(out.name)) return fail("the name '{}' is declared twice", out.name);
    if (!expect('[')) return false;
    do {
      const std::string_view text = word();
      const std::optional<Dim> dim = parse_dim(text);
      if (!dim) return fail("'{}' is not a dimension", text);
      out.dims.push_back(*dim);
    } while (accept(','));
    if (!expect(']')) return false;
    if (out.dims.size() > size_t{kMaxTensorRank}) {
      return fail("tensor '{}' has {} dimensions; {} at most", out.name, out.dims.size(),
                  kMaxTensorRank);
    }
    function_.add_tensor(std::move(out));
    return true;
  }

  bool signature() {
    if (!expect('(')) return false;
    if (accept(')')) return true;
    do {
      const std::string_view kind = word();
      bool good = false;
      if (kind == "const") {
        good = param(BindingTime::Const);
      } else if (kind == "runtime") {
        good = param(BindingTime::Runtime);
      } else if (kind == "tensor") {
        good = tensor();
      } else {
        return fail("expected 'const', 'runtime' or 'tensor', found '{}'", kind);
      }
      if (!good) return false;
    } while (accept(','));
    return expect(')');
  }

  bool value_name(std::string& out) {
    if (!expect('%')) return false;
    out = word();
    if (out.empty()) return fail("expected the name of a value after '%'");
    return true;
  }

  bool operand(std::vector<Value>& out) {
    std::string name;
    if (!value_name(name)) return false;
    const auto found = values_.find(name);
    if (found == values_.end()) return fail("%{} is not defined", name);
    out.push_back(found->second);
    return true;
  }

  bool operands(std::vector<Value>& out) {
    do {
      if (!operand(out)) return false;
    } while (accept(','));
    return true;
  }

  bool tensor_operands(Node& node) {
    std::string name;
    if (!parameter_name(name, "tensor")) return false;
    for (node.index = 0; node.index < function_.tensors().size(); ++node.index) {
      if (function_.tensors()[node.index].name == name) break;
    }
    if (node.index == function_.tensors().size()) return fail("there is no tensor %{}", name);
    return expect('[') && operands(node.operands) && expect(']');
  }

  // What follows the op's name, up to the colon. The text of a constant is read by its type later.
  bool payload(Node& node, std::string_view& constant) {
    switch (node.op) {
      case Op::Const:
        constant = word();
        return true;
      case Op::Variable: {
        const std::string_view name = word();
        const std::optional<Var> var = parse_var(name);
        if (!var) return fail("there is no variable '{}'", name);
        node.index = static_cast<uint32_t>(*var);
        return true;
      }
      case Op::Parameter: {
        std::string name;
        if (!parameter_name(name, "parameter")) return false;
        for (node.index = 0; node.index < function_.params().size(); ++node.index) {
          if (function_.params()[node.index].name == name) return true;
        }
        return fail("there is no parameter %{}", name);
      }
      case Op::Share:
        node.constant = Scalar::of_float(0);
        return real(word(), node.constant.real) && expect(',') && operands(node.operands);
      case Op::TensorLoad:
      case Op::TensorMin:
      case Op::TensorMax:
      case Op::TensorWeight:
      case Op::TensorAny:
      case Op::TensorAll:
        return tensor_operands(node);
      default:
        return operands(node.operands);
    }
  }

  // The type that the node has by its payload and operands.
  std::optional<Type> derived_type(const Node& node, Type annotated) {
    if (node.op == Op::Const) return annotated;
    if (node.op == Op::Variable) return type_of(node.var());
    if (node.op == Op::Parameter) return function_.params()[node.index].type;
    std::vector<Type> types;
    for (Value operand : node.operands) types.push_back(function_.type(operand));
    if (info(node.op).operands >= 0) return result_type(node.op, types);
    return tensor_op_type(node.op, function_.tensors()[node.index], types);
  }

  bool node() {
    std::string name;
    if (!value_name(name)) return false;
    if (values_.contains(name)) return fail("%{} is defined twice", name);
    if (!expect('=')) return false;
    const std::string_view op_name = word();
    const std::optional<Op> op = parse_op(op_name);
    if (!op) return fail("there is no op '{}'", op_name);
    Node out;
    out.op = *op;
    std::string_view constant;
    if (!payload(out, constant) || !expect(':')) return false;
    const int line = token_line_;
    if (!type(out.type)) return false;
    token_line_ = line;
    if (out.op == Op::Const && !scalar(constant, out.type, out.constant)) return false;
    const std::optional<Type> derived = derived_type(out, out.type);
    if (!derived) return fail("{} does not take these operands", op_name);
    if (*derived != out.type) {
      return fail("{} gives {}, not {}", op_name, name_of(*derived), name_of(out.type));
    }
    values_[name] = function_.rebuild(out, out.operands);
    return true;
  }

  bool result() {
    std::string name;
    std::vector<Value> value;
    Type annotated = Type::Int;
    if (!identifier(name, "result") || !expect('=') || !operand(value) || !expect(':')) {
      return false;
    }
    if (!type(annotated)) return false;
    if (function_.type(value[0]) != annotated) {
      return fail("result '{}' is {}, not {}", name, name_of(function_.type(value[0])),
                  name_of(annotated));
    }
    if (function_.result(name).valid()) return fail("two results are called '{}'", name);
    function_.add_result(std::move(name), value[0]);
    return true;
  }

  bool function() {
    const std::string_view keyword = word();
    if (keyword != "func") return fail("expected 'func', found '{}'", keyword);
    std::string name;
    if (!expect('@') || !identifier(name, "function")) return false;
    function_.set_name(std::move(name));
    if (!signature() || !expect('{')) return false;
    while (true) {
      skip_space();
      if (position_ < text_.size() && text_[position_] == '%') {
        if (!node()) return false;
        continue;
      }
      if (accept('}')) break;
      const std::string_view text = word();
      if (text.empty()) return expect('}');
      if (text != "result") return fail("expected a value, 'result' or '}}', found '{}'", text);
      if (!result()) return false;
    }
    skip_space();
    if (position_ < text_.size()) return fail("text after the end of the function");
    return true;
  }

  std::string_view text_;
  size_t position_ = 0;
  int line_ = 1;
  int token_line_ = 1;
  TextError error_;
  Function function_;
  std::map<std::string, Value> values_;
};

}  // namespace

std::variant<Function, TextError> parse(std::string_view text) { return Parser(text).run(); }

}  // namespace maskjit::ir
