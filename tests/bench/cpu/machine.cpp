// What this machine can do at most: rates of its matrix and vector units and of its memory. Each
// function works on the calling thread alone, for about `seconds`, and gives a rate a second; 0
// where the machine has no such unit. For ctypes (machine.py).
#include <chrono>
#include <cstdint>
#include <cstring>
#include <iterator>

#if defined(__x86_64__)
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

// Keeps the compiler from knowing a vector. No function: it needs the caller's target.
#define OPAQUE(vector) asm volatile("" : "+v"(vector))
#endif

#define MACHINE_API extern "C" __attribute__((visibility("default")))

namespace {

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Calls `work`, which does `units`, until the time is over.
template <typename Work>
double rate_of(double seconds, double units, const Work& work) {
  work();  // warms up
  const double started = seconds_now();
  double done = 0, now = started;
  do {
    work();
    done += units;
    now = seconds_now();
  } while (now - started < seconds);
  return done / (now - started);
}

constexpr int kRepeat = 4096;

alignas(64) uint64_t in_cache[2048];

void load_words() {
  uint64_t sums[8] = {};
  for (int i = 0; i < 64; ++i) {
    const uint64_t* from = in_cache;
    asm volatile("" : "+r"(from));
    for (size_t j = 0; j < std::size(in_cache); j += 8)
      for (size_t k = 0; k < 8; ++k) sums[k] += from[j + k];
  }
  for (uint64_t& sum : sums) asm volatile("" : "+r"(sum));
}

}  // namespace

#if defined(__x86_64__)

namespace {

// 24 independent accumulators hide the latency of the units.
__attribute__((target("avx512f"))) void fma_512() {
  __m512 sum[24], a = _mm512_set1_ps(1.0f), b = _mm512_set1_ps(1e-9f);
  for (__m512& s : sum) s = _mm512_setzero_ps();
  for (int i = 0; i < kRepeat; ++i) {
#pragma GCC unroll 24
    for (__m512& s : sum) s = _mm512_fmadd_ps(a, b, s);
    OPAQUE(a);
  }
  for (__m512& s : sum) OPAQUE(s);
}

__attribute__((target("avx512f"))) void load_512() {
  __m512i sums[8];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  for (int i = 0; i < 64; ++i) {
    const uint64_t* from = in_cache;
    asm volatile("" : "+r"(from));
    for (size_t j = 0; j < std::size(in_cache); j += 64) {
#pragma GCC unroll 8
      for (size_t k = 0; k < 8; ++k)
        sums[k] = _mm512_add_epi64(sums[k], _mm512_load_si512(from + j + 8 * k));
    }
  }
  for (__m512i& sum : sums) OPAQUE(sum);
}

__attribute__((target("avx2,fma"))) void fma_256() {
  __m256 sum[12], a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(1e-9f);
  for (__m256& s : sum) s = _mm256_setzero_ps();
  for (int i = 0; i < kRepeat; ++i) {
#pragma GCC unroll 12
    for (__m256& s : sum) s = _mm256_fmadd_ps(a, b, s);
    OPAQUE(a);
  }
  for (__m256& s : sum) OPAQUE(s);
}

__attribute__((target("avx512f,avx512bf16"))) void dot_bf16() {
  __m512 sum[24];
  __m512bh a = (__m512bh)_mm512_setzero_si512(), b = a;
  for (__m512& s : sum) s = _mm512_setzero_ps();
  for (int i = 0; i < kRepeat; ++i) {
#pragma GCC unroll 24
    for (__m512& s : sum) s = _mm512_dpbf16_ps(s, a, b);
    OPAQUE(a);
  }
  for (__m512& s : sum) OPAQUE(s);
}

struct alignas(64) TileConfig {
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
};

// A block of two by two tiles of 16 x 16 sums. The operands are loaded once: products of tiles that
// only were zeroed keep their rate where those of others do not.
__attribute__((target("amx-tile,amx-bf16"))) void tiles_bf16() {
  TileConfig config;
  for (int i = 0; i < 8; ++i) config.bytes[i] = 64, config.rows[i] = 16;
  _tile_loadconfig(&config);
  _tile_zero(0), _tile_zero(1), _tile_zero(2), _tile_zero(3);
  alignas(64) uint16_t ones[512];
  for (uint16_t& one : ones) one = 0x3f80;
  _tile_loadd(4, ones, 64), _tile_loadd(5, ones, 64);
  _tile_loadd(6, ones, 64), _tile_loadd(7, ones, 64);
  for (int i = 0; i < kRepeat; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}

// The kernel grants the tiles' registers on request.
bool has_tiles() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;
  return __builtin_cpu_supports("amx-bf16") &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

MACHINE_API double machine_fma_f32(double seconds) {
  if (__builtin_cpu_supports("avx512f")) return rate_of(seconds, 24.0 * 16 * 2 * kRepeat, fma_512);
  if (__builtin_cpu_supports("fma")) return rate_of(seconds, 12.0 * 8 * 2 * kRepeat, fma_256);
  return 0;
}

// "AMX", "AVX512-BF16" or "".
MACHINE_API const char* machine_bf16_unit() {
  if (has_tiles()) return "AMX";
  return __builtin_cpu_supports("avx512bf16") ? "AVX512-BF16" : "";
}

MACHINE_API double machine_matrix_bf16(double seconds) {
  if (has_tiles()) return rate_of(seconds, 4.0 * 16 * 16 * 32 * 2 * kRepeat, tiles_bf16);
  if (__builtin_cpu_supports("avx512bf16")) {
    return rate_of(seconds, 24.0 * 16 * 2 * 2 * kRepeat, dot_bf16);
  }
  return 0;
}

#else

MACHINE_API double machine_fma_f32(double) { return 0; }
MACHINE_API const char* machine_bf16_unit() { return ""; }
MACHINE_API double machine_matrix_bf16(double) { return 0; }

#endif

// Bytes read of a buffer that the first-level cache holds. Falls, by a fifth or more, while the
// core shares that cache with somebody else; a rate of registers alone may not.
MACHINE_API double machine_load(double seconds) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return rate_of(seconds, 64.0 * sizeof in_cache, load_512);
#endif
  return rate_of(seconds, 64.0 * sizeof in_cache, load_words);
}

// Bytes read and written.
MACHINE_API double machine_copy(double seconds, void* to, const void* from, int64_t bytes) {
  return rate_of(seconds, 2.0 * static_cast<double>(bytes),
                 [&] { std::memcpy(to, from, static_cast<size_t>(bytes)); });
}

// Bytes read, in eight places at once and with what comes next asked for: reading straight on keeps
// too few loads in flight. `bytes` is a multiple of 64 KiB.
MACHINE_API double machine_read(double seconds, const void* from, int64_t bytes) {
  constexpr int64_t kBlock = 64 << 10, kApart = kBlock / 8, kStep = 256;
  return rate_of(seconds, static_cast<double>(bytes), [&] {
    uint64_t sums[kStep / 8] = {};
    for (int64_t block = 0; block < bytes; block += kBlock) {
      for (int64_t at = 0; at < kBlock; at += kStep) {
        const int64_t place = at / kStep % 8 * kApart + at / kStep / 8 * kStep;
        const char* step = static_cast<const char*>(from) + block + place;
        if (block + kBlock < bytes) {
          for (int64_t i = 0; i < kStep; i += 64) __builtin_prefetch(step + kBlock + i);
        }
        const auto* words = reinterpret_cast<const uint64_t*>(step);
        for (int j = 0; j < kStep / 8; ++j) sums[j] += words[j];
      }
    }
    for (uint64_t& sum : sums) asm volatile("" : "+r"(sum));
  });
}
