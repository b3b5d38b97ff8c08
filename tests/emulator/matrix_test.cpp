// ldmatrix, stmatrix, movmatrix and mma against plain matrices, written down by element as the ISA
// does: which lane and register holds which row and column.
#include <fmt/format.h>

#include <cmath>
#include <random>

#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

// One warp. The fragments of a and b come from global memory, register by register and lane by
// lane; so do c and d.
std::vector<uint32_t> multiply(const std::string& opcode, const std::vector<uint32_t>& a,
                               const std::vector<uint32_t>& b, const std::vector<uint32_t>& c) {
  const size_t na = a.size() / 32, nb = b.size() / 32, nc = c.size() / 32;
  std::string loads, names[3];
  size_t next = 10;
  const size_t counts[] = {na, nb, nc};
  size_t offset = 0;
  for (int m = 0; m < 3; ++m) {
    for (size_t i = 0; i < counts[m]; ++i) {
      loads += fmt::format("ld.global.b32 %r{}, [%rd2+{}];\n", next, (offset + i) * 128);
      names[m] += fmt::format("{}%r{}", i == 0 ? "" : ", ", next++);
    }
    offset += counts[m];
  }
  std::string results, stores;
  for (size_t i = 0; i < nc; ++i) {
    results += fmt::format("{}%r{}", i == 0 ? "" : ", ", next);
    stores += fmt::format("st.global.b32 [%rd3+{}], %r{};\n", i * 128, next++);
  }
  const Module module = parse_or_fail(
      module_text(fmt::format(R"(
    .visible .entry k(.param .u64 in, .param .u64 out)
    {{
      .reg .b32 %r<64>; .reg .b64 %rd<8>;
      ld.param.u64 %rd2, [in]; ld.param.u64 %rd3, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd4, %r1, 4;
      add.s64 %rd2, %rd2, %rd4; add.s64 %rd3, %rd3, %rd4;
      {}
      {} {{{}}}, {{{}}}, {{{}}}, {{{}}};
      {}
      ret;
    }})",
                              loads, opcode, results, names[0], names[1], names[2], stores),
                  "sm_90"));
  std::vector<uint32_t> inputs = a;
  inputs.insert(inputs.end(), b.begin(), b.end());
  inputs.insert(inputs.end(), c.begin(), c.end());
  Memory memory;
  const DeviceAddress in = upload(memory, inputs), out = memory.allocate(c.size() * 4);
  Parameters parameters;
  parameters.add(in).add(out);
  LaunchConfig config;
  config.block = {32, 1, 1};
  config.params = parameters.bytes();
  const Report report = launch(module, memory, "k", config);
  EXPECT_TRUE(report.ok()) << report.fault->render();
  EXPECT_EQ(report.counts.matrix_operations, 1u);
  return download<uint32_t>(memory, out, c.size());
}

enum class Elements { F16, BF16, TF32, S8, U8 };

int bits_of_element(Elements e) {
  return e == Elements::TF32 ? 32 : e == Elements::S8 || e == Elements::U8 ? 8 : 16;
}

double element_value(uint32_t bits, Elements e) {
  switch (e) {
    case Elements::F16:
      return f16_value(bits);
    case Elements::BF16:
      return bf16_value(bits);
    case Elements::TF32:
      return f32(bits & ~0x1FFFu);
    case Elements::S8:
      return static_cast<int8_t>(bits);
    case Elements::U8:
      return bits;
  }
  return 0;
}

uint32_t random_element(Elements e, std::mt19937& random) {
  switch (e) {
    case Elements::F16:
      return (random() & 0x83FF) | (12 + random() % 6) << 10;
    case Elements::BF16:
      return (random() & 0x807F) | (124 + random() % 6) << 7;
    case Elements::TF32:
      return (random() & 0x807FFFFF) | (124 + random() % 6) << 23;
    case Elements::S8:
    case Elements::U8:
      return random() & 0xFF;
  }
  return 0;
}

// The ISA's tables: groupID = lane >> 2, threadID_in_group = lane % 4, element i of a thread.
struct Place {
  uint32_t row, column;
};
Place place_a(Elements e, uint32_t lane, uint32_t i) {
  const uint32_t group = lane >> 2, thread = lane % 4;
  switch (bits_of_element(e)) {
    case 16:
      return {i % 4 < 2 ? group : group + 8, thread * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
    case 32:
      return {i % 2 == 0 ? group : group + 8, thread + (i >= 2 ? 4 : 0)};
    default:
      return {i % 8 < 4 ? group : group + 8, thread * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
  }
}
Place place_b(Elements e, uint32_t lane, uint32_t i) {
  const uint32_t group = lane >> 2, thread = lane % 4;
  switch (bits_of_element(e)) {
    case 16:
      return {thread * 2 + (i & 1) + (i >= 2 ? 8 : 0), group};
    case 32:
      return {thread + (i >= 1 ? 4 : 0), group};
    default:
      return {thread * 4 + (i & 3) + (i >= 4 ? 16 : 0), group};
  }
}
Place place_c(uint32_t lane, uint32_t i) {
  return {(lane >> 2) + (i >= 2 ? 8 : 0), (lane % 4) * 2 + (i & 1)};
}

struct Case {
  std::string opcode;
  Elements a, b;
  uint32_t k;
  bool half_sum = false, integer = false;
};

TEST(EmulatorMatrix, Products) {
  const std::vector<Case> cases = {
      {"m16n8k16.row.col.f32.bf16.bf16.f32", Elements::BF16, Elements::BF16, 16},
      {"m16n8k8.row.col.f32.bf16.bf16.f32", Elements::BF16, Elements::BF16, 8},
      {"m16n8k16.row.col.f32.f16.f16.f32", Elements::F16, Elements::F16, 16},
      {"m16n8k8.row.col.f32.f16.f16.f32", Elements::F16, Elements::F16, 8},
      {"m16n8k16.row.col.f16.f16.f16.f16", Elements::F16, Elements::F16, 16, true},
      {"m16n8k8.row.col.f16.f16.f16.f16", Elements::F16, Elements::F16, 8, true},
      {"m16n8k8.row.col.f32.tf32.tf32.f32", Elements::TF32, Elements::TF32, 8},
      {"m16n8k4.row.col.f32.tf32.tf32.f32", Elements::TF32, Elements::TF32, 4},
      {"m16n8k32.row.col.s32.s8.s8.s32", Elements::S8, Elements::S8, 32, false, true},
      {"m16n8k32.row.col.s32.u8.s8.s32", Elements::U8, Elements::S8, 32, false, true},
      {"m16n8k16.row.col.s32.s8.u8.s32", Elements::S8, Elements::U8, 16, false, true}};
  for (const Case& c : cases) {
    SCOPED_TRACE(c.opcode);
    std::mt19937 random(1);
    const uint32_t per_register = 32 / static_cast<uint32_t>(bits_of_element(c.a));
    const uint32_t registers_a = 16 * c.k / 32 / per_register,
                   registers_b = 8 * c.k / 32 / per_register;
    std::vector<uint32_t> matrix_a(16 * c.k), matrix_b(c.k * 8);
    for (auto& x : matrix_a) x = random_element(c.a, random);
    for (auto& x : matrix_b) x = random_element(c.b, random);
    std::vector<uint32_t> a(registers_a * 32), b(registers_b * 32), sums((c.half_sum ? 2 : 4) * 32);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      for (uint32_t i = 0; i < registers_a * per_register; ++i) {
        const Place at = place_a(c.a, lane, i);
        a[i / per_register * 32 + lane] |=
            matrix_a[at.row * c.k + at.column]
            << (i % per_register * static_cast<uint32_t>(bits_of_element(c.a)));
      }
      for (uint32_t i = 0; i < registers_b * per_register; ++i) {
        const Place at = place_b(c.b, lane, i);
        b[i / per_register * 32 + lane] |=
            matrix_b[at.row * 8 + at.column]
            << (i % per_register * static_cast<uint32_t>(bits_of_element(c.b)));
      }
    }
    std::vector<double> matrix_c(16 * 8);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      for (uint32_t i = 0; i < 4; ++i) {
        const Place at = place_c(lane, i);
        if (c.integer) {
          sums[i * 32 + lane] = random();
          matrix_c[at.row * 8 + at.column] = static_cast<int32_t>(sums[i * 32 + lane]);
        } else if (c.half_sum) {
          const uint32_t h = random_element(Elements::F16, random);
          sums[i / 2 * 32 + lane] |= h << (16 * (i % 2));
          matrix_c[at.row * 8 + at.column] = f16_value(h);
        } else {
          const float x = static_cast<float>(random() % 1000) / 64 - 8;
          sums[i * 32 + lane] = static_cast<uint32_t>(bits(x));
          matrix_c[at.row * 8 + at.column] = x;
        }
      }
    }
    const auto result = multiply("mma.sync.aligned." + c.opcode, a, b, sums);
    for (uint32_t lane = 0; lane < 32; ++lane) {
      for (uint32_t i = 0; i < 4; ++i) {
        const Place at = place_c(lane, i);
        double want = matrix_c[at.row * 8 + at.column], size = std::fabs(want);
        for (uint32_t k = 0; k < c.k; ++k) {
          const double product = element_value(matrix_a[at.row * c.k + k], c.a) *
                                 element_value(matrix_b[k * 8 + at.column], c.b);
          want += product;
          size += std::fabs(product);
        }
        if (c.integer) {
          ASSERT_EQ(result[i * 32 + lane], static_cast<uint32_t>(static_cast<int64_t>(want)));
        } else if (c.half_sum) {
          const double got = f16_value(result[i / 2 * 32 + lane] >> (16 * (i % 2)) & 0xFFFF);
          ASSERT_NEAR(got, want, size * 0x1p-20 + std::fabs(want) * 0x1p-11);
        } else {
          ASSERT_NEAR(f32(result[i * 32 + lane]), want, size * c.k * 0x1p-24);
        }
      }
    }
  }
}

// Rows of a tile in shared memory, in a swizzled order, and the fragments of its matrices.
TEST(EmulatorMatrix, LoadAndStore) {
  for (const int count : {1, 2, 4}) {
    for (const bool transposed : {false, true}) {
      std::string registers, stores;
      for (int i = 0; i < count; ++i) {
        registers += fmt::format("{}%r{}", i == 0 ? "" : ", ", 10 + i);
        stores += fmt::format("st.global.b32 [%rd3+{}], %r{};\n", 128 * i, 10 + i);
      }
      const Module module = parse_or_fail(
          module_text(fmt::format(R"(
        .shared .align 16 .b8 tile[1024];
        .visible .entry k(.param .u64 out)
        {{
          .reg .b16 %h<4>; .reg .b32 %r<32>; .reg .b64 %rd<16>; .reg .pred %p<2>;
          ld.param.u64 %rd1, [out]; mov.u32 %r1, %tid.x; mul.wide.u32 %rd2, %r1, 4; add.s64 %rd3, %rd1, %rd2;
          // Row r at 16 * (r ^ 5), elements 8 r + c.
          xor.b32 %r2, %r1, 5; mul.wide.u32 %rd4, %r2, 16; mov.u64 %rd5, tile; add.s64 %rd4, %rd4, %rd5;
          mul.lo.u32 %r3, %r1, 8; mov.u32 %r4, 0; mov.u64 %rd6, %rd4;
        FILL:
          add.u32 %r5, %r3, %r4; cvt.u16.u32 %h1, %r5; st.shared.b16 [%rd6], %h1;
          add.s64 %rd6, %rd6, 2; add.u32 %r4, %r4, 1; setp.lt.u32 %p1, %r4, 8; @%p1 bra FILL;
          bar.warp.sync -1;
          ldmatrix.sync.aligned.m8n8.x{}{}.shared.b16 {{{}}}, [%rd4];
          {}
          // Back to another place, and out of there by rows.
          cvta.shared.u64 %rd7, %rd4;
          stmatrix.sync.aligned.m8n8.x{}{}.b16 [%rd7+512], {{{}}};
          bar.warp.sync -1;
          setp.ge.u32 %p1, %r1, {}; @%p1 bra DONE;
          ld.shared.v4.b32 {{%r20, %r21, %r22, %r23}}, [%rd4+512];
          mul.wide.u32 %rd8, %r1, 16; add.s64 %rd8, %rd8, %rd1;
          st.global.v4.b32 [%rd8+512], {{%r20, %r21, %r22, %r23}};
        DONE:
          ret;
        }})",
                                  count, transposed ? ".trans" : "", registers, stores, count,
                                  transposed ? ".trans" : "", registers, 8 * count),
                      "sm_90"));
      Memory memory;
      const DeviceAddress out = memory.allocate(1024);
      Parameters parameters;
      parameters.add(out);
      LaunchConfig config;
      config.block = {32, 1, 1};
      config.params = parameters.bytes();
      const Report report = launch(module, memory, "k", config);
      ASSERT_TRUE(report.ok()) << report.fault->render();
      const auto words = download<uint32_t>(memory, out, 256);
      for (uint32_t m = 0; m < static_cast<uint32_t>(count); ++m) {
        for (uint32_t lane = 0; lane < 32; ++lane) {
          const uint32_t row = lane / 4, column = lane % 4 * 2;
          const auto element = [&](uint32_t r, uint32_t c) { return 64 * m + 8 * r + c; };
          const uint32_t low = transposed ? element(column, row) : element(row, column);
          const uint32_t high = transposed ? element(column + 1, row) : element(row, column + 1);
          ASSERT_EQ(words[32 * m + lane], low | high << 16)
              << count << transposed << " matrix " << m << " lane " << lane;
        }
      }
      for (uint32_t row = 0; row < 8u * static_cast<uint32_t>(count); ++row) {
        for (uint32_t pair = 0; pair < 4; ++pair)
          ASSERT_EQ(words[128 + 4 * row + pair], (8 * row + 2 * pair) | (8 * row + 2 * pair + 1)
                                                                            << 16);
      }
      // Eight rows of 16 bytes in a permuted order: every bank once.
      EXPECT_EQ(report.counts.matrix_loads.wavefronts, static_cast<uint64_t>(count));
      EXPECT_EQ(report.counts.matrix_loads.conflicts, 0u);
      EXPECT_EQ(report.counts.matrix_stores.conflicts, 0u);
    }
  }
}

TEST(EmulatorMatrix, Transpose) {
  std::vector<uint64_t> fragment(32);
  for (uint64_t lane = 0; lane < 32; ++lane)
    fragment[lane] = (8 * (lane / 4) + 2 * (lane % 4)) | (8 * (lane / 4) + 2 * (lane % 4) + 1)
                                                             << 16;
  // evaluate() runs one warp's worth of threads in a block of 256: eight copies.
  std::vector<uint64_t> inputs;
  for (int i = 0; i < 8; ++i) inputs.insert(inputs.end(), fragment.begin(), fragment.end());
  const auto outputs =
      evaluate({"movmatrix.sync.aligned.m8n8.trans.b16 %d, %a;", "b32", {"b32"}}, {inputs});
  for (uint64_t lane = 0; lane < 32; ++lane) {
    const uint64_t row = lane / 4, column = 2 * (lane % 4);
    EXPECT_EQ(outputs[lane], (8 * column + row) | (8 * (column + 1) + row) << 16);
  }
}

}  // namespace
}  // namespace maskjit::emulator
