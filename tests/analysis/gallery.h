#pragma once
// The masks that the tests of the analysis share.
#include <functional>
#include <string>
#include <vector>

#include "tests/analysis/mask_expr.h"

namespace maskjit::gallery {

using ir::Dim;
using ir::Element;
using mask_expr::Expr;
using mask_expr::Names;

struct Mask {
  std::string name;
  ir::Function function;
  // The class of every tile is exact: the mask is a Boolean combination of difference bounds, or
  // separable in a way that the rules cover.
  bool exact = false;
  // Tiles that are called Partial but are Empty, at most this share of all Empty tiles.
  double missed_empty = 0;
  // Tiles in the key ranges, at most this many times the active tiles.
  double ranges = 1;
};

inline const std::vector<Dim> kBatch = {{Dim::Kind::Batch, 0}};
inline const std::vector<Dim> kBatchKeys = {{Dim::Kind::Batch, 0}, {Dim::Kind::KvLen, 0}};
inline const std::vector<Dim> kKeys = {{Dim::Kind::KvLen, 0}};

inline Expr natten_1d(Expr x_q, Expr x_k, int64_t radius, int64_t size) {
  return abs(clamp(x_q, radius, size - 1 - radius) - x_k) <= radius;
}

// Bits 0, 2, 4, ... of a Morton code, gathered.
inline Expr even_bits(Expr code, int bits) {
  Expr result = code & 1;
  for (int i = 1; i < bits; ++i) result = result | ((code >> i) & (int64_t{1} << i));
  return result;
}

inline std::vector<Mask> masks() {
  std::vector<Mask> all;
  auto add = [&](const char* name, bool exact, double missed, auto make, double ranges = 1) {
    all.push_back({name, mask_expr::mask_of(make), exact, missed, ranges});
  };
  add("full", true, 0, [](Names n) { return n.k >= 0; });
  add("none", true, 0, [](Names n) { return n.k < 0; });
  add("causal", true, 0, [](Names n) { return n.k <= n.q; });
  add("local", true, 0, [](Names n) { return (n.k <= n.q) & (n.q - 9 < n.k); });
  add("window", true, 0, [](Names n) { return (n.k <= n.q + 5) & (n.q - 9 <= n.k); });
  add("runtime_window", true, 0,
      [](Names n) { return (n.k <= n.q) & (n.q - n.runtime("n") < n.k); });
  add("sink", true, 0, [](Names n) { return n.k < 4; });
  add("sink_window", true, 0,
      [](Names n) { return (n.k <= n.q) & ((n.k < 4) | (n.q - n.k < 13)); });
  add("strided", false, 0, [](Names n) { return (n.k <= n.q) & ((n.q - n.k) % 4 == 0); });
  add(
      "dilated", false, 0.03,
      [](Names n) { return (n.k <= n.q) & (n.q - n.k < 24) & ((n.q - n.k) % 3 == 0); }, 1.05);
  add("prefix", true, 0, [](Names n) { return (n.k <= n.q) | (n.k < 11); });
  add("prefix_tensor", true, 0, [](Names n) {
    return (n.k <= n.q) | (n.k < n.load("len", Element::I32, kBatch, {n.batch}));
  });
  add("padding", true, 0,
      [](Names n) { return n.k < n.load("len", Element::I32, kBatch, {n.batch}); });
  add("padded_causal", true, 0, [](Names n) {
    return (n.k <= n.q) & (n.k < n.load("len", Element::I32, kBatch, {n.batch}));
  });
  add("block_diagonal", true, 0, [](Names n) { return n.q / 8 == n.k / 8; });
  add("block_causal", true, 0, [](Names n) { return n.k / 6 <= n.q / 6; });
  add("block_start", true, 0, [](Names n) { return (n.q - n.q % 7 <= n.k) & (n.k <= n.q); });
  add("chunked", true, 0, [](Names n) { return (n.k <= n.q) & (n.q / 16 == n.k / 16); });
  add(
      "document", false, 0,
      [](Names n) {
        return n.load("doc", Element::I32, kBatchKeys, {n.batch, n.q}) ==
               n.load("doc", Element::I32, kBatchKeys, {n.batch, n.k});
      },
      2.4);
  add(
      "causal_document", false, 0,
      [](Names n) {
        return (n.k <= n.q) & (n.load("doc", Element::I64, kBatchKeys, {n.batch, n.q}) ==
                               n.load("doc", Element::I64, kBatchKeys, {n.batch, n.k}));
      },
      2.0);
  add("row_limits", true, 0,
      [](Names n) { return n.k < n.load("limit", Element::I32, kKeys, {n.q}); });
  add(
      "global", false, 0,
      [](Names n) {
        return (n.k <= n.q) & ((n.q - n.k < 10) | n.load("flag", Element::Bool, kKeys, {n.k}) |
                               n.load("flag", Element::Bool, kKeys, {n.q}));
      },
      1.3);
  add("affine", true, 0, [](Names n) { return 2 * n.k - n.q <= 3 * n.q - n.k; });
  add("affine_tall", true, 0, [](Names n) { return 5 * n.q - 3 * n.k <= 17; });
  add("absolute_window", true, 0, [](Names n) { return abs(n.q - n.k) <= 7; });
  add("not_equal", true, 0, [](Names n) { return (n.k <= n.q) & (n.q != n.k); });
  add("two_sided", true, 0, [](Names n) { return !((n.k < n.q + 3) & (n.k > n.q - 20)); });
  add("natten_1d", true, 0, [](Names n) { return natten_1d(n.q, n.k, 5, 64); });
  add(
      "natten_2d", false, 0.03,
      [](Names n) { return natten_1d(n.q / 8, n.k / 8, 1, 8) & natten_1d(n.q % 8, n.k % 8, 1, 8); },
      1.05);
  add(
      "natten_morton", false, 0.15,
      [](Names n) {
        return natten_1d(even_bits(n.q, 3), even_bits(n.k, 3), 1, 8) &
               natten_1d(even_bits(n.q >> 1, 3), even_bits(n.k >> 1, 3), 1, 8);
      },
      2.0);
  // Tiles of 4 x 4 of an image of 4 x 4 tiles; a window of 3 x 3 tiles.
  add(
      "sliding_tile", false, 0,
      [](Names n) {
        const Expr tile_q = n.q / 16, tile_k = n.k / 16;
        return natten_1d(tile_q / 4, tile_k / 4, 1, 4) & natten_1d(tile_q % 4, tile_k % 4, 1, 4);
      },
      1.4);
  // Half the positions noisy, half clean; blocks of 8.
  add(
      "block_diffusion", false, 0.02,
      [](Names n) {
        auto block = [&](Expr x) { return select(x >= 32, (x - 32) / 8, x / 8); };
        const Expr clean_q = n.q >= 32, clean_k = n.k >= 32;
        return ((block(n.q) == block(n.k)) & (clean_q == clean_k)) |
               ((block(n.q) > block(n.k)) & clean_k & !clean_q) |
               ((block(n.q) >= block(n.k)) & clean_k & clean_q);
      },
      1.05);
  add("head_dependent", true, 0,
      [](Names n) { return (n.k <= n.q) & ((n.q - n.k < 8 * (n.head + 1)) | (n.head == 2)); });
  add("runtime_blocks", true, 0,
      [](Names n) { return n.q / n.runtime("n") == n.k / n.runtime("n"); });
  add("runtime_scale", true, 0, [](Names n) { return n.k * n.runtime("n") <= n.q; }, 1.1);
  add(
      "float_window", false, 0.02,
      [](Names n) { return binary(ir::Op::Lt, to_float(abs(n.q - n.k)), n.real(7.5)); }, 4.0);
  // Explicit masks: exact, because the rectangle of a tile is looked at.
  const std::vector<Dim> mask = {
      {Dim::Kind::Batch, 0}, {Dim::Kind::QLen, 0}, {Dim::Kind::KvLen, 0}};
  const auto bit = [mask](Names n, Expr row, Expr column) {
    return n.load("m", Element::Bit, mask, {n.batch, row, column});
  };
  add("explicit", true, 0, [&](Names n) { return bit(n, n.q - n.q_offset, n.k); }, 3.2);
  add("explicit_not", true, 0, [&](Names n) { return !bit(n, n.q - n.q_offset, n.k); }, 1.2);
  add(
      "explicit_causal", false, 0.05,
      [&](Names n) { return (n.k <= n.q) & bit(n, n.q - n.q_offset, n.k); }, 2.9);
  add(
      "explicit_or_window", false, 0,
      [&](Names n) { return ((n.k <= n.q) & (n.q - n.k < 5)) | bit(n, n.q - n.q_offset, n.k); },
      2.2);
  add(
      "explicit_shifted", true, 0, [&](Names n) { return bit(n, n.q - n.q_offset + 3, n.k - 2); },
      2.2);
  add("query_index", true, 0, [](Names n) { return n.k <= n.q - n.q_offset + 3; });
  return all;
}

}  // namespace maskjit::gallery
