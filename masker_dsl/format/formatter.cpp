#include "masker_dsl/format/formatter.h"

#include <algorithm>

#include "masker_dsl/format/document.h"

namespace maskjit::format {

using lex::TokenKind;
using parse::BinaryOp;
using parse::Clause;
using parse::Declaration;
using parse::Expr;
using Id = Document::Id;

namespace {

constexpr int kIndent = 4;

int precedence(BinaryOp op) {
  switch (op) {
    case BinaryOp::Then:
      return 0;
    case BinaryOp::Or:
      return 1;
    case BinaryOp::Xor:
      return 2;
    case BinaryOp::And:
      return 3;
    case BinaryOp::Eq:
    case BinaryOp::Ne:
    case BinaryOp::Lt:
    case BinaryOp::Le:
    case BinaryOp::Gt:
    case BinaryOp::Ge:
      return 4;
    case BinaryOp::ShiftLeft:
    case BinaryOp::ShiftRight:
      return 5;
    case BinaryOp::Add:
    case BinaryOp::Sub:
      return 6;
    case BinaryOp::Mul:
    case BinaryOp::Div:
    case BinaryOp::FloorDiv:
    case BinaryOp::Mod:
      return 7;
  }
  return 0;
}

// Walks the tree in source order and takes the tokens as they come; the tree says where lines may
// end.
class Formatter {
 public:
  Formatter(const source::SourceFile& file, const lex::TokenBuffer& buffer)
      : text_(file.text()), buffer_(buffer) {}

  std::string run(const parse::Ast& ast) {
    std::vector<Id> parts;
    for (const Declaration& declaration : ast.declarations) {
      start_statement(parts);
      this->declaration(declaration, parts);
    }
    comments_before(buffer_.tokens.size() - 1, true, parts);
    return doc_.print(doc_.concat(std::move(parts)), kWidth);
  }

 private:
  TokenKind kind() const { return buffer_.tokens[next_].kind; }
  std::string_view text_of(const lex::Token& token) const {
    return text_.substr(token.begin, token.end - token.begin);
  }

  bool blank_line_before(uint32_t begin, uint32_t previous_end) const {
    const std::string_view gap = text_.substr(previous_end, begin - previous_end);
    return std::count(gap.begin(), gap.end(), '\n') > 1;
  }

  // The comments that stand before token `index` and were not written yet.
  void comments_before(size_t index, bool statement, std::vector<Id>& parts) {
    for (; next_comment_ < buffer_.comments.size() &&
           buffer_.comments[next_comment_].next_token <= index;
         ++next_comment_) {
      const lex::Comment& comment = buffer_.comments[next_comment_];
      if (statement && comment.own_line) {
        parts.push_back(blank_line_before(comment.begin, last_end_) ? doc_.blank_line()
                                                                    : doc_.hard_line());
      }
      parts.push_back(
          doc_.comment(text_.substr(comment.begin, comment.end - comment.begin), comment.own_line));
      last_end_ = comment.end;
    }
  }

  // The comments on the line of the last token.
  void trailing_comments(std::vector<Id>& parts) {
    while (next_comment_ < buffer_.comments.size() &&
           buffer_.comments[next_comment_].next_token <= next_ &&
           !buffer_.comments[next_comment_].own_line) {
      const lex::Comment& comment = buffer_.comments[next_comment_++];
      parts.push_back(
          doc_.comment(text_.substr(comment.begin, comment.end - comment.begin), false));
      last_end_ = comment.end;
    }
  }

  // A new line for the next token, after the comments before it.
  void start_statement(std::vector<Id>& parts) {
    comments_before(next_, true, parts);
    parts.push_back(blank_line_before(buffer_.tokens[next_].begin, last_end_) ? doc_.blank_line()
                                                                              : doc_.hard_line());
  }

  // The next token with the comments around it. The comment after a statement's last token is left
  // to end_statement(), outside of the groups, so that it does not break them.
  Id token() {
    std::vector<Id> parts;
    comments_before(next_, false, parts);
    const lex::Token& token = buffer_.tokens[next_++];
    parts.push_back(doc_.text(text_of(token)));
    last_end_ = token.end;
    if (token.end != statement_end_) trailing_comments(parts);
    return parts.size() == 1 ? parts[0] : doc_.concat(std::move(parts));
  }
  Id space() { return doc_.text(" "); }
  void skip_comma() {
    if (kind() == TokenKind::Comma) last_end_ = buffer_.tokens[next_++].end;
  }

  // open element, element close
  template <typename Element>
  Id list(size_t count, Element element) {
    std::vector<Id> inner = {doc_.soft_line()};
    const Id open = token();
    for (size_t i = 0; i < count; ++i) {
      inner.push_back(element(i));
      if (i + 1 < count) {
        inner.push_back(token());
        inner.push_back(doc_.line());
      }
    }
    skip_comma();
    comments_before(next_, false, inner);
    if (count == 0 && inner.size() == 1) return doc_.concat({open, token()});
    return doc_.group(doc_.concat(
        {open, doc_.indent(kIndent, doc_.concat(std::move(inner))), doc_.soft_line(), token()}));
  }

  void declaration(const Declaration& d, std::vector<Id>& parts) {
    statement_end_ = d.range.end;
    switch (d.kind) {
      case Declaration::Kind::Import: {
        const Id keyword = token();
        parts.insert(parts.end(), {keyword, space(), token()});
        break;
      }
      case Declaration::Kind::Attention:
        attention(d, parts);
        break;
      case Declaration::Kind::Masker:
      case Declaration::Kind::Score:
        function(d, parts);
        break;
    }
    trailing_comments(parts);
  }

  Id head(const Declaration& d) {
    std::vector<Id> parts = {token(), space()};
    parts.push_back(token());
    if (kind() == TokenKind::LeftParen) {
      const size_t logit = d.logit.end > d.logit.begin ? 1 : 0;
      parts.push_back(list(d.params.size() + logit, [&](size_t i) {
        return i < logit ? token() : param(d.params[i - logit]);
      }));
    }
    return doc_.concat(std::move(parts));
  }

  Id param(const parse::Param& p) {
    std::vector<Id> parts;
    if (p.is_runtime()) {
      parts.push_back(token());
      parts.push_back(space());
    }
    parts.push_back(token());  // name
    parts.push_back(token());  // :
    parts.push_back(space());
    parts.push_back(token());  // type
    if (p.type.is_tensor) {
      for (int i = 0; i < 3; ++i) parts.push_back(token());  // <element>
      parts.push_back(list(p.type.dims.size(), [&](size_t) { return token(); }));
    }
    if (p.default_value != nullptr) {
      parts.push_back(space());
      parts.push_back(token());  // =
      parts.push_back(space());
      parts.push_back(expr(*p.default_value));
    }
    return doc_.concat(std::move(parts));
  }

  void function(const Declaration& d, std::vector<Id>& parts) {
    const Id declared = head(d);
    if (!d.is_block) {
      const Id assign = token();
      const Id value = doc_.indent(kIndent, doc_.concat({doc_.line(), expr(*d.result)}));
      parts.push_back(doc_.concat({declared, space(), doc_.group(doc_.concat({assign, value}))}));
      return;
    }
    parts.insert(parts.end(), {declared, space()});
    parts.push_back(token());  // {
    std::vector<Id> inner;
    for (const parse::Let& let : d.lets) {
      start_statement(inner);
      statement_end_ = let.value->range.end;
      std::vector<Id> line = {token(), space()};
      line.push_back(token());
      line.push_back(space());
      line.push_back(token());
      line.push_back(doc_.indent(kIndent, doc_.concat({doc_.line(), expr(*let.value)})));
      inner.push_back(doc_.group(doc_.concat(std::move(line))));
      trailing_comments(inner);
    }
    start_statement(inner);
    statement_end_ = d.result->range.end;
    const Id keyword = token();
    inner.push_back(doc_.concat({keyword, space(), doc_.indent(kIndent, expr(*d.result))}));
    trailing_comments(inner);
    end_block(d, inner, parts);
  }

  void end_block(const Declaration& d, std::vector<Id>& inner, std::vector<Id>& parts) {
    statement_end_ = d.range.end;
    comments_before(next_, true, inner);
    parts.push_back(doc_.indent(kIndent, doc_.concat(std::move(inner))));
    parts.push_back(doc_.hard_line());
    parts.push_back(token());  // }
  }

  void attention(const Declaration& d, std::vector<Id>& parts) {
    const Id declared = head(d);
    parts.insert(parts.end(), {declared, space()});
    parts.push_back(token());  // {
    size_t widest = 0;
    for (const Clause& clause : d.clauses) widest = std::max(widest, clause.keyword.text().size());
    std::vector<Id> inner;
    for (const Clause& clause : d.clauses) {
      start_statement(inner);
      statement_end_ = clause.renormalise ? 0 : clause.value->range.end;
      const Id keyword = token();
      const Id padding = doc_.text(std::string(widest - clause.keyword.text().size() + 1, ' '));
      std::vector<Id> line = {keyword, padding, doc_.indent(kIndent, expr(*clause.value))};
      if (clause.renormalise) {
        statement_end_ = buffer_.tokens[next_].end;
        line.push_back(space());
        line.push_back(token());
      }
      inner.push_back(doc_.concat(std::move(line)));
      trailing_comments(inner);
    }
    end_block(d, inner, parts);
  }

  Id expr(const Expr& e) {
    switch (e.kind) {
      case Expr::Kind::Error:
      case Expr::Kind::Integer:
      case Expr::Kind::Float:
      case Expr::Kind::Percent:
      case Expr::Kind::Bool:
      case Expr::Kind::Name:
        return token();
      case Expr::Kind::Paren:
        return list(1, [&](size_t) { return expr(*e.operands[0]); });
      case Expr::Kind::Unary: {
        const Id op = token();
        return doc_.concat({op, expr(*e.operands[0])});
      }
      case Expr::Kind::Binary:
        return doc_.group(chain(e));
      case Expr::Kind::Conditional: {
        std::vector<Id> parts = {expr(*e.operands[0]), space()};
        parts.push_back(token());
        std::vector<Id> inner = {doc_.line(), expr(*e.operands[1]), space()};
        inner.push_back(token());
        inner.push_back(doc_.line());
        inner.push_back(expr(*e.operands[2]));
        parts.push_back(doc_.indent(kIndent, doc_.concat(std::move(inner))));
        return doc_.group(doc_.concat(std::move(parts)));
      }
      case Expr::Kind::Call: {
        const Id name = token();
        return doc_.concat(
            {name, list(e.arguments.size(), [&](size_t i) { return argument(e.arguments[i]); })});
      }
      case Expr::Kind::Subscript: {
        const Id name = token();
        return doc_.concat(
            {name, list(e.operands.size(), [&](size_t i) { return expr(*e.operands[i]); })});
      }
    }
    return doc_.text("");
  }

  Id argument(const parse::Argument& argument) {
    if (!argument.named()) return expr(*argument.value);
    std::vector<Id> parts = {token(), space()};
    parts.push_back(token());
    parts.push_back(space());
    parts.push_back(expr(*argument.value));
    return doc_.concat(std::move(parts));
  }

  // a op b op c: one group for each precedence, broken after its operators.
  Id chain(const Expr& e) {
    const std::vector<const Expr*> spine = parse::left_spine(e);
    std::vector<Id> parts = {expr(*spine.back()->operands[0])};
    int level = precedence(spine.back()->binary);
    for (auto node = spine.rbegin(); node != spine.rend(); ++node) {
      if (precedence((*node)->binary) != level) {
        level = precedence((*node)->binary);
        const Id left = doc_.group(doc_.concat(std::move(parts)));
        parts = {left};
      }
      parts.push_back(space());
      parts.push_back(token());
      parts.push_back(doc_.line());
      parts.push_back(expr(*(*node)->operands[1]));
    }
    return doc_.concat(std::move(parts));
  }

  std::string_view text_;
  const lex::TokenBuffer& buffer_;
  Document doc_;
  size_t next_ = 0;  // token
  size_t next_comment_ = 0;
  uint32_t last_end_ = 0;  // of the last token or comment written
  uint32_t statement_end_ = 0;
};

}  // namespace

std::string format(const source::SourceFile& file, const lex::TokenBuffer& tokens,
                   const parse::Ast& ast) {
  return Formatter(file, tokens).run(ast);
}

}  // namespace maskjit::format
