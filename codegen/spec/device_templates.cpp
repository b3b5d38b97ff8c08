#include "codegen/spec/device_templates.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "kernels_templates/include/device_abi.h"
#include "kernels_templates/include/device_layout.h"

namespace maskjit::codegen {
namespace {

constexpr const char* kDecodeName = "nvptx/attention_decode";
constexpr const char* kSelectDecodeName = "nvptx/select_decode";
constexpr const char* kSelectForwardName = "nvptx/select_forward";
constexpr int kMaxBlockedHeadDim = 256;

bool is_single(const ProblemSpec& problem) { return problem.element == MJ_F32; }

// Rows, keys and warps of a block of the forward kernel by element size and head dimension. A warp
// takes 32 rows while its sums fit its registers (32 x 128 f32 are half of them), which halves the
// reads of keys and values from shared memory; else 16. Everything fits the 99 KiB of sm_86, 89 and
// 120.
struct TileShape {
  bool single;
  int head_dim;  // up to this one
  int tile_q, tile_k, warps;
};
constexpr TileShape kTileShapes[] = {
    {false, 128, 128, 64, 4}, {false, 256, 64, 64, 4}, {true, 64, 64, 64, 4},
    {true, 128, 64, 32, 4},   {true, 256, 32, 16, 2},
};

const TileShape& tile_shape(const ProblemSpec& problem) {
  const int widest = std::max(problem.head_dim, problem.head_dim_v);
  for (const TileShape& shape : kTileShapes) {
    if (shape.single == is_single(problem) && widest <= shape.head_dim) return shape;
  }
  return kTileShapes[0];
}

int forward_shared_memory(const TileShape& shape, const ProblemSpec& problem) {
  return mj::forward_shared_bytes(shape.tile_q, shape.tile_k, problem.head_dim, problem.head_dim_v,
                                  is_single(problem));
}

int decode_shared_memory(const ProblemSpec& problem) {
  return mj::decode_shared_bytes(problem.head_dim, problem.head_dim_v, is_single(problem));
}

Support fits_launch(const ir::Program& program) {
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

Support fits_sequence(const ir::Program& program, const ProblemSpec& problem,
                      const Target& target) {
  if (program.stages.size() > mj_max_stages) {
    return Support::no(fmt::format("the sequence has {} stages; {} are possible",
                                   program.stages.size(), int{mj_max_stages}));
  }
  const int bytes = mj::select_shared_bytes(problem.head_dim, true, mj_max_prepared);
  if (bytes > target.shared_memory_limit()) {
    return Support::no(fmt::format(
        "head dimension {}: selecting takes {} bytes of shared memory, a block of {} has {}",
        problem.head_dim, bytes, target.print(), target.shared_memory_limit()));
  }
  return fits_launch(program);
}

// What the blocked kernels have in common; `shared_memory` is what a block needs, in bytes.
Support supports_blocked(const ir::Program& program, const ProblemSpec& problem,
                         const Target& target, int (*shared_memory)(const ProblemSpec&)) {
  if (problem.dense_results) {
    return Support::no(
        "dense weights and the maximum over all keys need a second pass over the keys");
  }
  if (problem.head_dim > kMaxBlockedHeadDim || problem.head_dim_v > kMaxBlockedHeadDim) {
    return Support::no(fmt::format("head dimensions {} and {}: blocked kernels go up to {}",
                                   problem.head_dim, problem.head_dim_v, kMaxBlockedHeadDim));
  }
  const int bytes = shared_memory(problem);
  if (bytes > target.shared_memory_limit()) {
    return Support::no(fmt::format("{} bytes of shared memory: a block of {} has {}", bytes,
                                   target.print(), target.shared_memory_limit()));
  }
  return fits_launch(program);
}

Support decode_supports(const ir::Program& program, const ProblemSpec& problem,
                        const Target& target) {
  if (!problem.short_queries) {
    return Support::no(
        "more than 16 query rows share a key head: the forward kernel reuses keys better");
  }
  return supports_blocked(program, problem, target, decode_shared_memory);
}

KernelSpec decode_specialise(const ProblemSpec& problem, const Target&) {
  KernelSpec spec;
  spec.problem = problem;
  spec.warps = mj::decode_warps(problem.head_dim, problem.head_dim_v, is_single(problem));
  spec.tile_q = mj::kDecodeRows;
  spec.tile_k = mj::kDecodeKeys * spec.warps;
  spec.shared_memory = decode_shared_memory(problem);
  return spec;
}

Support forward_supports(const ir::Program& program, const ProblemSpec& problem,
                         const Target& target) {
  return supports_blocked(program, problem, target, [](const ProblemSpec& p) {
    return forward_shared_memory(tile_shape(p), p);
  });
}

KernelSpec forward_specialise(const ProblemSpec& problem, const Target&) {
  const TileShape& shape = tile_shape(problem);
  KernelSpec spec;
  spec.problem = problem;
  spec.tile_q = shape.tile_q;
  spec.tile_k = shape.tile_k;
  spec.warps = shape.warps;
  spec.shared_memory = forward_shared_memory(shape, problem);
  return spec;
}

Support reference_supports(const ir::Program& program, const ProblemSpec&, const Target&) {
  return fits_launch(program);
}

KernelSpec reference_specialise(const ProblemSpec& problem, const Target&) {
  KernelSpec spec;
  spec.problem = problem;
  spec.tile_q = 1;
  spec.tile_k = 64;
  spec.warps = 1;
  return spec;
}

// A sequence runs as the attention that its selection feeds, where it fits itself.
template <auto kAttentionSupports>
Support sequence_supports(const ir::Program& program, const ProblemSpec& problem,
                          const Target& target) {
  const Support sequence = fits_sequence(program, problem, target);
  return sequence.yes ? kAttentionSupports(program, problem, target) : sequence;
}

// As blocks_of() of nvptx/attention_decode.
int64_t decode_blocks(const LaunchShape& shape) {
  const int64_t group = shape.num_heads / shape.num_kv_heads;
  const int64_t queries = std::min<int64_t>(shape.q_len, mj::kDecodeRows);
  const int64_t heads = std::min(mj::kDecodeRows / queries, group);
  return shape.batch_size * shape.num_kv_heads * ((shape.q_len + queries - 1) / queries) *
         ((group + heads - 1) / heads);
}

// Parts of at least kLeastTiles key tiles each, in whole waves of the device's blocks: of all
// counts the smallest that keeps the multiprocessors nearly as busy as the best one does.
int64_t decode_splits(const KernelSpec& spec, const LaunchShape& shape, int64_t blocks,
                      int multiprocessors) {
  constexpr int64_t kLeastTiles = 4;
  constexpr double kNearly = 0.9;
  // Blocks of a multiprocessor with 100 KiB of shared memory, of which each takes 1 KiB more.
  const int64_t resident = std::max<int64_t>(1, (100 << 10) / (spec.shared_memory + 1024));
  const int64_t wave = std::max<int64_t>(1, multiprocessors) * resident;
  const int64_t tiles = (shape.kv_len + spec.tile_k - 1) / spec.tile_k;
  const int64_t most =
      std::clamp<int64_t>(tiles / kLeastTiles, 1, static_cast<int64_t>(mj_max_device_splits));
  const auto busy = [&](int64_t splits) {
    const int64_t waves = (blocks * splits + wave - 1) / wave;
    return static_cast<double>(blocks * splits) / static_cast<double>(waves * wave);
  };
  double best = 0;
  for (int64_t splits = 1; splits <= most; ++splits) best = std::max(best, busy(splits));
  int64_t splits = 1;
  while (busy(splits) < kNearly * best) ++splits;
  return splits;
}

// Of how many keys a sequence is taken to select one, where the keys are split before it has run:
// any number is right.
constexpr int64_t kExpectedSelection = 8;

// The workspace of a sequence, behind what is there already, and its first kernel.
void plan_selection(const KernelSpec& spec, const LaunchShape& shape, int multiprocessors,
                    DeviceLaunch& launch) {
  constexpr int64_t kBlocksPerMultiprocessor = 4;  // 2048 threads
  launch.selects = true;
  launch.workspace_bytes = (launch.workspace_bytes + 255) / 256 * 256;
  MjSelectPlan& plan = launch.plan;
  const int64_t rows = shape.batch_size * shape.num_heads * shape.q_len;
  const int64_t blocks =
      std::min(rows, std::max<int64_t>(1, multiprocessors) * kBlocksPerMultiprocessor);
  plan.words = static_cast<int32_t>(mj::set_words(shape.kv_len));
  plan.query_count = static_cast<int32_t>(shape.q_len);
  // Sums of a power of two more keys than there are fit 63 bits.
  plan.mass_shift =
      std::min(40, 62 - static_cast<int>(std::bit_width(static_cast<uint64_t>(shape.kv_len))));
  const int64_t prepared = (shape.prepared_bytes + 63) / 64 * 64;
  plan.prepared_shared = prepared <= mj_max_prepared ? static_cast<int32_t>(prepared) : 0;
  plan.temporary_bytes = int64_t{mj_temporary_sets} * plan.words * 4;
  if (plan.prepared_shared == 0) plan.temporary_bytes += prepared;
  plan.temporary_bytes = (plan.temporary_bytes + 63) / 64 * 64;
  const auto take = [&](auto*& place, int64_t bytes) {
    place = reinterpret_cast<std::remove_reference_t<decltype(place)>>(launch.workspace_bytes);
    launch.workspace_bytes += (bytes + 255) / 256 * 256;
  };
  take(plan.sets, rows * spec.key_sets * plan.words * 4);
  take(plan.numbers, rows * mj_max_stages * 8);
  take(plan.temporary, blocks * plan.temporary_bytes);
  if (spec.template_name == kSelectForwardName) {
    const int64_t query_blocks = (shape.q_len + spec.tile_q - 1) / spec.tile_q;
    const int64_t tiles = (shape.kv_len + spec.tile_k - 1) / spec.tile_k;
    plan.tile_words = static_cast<int32_t>((tiles + 31) / 32);
    take(plan.tiles, shape.batch_size * shape.num_heads * query_blocks * plan.tile_words * 4);
  }
  if (spec.template_name == kSelectDecodeName) {
    take(plan.lists, rows * plan.words * 32 * 4);
    take(plan.counts, rows * 4);
  }
  launch.steps[static_cast<size_t>(launch.step_count++)] = {
      "mj_select", blocks, mj_select_threads,
      mj::select_shared_bytes(spec.problem.head_dim, spec.ranks_by_mass, plan.prepared_shared)};
}

}  // namespace

const std::vector<KernelTemplate>& device_templates() {
  static const std::vector<KernelTemplate> templates = {
      {kDecodeName, "a few query rows against many keys, split over the keys", decode_supports,
       decode_specialise},
      {"nvptx/attention_forward", "blocked attention by matrix instructions", forward_supports,
       forward_specialise},
      {"nvptx/attention_reference", "one warp a query row", reference_supports,
       reference_specialise},
      {kSelectDecodeName,
       "a few query rows and the keys that a sequence of maskers selects, gathered",
       sequence_supports<decode_supports>, decode_specialise, /*selects=*/true},
      {kSelectForwardName,
       "blocked attention over the tiles with keys that a sequence of maskers selects",
       sequence_supports<forward_supports>, forward_specialise, /*selects=*/true},
      {"nvptx/select_reference",
       "the keys that a sequence of maskers selects, one warp a query row",
       sequence_supports<reference_supports>, reference_specialise, /*selects=*/true},
  };
  return templates;
}

DeviceLaunch device_launch(const KernelSpec& spec, const LaunchShape& shape, int multiprocessors) {
  DeviceLaunch launch;
  const int64_t rows = shape.batch_size * shape.num_heads * shape.q_len;
  if (rows == 0) return launch;
  const int threads = spec.warps * 32;
  const auto add = [&](const char* entry, int64_t blocks, int threads_of, int shared_memory) {
    launch.steps[static_cast<size_t>(launch.step_count++)] = {entry, blocks, threads_of,
                                                              shared_memory};
  };
  const bool lists = spec.template_name == kSelectDecodeName;
  const bool splits = lists || spec.template_name == kDecodeName;
  int64_t blocks = rows;
  if (splits) {
    LaunchShape visited = shape;
    if (lists) {
      visited.kv_len = shape.kv_len / kExpectedSelection;
    } else {
      blocks = decode_blocks(shape);
    }
    launch.splits = static_cast<int32_t>(decode_splits(spec, visited, blocks, multiprocessors));
    blocks *= launch.splits;
  } else {
    blocks = (shape.q_len + spec.tile_q - 1) / spec.tile_q * shape.batch_size * shape.num_heads;
  }
  // The parts of the splits come first: MjDeviceArgs::workspace is where the workspace begins.
  if (launch.splits > 1) {
    launch.workspace_bytes =
        launch.splits * rows * mj::decode_record_floats(spec.problem.head_dim_v) * 4;
  }
  if (spec.key_sets > 0) plan_selection(spec, shape, multiprocessors, launch);
  if (spec.template_name == kSelectForwardName) {
    const int64_t words = blocks * launch.plan.tile_words;  // of tile bits, each by a warp
    constexpr int64_t kWords = mj_tiles_threads / 32;
    add("mj_tiles", (words + kWords - 1) / kWords, mj_tiles_threads, 0);
  }
  add("mj_attention", blocks, threads, spec.shared_memory);
  if (launch.splits > 1) add("mj_merge", rows, mj_merge_threads, launch.splits * 4);
  return launch;
}

int64_t queries_a_round(const KernelSpec& spec, const LaunchShape& shape, int64_t set_bytes) {
  if (spec.template_name != kSelectForwardName) return shape.q_len;
  const int64_t of_query =
      shape.batch_size * shape.num_heads * spec.key_sets * mj::set_words(shape.kv_len) * 4;
  const int64_t tiles =
      std::max<int64_t>(1, set_bytes / std::max<int64_t>(1, of_query) / spec.tile_q);
  return std::min(shape.q_len, tiles * spec.tile_q);
}

std::string describe(const DeviceLaunch& launch) {
  std::string text;
  for (int i = 0; i < launch.step_count; ++i) {
    const DeviceStep& step = launch.steps[static_cast<size_t>(i)];
    text += fmt::format("{:<13} {} blocks of {} threads, {} bytes of shared memory\n", step.entry,
                        step.blocks, step.threads, step.shared_memory);
  }
  if (launch.workspace_bytes > 0)
    text += fmt::format("{:<13} {} bytes\n", "workspace", launch.workspace_bytes);
  return text;
}

size_t place(const DeviceLaunch& launch, uint64_t workspace, int64_t first_query,
             MjSelectArgs& args) {
  args.device.splits = launch.splits;
  args.device.workspace = reinterpret_cast<void*>(launch.workspace_bytes > 0 ? workspace : 0);
  if (!launch.selects) return sizeof(MjDeviceArgs);
  args.plan = launch.plan;
  args.plan.first_query = static_cast<int32_t>(first_query);
  const auto add = [&](auto*& address) {
    address = reinterpret_cast<std::remove_reference_t<decltype(address)>>(
        workspace + reinterpret_cast<uint64_t>(address));
  };
  add(args.plan.sets);
  add(args.plan.numbers);
  add(args.plan.temporary);
  add(args.plan.tiles);
  add(args.plan.lists);
  add(args.plan.counts);
  return sizeof(MjSelectArgs);
}

}  // namespace maskjit::codegen
