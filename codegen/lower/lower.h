#pragma once
// MaskIR -> LLVM IR: fills the bodies of the hooks that a template declares
// (kernels_templates/include/hooks.h).
//
// Floats become f32. Integers become i32 wherever the static value range proves that operands and
// result fit, else i64; a comparison of a 32-bit value with a 64-bit one saturates the wide side
// instead of widening the narrow one, so that vectors of key positions stay 32 bits a lane. Reads
// of the argument struct and of tensors are marked invariant, so that what depends on the query
// alone leaves the loop over keys.
#include "codegen/spec/kernel_spec.h"
#include "masker_dsl/analysis/tile_analysis.h"

namespace llvm {
class Module;
}

namespace maskjit::codegen {

// Where the hooks find run-time parameters and tensor descriptors: behind the pointers of
// MjAttentionArgs, or in the MjDeviceArgs that it is the first member of.
enum class ArgumentLayout { Host, Device };

// Can the mask of 64 consecutive keys be computed at once, as a word (mj_keep_word)? Where it is
// made of intervals of keys, rows of explicit masks and what does not depend on the key.
bool has_keep_words(const ir::Program& program, const ProblemSpec& problem);

// The hooks that `module` declares get bodies and internal linkage; hooks that it does not use are
// skipped.
void lower_hooks(const ir::Program& program, const analysis::TileFunctions& tiles,
                 const ProblemSpec& problem, ArgumentLayout layout, llvm::Module& module);

}  // namespace maskjit::codegen
