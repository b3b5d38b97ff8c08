#pragma once
// Every kind of diagnostic: a stable name that users may search for and tests rely on, and one line
// about it. tests/frontend/diagnostics has an example of each.
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace maskjit::diag {

enum class Kind : uint8_t {
  // lexical
  InvalidCharacter,
  InvalidNumber,
  NumberTooLarge,
  UnterminatedString,
  // syntax
  UnexpectedToken,
  UnclosedBracket,
  UnknownOperator,
  ChainedComparison,
  KeywordAsName,
  ArgumentOrder,
  NestingTooDeep,
  // names
  UnknownName,
  UnknownMasker,
  UnknownArgument,
  UnknownType,
  UnknownDimension,
  DuplicateName,
  DuplicateArgument,
  DuplicateClause,
  ShadowsBuiltin,
  ShadowsLibrary,
  UnusedName,
  Recursion,
  ImportNotFound,
  ImportCycle,
  // types and calls
  TypeMismatch,
  MaskNotBoolean,
  ScoreNotNumber,
  MissingCall,
  NotCallable,
  MissingArgument,
  TooManyArguments,
  TensorAsScalar,
  NotATensor,
  WrongSubscripts,
  LogitOutsideScore,
  InvalidParameter,
  InvalidDefault,
  // constants
  ConstantOverflow,
  DivisionByZero,
  ShiftOutOfRange,
  ShareWithoutSize,
  OutOfRange,
  NotConstant,
  // sequences and selectors
  MisplacedThen,
  MisplacedSelector,
  MisplacedScorer,
  // programs and values for their parameters
  NoEntry,
  AmbiguousEntry,
  UnknownEntry,
  ProgramTooLarge,
  UnknownParameter,
  MissingValue,
  InvalidValue,
};

struct KindInfo {
  Kind kind;
  std::string_view name;
  std::string_view description;
};

// In the order of the enumerators.
inline constexpr std::array kKinds = {
    KindInfo{Kind::InvalidCharacter, "invalid-character", "a byte that no token starts with"},
    KindInfo{Kind::InvalidNumber, "invalid-number", "a malformed number"},
    KindInfo{Kind::NumberTooLarge, "number-too-large",
             "a number beyond 64 bits or the largest float"},
    KindInfo{Kind::UnterminatedString, "unterminated-string",
             "a string that its line does not close"},
    KindInfo{Kind::UnexpectedToken, "unexpected-token", "something else was expected here"},
    KindInfo{Kind::UnclosedBracket, "unclosed-bracket", "a bracket without its closing partner"},
    KindInfo{Kind::UnknownOperator, "unknown-operator", "an operator of another language"},
    KindInfo{Kind::ChainedComparison, "chained-comparison", "a < b < c, which has no meaning here"},
    KindInfo{Kind::KeywordAsName, "keyword-as-name", "a keyword where a name is declared"},
    KindInfo{Kind::ArgumentOrder, "argument-order", "a positional argument after a named one"},
    KindInfo{Kind::NestingTooDeep, "nesting-too-deep",
             "brackets, operators or calls nested too deeply"},
    KindInfo{Kind::UnknownName, "unknown-name", "no value of this name is in scope"},
    KindInfo{Kind::UnknownMasker, "unknown-masker", "no masker, score or function of this name"},
    KindInfo{Kind::UnknownArgument, "unknown-argument", "what is called has no such parameter"},
    KindInfo{Kind::UnknownType, "unknown-type", "no type of this name"},
    KindInfo{Kind::UnknownDimension, "unknown-dimension", "no tensor dimension of this name"},
    KindInfo{Kind::DuplicateName, "duplicate-name", "a name declared twice in one scope"},
    KindInfo{Kind::DuplicateArgument, "duplicate-argument", "one parameter given twice"},
    KindInfo{Kind::DuplicateClause, "duplicate-clause",
             "an attention with two masks or two dropouts"},
    KindInfo{Kind::ShadowsBuiltin, "shadows-builtin",
             "a declaration that would hide a built-in name"},
    KindInfo{Kind::ShadowsLibrary, "shadows-library",
             "a declaration that hides a standard library one (warning)"},
    KindInfo{Kind::UnusedName, "unused-name", "a parameter or let that nothing reads (warning)"},
    KindInfo{Kind::Recursion, "recursion", "maskers that call each other in a cycle"},
    KindInfo{Kind::ImportNotFound, "import-not-found", "an imported file that cannot be read"},
    KindInfo{Kind::ImportCycle, "import-cycle", "files that import each other"},
    KindInfo{Kind::TypeMismatch, "type-mismatch", "a value of the wrong type"},
    KindInfo{Kind::MaskNotBoolean, "mask-not-boolean",
             "a mask or masker whose value is not Boolean"},
    KindInfo{Kind::ScoreNotNumber, "score-not-number", "a score whose value is not a number"},
    KindInfo{Kind::MissingCall, "missing-call", "a masker or function named without its arguments"},
    KindInfo{Kind::NotCallable, "not-callable", "a call of a value"},
    KindInfo{Kind::MissingArgument, "missing-argument", "a parameter without default is not given"},
    KindInfo{Kind::TooManyArguments, "too-many-arguments", "more arguments than parameters"},
    KindInfo{Kind::TensorAsScalar, "tensor-as-scalar", "a whole tensor where one element is meant"},
    KindInfo{Kind::NotATensor, "not-a-tensor", "something else where a tensor is needed"},
    KindInfo{Kind::WrongSubscripts, "wrong-subscripts", "not one subscript for each dimension"},
    KindInfo{Kind::LogitOutsideScore, "logit-outside-score", "s where there is no logit"},
    KindInfo{Kind::InvalidParameter, "invalid-parameter", "a parameter that cannot be declared so"},
    KindInfo{Kind::InvalidDefault, "invalid-default",
             "a default value that does not fit its parameter"},
    KindInfo{Kind::ConstantOverflow, "constant-overflow", "constant arithmetic beyond 64 bits"},
    KindInfo{Kind::DivisionByZero, "division-by-zero", "// or % by a constant zero"},
    KindInfo{Kind::ShiftOutOfRange, "shift-out-of-range",
             "a constant shift by less than 0 or over 63"},
    KindInfo{Kind::ShareWithoutSize, "share-without-size", "a percentage of nothing in particular"},
    KindInfo{Kind::OutOfRange, "out-of-range", "a constant outside of the range allowed here"},
    KindInfo{Kind::NotConstant, "not-constant", "a value that is known too late for its place"},
    KindInfo{Kind::MisplacedThen, "misplaced-then", "a sequence where a plain mask is needed"},
    KindInfo{Kind::MisplacedSelector, "misplaced-selector", "a selector outside of a sequence"},
    KindInfo{Kind::MisplacedScorer, "misplaced-scorer", "a scorer other than as by = scorer"},
    KindInfo{Kind::NoEntry, "no-entry", "a file without anything to compile"},
    KindInfo{Kind::AmbiguousEntry, "ambiguous-entry", "several attentions and none chosen"},
    KindInfo{Kind::UnknownEntry, "unknown-entry", "no attention or masker of the chosen name"},
    KindInfo{Kind::ProgramTooLarge, "program-too-large",
             "a file or an expanded program beyond the limits"},
    KindInfo{Kind::UnknownParameter, "unknown-parameter",
             "a value for a parameter that does not exist"},
    KindInfo{Kind::MissingValue, "missing-value", "a constant parameter without value and default"},
    KindInfo{Kind::InvalidValue, "invalid-value", "a value of the wrong type for its parameter"},
};

constexpr const KindInfo& info(Kind kind) { return kKinds[static_cast<size_t>(kind)]; }
constexpr std::string_view name_of(Kind kind) { return info(kind).name; }

constexpr std::optional<Kind> parse_kind(std::string_view name) {
  for (const KindInfo& entry : kKinds) {
    if (entry.name == name) return entry.kind;
  }
  return std::nullopt;
}

namespace internal {
constexpr bool kinds_in_order() {
  for (size_t i = 0; i < kKinds.size(); ++i) {
    if (static_cast<size_t>(kKinds[i].kind) != i) return false;
  }
  return kKinds.size() == static_cast<size_t>(Kind::InvalidValue) + 1;
}
static_assert(kinds_in_order());
}  // namespace internal

}  // namespace maskjit::diag
