#pragma once
// The machine: thread indices, barriers, shuffles, shared memory, asynchronous copies, matrix
// instructions of sm_80 and up. One PTX instruction a function.
#include <stdint.h>

#define MJ_INLINE static inline __attribute__((always_inline))
#define MJ_MEMBER inline __attribute__((always_inline))
#define MJ_SHARED __attribute__((address_space(3)))
#define MJ_KERNEL __attribute__((nvptx_kernel))
#define MJ_UNROLL _Pragma("clang loop unroll(full)")
#define MJ_ROLL _Pragma("clang loop unroll(disable)")

extern "C" {
// Dynamic shared memory; its size is an argument of the launch.
extern MJ_SHARED uint8_t mj_shared_memory[] __attribute__((aligned(16)));

// Instructions without a name in C++: codegen/lower/device_instructions defines them. Fragments as
// below.
void mj_mma_bf16(float* c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                 uint32_t b1);
void mj_mma_f16(float* c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                uint32_t b1);
void mj_mma_tf32(float* c, uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                 uint32_t b1);
void mj_ldmatrix(uint32_t* r, const MJ_SHARED void* row);
void mj_ldmatrix_transposed(uint32_t* r, const MJ_SHARED void* row);
}

namespace mj {

constexpr int kWarp = 32;

MJ_INLINE int thread_index() { return __nvvm_read_ptx_sreg_tid_x(); }
MJ_INLINE int block_index() { return __nvvm_read_ptx_sreg_ctaid_x(); }
MJ_INLINE void sync_threads() { __syncthreads(); }
MJ_INLINE void sync_warp() { asm volatile("bar.warp.sync 0xffffffff;" ::: "memory"); }

MJ_INLINE float shuffle_xor(float v, int lanes) {
  return __nvvm_shfl_sync_bfly_f32(0xFFFFFFFFu, v, lanes, 31);
}
// Of the lane that many lanes below; the lanes without one get their own value.
MJ_INLINE int shuffle_up(int v, int lanes) {
  return __nvvm_shfl_sync_up_i32(0xFFFFFFFFu, v, lanes, 0);
}
MJ_INLINE int shuffle_from(int v, int lane) {
  return __nvvm_shfl_sync_idx_i32(0xFFFFFFFFu, v, lane, 31);
}

MJ_INLINE int smaller(int a, int b) { return a < b ? a : b; }

// The same number, of which nobody knows that it is the same in every round of a loop: what depends
// on it is computed where it is used instead of in a register that lives through the loop.
MJ_INLINE int here(int v) {
  asm volatile("" : "+r"(v));
  return v;
}

// 2^x: relative error 2^-22.5, 0 for -inf.
MJ_INLINE float exp2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// log2 x: absolute error 2^-22 near 1, relative 2^-22 elsewhere.
MJ_INLINE float log2_approx(float x) {
  float y;
  asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// --- Shared memory by byte offset.

typedef uint32_t Words2 __attribute__((ext_vector_type(2)));
typedef uint32_t Words4 __attribute__((ext_vector_type(4)));
typedef float Floats2 __attribute__((ext_vector_type(2)));
typedef float Floats4 __attribute__((ext_vector_type(4)));

MJ_INLINE uint32_t shared_base() {
  return static_cast<uint32_t>(reinterpret_cast<uint64_t>(&mj_shared_memory[0]));
}
// `offset`, where it is a constant, costs no instruction.
MJ_INLINE MJ_SHARED uint8_t* shared_pointer(uint32_t address, int offset) {
  return reinterpret_cast<MJ_SHARED uint8_t*>(static_cast<uint64_t>(address)) + offset;
}
template <typename T>
MJ_INLINE T load_shared(uint32_t address, int offset = 0) {
  return *reinterpret_cast<const MJ_SHARED T*>(shared_pointer(address, offset));
}
template <typename T>
MJ_INLINE void store_shared(uint32_t address, int offset, T value) {
  *reinterpret_cast<MJ_SHARED T*>(shared_pointer(address, offset)) = value;
}
template <typename T>
MJ_INLINE void store_shared(uint32_t address, T value) {
  store_shared<T>(address, 0, value);
}

// Sixteen bytes from global to shared memory, zeros if not `present`; both aligned to 16.
MJ_INLINE void copy_async(uint32_t to, const void* from, bool present) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(present ? 16 : 0)
               : "memory");
}
MJ_INLINE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most `pending` (0 to 3, a constant) of this thread's latest groups are on their
// way.
MJ_INLINE void copy_wait(int pending) {
  if (pending == 0) asm volatile("cp.async.wait_group 0;" ::: "memory");
  if (pending == 1) asm volatile("cp.async.wait_group 1;" ::: "memory");
  if (pending == 2) asm volatile("cp.async.wait_group 2;" ::: "memory");
  if (pending == 3) asm volatile("cp.async.wait_group 3;" ::: "memory");
}
MJ_INLINE void copy_wait_all() { copy_wait(0); }

// --- Matrix fragments of m16n8k16 (16-bit) and m16n8k8 (tf32). Lane l holds row g = l / 4 and
// columns by t = l % 4; sums: [g][2t], [g][2t + 1], [g + 8][2t], [g + 8][2t + 1].

// Four 8 x 8 matrices of 16-bit elements; lane l gives the address of row l % 8 of matrix l / 8.
MJ_INLINE void load_matrices(uint32_t* r, uint32_t address, int offset) {
  mj_ldmatrix(r, shared_pointer(address, offset));
}
MJ_INLINE void load_matrices_transposed(uint32_t* r, uint32_t address, int offset) {
  mj_ldmatrix_transposed(r, shared_pointer(address, offset));
}

MJ_INLINE void multiply_bf16(float* c, const uint32_t* a, uint32_t b0, uint32_t b1) {
  mj_mma_bf16(c, a[0], a[1], a[2], a[3], b0, b1);
}
MJ_INLINE void multiply_f16(float* c, const uint32_t* a, uint32_t b0, uint32_t b1) {
  mj_mma_f16(c, a[0], a[1], a[2], a[3], b0, b1);
}
MJ_INLINE void multiply_tf32(float* c, const uint32_t* a, uint32_t b0, uint32_t b1) {
  mj_mma_tf32(c, a[0], a[1], a[2], a[3], b0, b1);
}

// Round to nearest; the first argument becomes the low half.
MJ_INLINE uint32_t pack_bf16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
MJ_INLINE uint32_t pack_f16(float low, float high) {
  uint32_t r;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
  return r;
}
MJ_INLINE float widen_f16(uint16_t h) {
  float r;
  asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(h));
  return r;
}
MJ_INLINE float widen_bf16(uint16_t h) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(h) << 16);
}
MJ_INLINE uint32_t round_tf32(float v) {
  uint32_t r;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(r) : "f"(v));
  return r;
}

}  // namespace mj
