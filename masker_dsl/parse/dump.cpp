#include <fmt/format.h>

#include "masker_dsl/diag/text.h"
#include "masker_dsl/parse/parser.h"

namespace maskjit::parse {
namespace {

class Dumper {
 public:
  std::string out;

  void declaration(const Declaration& d) {
    switch (d.kind) {
      case Declaration::Kind::Import:
        out += fmt::format("(import {})\n", diag::printable(d.name.text()));
        return;
      case Declaration::Kind::Masker:
        out += "(masker ";
        break;
      case Declaration::Kind::Score:
        out += "(score ";
        break;
      case Declaration::Kind::Attention:
        out += "(attention ";
        break;
    }
    out += d.name.text();
    for (const Param& p : d.params) param(p);
    for (const Let& let : d.lets) {
      out += fmt::format("\n  (let {} ", let.name.text());
      expr(let.value);
      out += ")";
    }
    for (const Clause& clause : d.clauses) {
      out += clause.kind == Clause::Kind::Mask    ? "\n  (mask "
             : clause.kind == Clause::Kind::Score ? "\n  (score "
                                                  : "\n  (dropout ";
      expr(clause.value);
      out += clause.renormalise ? " renormalise)" : ")";
    }
    if (d.kind != Declaration::Kind::Attention) {
      out += d.is_block ? "\n  (return " : "\n  (= ";
      expr(d.result);
      out += ")";
    }
    out += ")\n";
  }

 private:
  void param(const Param& p) {
    out += fmt::format("\n  ({}param {} {}", p.is_runtime() ? "runtime " : "", p.name.text(),
                       p.type.name.text());
    if (p.type.is_tensor) {
      out += fmt::format(" {}", p.type.element.text());
      for (const Dimension& dim : p.type.dims) {
        out += ' ';
        out += dim.is_constant ? std::to_string(dim.constant) : std::string(dim.range.text());
      }
    }
    if (p.default_value != nullptr) {
      out += " = ";
      expr(p.default_value);
    }
    out += ")";
  }

  void expr(const Expr* pointer) {
    if (pointer == nullptr) {
      out += "missing";
      return;
    }
    const Expr& e = strip_parens(*pointer);
    switch (e.kind) {
      case Expr::Kind::Error:
        out += "error";
        return;
      case Expr::Kind::Integer:
        out += std::to_string(e.integer);
        return;
      case Expr::Kind::Float:
        out += fmt::format("{:#}", e.real);
        return;
      case Expr::Kind::Percent:
        out += fmt::format("(share {})", e.real);
        return;
      case Expr::Kind::Bool:
        out += e.integer != 0 ? "true" : "false";
        return;
      case Expr::Kind::Name:
        out += e.name();
        return;
      case Expr::Kind::Paren:
        return;  // stripped
      case Expr::Kind::Unary:
        out += fmt::format("({} ", spelling(e.unary));
        expr(e.operands[0]);
        out += ")";
        return;
      case Expr::Kind::Binary: {
        const std::vector<const Expr*> spine = left_spine(e);
        for (const Expr* node : spine) out += fmt::format("({} ", spelling(node->binary));
        expr(spine.back()->operands[0]);
        for (auto node = spine.rbegin(); node != spine.rend(); ++node) {
          out += ' ';
          expr((*node)->operands[1]);
          out += ')';
        }
        return;
      }
      case Expr::Kind::Conditional:
        list("(? ", e);
        return;
      case Expr::Kind::Subscript:
        list(fmt::format("([] {} ", e.name()), e);
        return;
      case Expr::Kind::Call:
        out += fmt::format("({}", e.name());
        for (const Argument& argument : e.arguments) {
          out += ' ';
          if (argument.named()) out += fmt::format("{}= ", argument.name.text());
          expr(argument.value);
        }
        out += ')';
        return;
    }
  }

  void list(std::string_view head, const Expr& e) {
    out += head;
    for (size_t i = 0; i < e.operands.size(); ++i) {
      if (i > 0) out += ' ';
      expr(e.operands[i]);
    }
    out += ')';
  }
};

}  // namespace

std::string dump(const Ast& ast) {
  Dumper dumper;
  for (const Declaration& declaration : ast.declarations) dumper.declaration(declaration);
  return std::move(dumper.out);
}

std::string dump(const source::SourceFile& file, const lex::TokenBuffer& buffer) {
  std::string out;
  int line = 1;
  uint32_t counted = 0, line_begin = 0;
  const auto place = [&](uint32_t begin) {
    for (; counted < begin; ++counted) {
      if (file.text()[counted] == '\n') {
        ++line;
        line_begin = counted + 1;
      }
    }
    return fmt::format("{}:{}", line, begin - line_begin + 1);
  };
  size_t next_comment = 0;
  for (size_t i = 0; i < buffer.tokens.size(); ++i) {
    for (; next_comment < buffer.comments.size() && buffer.comments[next_comment].next_token == i;
         ++next_comment) {
      const lex::Comment& comment = buffer.comments[next_comment];
      out += fmt::format(
          "{} Comment {}\n", place(comment.begin),
          diag::printable(file.text().substr(comment.begin, comment.end - comment.begin)));
    }
    const lex::Token& token = buffer.tokens[i];
    out += fmt::format("{} {} {}\n", place(token.begin), lex::name_of(token.kind),
                       diag::printable(file.text().substr(token.begin, token.end - token.begin)));
  }
  return out;
}

}  // namespace maskjit::parse
