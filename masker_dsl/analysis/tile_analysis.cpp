#include "masker_dsl/analysis/tile_analysis.h"

#include <algorithm>

#include "masker_dsl/analysis/abstract_tile.h"
#include "masker_dsl/analysis/key_ranges.h"

namespace maskjit::analysis {
namespace {

using ir::Value;

// The rules recurse over the mask; a deeper one (no person wrote it) is not analysed.
constexpr int kMaxDepth = 2000;

int depth_of(const ir::Function& function) {
  std::vector<int> depth(function.size(), 0);
  int deepest = 0;
  for (uint32_t id = 0; id < function.size(); ++id) {
    for (Value operand : function[Value{id}].operands) {
      depth[id] = std::max(depth[id], depth[operand.id] + 1);
    }
    deepest = std::max(deepest, depth[id]);
  }
  return deepest;
}

ir::Function empty_like(const ir::Function& function, std::string name) {
  ir::Function result(std::move(name));
  for (const ir::Param& param : function.params()) result.add_param(param);
  for (const ir::Tensor& tensor : function.tensors()) result.add_tensor(tensor);
  return result;
}

bool uses_summaries(const ir::Function& function) {
  for (uint32_t id = 0; id < function.size(); ++id) {
    const ir::Op op = function[Value{id}].op;
    if (op == ir::Op::TensorMin || op == ir::Op::TensorMax) return true;
  }
  return false;
}

// What is always right: every tile Partial, every key worth visiting.
TileFunctions unknown(const ir::Function& function) {
  TileFunctions result;
  result.tile = empty_like(function, "tile");
  result.tile.add_result("may", result.tile.constant_bool(true));
  result.tile.add_result("must", result.tile.constant_bool(false));
  result.ranges = empty_like(function, "ranges");
  ir::Function& ranges = result.ranges;
  ranges.add_result("lo0", ranges.constant_int(0));
  ranges.add_result(
      "hi0", ranges.binary(ir::Op::Add, ranges.variable(ir::Var::KvLen), ranges.constant_int(-1)));
  result.range_count = 1;
  return result;
}

}  // namespace

std::string_view name_of(TileClass tile_class) {
  switch (tile_class) {
    case TileClass::Empty:
      return "empty";
    case TileClass::Partial:
      return "partial";
    case TileClass::Full:
      return "full";
  }
  return "";
}

TileFunctions analyse_tiles(const ir::Function& function) {
  if (depth_of(function) > kMaxDepth) return unknown(function);
  Source source(function);
  Formulas formulas(source);
  const Formulas::Ref mask = formulas.of(source.mask(), true);
  const Formulas::Ref negation = formulas.of(source.mask(), false);
  TileFunctions result;

  ir::Function tile = empty_like(function, "tile");
  FoldingBuilder tile_builder(tile);
  AbstractTile abstract(
      source, formulas, tile_builder,
      {tile_builder.variable(ir::Var::QueryLo), tile_builder.variable(ir::Var::QueryHi),
       tile_builder.variable(ir::Var::KeyLo), tile_builder.variable(ir::Var::KeyHi)});
  const Value may = abstract.may(mask);
  const Value may_not = abstract.may(negation);
  tile.add_result("may", may);
  tile.add_result("must", tile_builder.negate(may_not));
  result.tile = ir::compact(tile, false);

  ir::Function ranges = empty_like(function, "ranges");
  FoldingBuilder range_builder(ranges);
  KeyRanges key_ranges(source, formulas, range_builder);
  std::vector<KeyRange> found = key_ranges.of(mask);
  const Value nothing = range_builder.integer(-1);
  if (found.empty()) {
    found.push_back({range_builder.integer(0), nothing, range_builder.boolean(true)});
  }
  result.range_count = static_cast<int>(found.size());
  result.closed_form = !key_ranges.is_everything(found[0]);
  for (size_t i = 0; i < found.size(); ++i) {
    ranges.add_result("lo" + std::to_string(i), found[i].lo);
    ranges.add_result("hi" + std::to_string(i),
                      range_builder.select(found[i].guard, found[i].hi, nothing));
  }
  result.ranges = ir::compact(ranges, false);
  result.needs_summaries = uses_summaries(result.tile) || uses_summaries(result.ranges);
  return result;
}

}  // namespace maskjit::analysis
