#include "runtime/index/part.h"

namespace maskjit::index {
namespace {

constexpr int64_t kChunk = 4096;  // keys of an item of work

}  // namespace

MjElement element_of(ElementType type) {
  return type == ElementType::F16 ? MJ_F16 : type == ElementType::BF16 ? MJ_BF16 : MJ_F32;
}

PartData::PartData(const Setting& setting, const IndexKernels& kernels, MjScorerKind kind,
                   bool by_head)
    : setting_(setting), kernels_(kernels), kind_(kind), by_head_(by_head) {}

void PartData::add_blocks(size_t i, int64_t strips, int64_t lane_bytes) {
  blocks_.emplace_back(i, Blocks(setting_.shape.batch, heads(), strips, lane_bytes));
}

MjScorer PartData::scorer() const {
  MjScorer scorer = {};
  scorer.kind = kind_;
  scorer.by_head = by_head_ ? 1 : 0;
  for (const auto& [i, blocks] : blocks_) scorer.rows[i] = blocks.view();
  fill(scorer);
  scorer.scratch_bytes = kernels_.scorer_scratch(&scorer);
  return scorer;
}

int64_t PartData::bytes() const {
  int64_t total = 0;
  for (const auto& [i, blocks] : blocks_) total += blocks.bytes();
  return total;
}

void PartData::prepare(const Keys&, int64_t, const Workers&, std::vector<int64_t>&) {}

void PartData::update(const Keys& keys, int64_t unchanged, const Workers& workers) {
  const int64_t rows = (keys.count + keys_a_row_ - 1) / keys_a_row_;
  for (auto& [i, blocks] : blocks_) {
    blocks.reserve(rows);
    blocks.resize(rows);
  }
  // A row of several keys is made of all of them.
  unchanged = unchanged / keys_a_row_ * keys_a_row_;
  const int64_t head_count = heads();
  std::vector<int64_t> from(static_cast<size_t>(setting_.shape.batch * head_count), unchanged);
  prepare(keys, unchanged, workers, from);

  const MjScorer made = scorer();
  const int64_t chunk = std::max(kChunk / keys_a_row_, int64_t{1}) * keys_a_row_;
  int64_t first = keys.count;
  double todo = 0;
  for (const int64_t begin : from) {
    first = std::min(first, begin);
    todo += static_cast<double>(keys.count - begin);
  }
  if (todo == 0) return;
  const int64_t first_chunk = first / chunk;
  const int64_t chunks = (keys.count + chunk - 1) / chunk - first_chunk;
  const int64_t items = chunks * static_cast<int64_t>(from.size());
  const int count = workers.count(items, todo * work_a_key_);
  const auto scratch_bytes = static_cast<size_t>((kernels_.index_scratch(&made) + 63) / 64 * 64);
  AlignedVector<char> scratch(scratch_bytes * static_cast<size_t>(count));
  const MjElement element = element_of(setting_.shape.element);
  workers.each(count, items, [&](int worker, int64_t item) {
    const int64_t row_head = item / chunks;
    const int64_t start = (first_chunk + item % chunks) * chunk;
    const int64_t begin = std::max(start, from[static_cast<size_t>(row_head)]);
    const int64_t end = std::min(start + chunk, keys.count);
    if (begin >= end) return;
    const int64_t batch = row_head / head_count;
    const int64_t head = row_head % head_count;
    const int64_t kv_head = kv_head_of(head);
    kernels_.index_keys(&made, static_cast<int32_t>(batch), static_cast<int32_t>(head),
                        static_cast<int32_t>(kv_head), keys.rows(batch, kv_head), keys.row_bytes,
                        element, begin, end,
                        scratch.data() + static_cast<size_t>(worker) * scratch_bytes);
  });
}

void PartData::clear() {
  for (auto& [i, blocks] : blocks_) blocks.resize(0);
  forget();
}

void PartData::write(Writer& writer) const {
  write_state(writer);
  for (const auto& [i, blocks] : blocks_) blocks.write(writer);
}

bool PartData::read(Reader& reader, int64_t keys) {
  if (!read_state(reader, keys)) return false;
  const int64_t rows = (keys + keys_a_row_ - 1) / keys_a_row_;
  for (auto& [i, blocks] : blocks_) {
    if (!reader.has(blocks.bytes_for(rows))) return false;
    blocks.reserve(rows);
    blocks.resize(rows);
    if (!blocks.read(reader)) return false;
  }
  return rows_are_valid(keys);
}

}  // namespace maskjit::index
