#include "tools/maskjit/ideal.h"

#include <algorithm>
#include <set>

namespace maskjit::cli {
namespace {

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

// mma.sync of one tile of nvptx/attention_forward: m16n8k16, in f32 m16n8k8 three times.
uint64_t forward_operations(const codegen::KernelSpec& spec) {
  const bool single = spec.problem.element == MJ_F32;
  const int64_t inner = single ? 8 : 16;
  const int64_t keys = round_up(spec.problem.head_dim, inner) / inner * (spec.tile_k / 8);
  const int64_t values = round_up(spec.problem.head_dim_v, inner) / 8 * (spec.tile_k / inner);
  return static_cast<uint64_t>(spec.tile_q / 16 * (keys + values) * (single ? 3 : 1));
}

}  // namespace

Ideal ideal_of(MaskView& view, const codegen::KernelSpec& spec, const Lengths& lengths) {
  const std::string_view name = spec.template_name;
  const bool forward = name == "nvptx/attention_forward";
  const bool selects = name.find("/select_") != std::string_view::npos;
  const bool decode = name.ends_with("_decode");
  const int64_t group = lengths.heads / lengths.kv_heads;
  Ideal ideal;
  ideal.tile_q = decode ? lengths.q_len : spec.tile_q;
  ideal.tile_k = spec.tile_k;
  ideal.basis = selects  ? "every key that the sequence may choose among counts"
                : decode ? "keys and values count once for a group of query heads"
                         : "keys and values count once for each query tile";
  const int64_t k_tiles = (lengths.kv_len + ideal.tile_k - 1) / ideal.tile_k;
  int64_t keys = 0;  // of visited tiles
  for (int64_t batch = 0; batch < lengths.batch; ++batch) {
    std::set<std::pair<int64_t, int64_t>> of_group;  // key head and tile that are counted
    for (int64_t head = 0; head < lengths.heads; ++head) {
      view.select(batch, head);
      for (int64_t q = 0; q < lengths.q_len; q += ideal.tile_q) {
        const int64_t q1 = std::min(q + ideal.tile_q, lengths.q_len) - 1;
        ideal.tiles += static_cast<uint64_t>(k_tiles);
        for (int64_t tile = 0; tile < k_tiles; ++tile) {
          const int64_t k0 = tile * ideal.tile_k;
          const int64_t k1 = std::min(k0 + ideal.tile_k, lengths.kv_len) - 1;
          if (view.classify({q, q1, k0, k1}) == analysis::TileClass::Empty) continue;
          ++ideal.visited_tiles;
          if (decode && !of_group.emplace(head / group, tile).second) continue;
          keys += k1 - k0 + 1;
        }
      }
    }
  }
  const int64_t bytes = spec.problem.element == MJ_F32 ? 4 : 2;
  const int64_t rows = lengths.batch * lengths.heads * lengths.q_len;
  const int64_t d = spec.problem.head_dim, dv = spec.problem.head_dim_v;
  ideal.bytes_read = static_cast<uint64_t>((rows * d + keys * (d + dv)) * bytes);
  ideal.bytes_written = static_cast<uint64_t>(rows * dv * bytes);
  if (forward) ideal.matrix_operations = ideal.visited_tiles * forward_operations(spec);
  if (!forward && !decode && !selects) ideal.matrix_operations = 0;
  return ideal;
}

}  // namespace maskjit::cli
