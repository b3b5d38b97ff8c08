#pragma once
// What every part of the parser needs: the current token, errors that do not cascade, and recovery.
#include <string>
#include <string_view>

#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/lex/lexer.h"
#include "masker_dsl/parse/ast.h"

namespace maskjit::parse {

class ParserBase {
 public:
  ParserBase(const source::SourceFile& file, const lex::TokenBuffer& buffer,
             diag::DiagnosticEmitter& diagnostics, Ast& ast)
      : file_(file), buffer_(buffer), diagnostics_(diagnostics), ast_(ast) {}

 protected:
  using TokenKind = lex::TokenKind;

  const lex::Token& peek(size_t ahead = 0) const;
  TokenKind kind(size_t ahead = 0) const { return peek(ahead).kind; }
  bool at(TokenKind expected) const { return kind() == expected; }
  bool at_name(std::string_view name) const {
    return at(TokenKind::Identifier) && text(peek()) == name;
  }
  std::string_view text(const lex::Token& token) const {
    return file_.text().substr(token.begin, token.end - token.begin);
  }
  source::SourceRange range(const lex::Token& token) const {
    return {&file_, token.begin, token.end};
  }
  source::SourceRange here() const;  // the current token; the last byte at the end of the file
  source::SourceRange since(uint32_t begin) const;  // from there to the end of the previous token

  source::SourceRange advance();  // past the current token, whose range is returned
  bool accept(TokenKind expected);
  bool expect(TokenKind expected, std::string_view where);
  // Closes the bracket that was opened at `open`; if something else stands here, reports it and
  // skips to the closing bracket.
  bool close(TokenKind closing, source::SourceRange open);
  void report_unclosed(TokenKind closing, source::SourceRange open);

  // element {, element} [,] closing
  template <typename ParseElement>
  bool list(TokenKind closing, source::SourceRange open, ParseElement parse_element) {
    while (!at(closing) && !at(TokenKind::End) && !too_many_errors()) {
      const size_t before = position_;
      parse_element();
      if (!at(TokenKind::Comma) && !at(closing)) report_unclosed(closing, open);
      if (panicking_ && !recover_in_list(closing)) return false;
      if (!accept(TokenKind::Comma) || position_ == before) break;
    }
    return close(closing, open);
  }

  // Reports at the current token "expected ..., found ..." unless an error is being recovered from.
  void unexpected(std::string_view expected);
  diag::Diagnostic& report(diag::Kind kind, source::SourceRange at, std::string message);
  std::string found() const;

  // Skips to a comma or to `closing` on this bracket level and ends the recovery there; false if a
  // clause, a declaration or another closing bracket comes first.
  bool recover_in_list(TokenKind closing);
  // Skips to the next let, return, mask, score, dropout, closing brace or declaration.
  void recover_to_clause();
  void recover_to_declaration();
  bool at_declaration() const;  // masker, attention, import, or score name(s
  bool too_many_errors() const {
    return diagnostics_.error_count() > diag::DiagnosticEmitter::kMaxErrors;
  }

  const source::SourceFile& file_;
  const lex::TokenBuffer& buffer_;
  diag::DiagnosticEmitter& diagnostics_;
  Ast& ast_;
  size_t position_ = 0;
  bool panicking_ = false;  // an error was reported and nothing has been recognised since
  int errors_ = 0;          // reported by this parser

 private:
  bool follows_floor_division() const;  // text that may have been meant as a comment
  std::string_view hint_for_current() const;
};

}  // namespace maskjit::parse
