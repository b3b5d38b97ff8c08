#pragma once
// MaskIR: a function is a pure, typed, hash-consed expression DAG with named results.
//
// Invariants: operands precede their users; two nodes with the same op, payload and operands are
// one node (operands of commutative ops are ordered by id, so a + b is b + a); every node is well
// typed (verify()). There is no control flow: Select instead of branches, no loops.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "masker_dsl/ir/op.h"
#include "masker_dsl/ir/types.h"

namespace maskjit::ir {

struct Value {
  uint32_t id = UINT32_MAX;
  bool valid() const { return id != UINT32_MAX; }
  bool operator==(const Value&) const = default;
  auto operator<=>(const Value&) const = default;
};

struct Node {
  Op op = Op::Const;
  Type type = Type::Int;
  Scalar constant;     // Const; Share keeps its double in constant.real
  uint32_t index = 0;  // Variable: the Var; Parameter: its index; Tensor*: the tensor's index
  std::vector<Value> operands;

  Var var() const { return static_cast<Var>(index); }
};

struct Result {
  std::string name;
  Value value;
};

class Function {
 public:
  explicit Function(std::string name = "main") : name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  void set_name(std::string name) { name_ = std::move(name); }

  // Parameters and tensors are looked up by name; adding an equal one again returns its index.
  uint32_t add_param(Param param);
  uint32_t add_tensor(Tensor tensor);
  const std::vector<Param>& params() const { return params_; }
  const std::vector<Tensor>& tensors() const { return tensors_; }
  // For names and defaults: nodes keep the type and binding time that they were built with.
  std::vector<Param>& mutable_params() { return params_; }
  std::vector<Tensor>& mutable_tensors() { return tensors_; }

  // Builders. The result type follows from the operands; a wrong combination is an internal error
  // (check and parser verify before they build).
  Value constant(Scalar value);
  Value constant_bool(bool v) { return constant(Scalar::of_bool(v)); }
  Value constant_int(int64_t v) { return constant(Scalar::of_int(v)); }
  Value constant_float(double v) { return constant(Scalar::of_float(v)); }
  Value variable(Var var);
  Value parameter(uint32_t index);
  Value share(double share, Value of);
  Value unary(Op op, Value a);
  Value binary(Op op, Value a, Value b);
  Value select(Value condition, Value a, Value b);
  Value tensor_op(Op op, uint32_t tensor, std::span<const Value> operands);
  // Any op, with the payload of `like` (rebuilding a node with new operands).
  Value rebuild(const Node& like, std::span<const Value> operands);

  // The node that `value` names. A reference is valid until the next builder call.
  const Node& node(Value value) const { return nodes_[value.id]; }
  const Node& operator[](Value value) const { return nodes_[value.id]; }
  Type type(Value value) const { return nodes_[value.id].type; }
  size_t size() const { return nodes_.size(); }

  // Pairs of nodes that compute the same and should be one (first, second): none unless appended
  // unchecked.
  std::vector<std::pair<Value, Value>> duplicates() const;
  // Appends a node as it is, without checks or sharing: how tests make what verify() must reject.
  Value append_unchecked(Node node);

  void add_result(std::string name, Value value) { results_.push_back({std::move(name), value}); }
  const std::vector<Result>& results() const { return results_; }
  std::vector<Result>& mutable_results() { return results_; }
  // The result called `name`, or an invalid value.
  Value result(std::string_view name) const;

  // The latest binding time of anything `value` depends on.
  BindingTime binding_time(Value value) const;
  // A bit per Var (1 << var): the variables that `value` depends on.
  uint32_t variables_of(Value value) const;

 private:
  Value intern(Node node);

  std::string name_;
  std::vector<Param> params_;
  std::vector<Tensor> tensors_;
  std::vector<Node> nodes_;
  std::vector<uint32_t> variable_masks_;
  std::vector<BindingTime> binding_times_;
  std::unordered_multimap<uint64_t, uint32_t> interned_;
  std::vector<Result> results_;
};

// How many operands `op` takes on a tensor of this rank (for other ops the table says it).
int operand_count(Op op, size_t tensor_rank);

constexpr uint32_t bit(Var var) { return uint32_t{1} << static_cast<int>(var); }

// The type of `op` on operands of these types, or nullopt if that is not well typed. Leaves and
// tensor ops, whose type follows from the payload, give nullopt.
std::optional<Type> result_type(Op op, std::span<const Type> operands);

// The type of a tensor op on this tensor, or nullopt if the operands are not one Int a subscript.
std::optional<Type> tensor_op_type(Op op, const Tensor& tensor, std::span<const Type> operands);

// Copies the nodes reachable from the results in a canonical order: depth first over the results,
// operands of commutative ops by a hash of what they compute. It does not depend on the order in
// which nodes were built. Drops unused parameters and tensors when asked.
Function compact(const Function& function, bool drop_unused_params);

// The nodes that `value` needs, itself included, operands before users and in ascending order.
std::vector<Value> reachable(const Function& function, std::span<const Value> values);

// True if the two functions print the same after compact().
bool equivalent(const Function& a, const Function& b);

}  // namespace maskjit::ir
