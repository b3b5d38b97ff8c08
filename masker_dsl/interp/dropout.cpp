#include "masker_dsl/interp/dropout.h"

#include "masker_dsl/ir/internal_error.h"

namespace maskjit::interp {

PhiloxCounter philox(PhiloxCounter c, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return c;
}

uint32_t philox_draw(const PhiloxKey& launch_key, int64_t batch, int64_t head, int64_t query,
                     int64_t key) {
  const PhiloxCounter words =
      philox({static_cast<uint32_t>(key / 64 * 16 + key % 16), static_cast<uint32_t>(query),
              static_cast<uint32_t>(head), static_cast<uint32_t>(batch)},
             launch_key);
  return words[static_cast<size_t>(key / 16 % 4)];
}

Dropout::Dropout(double probability, uint64_t seed, uint64_t offset, bool renormalise)
    : probability_(probability), renormalise_(renormalise) {
  MASKJIT_CHECK(probability >= 0 && probability < 1, "a dropout probability outside of [0, 1)");
  threshold_ = static_cast<uint32_t>(probability * 0x1p32);
  const PhiloxKey from_seed = {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)};
  const PhiloxCounter first =
      philox({static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32), 0, 0}, from_seed);
  key_ = {first[0], first[1]};
}

bool Dropout::keeps(int64_t batch, int64_t head, int64_t query, int64_t key) const {
  return philox_draw(key_, batch, head, query, key) >= threshold_;
}

}  // namespace maskjit::interp
