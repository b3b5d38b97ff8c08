#include "masker_dsl/passes/rewrite.h"

#include "masker_dsl/ir/text.h"

namespace maskjit::passes {

ir::Function to_fixed_point(const ir::Function& function,
                            ir::Function (*sweep)(const ir::Function&)) {
  // A sweep moves a change up by one node at least, so that this many are enough for any nesting
  // that the language allows.
  constexpr int kMaxSweeps = 256;
  ir::Function current = sweep(function);
  std::string text = ir::print(current);
  for (int i = 0; i < kMaxSweeps; ++i) {
    ir::Function next = sweep(current);
    std::string next_text = ir::print(next);
    if (next_text == text) break;
    current = std::move(next);
    text = std::move(next_text);
  }
  return current;
}

}  // namespace maskjit::passes
