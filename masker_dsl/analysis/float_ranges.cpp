#include "masker_dsl/analysis/abstract_tile.h"
namespace maskjit::analysis {
using ir::Value;
Ends AbstractTile::floor_of(const ir::Node& node) { return {}; }
Value AbstractTile::may_float_compare(const ir::Node& node, bool positive) {
  return builder_.boolean(true);
}
}  // namespace maskjit::analysis
