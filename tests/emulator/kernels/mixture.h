#pragma once
// A function with loops, a jump table, an array in memory, calls and numbers of every kind,
// compiled for the host by the test and for the device into mixture.ptx: both must give the same
// bits.
namespace mixture {

using u8 = unsigned char;
using u16 = unsigned short;
using u32 = unsigned;
using u64 = unsigned long long;
using i64 = long long;

struct Input {
  u32 words[6];
  float scale;
  u8 bytes[5];
  u16 half;
  i64 wide;
};

__attribute__((noinline)) inline float weigh(float x, int n, const Input& in) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum = __builtin_fmaf(sum, x, in.scale * (float)i);
  return n > 5 ? -sum : __builtin_sqrtf(sum < 0 ? -sum : sum);
}

inline u32 mix(u32 t, const Input& in) {
  u32 table[12];
  for (u32 i = 0; i < 12; ++i) table[i] = in.words[i % 6] * (i + 1) + t;
  u64 h = 1469598103934665603ull ^ t;
  i64 s = in.wide;
  for (u32 i = 0; i < 10 + t % 7; ++i) {
    switch ((t + i) % 9) {
      case 0:
        h ^= table[h % 12];
        break;
      case 1:
        h = h * 1099511628211ull + i;
        break;
      case 2:
        h = (h << (t & 63)) | (h >> ((64 - t) & 63));
        break;
      case 3:
        s = s / (i64)(t + 3) - (i64)in.bytes[i % 5];
        break;
      case 4:
        s = s % 100003 + (short)in.half;
        break;
      case 5:
        table[i % 12] = (u32)__builtin_popcountll(h) + (u32)__builtin_clz((u32)h | 1);
        break;
      case 6:
        h += (u64)((u32)h * (u64)table[t % 12] >> 17);
        break;
      case 7:
        s += (i64)weigh((float)(t % 11) * 0.25f, (int)(i % 8), in);
        break;
      default:
        h ^= (u64)(s < 0 ? -s : s) << 3;
        break;
    }
    if ((h & 31) == 7) break;
    while ((h & 3) == 1) h = h / 3 + t;
  }
  const double d = (double)s * 0.125 + (double)(h >> 40);
  return (u32)h ^ (u32)(h >> 32) ^ (u32)(i64)d ^ __builtin_bswap32((u32)s);
}

}  // namespace mixture
