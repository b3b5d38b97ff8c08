// Masks of 64 keys at once: intervals of keys are shifted ones, rows of explicit masks are read as
// they lie, what does not depend on the key is all ones or none.
#include <cstddef>

#include "codegen/lower/function_lowering.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::codegen {

using ir::Op;
using ir::Type;
using ir::Var;

bool FunctionLowering::depends_on_key(ir::Value value) const {
  return (function_.variables_of(value) & ir::bit(Var::Key)) != 0;
}

std::optional<int> FunctionLowering::key_step(ir::Value value) const {
  if (!depends_on_key(value)) return 0;
  const ir::Node& node = function_[value];
  if (node.op == Op::Variable) return 1;
  if (ranges_[value.id].may_wrap) return std::nullopt;
  if (node.op == Op::Neg) {
    const auto a = key_step(node.operands[0]);
    return a ? std::optional<int>(-*a) : std::nullopt;
  }
  if (node.op != Op::Add && node.op != Op::Sub) return std::nullopt;
  const auto a = key_step(node.operands[0]);
  const auto b = key_step(node.operands[1]);
  // Of both, one alone may depend on the key: then no sum of steps leaves -1 to 1.
  if (!a || !b || (depends_on_key(node.operands[0]) && depends_on_key(node.operands[1])))
    return std::nullopt;
  return node.op == Op::Add ? *a + *b : *a - *b;
}

// A bit of an explicit mask whose last subscript is the key, and no other one depends on it.
bool FunctionLowering::is_word_load(const ir::Node& node) const {
  if (node.op != Op::TensorLoad) return false;
  const ir::Tensor& tensor = function_.tensors()[node.index];
  const TensorLayout& layout = problem_.tensors.at(node.index);
  const size_t last = node.operands.size() - 1;
  if (tensor.element != ir::Element::Bit || !layout.unit_stride || (layout.broadcast >> last & 1))
    return false;
  const ir::Node& subscript = function_[node.operands[last]];
  if (subscript.op != Op::Variable || subscript.var() != Var::Key) return false;
  for (size_t d = 0; d < last; ++d) {
    if (depends_on_key(node.operands[d])) return false;
  }
  return in_range(node.operands[last], tensor.dims[last]);
}

bool FunctionLowering::has_words(ir::Value value) const {
  if (!depends_on_key(value)) return true;
  const ir::Node& node = function_[value];
  const auto of_operand = [&](size_t i) { return has_words(node.operands[i]); };
  switch (node.op) {
    case Op::And:
    case Op::Or:
    case Op::Xor:
      return of_operand(0) && of_operand(1);
    case Op::Not:
      return of_operand(0);
    case Op::Select:
      return of_operand(0) && of_operand(1) && of_operand(2);
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le: {
      const Type type = function_.type(node.operands[0]);
      if (type == Type::Bool) return of_operand(0) && of_operand(1);
      if (type != Type::Int) return false;
      const auto a = key_step(node.operands[0]);
      const auto b = key_step(node.operands[1]);
      return a && b && (*a == 0 || *b == 0);
    }
    case Op::TensorLoad:
      return is_word_load(node);
    default:
      return false;
  }
}

llvm::Value* FunctionLowering::lower_word(ir::Value value) {
  const auto found = words_.find(value.id);
  if (found != words_.end()) return found->second;
  llvm::Value* word = depends_on_key(value)
                          ? word_of_node(value, function_[value])
                          : builder_.CreateSExt(lower(value), builder_.getInt64Ty());
  words_[value.id] = word;
  return word;
}

llvm::Value* FunctionLowering::word_of_node(ir::Value id, const ir::Node& node) {
  const auto operand = [&](size_t i) { return lower_word(node.operands[i]); };
  switch (node.op) {
    case Op::And:
      return builder_.CreateAnd(operand(0), operand(1));
    case Op::Or:
      return builder_.CreateOr(operand(0), operand(1));
    case Op::Xor:
      return builder_.CreateXor(operand(0), operand(1));
    case Op::Not:
      return builder_.CreateNot(operand(0));
    case Op::Select: {
      llvm::Value* condition = operand(0);
      return builder_.CreateOr(builder_.CreateAnd(condition, operand(1)),
                               builder_.CreateAnd(builder_.CreateNot(condition), operand(2)));
    }
    case Op::Eq:
    case Op::Ne:
    case Op::Lt:
    case Op::Le:
      return word_of_compare(node);
    case Op::TensorLoad:
      return word_of_load(node);
    default:
      break;
  }
  MASKJIT_CHECK(false, "node " + std::to_string(id.id) + " has no word");
  return nullptr;
}

// Ones below bit `count`, an i64 of any value.
llvm::Value* FunctionLowering::bits_below(llvm::Value* count) {
  llvm::Value* low =
      builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, count, builder_.getInt64(0));
  llvm::Value* amount =
      builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, low, builder_.getInt64(63));
  llvm::Value* below =
      builder_.CreateSub(builder_.CreateShl(builder_.getInt64(1), amount), builder_.getInt64(1));
  return builder_.CreateSelect(builder_.CreateICmpSGE(count, builder_.getInt64(64)),
                               builder_.getInt64(~uint64_t{0}), below);
}

// With L and R the sides at the first key, and the left one growing by 1: L + i <= R where
// i < R - L + 1. A side that falls is compared negated, a right side that moves from the other end.
llvm::Value* FunctionLowering::word_of_compare(const ir::Node& node) {
  if (function_.type(node.operands[0]) == Type::Bool) {
    llvm::Value* differ =
        builder_.CreateXor(lower_word(node.operands[0]), lower_word(node.operands[1]));
    if (node.op == Op::Ne) return differ;
    if (node.op == Op::Eq) return builder_.CreateNot(differ);
    llvm::Value* not_left = builder_.CreateNot(lower_word(node.operands[0]));
    return node.op == Op::Lt ? builder_.CreateAnd(not_left, lower_word(node.operands[1]))
                             : builder_.CreateOr(not_left, lower_word(node.operands[1]));
  }
  const int step = *key_step(node.operands[0]) - *key_step(node.operands[1]);
  llvm::Value* a = as_i64(lower(node.operands[0]));
  llvm::Value* b = as_i64(lower(node.operands[1]));
  // By how many keys from the first one the sides meet; saturated where sides may be that far
  // apart.
  constexpr analysis::Interval kNear{-(int64_t{1} << 61), int64_t{1} << 61};
  const bool near = ranges_[node.operands[0].id].interval.within(kNear) &&
                    ranges_[node.operands[1].id].interval.within(kNear);
  llvm::Value* from = step > 0 ? a : b;
  llvm::Value* to = step > 0 ? b : a;
  llvm::Value* one = builder_.getInt64(1);
  llvm::Value* distance = near
                              ? builder_.CreateSub(to, from)
                              : builder_.CreateBinaryIntrinsic(llvm::Intrinsic::ssub_sat, to, from);
  llvm::Value* next =
      near ? builder_.CreateAdd(distance, one)
           : builder_.CreateBinaryIntrinsic(llvm::Intrinsic::sadd_sat, distance, one);
  switch (node.op) {
    case Op::Lt:  // i < distance; or distance < i
      return step > 0 ? bits_below(distance) : builder_.CreateNot(bits_below(next));
    case Op::Le:
      return step > 0 ? bits_below(next) : builder_.CreateNot(bits_below(distance));
    default: {
      llvm::Value* equal = builder_.CreateXor(bits_below(next), bits_below(distance));
      return node.op == Op::Eq ? equal : builder_.CreateNot(equal);
    }
  }
}

// Rows start at whole words.
llvm::Value* FunctionLowering::word_of_load(const ir::Node& node) {
  for (ir::Value subscript : node.operands) lower(subscript);
  const Place place = place_of(node);
  llvm::Type* i64 = builder_.getInt64Ty();
  llvm::Value* index =
      builder_.CreateAdd(builder_.CreateLShr(place.rest, 6), builder_.CreateLShr(place.last, 6));
  llvm::Value* data = tensor_field(node.index, offsetof(MjTensor, data), builder_.getPtrTy());
  llvm::Value* word = load_invariant(builder_.CreateGEP(i64, data, index), i64, 8);
  word = builder_.CreateLShr(word, builder_.CreateAnd(place.last, 63));
  if (place.inside == builder_.getTrue()) return word;
  return builder_.CreateSelect(place.inside, word, builder_.getInt64(0));
}

}  // namespace maskjit::codegen
