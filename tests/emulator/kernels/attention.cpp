// Causal attention of head size 64 in bf16 for sm_80, the source of attention.ptx:
//   clang-22 --target=nvptx64-nvidia-cuda -march=sm_80 -O2 -S -std=c++20 -ffreestanding
//   attention.cpp
// A CTA of 4 warps does 64 queries; tiles of 64 keys and values are copied asynchronously into two
// stages of swizzled shared memory.
using u16 = unsigned short;
using u32 = unsigned;
using u64 = unsigned long long;

struct Args {
  const u16 *q, *k, *v;  // [head][length][64]
  float* out;            // [head][length][64]
  u32 length;            // a multiple of 64
  float scale_log2;      // scale * log2(e)
};

#define INLINE static inline __attribute__((always_inline))
#define SHARED __attribute__((address_space(3)))

constexpr u32 kTile = 64 * 128;  // bytes of 64 rows of 64 bf16
SHARED __attribute__((aligned(128))) unsigned char memory[5 * kTile];

INLINE u32 offset_of(SHARED void* p) { return (u32)(u64)p; }

// 16-byte chunk c of row r.
INLINE u32 swizzle(u32 r, u32 c) { return r * 128 + ((c ^ (r & 7)) << 4); }

INLINE void copy_tile(u32 to, const u16* from, u32 thread) {
#pragma clang loop unroll(full)
  for (u32 i = 0; i < 4; ++i) {
    const u32 chunk = thread + 128 * i, row = chunk >> 3, column = chunk & 7;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + swizzle(row, column)),
                 "l"(__builtin_bit_cast(u64, from + row * 64 + column * 8))
                 : "memory");
  }
}
INLINE void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N>
INLINE void wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}
INLINE void barrier() { __syncthreads(); }

INLINE void load4(u32 (&x)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(at)
               : "memory");
}
INLINE void load4_transposed(u32 (&x)[4], u32 at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(x[0]), "=r"(x[1]), "=r"(x[2]), "=r"(x[3])
               : "r"(at)
               : "memory");
}
INLINE void multiply(float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
INLINE float exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
INLINE u32 pack(float low, float high) {
  u32 y;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
  return y;
}
INLINE float of_neighbours(float x, bool maximum) {
#pragma clang loop unroll(full)
  for (int by = 1; by <= 2; by *= 2) {
    const float y = __nvvm_shfl_sync_bfly_f32(0xFFFFFFFFu, x, by, 31);
    x = maximum ? __builtin_fmaxf(x, y) : x + y;
  }
  return x;
}

extern "C" [[clang::nvptx_kernel]] void attention(Args args) {
  const u32 thread = __nvvm_read_ptx_sreg_tid_x(), lane = thread & 31, warp = thread >> 5;
  const u32 tile = __nvvm_read_ptx_sreg_nctaid_x() - 1 - __nvvm_read_ptx_sreg_ctaid_x();
  const u64 head = (u64)__nvvm_read_ptx_sreg_ctaid_y() * args.length * 64;
  const u32 q_at = offset_of(memory), kv_at = q_at + kTile;
  const u32 tiles = tile + 1;
  const auto stage_k = [&](u32 i) { return kv_at + (i & 1) * 2 * kTile; };

  copy_tile(q_at, args.q + head + tile * 64 * 64, thread);
  copy_tile(stage_k(0), args.k + head, thread);
  copy_tile(stage_k(0) + kTile, args.v + head, thread);
  commit();

  float o[8][4] = {}, sum[2] = {}, top[2] = {-1e30f, -1e30f};
  u32 q[4][4];
  for (u32 i = 0; i < tiles; ++i) {
    if (i + 1 < tiles) {
      const u64 next = head + (u64)(i + 1) * 64 * 64;
      copy_tile(stage_k(i + 1), args.k + next, thread);
      copy_tile(stage_k(i + 1) + kTile, args.v + next, thread);
    }
    commit();
    wait<1>();
    barrier();
    if (i == 0) {
#pragma clang loop unroll(full)
      for (u32 kk = 0; kk < 4; ++kk)
        load4(q[kk], q_at + swizzle(warp * 16 + (lane & 15), 2 * kk + (lane >> 4)));
    }
    float s[8][4] = {};
    const u32 k_at = stage_k(i), v_at = k_at + kTile;
#pragma clang loop unroll(full)
    for (u32 kk = 0; kk < 4; ++kk) {
#pragma clang loop unroll(full)
      for (u32 n = 0; n < 4; ++n) {
        u32 b[4];
        load4(b, k_at + swizzle(n * 16 + (lane & 7) + (lane >> 4) * 8, 2 * kk + ((lane >> 3) & 1)));
        multiply(s[2 * n], q[kk], b[0], b[1]);
        multiply(s[2 * n + 1], q[kk], b[2], b[3]);
      }
    }
    const u32 row = tile * 64 + warp * 16 + (lane >> 2);
    if (i + 1 == tiles) {
#pragma clang loop unroll(full)
      for (u32 n = 0; n < 8; ++n) {
#pragma clang loop unroll(full)
        for (u32 e = 0; e < 4; ++e) {
          const u32 key = i * 64 + n * 8 + (lane & 3) * 2 + (e & 1);
          if (key > row + (e >> 1) * 8) s[n][e] = -1e30f;
        }
      }
    }
    u32 p[4][4];
#pragma clang loop unroll(full)
    for (u32 h = 0; h < 2; ++h) {
      float most = top[h];
#pragma clang loop unroll(full)
      for (u32 n = 0; n < 8; ++n)
        most = __builtin_fmaxf(most, __builtin_fmaxf(s[n][2 * h], s[n][2 * h + 1]));
      most = of_neighbours(most, true);
      const float factor = exp2((top[h] - most) * args.scale_log2);
      top[h] = most;
      float total = 0;
#pragma clang loop unroll(full)
      for (u32 n = 0; n < 8; ++n) {
        const float x = exp2((s[n][2 * h] - most) * args.scale_log2);
        const float y = exp2((s[n][2 * h + 1] - most) * args.scale_log2);
        total += x + y;
        p[n / 2][h + 2 * (n & 1)] = pack(x, y);
        o[n][2 * h] *= factor;
        o[n][2 * h + 1] *= factor;
      }
      sum[h] = sum[h] * factor + total;
    }
#pragma clang loop unroll(full)
    for (u32 kk = 0; kk < 4; ++kk) {
#pragma clang loop unroll(full)
      for (u32 n = 0; n < 4; ++n) {
        u32 b[4];
        load4_transposed(b, v_at + swizzle(kk * 16 + (lane & 15), 2 * n + (lane >> 4)));
        multiply(o[2 * n], p[kk], b[0], b[1]);
        multiply(o[2 * n + 1], p[kk], b[2], b[3]);
      }
    }
    barrier();
  }
#pragma clang loop unroll(full)
  for (u32 h = 0; h < 2; ++h) {
    const float inverse = 1.0f / of_neighbours(sum[h], false);
    float* to =
        args.out + head + (tile * 64 + warp * 16 + (lane >> 2) + 8 * h) * 64 + (lane & 3) * 2;
#pragma clang loop unroll(full)
    for (u32 n = 0; n < 8; ++n) {
      typedef float Pair __attribute__((ext_vector_type(2)));
      *(Pair*)(to + n * 8) = Pair{o[n][2 * h] * inverse, o[n][2 * h + 1] * inverse};
    }
  }
}
