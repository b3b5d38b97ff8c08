#include "masker_dsl/parse/parser.h"

#include <fmt/format.h>

#include "masker_dsl/diag/text.h"
#include "masker_dsl/parse/expression_parser.h"

namespace maskjit::parse {

using diag::Kind;
using lex::TokenKind;
using source::SourceRange;

namespace {

class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  void parse_file() {
    while (!at(TokenKind::End) && !too_many_errors()) {
      if (at_declaration() || at(TokenKind::ScoreKeyword)) {
        parse_declaration();
      } else {
        // What is left over belongs to the declaration before, which is not what it seems.
        if (!ast_.declarations.empty()) ast_.declarations.back().has_errors = true;
        unexpected("masker, score, attention or import");
        advance();
        recover_to_declaration();
      }
    }
  }

 private:
  void parse_declaration() {
    const int errors_before = errors_;
    Declaration declaration;
    declaration.documentation = documentation();
    const TokenKind keyword = kind();
    declaration.keyword = advance();
    switch (keyword) {
      case TokenKind::Import:
        parse_import(declaration);
        break;
      case TokenKind::Attention:
        parse_attention(declaration);
        break;
      default:
        declaration.kind =
            keyword == TokenKind::Masker ? Declaration::Kind::Masker : Declaration::Kind::Score;
        parse_function(declaration);
    }
    declaration.range = since(declaration.keyword.begin);
    declaration.has_errors = errors_ > errors_before;
    if (panicking_) recover_to_declaration();
    if (declaration.name.end > declaration.name.begin) {
      ast_.declarations.push_back(std::move(declaration));
    } else {
      ast_.incomplete = true;
    }
  }

  // The comment right above the current token, if it has a line of its own.
  std::string_view documentation() const {
    const auto& comments = buffer_.comments;
    const auto after =
        std::upper_bound(comments.begin(), comments.end(), position_,
                         [](size_t p, const lex::Comment& c) { return p < c.next_token; });
    if (after == comments.begin()) return {};
    const lex::Comment& comment = *(after - 1);
    if (comment.next_token != position_ || !comment.own_line) return {};
    const std::string_view gap = file_.text().substr(comment.end, peek().begin - comment.end);
    if (std::count(gap.begin(), gap.end(), '\n') != 1) return {};
    std::string_view words = file_.text().substr(comment.begin, comment.end - comment.begin);
    while (!words.empty() &&
           (words.front() == '#' || words.front() == '/' || words.front() == ' ')) {
      words.remove_prefix(1);
    }
    return words;
  }

  void parse_import(Declaration& declaration) {
    declaration.kind = Declaration::Kind::Import;
    if (at(TokenKind::String)) {
      declaration.name = advance();
    } else {
      unexpected("a file name in quotes");
    }
  }

  // The name that a declaration introduces; keywords are reported and taken.
  SourceRange parse_name(std::string_view what) {
    if (at(TokenKind::Identifier)) return advance();
    if (lex::is_keyword(kind()) && !panicking_ && !at_declaration()) {
      report(Kind::KeywordAsName, here(),
             fmt::format("{} is a keyword and cannot name {}", diag::quoted(text(peek())), what))
          .with_hint("choose another name");
      return advance();
    }
    unexpected(fmt::format("the name of {}", what));
    return {};
  }

  void parse_function(Declaration& declaration) {
    const bool is_score = declaration.kind == Declaration::Kind::Score;
    declaration.name = parse_name(is_score ? "a score" : "a masker");
    if (!panicking_) parse_params(declaration, is_score);
    if (panicking_) return;
    if (at(TokenKind::LeftBrace)) {
      parse_block(declaration);
    } else if (accept(TokenKind::Assign)) {
      declaration.result = parse_expression();
    } else {
      unexpected("'=' or '{'");
    }
  }

  void parse_params(Declaration& declaration, bool is_score) {
    const SourceRange open = here();
    if (!expect(TokenKind::LeftParen, "and the parameters")) return;
    if (is_score) {
      if (at_name("s") && (kind(1) == TokenKind::Comma || kind(1) == TokenKind::RightParen)) {
        declaration.logit = advance();
        if (!accept(TokenKind::Comma)) {
          close(TokenKind::RightParen, open);
          return;
        }
      } else {
        report(Kind::InvalidParameter, here(),
               fmt::format("the first parameter of a score is the logit s, found {}", found()))
            .with_hint(fmt::format("write score {}(s{}", printable_name(declaration),
                                   at(TokenKind::RightParen) ? ") = ..." : ", ..."));
      }
    }
    list(TokenKind::RightParen, open, [&] { parse_param(declaration); });
  }

  static std::string printable_name(const Declaration& declaration) {
    return diag::printable(declaration.name.text().substr(0, 40));
  }

  void parse_param(Declaration& declaration) {
    Param param;
    const uint32_t begin = peek().begin;
    if (at(TokenKind::Runtime)) param.runtime = advance();
    param.name = parse_name("a parameter");
    if (panicking_) return;
    if (!accept(TokenKind::Colon)) {
      unexpected("':' and the type of the parameter");
      return;
    }
    parse_type(param.type);
    if (panicking_) return;
    if (accept(TokenKind::Assign)) param.default_value = parse_expression();
    param.range = since(begin);
    declaration.params.push_back(std::move(param));
  }

  void parse_type(TypeName& type) {
    const uint32_t begin = peek().begin;
    if (!at(TokenKind::Identifier)) {
      unexpected("a type (int, float, bool or tensor<element>[dimensions])");
      return;
    }
    type.name = advance();
    type.is_tensor = type.name.text() == "tensor";
    if (type.is_tensor) {
      if (!expect(TokenKind::Less, "and the element type, as in tensor<i32>[batch, kv_len]"))
        return;
      if (at(TokenKind::Identifier)) {
        type.element = advance();
      } else {
        unexpected("an element type");
        return;
      }
      if (!expect(TokenKind::Greater, "after the element type")) return;
      const SourceRange open = here();
      if (!expect(TokenKind::LeftBracket, "and the dimensions, as in tensor<i32>[batch, kv_len]"))
        return;
      list(TokenKind::RightBracket, open, [&] {
        Dimension dim;
        if (at(TokenKind::Integer)) {
          dim.is_constant = true;
          dim.constant = lex::integer_value(text(peek())).value_or(0);
        } else if (!at(TokenKind::Identifier)) {
          unexpected("a dimension");
          return;
        }
        dim.range = advance();
        type.dims.push_back(dim);
      });
    }
    type.range = since(begin);
  }

  void parse_block(Declaration& declaration) {
    declaration.is_block = true;
    const SourceRange open = advance();
    while (at(TokenKind::Let) && !too_many_errors()) {
      advance();
      Let let;
      let.name = parse_name("a let");
      if (!panicking_ && expect(TokenKind::Assign, "and the value")) {
        let.value = parse_expression();
        declaration.lets.push_back(let);
      }
      if (panicking_) recover_to_clause();
    }
    if (at(TokenKind::Return)) {
      advance();
      declaration.result = parse_expression();
      if (panicking_) recover_to_clause();
      if (at(TokenKind::Let) || at(TokenKind::Return)) {
        report(Kind::UnexpectedToken, here(),
               fmt::format("nothing may follow return, found {}", found()))
            .with_hint("put every let before the only return");
        panicking_ = true;
        while (!at(TokenKind::RightBrace) && !at(TokenKind::End) && !at_declaration()) advance();
        panicking_ = !at(TokenKind::RightBrace);
      }
    } else {
      unexpected("let or return");
      skip_to_brace();
    }
    close(TokenKind::RightBrace, open);
  }

  void parse_attention(Declaration& declaration) {
    declaration.kind = Declaration::Kind::Attention;
    declaration.name = parse_name("an attention");
    if (panicking_) return;
    if (at(TokenKind::LeftParen)) parse_params(declaration, false);
    if (panicking_) return;
    const SourceRange open = here();
    if (!expect(TokenKind::LeftBrace, "and the clauses mask, score and dropout")) return;
    while (!too_many_errors()) {
      Clause clause;
      if (at(TokenKind::Mask)) {
        clause.kind = Clause::Kind::Mask;
      } else if (at(TokenKind::ScoreKeyword) && !at_declaration()) {
        clause.kind = Clause::Kind::Score;
      } else if (at(TokenKind::Dropout)) {
        clause.kind = Clause::Kind::Dropout;
      } else if (at(TokenKind::RightBrace) || at(TokenKind::End) || at_declaration()) {
        break;
      } else {
        unexpected("mask, score, dropout or '}'");
        advance();
        recover_to_clause();
        if (at(TokenKind::Let) || at(TokenKind::Return)) skip_to_brace();
        continue;
      }
      clause.keyword = advance();
      clause.value = parse_expression();
      if (at_name("renormalise") && clause.kind == Clause::Kind::Dropout) {
        advance();
        clause.renormalise = true;
      }
      declaration.clauses.push_back(clause);
      if (panicking_) recover_to_clause();
    }
    close(TokenKind::RightBrace, open);
  }

  // To the closing brace of the current block or the next declaration.
  void skip_to_brace() {
    while (!at(TokenKind::RightBrace) && !at(TokenKind::End) && !at_declaration()) advance();
    panicking_ = false;
  }
};

}  // namespace

Ast parse(const source::SourceFile& file, const lex::TokenBuffer& tokens,
          diag::DiagnosticEmitter& diagnostics) {
  Ast ast;
  Parser(file, tokens, diagnostics, ast).parse_file();
  return ast;
}

}  // namespace maskjit::parse
