#include "codegen/spec/device_templates.h"

#include <fmt/format.h>

#include "kernels_templates/include/device_abi.h"

namespace maskjit::codegen {
namespace {

constexpr int kMaxBlockedHeadDim = 256;

// Rows, keys and warps of a block by element size and head dimension. A warp takes 32 rows while
// its sums fit its registers (32 x 128 f32 are half of them), which halves the reads of keys and
// values from shared memory; else 16. Everything fits the 99 KiB of sm_86, 89 and 120.
struct TileShape {
  bool single;
  int head_dim;  // up to this one
  int tile_q, tile_k, warps;
};
constexpr TileShape kTileShapes[] = {
    {false, 128, 128, 64, 4}, {false, 256, 64, 64, 4}, {true, 64, 64, 64, 4},
    {true, 128, 64, 32, 4},   {true, 256, 32, 16, 2},
};

int pitch_of(int columns, bool single) {
  const int multiple = single ? 8 : 16;
  return (columns + multiple - 1) / multiple * multiple * (single ? 4 : 2) + 16;
}

// As layout() of nvptx/attention_forward.
int shared_memory_of(const TileShape& shape, const ProblemSpec& problem) {
  const int key = pitch_of(problem.head_dim, shape.single);
  const int value = pitch_of(problem.head_dim_v, shape.single);
  return shape.tile_q * std::max(key, value) + shape.tile_k * (key + value);
}

const TileShape& tile_shape(const ProblemSpec& problem) {
  const bool single = problem.element == MJ_F32;
  const int widest = std::max(problem.head_dim, problem.head_dim_v);
  for (const TileShape& shape : kTileShapes) {
    if (shape.single == single && widest <= shape.head_dim) return shape;
  }
  return kTileShapes[0];
}

Support fits_launch(const ir::Program& program, const ProblemSpec& problem) {
  if (problem.dropout != MJ_NO_DROPOUT) return Support::no("dropout is for hosts only");
  for (const ir::Tensor& tensor : program.function.tensors()) {
    if (tensor.element != ir::Element::Bit) continue;
    return Support::no(
        fmt::format("'{}' is an explicit mask: they are for hosts only", tensor.name));
  }
  size_t scalars = 0;
  for (const ir::Param& param : program.function.params()) {
    if (param.time == ir::BindingTime::Runtime) ++scalars;
  }
  const size_t tensors = program.function.tensors().size();
  if (scalars > mj_max_device_scalars || tensors > mj_max_device_tensors) {
    return Support::no(fmt::format(
        "{} run-time parameters and {} tensors: the parameters of a launch hold {} and {}", scalars,
        tensors, static_cast<int>(mj_max_device_scalars), static_cast<int>(mj_max_device_tensors)));
  }
  return {};
}

Support forward_supports(const ir::Program& program, const ProblemSpec& problem,
                         const Target& target) {
  if (problem.dense_results) {
    return Support::no(
        "dense weights and the maximum over all keys need a second pass over the keys");
  }
  if (problem.head_dim > kMaxBlockedHeadDim || problem.head_dim_v > kMaxBlockedHeadDim) {
    return Support::no(fmt::format("head dimensions {} and {}: blocked kernels go up to {}",
                                   problem.head_dim, problem.head_dim_v, kMaxBlockedHeadDim));
  }
  const int bytes = shared_memory_of(tile_shape(problem), problem);
  if (bytes > target.shared_memory_limit()) {
    return Support::no(fmt::format("{} bytes of shared memory: a block of {} has {}", bytes,
                                   target.print(), target.shared_memory_limit()));
  }
  return fits_launch(program, problem);
}

KernelSpec forward_specialise(const ProblemSpec& problem, const Target&) {
  const TileShape& shape = tile_shape(problem);
  KernelSpec spec;
  spec.template_name = "nvptx/attention_forward";
  spec.problem = problem;
  spec.tile_q = shape.tile_q;
  spec.tile_k = shape.tile_k;
  spec.warps = shape.warps;
  spec.shared_memory = shared_memory_of(shape, problem);
  return spec;
}

Support reference_supports(const ir::Program& program, const ProblemSpec& problem, const Target&) {
  if (problem.dense_results) {
    return Support::no("dense weights and the maximum over all keys are for hosts only");
  }
  return fits_launch(program, problem);
}

KernelSpec reference_specialise(const ProblemSpec& problem, const Target&) {
  KernelSpec spec;
  spec.template_name = "nvptx/attention_reference";
  spec.problem = problem;
  spec.tile_q = 1;
  spec.tile_k = 64;
  spec.warps = 1;
  return spec;
}

}  // namespace

const std::vector<KernelTemplate>& device_templates() {
  static const std::vector<KernelTemplate> templates = {
      {"nvptx/attention_forward", "blocked attention by matrix instructions", forward_supports,
       forward_specialise},
      {"nvptx/attention_reference", "one warp a query row", reference_supports,
       reference_specialise},
  };
  return templates;
}

int64_t device_grid(const KernelSpec& spec, int64_t batch_size, int64_t num_heads, int64_t q_len) {
  return (q_len + spec.tile_q - 1) / spec.tile_q * batch_size * num_heads;
}

}  // namespace maskjit::codegen
