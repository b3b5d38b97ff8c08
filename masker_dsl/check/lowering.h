#pragma once
// Expressions to MaskIR, with every check of names, types, arguments and constants on the way.
//
// Two uses. Check: one declaration by itself, its parameters symbolic; a call of a masker is
// checked against its signature and becomes an opaque value. Inline: the entry, where calls are
// replaced by bodies; what only shows with the actual arguments (a zero divisor) is reported then,
// at the user's call.
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "masker_dsl/check/builder.h"
#include "masker_dsl/check/modules.h"
#include "masker_dsl/check/names.h"
#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/ir/program.h"

namespace maskjit::check {

struct SelectorInfo;
struct SelectorParam;

// `a then b`: its stages and what limits their candidates (C & (a then b)), invalid if nothing
// does.
struct Sequence {
  ir::Value limit;
  std::vector<ir::Stage> stages;
  bool has_selector = false;
  bool is_chain = false;  // written with then, not a selector alone
};

// "batch, kv_len"
std::string names_of(const std::vector<ir::Dim>& dims);

struct TypedValue {
  enum class Kind : uint8_t { Error, Scalar, Tensor, Sequence } kind = Kind::Error;
  ir::Value value;
  uint32_t tensor = 0;
  std::shared_ptr<const Sequence> sequence;

  static TypedValue scalar(ir::Value v) { return {Kind::Scalar, v, 0, nullptr}; }
  static TypedValue of_tensor(uint32_t index) { return {Kind::Tensor, {}, index, nullptr}; }
  static TypedValue of(Sequence s) {
    return {Kind::Sequence, {}, 0, std::make_shared<const Sequence>(std::move(s))};
  }
  bool is_error() const { return kind == Kind::Error; }
  bool is_scalar() const { return kind == Kind::Scalar; }
};

struct Local {
  TypedValue value;
  source::SourceRange declared;
  bool used = false;
};

// One body being lowered: what its names mean and, when inlined, who called it.
struct Frame {
  const Module* module = nullptr;
  std::map<std::string_view, Local> locals;
  TypedValue logit;  // s; Error where there is none
  bool has_logit = false;
  std::string_view callee;  // name of what is being lowered
  const Frame* caller = nullptr;
  source::SourceRange call;  // in the caller
};

class Lowering {
 public:
  enum class Mode : uint8_t { Check, Inline };

  Lowering(ir::Function& function, diag::DiagnosticEmitter& diagnostics, Mode mode)
      : builder_(function), diagnostics_(diagnostics), mode_(mode) {}

  TypedValue expression(const parse::Expr& expr, Frame& frame);
  // As a value of `type`, converting int to float and N% to a share of the keys (int) or to a
  // number (float). `what` names the place in messages: "parameter 'n' of 'local'".
  TypedValue expression_as(ir::Type type, const parse::Expr& expr, Frame& frame,
                           std::string_view what);

  // The lets and the result of a masker or score, in a frame that has its parameters.
  TypedValue body(const parse::Declaration& declaration, Frame& frame);

  Builder& builder() { return builder_; }
  diag::Diagnostic& error(diag::Kind kind, source::SourceRange range, std::string message,
                          const Frame& frame);

  // "int", "a sequence", ... for messages.
  std::string describe(const TypedValue& value) const;
  Sequence to_sequence(const TypedValue& value) const;

 private:
  // expressions.cpp
  TypedValue name(const parse::Expr& expr, Frame& frame);
  TypedValue unary(const parse::Expr& expr, Frame& frame);
  TypedValue binary(const parse::Expr& expr, const TypedValue& a, const TypedValue& b,
                    Frame& frame);
  TypedValue arithmetic(const parse::Expr& expr, const TypedValue& a, const TypedValue& b,
                        Frame& frame);
  TypedValue logical(const parse::Expr& expr, const TypedValue& a, const TypedValue& b,
                     Frame& frame);
  TypedValue comparison(const parse::Expr& expr, const TypedValue& a, const TypedValue& b,
                        Frame& frame);
  TypedValue conditional(const parse::Expr& expr, Frame& frame);
  TypedValue subscript(const parse::Expr& expr, Frame& frame);
  // A value that is no sequence and no tensor; reports otherwise.
  TypedValue scalar(const TypedValue& value, const parse::Expr& expr, Frame& frame);
  TypedValue operand_error(const parse::Expr& expr, const TypedValue& a, const TypedValue& b,
                           std::string_view needs, std::string hint, Frame& frame);
  // The built value, or an error at `range` if building it was a problem.
  TypedValue built(ir::Value value, source::SourceRange range, Frame& frame);
  void unify(TypedValue& a, TypedValue& b);  // an int beside a float becomes one

  // calls.cpp
  TypedValue call(const parse::Expr& expr, Frame& frame);
  TypedValue function_call(const BuiltinFunction& function, const parse::Expr& expr, Frame& frame);
  TypedValue masker_call(const Callable& callable, const parse::Expr& expr, Frame& frame);
  TypedValue inline_call(const Callable& callable, const parse::Expr& expr, const TypedValue& logit,
                         const std::vector<TypedValue>& arguments, Frame& frame);
  TypedValue opaque_call(const Callable& callable);
  TypedValue default_of(const Parameter& param);
  TypedValue tensor_argument(const Parameter& param, const parse::Expr& expr,
                             std::string_view callee, Frame& frame);
  TypedValue unknown_callee(const parse::Expr& expr, Frame& frame);
  // Which argument belongs to which parameter (null: none); nullopt after reporting.
  std::optional<std::vector<const parse::Expr*>> match_arguments(
      const parse::Expr& expr, const std::vector<std::string_view>& params, Frame& frame);

  // sequences.cpp
  TypedValue then(const parse::Expr& expr, const TypedValue& a, const TypedValue& b, Frame& frame);
  TypedValue limited(const parse::Expr& expr, const TypedValue& a, const TypedValue& b,
                     Frame& frame);
  TypedValue misplaced(const TypedValue& sequence, const parse::Expr& expr, Frame& frame);
  TypedValue selector_call(const SelectorInfo& selector, const parse::Expr& expr, Frame& frame);
  bool selector_arguments(std::string_view callee, std::span<const SelectorParam> params,
                          const parse::Expr& expr, const std::vector<const parse::Expr*>& given,
                          std::vector<ir::Stage::Argument>& out, Frame& frame);
  TypedValue choice(const SelectorParam& param, const parse::Expr& argument, Frame& frame,
                    std::string_view what);
  bool scorer(const parse::Expr* expr, ir::Stage& stage, Frame& frame);

  Builder builder_;
  diag::DiagnosticEmitter& diagnostics_;
  Mode mode_;
  int depth_ = 0;
  size_t steps_ = 0;
  bool too_large_ = false;
  uint32_t opaque_values_ = 0;
  std::map<std::vector<uint64_t>, TypedValue> inlined_;  // calls with the same arguments
  const parse::Expr* floor_divisor_ =
      nullptr;  // right of the last //, which may be meant as a comment
};

}  // namespace maskjit::check
