#include "masker_dsl/analysis/tile_analysis.h"

#include <algorithm>

#include "masker_dsl/analysis/workspace.h"

namespace maskjit::analysis {
namespace {

using ir::Value;

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

ir::Function tile_function(const ir::Function& function, Effort effort) {
  Workspace w(function, effort, "tile");
  const Box box{w.builder.variable(ir::Var::QueryLo), w.builder.variable(ir::Var::QueryHi),
                w.builder.variable(ir::Var::KeyLo), w.builder.variable(ir::Var::KeyHi)};
  AbstractTile tile(w.source, w.formulas, w.builder, box, effort);
  const Value may = tile.may(w.formulas.of(w.source.mask(), true));
  const Value may_not = tile.may(w.formulas.of(w.source.mask(), false));
  w.target.add_result("may", may);
  w.target.add_result("must", w.builder.negate(may_not));
  return ir::compact(w.target, false);
}

ir::Function range_function(const ir::Function& function, Effort effort, int& count,
                            bool& closed_form) {
  Workspace w(function, effort, "ranges");
  KeyRanges key_ranges(w.source, w.formulas, w.builder, effort);
  std::vector<KeyRange> found = key_ranges.of(w.formulas.of(w.source.mask(), true));
  const Value nothing = w.builder.integer(-1);
  if (found.empty()) found.push_back({w.builder.integer(0), nothing, w.builder.boolean(true)});
  count = static_cast<int>(found.size());
  closed_form = !key_ranges.is_everything(found[0]);
  for (size_t i = 0; i < found.size(); ++i) {
    w.target.add_result("lo" + std::to_string(i), found[i].lo);
    w.target.add_result("hi" + std::to_string(i),
                        w.builder.select(found[i].guard, found[i].hi, nothing));
  }
  return ir::compact(w.target, false);
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
  TileFunctions result = unknown(function);
  if (!is_analysable(function)) return result;
  for (Effort effort : kEfforts) {
    ir::Function tile = tile_function(function, effort);
    if (tile.size() > kMaxNodes) continue;
    result.tile = std::move(tile);
    break;
  }
  for (Effort effort : kEfforts) {
    int count = 0;
    bool closed_form = false;
    ir::Function ranges = range_function(function, effort, count, closed_form);
    if (ranges.size() > kMaxNodes) continue;
    result.ranges = std::move(ranges);
    result.range_count = count;
    result.closed_form = closed_form;
    break;
  }
  result.needs_summaries = uses_summaries(result.tile) || uses_summaries(result.ranges);
  return result;
}

}  // namespace maskjit::analysis
