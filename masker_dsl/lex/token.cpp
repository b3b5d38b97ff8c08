#include "masker_dsl/lex/token.h"

#include <array>

namespace maskjit::lex {
namespace {

struct TokenInfo {
  TokenKind kind;
  std::string_view name;
  std::string_view description;
};

constexpr std::array kTokens = {
    TokenInfo{TokenKind::End, "End", "the end of the file"},
    TokenInfo{TokenKind::Invalid, "Invalid", "an invalid token"},
    TokenInfo{TokenKind::Identifier, "Identifier", "a name"},
    TokenInfo{TokenKind::Integer, "Integer", "a number"},
    TokenInfo{TokenKind::Float, "Float", "a number"},
    TokenInfo{TokenKind::Percent, "Percent", "a percentage"},
    TokenInfo{TokenKind::String, "String", "a string"},
    TokenInfo{TokenKind::Masker, "Masker", "'masker'"},
    TokenInfo{TokenKind::ScoreKeyword, "Score", "'score'"},
    TokenInfo{TokenKind::Attention, "Attention", "'attention'"},
    TokenInfo{TokenKind::Import, "Import", "'import'"},
    TokenInfo{TokenKind::Mask, "Mask", "'mask'"},
    TokenInfo{TokenKind::Dropout, "Dropout", "'dropout'"},
    TokenInfo{TokenKind::Let, "Let", "'let'"},
    TokenInfo{TokenKind::Return, "Return", "'return'"},
    TokenInfo{TokenKind::Then, "Then", "'then'"},
    TokenInfo{TokenKind::Runtime, "Runtime", "'runtime'"},
    TokenInfo{TokenKind::True, "True", "'true'"},
    TokenInfo{TokenKind::False, "False", "'false'"},
    TokenInfo{TokenKind::LeftParen, "LeftParen", "'('"},
    TokenInfo{TokenKind::RightParen, "RightParen", "')'"},
    TokenInfo{TokenKind::LeftBracket, "LeftBracket", "'['"},
    TokenInfo{TokenKind::RightBracket, "RightBracket", "']'"},
    TokenInfo{TokenKind::LeftBrace, "LeftBrace", "'{'"},
    TokenInfo{TokenKind::RightBrace, "RightBrace", "'}'"},
    TokenInfo{TokenKind::Comma, "Comma", "','"},
    TokenInfo{TokenKind::Colon, "Colon", "':'"},
    TokenInfo{TokenKind::Question, "Question", "'?'"},
    TokenInfo{TokenKind::Assign, "Assign", "'='"},
    TokenInfo{TokenKind::Plus, "Plus", "'+'"},
    TokenInfo{TokenKind::Minus, "Minus", "'-'"},
    TokenInfo{TokenKind::Star, "Star", "'*'"},
    TokenInfo{TokenKind::Slash, "Slash", "'/'"},
    TokenInfo{TokenKind::SlashSlash, "SlashSlash", "'//'"},
    TokenInfo{TokenKind::PercentSign, "PercentSign", "'%'"},
    TokenInfo{TokenKind::Amp, "Amp", "'&'"},
    TokenInfo{TokenKind::Pipe, "Pipe", "'|'"},
    TokenInfo{TokenKind::Caret, "Caret", "'^'"},
    TokenInfo{TokenKind::Bang, "Bang", "'!'"},
    TokenInfo{TokenKind::Tilde, "Tilde", "'~'"},
    TokenInfo{TokenKind::EqualEqual, "EqualEqual", "'=='"},
    TokenInfo{TokenKind::BangEqual, "BangEqual", "'!='"},
    TokenInfo{TokenKind::Less, "Less", "'<'"},
    TokenInfo{TokenKind::LessEqual, "LessEqual", "'<='"},
    TokenInfo{TokenKind::Greater, "Greater", "'>'"},
    TokenInfo{TokenKind::GreaterEqual, "GreaterEqual", "'>='"},
    TokenInfo{TokenKind::ShiftLeft, "ShiftLeft", "'<<'"},
    TokenInfo{TokenKind::ShiftRight, "ShiftRight", "'>>'"},
    TokenInfo{TokenKind::AmpAmp, "AmpAmp", "'&&'"},
    TokenInfo{TokenKind::PipePipe, "PipePipe", "'||'"},
    TokenInfo{TokenKind::StarStar, "StarStar", "'**'"},
    TokenInfo{TokenKind::TripleEqual, "TripleEqual", "'==='"},
    TokenInfo{TokenKind::Semicolon, "Semicolon", "';'"},
};

constexpr bool in_order() {
  for (size_t i = 0; i < kTokens.size(); ++i) {
    if (static_cast<size_t>(kTokens[i].kind) != i) return false;
  }
  return kTokens.size() == static_cast<size_t>(TokenKind::Semicolon) + 1;
}
static_assert(in_order());

}  // namespace

std::string_view name_of(TokenKind kind) { return kTokens[static_cast<size_t>(kind)].name; }
std::string_view describe(TokenKind kind) { return kTokens[static_cast<size_t>(kind)].description; }

bool is_keyword(TokenKind kind) { return kind >= TokenKind::Masker && kind <= TokenKind::False; }

TokenKind keyword_or_identifier(std::string_view word) {
  for (auto kind = TokenKind::Masker; kind <= TokenKind::False;
       kind = static_cast<TokenKind>(static_cast<int>(kind) + 1)) {
    const std::string_view spelled = describe(kind);
    if (spelled.substr(1, spelled.size() - 2) == word) return kind;
  }
  return TokenKind::Identifier;
}

}  // namespace maskjit::lex
