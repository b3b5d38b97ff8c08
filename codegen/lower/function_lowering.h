#pragma once
// Lowers one result of a MaskIR function into straight-line LLVM IR at the builder's position.
// Internal to lower/.
#include <llvm/IR/IRBuilder.h>

#include <map>
#include <optional>
#include <unordered_map>

#include "codegen/lower/lower.h"
#include "codegen/spec/kernel_spec.h"
#include "masker_dsl/analysis/value_range.h"

namespace maskjit::codegen {

class FunctionLowering {
 public:
  // `args` points to MjAttentionArgs (in an MjDeviceArgs, if the layout says so). Variables that
  // the caller has at hand are given by set_variable (i32, or float for Score); launch sizes are
  // read from `args`.
  FunctionLowering(const ir::Function& function, const ProblemSpec& problem, ArgumentLayout layout,
                   llvm::IRBuilder<>& builder, llvm::Value* args);

  void set_variable(ir::Var var, llvm::Value* value) { given_[var] = value; }
  // i1, i32 or i64, or float.
  llvm::Value* lower(ir::Value value);
  llvm::Value* as_i64(llvm::Value* value);
  // word_lowering.cpp: a Boolean of 64 consecutive keys at once. Bit i of the i64 is its value for
  // the key that is given plus i, in as far as that one is in the same aligned 64 keys.
  bool has_words(ir::Value value) const;
  llvm::Value* lower_word(ir::Value value);

 private:
  struct IntPair {
    llvm::Value* a;
    llvm::Value* b;
  };

  llvm::Value* lower_node(ir::Value id, const ir::Node& node);
  llvm::Value* variable(ir::Var var);
  llvm::Value* parameter(const ir::Node& node);
  llvm::Value* share(const ir::Node& node);
  llvm::Value* arithmetic(ir::Value id, const ir::Node& node);
  llvm::Value* float_arithmetic(const ir::Node& node);
  llvm::Value* floor_divide(llvm::Value* a, llvm::Value* b, ir::Value dividend, bool remainder);
  llvm::Value* compare(const ir::Node& node);
  llvm::Value* tensor_load(const ir::Node& node);
  llvm::Value* tensor_extreme(const ir::Node& node);
  llvm::Value* bit_load(const ir::Node& node);
  llvm::Value* bit_weight(const ir::Node& node);
  llvm::Value* bit_tile(const ir::Node& node);

  // By how much an integer grows from a key to the next: 1 or -1, 0 if it does not depend on the
  // key; nothing where that is not known.
  std::optional<int> key_step(ir::Value value) const;
  bool depends_on_key(ir::Value value) const;
  bool is_word_load(const ir::Node& node) const;
  llvm::Value* word_of_node(ir::Value id, const ir::Node& node);
  llvm::Value* word_of_compare(const ir::Node& node);
  llvm::Value* word_of_load(const ir::Node& node);
  llvm::Value* bits_below(llvm::Value* count);

  // Where an element of a tensor is: its offset, 0 where a subscript is out of range.
  struct Place {
    llvm::Value* inside;  // i1
    llvm::Value* rest;    // i64: of the leading dimensions, in elements
    llvm::Value* last;    // i64: of the last dimension, in elements
  };
  Place place_of(const ir::Node& node);
  llvm::Value* tensor_field(uint32_t tensor, size_t offset, llvm::Type* type);
  // The subscripts in memory, as the support functions take them.
  llvm::Value* subscripts_of(const ir::Node& node);
  llvm::Value* tensor_argument(const ir::Node& node);

  bool narrow(ir::Value value) const;  // fits i32
  llvm::Value* resize(llvm::Value* value, llvm::Type* type);
  llvm::Value* math_call(const char* name, llvm::Value* argument);
  llvm::Value* load_field(size_t offset, llvm::Type* type);
  llvm::Value* scalars();  // int64_t[]
  llvm::Value* tensors();  // MjTensor[]
  llvm::Value* load_invariant(llvm::Value* pointer, llvm::Type* type, unsigned alignment);
  bool in_range(ir::Value subscript, const ir::Dim& dim) const;

  const ir::Function& function_;
  const ProblemSpec& problem_;
  ArgumentLayout layout_;
  llvm::IRBuilder<>& builder_;
  llvm::Value* args_;
  std::vector<analysis::ValueRange> ranges_;
  std::unordered_map<ir::Var, llvm::Value*> given_;
  std::unordered_map<uint32_t, llvm::Value*> lowered_;
  std::unordered_map<uint32_t, llvm::Value*> words_;
  std::map<std::pair<uint32_t, std::vector<ir::Value>>, llvm::Value*> bit_tiles_;
};

}  // namespace maskjit::codegen
