#include "masker_dsl/check/attention.h"

#include <fmt/format.h>

#include <algorithm>

#include "masker_dsl/check/selectors.h"
#include "masker_dsl/check/weights.h"
#include "masker_dsl/diag/text.h"

namespace maskjit::check {

using diag::Kind;
using ir::Op;
using ir::Type;
using parse::Clause;
using parse::Declaration;

namespace {

void add_params(const Callable& callable, ir::Function& function, Frame& frame) {
  for (const Parameter& param : callable.params) {
    TypedValue value;
    switch (param.kind) {
      case Parameter::Kind::Invalid:
        break;
      case Parameter::Kind::Scalar: {
        ir::Param added{std::string(param.name), param.type, param.time, param.default_value,
                        param.default_share};
        value = TypedValue::scalar(function.parameter(function.add_param(std::move(added))));
        break;
      }
      case Parameter::Kind::Tensor:
        value = TypedValue::of_tensor(
            function.add_tensor({std::string(param.name), param.element, param.dims}));
        break;
    }
    frame.locals.try_emplace(param.name, Local{value, param.range});
  }
}

void warn_unused(const Frame& frame, diag::DiagnosticEmitter& diagnostics) {
  std::vector<source::SourceRange> unused;
  for (const auto& [name, local] : frame.locals) {
    if (!local.used && name.front() != '_') unused.push_back(local.declared);
  }
  std::sort(unused.begin(), unused.end(), [](auto a, auto b) { return a.begin < b.begin; });
  for (const source::SourceRange& range : unused) {
    diagnostics
        .warning(Kind::UnusedName, range,
                 fmt::format("{} is never used", diag::quoted(range.text())))
        .with_hint("remove it, or start its name with _");
  }
}

// One attention being lowered.
class AttentionLowering {
 public:
  AttentionLowering(const Callable& entry, Lowering::Mode mode,
                    diag::DiagnosticEmitter& diagnostics)
      : entry_(entry), diagnostics_(diagnostics), lowering_(program_.function, diagnostics, mode) {
    program_.name = entry.name();
    program_.function.set_name(program_.name);
    frame_.module = entry.module;
    frame_.callee = entry.name();
    add_params(entry, program_.function, frame_);
  }

  std::optional<ir::Program> run() {
    const int errors = diagnostics_.error_count();
    Builder& builder = lowering_.builder();
    mask_ = builder.constant(ir::Scalar::of_bool(true));
    score_ = builder.variable(ir::Var::Score);
    if (entry_.declaration->kind == Declaration::Kind::Attention) {
      clauses();
    } else {
      const TypedValue value = lowering_.body(*entry_.declaration, frame_);
      mask(value, entry_.declaration->result->range);
    }
    if (diagnostics_.error_count() > errors) return std::nullopt;
    program_.function.add_result("mask", mask_);
    program_.function.add_result("score", score_);
    if (program_.stages.empty()) {
      if (const auto weight = weight_of(program_.function, mask_)) {
        program_.function.add_result("weight", *weight);
      }
    }
    // A sequence takes its weights from its stages; what limits it only allows.
    for (ir::Stage& stage : program_.stages) {
      if (stage.rule != ir::Stage::Rule::Static) continue;
      if (const auto weight = weight_of(program_.function, stage.mask)) stage.weight = *weight;
    }
    return std::move(program_);
  }

  const Frame& frame() const { return frame_; }

 private:
  void clauses() {
    const Clause* masks = nullptr;
    const Clause* dropouts = nullptr;
    for (const Clause& clause : entry_.declaration->clauses) {
      switch (clause.kind) {
        case Clause::Kind::Mask:
          if (once(clause, masks))
            mask(lowering_.expression(*clause.value, frame_), clause.value->range);
          break;
        case Clause::Kind::Score:
          score(clause);
          break;
        case Clause::Kind::Dropout:
          if (once(clause, dropouts)) dropout(clause);
          break;
      }
    }
  }

  bool once(const Clause& clause, const Clause*& first) {
    if (first == nullptr) {
      first = &clause;
      return true;
    }
    const std::string word(clause.keyword.text());
    diagnostics_
        .error(Kind::DuplicateClause, clause.keyword,
               fmt::format("the attention has a second {}", word))
        .note(first->keyword, "the first is here")
        .with_hint(word == "mask" ? "combine masks with & | and then" : "");
    return false;
  }

  void mask(const TypedValue& value, source::SourceRange range) {
    if (value.is_error()) return;
    Builder& builder = lowering_.builder();
    if (value.is_scalar() && builder.type(value.value) == Type::Bool) {
      mask_ = value.value;
      return;
    }
    if (value.kind != TypedValue::Kind::Sequence) {
      lowering_
          .error(Kind::MaskNotBoolean, range,
                 fmt::format("a mask is a bool, found {}", lowering_.describe(value)), frame_)
          .with_hint("compare: which keys may the query see?");
      return;
    }
    const Sequence& sequence = *value.sequence;
    if (sequence.has_selector) {
      if (sequence.limit.valid()) mask_ = sequence.limit;
      program_.stages = sequence.stages;
      return;
    }
    // Without selectors nothing depends on the order.
    mask_ = sequence.stages.front().mask;
    for (size_t i = 1; i < sequence.stages.size(); ++i) {
      mask_ = builder.binary(Op::Or, mask_, sequence.stages[i].mask);
    }
    if (sequence.limit.valid()) mask_ = builder.binary(Op::And, sequence.limit, mask_);
  }

  void score(const Clause& clause) {
    Builder& builder = lowering_.builder();
    frame_.logit = TypedValue::scalar(score_);
    frame_.has_logit = true;
    const TypedValue value = lowering_.expression(*clause.value, frame_);
    frame_.has_logit = false;
    if (value.is_error()) return;
    if (!value.is_scalar() || builder.type(value.value) == Type::Bool) {
      lowering_
          .error(Kind::ScoreNotNumber, clause.value->range,
                 fmt::format("a score is a number, found {}", lowering_.describe(value)), frame_)
          .with_hint("what decides which keys take part belongs into mask");
      return;
    }
    score_ = builder.to_float(value.value);
  }

  void dropout(const Clause& clause) {
    const TypedValue value =
        lowering_.expression_as(Type::Float, *clause.value, frame_, "the dropout probability");
    if (value.is_error()) return;
    const ir::BindingTime time = program_.function.binding_time(value.value);
    if (time > ir::BindingTime::Runtime) {
      lowering_
          .error(Kind::NotConstant, clause.value->range,
                 "the dropout probability must be known at launch", frame_)
          .with_hint("use a number or a parameter; it cannot vary between elements");
      return;
    }
    if (const auto constant = lowering_.builder().constant_of(value.value)) {
      if (const std::string problem = dropout_range_error(constant->real); !problem.empty()) {
        lowering_.error(Kind::OutOfRange, clause.value->range, "the dropout probability " + problem,
                        frame_);
        return;
      }
    }
    program_.dropout = ir::Dropout{value.value, clause.renormalise};
  }

  const Callable& entry_;
  diag::DiagnosticEmitter& diagnostics_;
  ir::Program program_;
  Lowering lowering_;
  Frame frame_;
  ir::Value mask_;
  ir::Value score_;
};

}  // namespace

void check_callable(Callable& callable, diag::DiagnosticEmitter& diagnostics) {
  const Declaration& declaration = *callable.declaration;
  if (declaration.has_errors) return;
  const int errors = diagnostics.error_count();
  ir::Function scratch;
  Lowering lowering(scratch, diagnostics, Lowering::Mode::Check);
  Frame frame;
  frame.module = callable.module;
  frame.callee = callable.name();
  frame.has_logit = callable.is_score();
  frame.logit = TypedValue::scalar(lowering.builder().variable(ir::Var::Score));
  add_params(callable, scratch, frame);
  const TypedValue value = lowering.body(declaration, frame);
  if (!value.is_error()) {
    const source::SourceRange range = declaration.result->range;
    const bool is_bool = value.is_scalar() && lowering.builder().type(value.value) == Type::Bool;
    if (callable.is_score()) {
      if (value.is_scalar() && !is_bool) {
        callable.result = Callable::Result::Logit;
      } else {
        diagnostics
            .error(Kind::ScoreNotNumber, range,
                   fmt::format("a score is a number, found {}", lowering.describe(value)))
            .with_hint("what decides which keys take part belongs into a masker");
      }
    } else if (is_bool) {
      callable.result = Callable::Result::Mask;
    } else if (value.kind == TypedValue::Kind::Sequence) {
      callable.result = value.sequence->limit.valid() ? Callable::Result::LimitedSequence
                                                      : Callable::Result::Sequence;
    } else {
      diagnostics
          .error(Kind::MaskNotBoolean, range,
                 fmt::format("a masker is a bool, found {}", lowering.describe(value)))
          .with_hint("compare: which keys may the query see?");
    }
  }
  if (diagnostics.error_count() == errors) warn_unused(frame, diagnostics);
}

std::optional<ir::Program> lower_attention(const Callable& entry, Lowering::Mode mode,
                                           diag::DiagnosticEmitter& diagnostics) {
  if (entry.declaration->has_errors) return std::nullopt;
  const int errors = diagnostics.error_count();
  AttentionLowering lowering(entry, mode, diagnostics);
  std::optional<ir::Program> program = lowering.run();
  if (mode == Lowering::Mode::Check && diagnostics.error_count() == errors) {
    warn_unused(lowering.frame(), diagnostics);
  }
  return program;
}

}  // namespace maskjit::check
