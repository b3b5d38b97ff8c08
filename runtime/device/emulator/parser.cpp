#include "runtime/device/emulator/parser.h"

#include <fmt/format.h>

#include <bit>
#include <limits>

namespace maskjit::emulator {
namespace {

using syntax::Operand;
using syntax::Space;
using syntax::Statement;

constexpr uint64_t kMaxVariableBytes = uint64_t{1} << 30;
constexpr uint32_t kMaxRegisters = 1u << 20;

class Parser {
 public:
  Parser(std::string_view text, std::vector<Token> tokens)
      : text_(text), tokens_(std::move(tokens)) {}

  std::variant<syntax::Module, ParseError> run() {
    if (!parse_header()) return error_;
    while (peek().kind != TokenKind::End) {
      if (!parse_top_level()) return error_;
    }
    return std::move(module_);
  }

 private:
  const Token& peek(size_t ahead = 0) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  const Token& take() {
    const Token& token = peek();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool take_if(char c) {
    if (!peek().is(c)) return false;
    take();
    return true;
  }
  bool take_if(std::string_view word) {
    if (!is_word(word)) return false;
    take();
    return true;
  }
  bool is_word(std::string_view word) const {
    return peek().kind == TokenKind::Word && peek().text == word;
  }

  std::string source_at(uint32_t offset) const {
    size_t begin = text_.substr(0, offset).rfind('\n');
    begin = begin == std::string_view::npos ? 0 : begin + 1;
    std::string_view line = text_.substr(begin, text_.substr(begin).find('\n'));
    while (!line.empty() && (line[0] == ' ' || line[0] == '\t')) line.remove_prefix(1);
    return std::string(line.substr(0, 200));
  }
  bool fail(const Token& token, std::string message) {
    error_ = {token.line, std::move(message), source_at(token.offset)};
    return false;
  }
  bool fail_expected(std::string_view what) {
    const Token& token = peek();
    return fail(token, token.kind == TokenKind::End
                           ? fmt::format("expected {}, found the end of the text", what)
                           : fmt::format("expected {}, found {:?}", what, token.text));
  }
  bool expect(char c) { return take_if(c) || fail_expected(fmt::format("'{}'", c)); }
  bool expect_name(std::string_view& name) {
    if (peek().kind != TokenKind::Word || peek().text[0] == '.') return fail_expected("a name");
    name = take().text;
    return true;
  }
  bool expect_integer(uint64_t& value, std::string_view what, uint64_t limit) {
    if (peek().kind != TokenKind::Integer) return fail_expected(what);
    if (peek().value > limit) return fail(peek(), fmt::format("{} is too large", what));
    value = take().value;
    return true;
  }

  bool parse_header() {
    if (!take_if(".version")) return fail_expected(".version");
    // "8.8" is lexed as a decimal number.
    const Token version = take();
    const std::string_view digits = version.text;
    const size_t dot = digits.find('.');
    if (version.kind != TokenKind::Float || dot == std::string_view::npos || dot > 3 ||
        digits.size() - dot > 3)
      return fail(version, "expected a version like 8.8");
    for (const char c : digits.substr(0, dot))
      module_.version_major = module_.version_major * 10 + (c - '0');
    for (const char c : digits.substr(dot + 1))
      module_.version_minor = module_.version_minor * 10 + (c - '0');
    if (!take_if(".target")) return fail_expected(".target");
    const Token target = peek();
    if (!expect_name(module_.target)) return false;
    if (!module_.target.starts_with("sm_")) return fail(target, "expected a target like sm_80");
    while (take_if(',')) {
      const Token option = peek();
      std::string_view name;
      if (!expect_name(name)) return false;
      if (name != "debug" && name != "texmode_independent" && name != "texmode_unified")
        return fail(option, fmt::format("unknown target option {}", name));
    }
    if (!take_if(".address_size")) return fail_expected(".address_size");
    const Token size = peek();
    uint64_t bits = 0;
    if (!expect_integer(bits, "the address size", 64)) return false;
    return bits == 64 || fail(size, "only 64-bit addresses are supported");
  }

  bool parse_top_level() {
    bool is_extern = false;
    while (true) {
      if (take_if(".extern")) {
        is_extern = true;
      } else if (!take_if(".visible") && !take_if(".weak") && !take_if(".common")) {
        break;
      }
    }
    const Token token = peek();
    if (take_if(".entry")) return parse_function(true, is_extern, token.line);
    if (take_if(".func")) return parse_function(false, is_extern, token.line);
    if (take_if(".file")) return skip_file();
    if (take_if(".section")) return skip_section();
    if (take_if(".pragma")) return skip_pragma();
    if (take_if(';')) return true;
    if (is_variable_space()) {
      std::vector<syntax::Variable> variables;
      if (!parse_variables(variables, is_extern)) return false;
      for (auto& variable : variables) module_.variables.push_back(std::move(variable));
      return true;
    }
    return fail_expected("a function, a variable or a directive");
  }

  bool skip_file() {
    while (peek().kind == TokenKind::Integer || peek().kind == TokenKind::String || peek().is(','))
      take();
    return true;
  }
  bool skip_pragma() {
    while (peek().kind == TokenKind::String || peek().is(',')) take();
    return expect(';');
  }
  bool skip_section() {
    if (peek().kind != TokenKind::Word) return fail_expected("a section name");
    take();
    if (!expect('{')) return false;
    while (!peek().is('}')) {
      if (peek().kind == TokenKind::End) return fail_expected("'}'");
      take();
    }
    take();
    return true;
  }
  bool skip_loc() {
    // .loc file line column [, function_name label [+ offset], inlined_at file line column]
    while (peek().kind == TokenKind::Integer) take();
    while (take_if(',')) {
      if (take_if("function_name")) {
        std::string_view name;
        if (!expect_name(name)) return false;
        if (take_if('+')) take();
      } else if (take_if("inlined_at")) {
        while (peek().kind == TokenKind::Integer) take();
      } else {
        return fail_expected("function_name or inlined_at");
      }
    }
    return true;
  }

  std::optional<Space> space_of(std::string_view word) const {
    if (word == ".global") return Space::Global;
    if (word == ".const") return Space::Const;
    if (word == ".shared") return Space::Shared;
    if (word == ".local") return Space::Local;
    if (word == ".param") return Space::Param;
    return std::nullopt;
  }
  bool is_variable_space() const {
    return peek().kind == TokenKind::Word && space_of(peek().text).has_value();
  }

  // .space [.align n] [.v2|.v4] .type name[dims] [= values] {, name ...} [;]
  bool parse_variable(syntax::Variable& variable) {
    variable.line = peek().line;
    variable.space = *space_of(take().text);
    while (true) {
      uint64_t alignment = 0;
      const Token token = peek();
      if (take_if(".align")) {
        if (!expect_integer(alignment, "an alignment", 1u << 16)) return false;
        if (!std::has_single_bit(alignment)) return fail(token, "an alignment is a power of two");
        variable.alignment = alignment;
      } else if (take_if(".ptr")) {
        // What a pointer parameter points to: only a promise to the compiler.
        if (is_word(".global") || is_word(".const") || is_word(".shared") || is_word(".local"))
          take();
        if (take_if(".align") && !expect_integer(alignment, "an alignment", 1u << 30)) return false;
      } else if (take_if(".attribute")) {
        if (!expect('(')) return false;
        while (!peek().is(')') && peek().kind != TokenKind::End) take();
        if (!expect(')')) return false;
      } else if (is_word(".v2") || is_word(".v4")) {
        lanes_ = take().text == ".v2" ? 2 : 4;
      } else if (token.kind == TokenKind::Word && token.text[0] == '.' &&
                 parse_scalar_type(token.text.substr(1))) {
        variable.type = *parse_scalar_type(take().text.substr(1));
        if (variable.type == ScalarType::Pred) return fail(token, "predicates have no memory");
        has_type_ = true;
      } else {
        break;
      }
    }
    if (!has_type_) return fail_expected("a type");
    return parse_declarator(variable);
  }

  bool parse_declarator(syntax::Variable& variable) {
    const Token token = peek();
    variable.line = token.line;
    if (!expect_name(variable.name)) return false;
    variable.count = lanes_;
    while (take_if('[')) {
      variable.is_array = true;
      if (take_if(']')) {
        variable.is_unsized = true;
        continue;
      }
      uint64_t extent = 0;
      if (!expect_integer(extent, "an array's extent", kMaxVariableBytes) || !expect(']'))
        return false;
      if (extent != 0 && variable.count > kMaxVariableBytes / extent)
        return fail(token, "the array is larger than 1 GiB");
      variable.count *= extent;
    }
    if (variable.count * bytes_of(variable.type) > kMaxVariableBytes)
      return fail(token, "the variable is larger than 1 GiB");
    if (!take_if('=')) return true;
    if (!parse_initializers(variable.values, 0)) return false;
    if (variable.is_unsized) {
      variable.is_unsized = false;
      variable.count = variable.values.size();
    }
    if (variable.values.size() > variable.count)
      return fail(token,
                  fmt::format("{} values for {} elements", variable.values.size(), variable.count));
    return true;
  }

  bool parse_variables(std::vector<syntax::Variable>& variables, bool is_extern) {
    lanes_ = 1;
    has_type_ = false;
    syntax::Variable variable;
    variable.is_extern = is_extern;
    if (!parse_variable(variable)) return false;
    syntax::Variable next = variable;
    variables.push_back(std::move(variable));
    while (take_if(',')) {
      next.values.clear();
      next.is_array = next.is_unsized = false;
      if (!parse_declarator(next)) return false;
      variables.push_back(next);
    }
    return expect(';');
  }

  bool parse_initializers(std::vector<syntax::Initializer>& values, int depth) {
    if (depth > 8) return fail(peek(), "an initialiser is nested too deeply");
    if (take_if('{')) {
      do {
        if (peek().is('}')) break;
        if (!parse_initializers(values, depth + 1)) return false;
      } while (take_if(','));
      return expect('}');
    }
    syntax::Initializer value;
    const bool negative = take_if('-');
    const Token token = peek();
    if (token.kind == TokenKind::Integer) {
      value.value = negative ? -take().value : take().value;
    } else if (token.kind == TokenKind::Float) {
      value.is_float = true;
      value.is_f32 = take().is_f32;
      value.value = token.value ^ (negative ? uint64_t{1} << (token.is_f32 ? 31 : 63) : 0);
    } else if (token.kind == TokenKind::Word && !negative) {
      if (take_if("generic")) {
        value.is_generic = true;
        if (!expect('(') || !expect_name(value.symbol) || !expect(')')) return false;
      } else if (!expect_name(value.symbol)) {
        return false;
      }
      int64_t offset = 0;
      if (!parse_offset(offset)) return false;
      value.value = static_cast<uint64_t>(offset);
    } else {
      return fail_expected("a value");
    }
    values.push_back(value);
    return true;
  }

  bool parse_parameters(std::vector<syntax::Variable>& variables) {
    if (!expect('(')) return false;
    if (take_if(')')) return true;
    do {
      lanes_ = 1;
      has_type_ = false;
      syntax::Variable variable;
      if (!is_word(".param")) return fail_expected(".param");
      if (!parse_variable(variable)) return false;
      if (variable.is_unsized) return fail(peek(), "a parameter needs a size");
      variables.push_back(std::move(variable));
    } while (take_if(','));
    return expect(')');
  }

  bool parse_dimensions(std::array<uint32_t, 3>& extents) {
    extents = {1, 1, 1};
    for (size_t i = 0; i < 3; ++i) {
      uint64_t value = 0;
      if (!expect_integer(value, "a number of threads", 1u << 20)) return false;
      extents[i] = static_cast<uint32_t>(value);
      if (!take_if(',')) return true;
    }
    return fail(peek(), "more than three extents");
  }

  bool parse_function(bool is_entry, bool is_extern, uint32_t line) {
    syntax::Function function;
    function.is_entry = is_entry;
    function.line = line;
    take_if(".noreturn");
    if (!is_entry && peek().is('(') && !parse_parameters(function.results)) return false;
    if (!expect_name(function.name)) return false;
    if (peek().is('(') && !parse_parameters(function.params)) return false;
    while (peek().kind == TokenKind::Word && peek().text[0] == '.') {
      const Token directive = take();
      std::array<uint32_t, 3> extents{};
      uint64_t number = 0;
      if (directive.text == ".maxntid" || directive.text == ".reqntid") {
        if (!parse_dimensions(extents)) return false;
        (directive.text == ".maxntid" ? function.max_threads : function.required_threads) = extents;
      } else if (directive.text == ".minnctapersm" || directive.text == ".maxnctapersm" ||
                 directive.text == ".maxnreg" || directive.text == ".maxclusterrank") {
        if (!expect_integer(number, "a number", 1u << 20)) return false;
      } else if (directive.text == ".pragma") {
        if (!skip_pragma()) return false;
      } else if (directive.text != ".noreturn" && directive.text != ".blocksareclusters") {
        return fail(directive, fmt::format("unknown directive {} of a function", directive.text));
      }
    }
    if (take_if(';')) {
      module_.functions.push_back(std::move(function));
      return true;
    }
    if (is_extern) return fail_expected("';' after an external function");
    function.has_body = true;
    if (!expect('{') || !parse_body(function.body)) return false;
    module_.functions.push_back(std::move(function));
    return true;
  }

  bool parse_body(std::vector<Statement>& body) {
    int depth = 0;
    while (true) {
      const Token token = peek();
      Statement statement;
      statement.line = token.line;
      statement.begin = token.offset;
      if (token.kind == TokenKind::End) return fail_expected("'}'");
      if (take_if(';')) continue;
      if (take_if('{')) {
        statement.kind = Statement::Kind::ScopeBegin;
        ++depth;
      } else if (take_if('}')) {
        if (depth-- == 0) return true;
        statement.kind = Statement::Kind::ScopeEnd;
      } else if (take_if(".loc")) {
        if (!skip_loc()) return false;
        continue;
      } else if (take_if(".pragma")) {
        if (!skip_pragma()) return false;
        continue;
      } else if (take_if(".reg")) {
        statement.kind = Statement::Kind::Registers;
        if (!parse_registers(statement.registers)) return false;
      } else if (is_variable_space()) {
        statement.kind = Statement::Kind::Variable;
        if (!parse_variables(statement.variables, false)) return false;
      } else if (token.kind == TokenKind::Word && peek(1).is(':')) {
        if (!expect_name(statement.name)) return false;
        take();
        statement.kind = Statement::Kind::Label;
        if (take_if(".branchtargets")) {
          statement.kind = Statement::Kind::JumpTargets;
          do {
            std::string_view name;
            if (!expect_name(name)) return false;
            statement.targets.push_back(name);
          } while (take_if(','));
          if (!expect(';')) return false;
        } else if (is_word(".callprototype") || is_word(".calltargets")) {
          return fail(peek(), "indirect calls are not supported");
        }
      } else if (!parse_instruction(statement)) {
        return false;
      }
      statement.end = previous_end();
      body.push_back(std::move(statement));
    }
  }

  uint32_t previous_end() const {
    const Token& token = tokens_[at_ == 0 ? 0 : at_ - 1];
    return token.offset + static_cast<uint32_t>(token.text.size());
  }

  bool parse_registers(std::vector<syntax::Registers>& registers) {
    const Token token = peek();
    if (token.kind != TokenKind::Word || token.text[0] != '.' ||
        !parse_scalar_type(token.text.substr(1)))
      return fail_expected("a type");
    take();
    const ScalarType type = *parse_scalar_type(token.text.substr(1));
    do {
      syntax::Registers group;
      group.type = type;
      if (!expect_name(group.name)) return false;
      if (take_if('<')) {
        uint64_t count = 0;
        if (!expect_integer(count, "a number of registers", kMaxRegisters) || !expect('>'))
          return false;
        if (count == 0) return fail(token, "a range of no registers");
        group.count = static_cast<uint32_t>(count);
      }
      registers.push_back(group);
    } while (take_if(','));
    return expect(';');
  }

  bool parse_instruction(Statement& statement) {
    if (take_if('@')) {
      statement.guard_negated = take_if('!');
      if (!expect_name(statement.guard)) return false;
    }
    const Token opcode = peek();
    if (opcode.kind != TokenKind::Word || opcode.text[0] == '.' || opcode.text[0] == '%')
      return opcode.kind == TokenKind::Word && opcode.text[0] == '.'
                 ? fail(opcode, fmt::format("unknown directive {}", opcode.text))
                 : fail_expected("an instruction");
    statement.name = take().text;
    if (!peek().is(';')) {
      do {
        Operand operand;
        if (!parse_operand(operand, 0)) return false;
        statement.operands.push_back(std::move(operand));
      } while (take_if(','));
    }
    return expect(';');
  }

  // {+|- integer}
  bool parse_offset(int64_t& offset) {
    uint64_t sum = 0;
    while (peek().is('+') || peek().is('-')) {
      bool negative = take().is('-');
      if (take_if('-')) negative = !negative;  // "[%rd1+-4]"
      uint64_t value = 0;
      if (!expect_integer(value, "an offset", std::numeric_limits<uint64_t>::max())) return false;
      sum = negative ? sum - value : sum + value;
    }
    offset = static_cast<int64_t>(sum);
    return true;
  }

  bool parse_list(std::vector<Operand>& items, char end, int depth) {
    if (take_if(end)) return true;
    do {
      Operand item;
      if (!parse_operand(item, depth + 1)) return false;
      items.push_back(std::move(item));
    } while (take_if(','));
    return expect(end);
  }

  bool parse_operand(Operand& operand, int depth) {
    if (depth > 4) return fail(peek(), "operands are nested too deeply");
    if (take_if('{')) {
      operand.kind = Operand::Kind::Vector;
      return parse_list(operand.items, '}', depth);
    }
    if (take_if('(')) {
      operand.kind = Operand::Kind::Group;
      return parse_list(operand.items, ')', depth);
    }
    if (take_if('[')) {
      operand.kind = Operand::Kind::Address;
      Operand base;
      const Token token = peek();
      if (!parse_operand(base, depth + 1)) return false;
      if (base.kind == Operand::Kind::Integer) {
        operand.offset = static_cast<int64_t>(base.value);
        base.value = 0;
        int64_t more = 0;
        if (!parse_offset(more)) return false;
        operand.offset = static_cast<int64_t>(static_cast<uint64_t>(operand.offset) +
                                              static_cast<uint64_t>(more));
      } else if (base.kind == Operand::Kind::Name && !base.negated) {
        operand.offset = base.offset;
        base.offset = 0;
      } else {
        return fail(token, "an address is a register, a variable or an integer");
      }
      operand.items.push_back(std::move(base));
      while (take_if(',')) {
        Operand more;
        if (!parse_operand(more, depth + 1)) return false;
        operand.items.push_back(std::move(more));
      }
      return expect(']');
    }
    if (take_if('!')) {
      operand.kind = Operand::Kind::Name;
      operand.negated = true;
      return expect_name(operand.name);
    }
    const bool negative = take_if('-');
    const Token token = peek();
    if (token.kind == TokenKind::Integer) {
      take();
      operand.kind = Operand::Kind::Integer;
      operand.value = negative ? -token.value : token.value;
      return true;
    }
    if (token.kind == TokenKind::Float) {
      take();
      operand.kind = Operand::Kind::Float;
      operand.is_f32 = token.is_f32;
      operand.value = token.value ^ (negative ? uint64_t{1} << (token.is_f32 ? 31 : 63) : 0);
      return true;
    }
    if (negative || token.kind != TokenKind::Word || token.text[0] == '.')
      return fail_expected("an operand");
    take();
    if (token.text == "_") {
      operand.kind = Operand::Kind::Sink;
    } else {
      operand.kind = Operand::Kind::Name;
      operand.name = token.text;
      if (!parse_offset(operand.offset)) return false;
    }
    if (take_if('|')) {
      Operand first = std::move(operand), second;
      if (!parse_operand(second, depth + 1)) return false;
      operand = {};
      operand.kind = Operand::Kind::Pair;
      operand.items.push_back(std::move(first));
      operand.items.push_back(std::move(second));
    }
    return true;
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  size_t at_ = 0;
  syntax::Module module_;
  ParseError error_;
  uint64_t lanes_ = 1;  // of the declaration being read
  bool has_type_ = false;
};

}  // namespace

std::variant<syntax::Module, ParseError> parse_module(std::string_view text) {
  auto tokens = tokenize(text);
  if (auto* error = std::get_if<ParseError>(&tokens)) return std::move(*error);
  return Parser(text, std::get<std::vector<Token>>(std::move(tokens))).run();
}

}  // namespace maskjit::emulator
