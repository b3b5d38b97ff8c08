// An index as bytes, and the files that hold them:
//
//   offset  size  little endian
//        0     8  magic "MJKEYIDX"
//        8     4  format version
//       12     4  0
//       16     8  bytes of the file
//       24    16  XXH3-128 of everything but this field
//       40     .  shape, seed, number of keys, samples, parts: kind, options, data
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "masker_dsl/ir/types.h"
#include "runtime/cache/file_io.h"
#include "runtime/index/check.h"
#include "runtime/index/state.h"
#include "runtime/index/tensors.h"

namespace maskjit {

using index::Reader;
using index::Writer;

namespace {

constexpr std::string_view kMagic = "MJKEYIDX";
constexpr uint32_t kVersion = 1;
constexpr size_t kSumOffset = 24;
constexpr size_t kHeaderBytes = 40;
constexpr int64_t kMaxFileBytes = int64_t{1} << 40;

std::array<char, 16> checksum(std::string_view bytes) {
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  XXH3_128bits_update(&state, bytes.data(), kSumOffset);
  XXH3_128bits_update(&state, bytes.data() + kHeaderBytes, bytes.size() - kHeaderBytes);
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state));
  std::array<char, 16> sum;
  std::memcpy(sum.data(), &canonical, sum.size());
  return sum;
}

// Options as they were written, with the memory of their tensors.
struct ReadPart {
  KeyIndex::Part part;
  std::vector<int32_t> table;
  std::vector<float> query, key;
};

bool read_options(Reader& reader, uint32_t kind, const KeyIndex::Shape& shape, ReadPart& out) {
  switch (kind) {
    case 0: {
      KeyIndex::PageBound p;
      p.page = reader.number<int64_t>();
      p.bits = reader.number<int>();
      out.part = p;
      return reader.ok();
    }
    case 1: {
      KeyIndex::Channels p;
      p.bits = reader.number<int>();
      const auto rows = reader.number<int64_t>();
      const auto n = reader.number<int64_t>();
      if (!reader.ok() || rows < 1 || rows > shape.num_heads || n < 1 || n > (1 << 16) ||
          !reader.has(static_cast<uint64_t>(rows * n) * sizeof(int32_t))) {
        return false;
      }
      out.table.resize(static_cast<size_t>(rows * n));
      p.table = TensorView::contiguous(out.table.data(), ElementType::I32, {rows, n});
      out.part = p;
      return reader.array(out.table);
    }
    case 2: {
      KeyIndex::HashBits p;
      p.bits = reader.number<int>();
      p.layers = reader.number<int>();
      p.hidden = reader.number<int>();
      p.activation = reader.number<KeyIndex::Activation>();
      if (!reader.ok() || index::check_part(p, shape, /*needs_tensors=*/false)) return false;
      const int64_t parameters = index::hash_parameters(p, shape.head_dim);
      const auto count = static_cast<uint64_t>(shape.num_heads * parameters);
      if (!reader.has(2 * count * sizeof(float))) return false;
      out.query.resize(count);
      out.key.resize(count);
      const std::vector<int64_t> extents = {shape.num_heads, parameters};
      p.query_mlp = TensorView::contiguous(out.query.data(), ElementType::F32, extents);
      p.key_mlp = TensorView::contiguous(out.key.data(), ElementType::F32, extents);
      out.part = p;
      return reader.array(out.query) && reader.array(out.key);
    }
    case 3: {
      KeyIndex::PqCodes p;
      p.sub_dims = reader.number<int>();
      p.bits = reader.number<int>();
      out.part = p;
      return reader.ok();
    }
    case 4: {
      KeyIndex::Lsh p;
      p.tables = reader.number<int>();
      p.bits = reader.number<int>();
      p.centre = reader.number<uint8_t>() != 0;
      out.part = p;
      return reader.ok();
    }
    default:
      return false;
  }
}

}  // namespace

std::string KeyIndex::State::print() const {
  Writer writer;
  writer.bytes(kMagic.data(), kMagic.size());
  writer.number(kVersion);
  writer.number(uint32_t{0});
  writer.number(uint64_t{0});
  writer.array(std::array<char, 16>{});
  writer.number(static_cast<uint32_t>(shape.element));
  for (const int64_t n : {shape.batch, shape.num_heads, shape.num_kv_heads, shape.head_dim})
    writer.number(n);
  writer.number(seed);
  writer.number(size);
  writer.number(static_cast<uint32_t>(samples.size()));
  for (const Sample& sample : samples) {
    writer.number(sample.key);
    writer.number(sample.hash);
  }
  writer.number(static_cast<uint32_t>(parts.size()));
  for (const auto& part : parts) {
    writer.number(static_cast<uint32_t>(part->kind()));
    part->write_options(writer);
  }
  for (const auto& part : parts) part->write(writer);
  std::string& bytes = writer.text();
  const uint64_t total = bytes.size();
  std::memcpy(bytes.data() + 16, &total, sizeof(total));
  seal(bytes);
  return std::move(bytes);
}

void KeyIndex::State::seal(std::string& bytes) {
  const auto sum = checksum(bytes);
  std::memcpy(bytes.data() + kSumOffset, sum.data(), sum.size());
}

std::optional<std::string> KeyIndex::State::parse(std::string_view bytes,
                                                  const codegen::Target& target,
                                                  const Execution& execution,
                                                  std::shared_ptr<State>& result) {
  if (bytes.empty()) return "is empty";
  if (bytes.substr(0, kMagic.size()) != kMagic.substr(0, bytes.size())) return "is not an index";
  if (bytes.size() < kHeaderBytes) return "is truncated";
  Reader header(bytes.substr(kMagic.size()));
  const auto version = header.number<uint32_t>();
  if (version != kVersion) {
    return fmt::format("has format version {}, this program reads {}", version, kVersion);
  }
  header.number<uint32_t>();
  const auto total = header.number<uint64_t>();
  if (total > bytes.size()) return "is truncated";
  if (total < bytes.size()) return "is longer than its header says";
  const auto sum = checksum(bytes);
  if (std::memcmp(sum.data(), bytes.data() + kSumOffset, sum.size()) != 0) {
    return "does not match its checksum";
  }

  // What has the right checksum was written so, but perhaps not by this program.
  const std::string malformed = "has malformed contents";
  Reader reader(bytes.substr(kHeaderBytes));
  Shape shape;
  const auto element = reader.number<uint32_t>();
  if (element > static_cast<uint32_t>(ElementType::F64)) return malformed;
  shape.element = static_cast<ElementType>(element);
  for (int64_t* n : {&shape.batch, &shape.num_heads, &shape.num_kv_heads, &shape.head_dim})
    *n = reader.number<int64_t>();
  const auto seed = reader.number<uint64_t>();
  const auto size = reader.number<int64_t>();
  if (!reader.ok() || index::check_shape(shape)) return malformed;
  if (size < 0 || size > ir::kMaxPosition) return malformed;
  auto state = std::make_shared<State>(shape, seed, target, execution);
  const auto samples = reader.number<uint32_t>();
  if (!reader.has(uint64_t{samples} * sizeof(Sample))) return malformed;
  for (uint32_t i = 0; i < samples; ++i) {
    const auto key = reader.number<int64_t>();
    const auto hash = reader.number<uint64_t>();
    if (key < 0 || key >= size) return malformed;
    state->samples.push_back({key, hash});
  }
  const auto parts = reader.number<uint32_t>();
  for (uint32_t i = 0; i < parts; ++i) {
    const auto kind = reader.number<uint32_t>();
    ReadPart read;
    if (!reader.ok() || !read_options(reader, kind - MJ_SCORER_PAGE_BOUND, shape, read) ||
        index::check_part(read.part, shape, /*needs_tensors=*/true)) {
      return malformed;
    }
    state->add(read.part);
  }
  if (state->parts.empty()) return malformed;
  for (const auto& part : state->parts) {
    if (!part->read(reader, size)) return malformed;
  }
  if (reader.left() != 0) return malformed;
  state->size = size;
  result = std::move(state);
  return std::nullopt;
}

Status KeyIndex::save(const std::string& path) const {
  try {
    const auto written = cache::write_atomically(path, state_->print());
    if (const auto* error = std::get_if<cache::FileError>(&written)) {
      return Error{ErrorKind::Io, fmt::format("{}: {}", path, error->reason)};
    }
    return Done{};
  } catch (const std::exception& error) {
    return Error{ErrorKind::Io,
                 fmt::format("{}: no memory for its contents: {}", path, error.what())};
  }
}

Result<KeyIndex> KeyIndex::load(const std::string& path, const Execution& execution) {
  const auto target = index::target_of(execution);
  if (!target) return target.error();
  try {
    const auto read = cache::read_whole(path, /*touch_after=*/-1, kMaxFileBytes);
    if (const auto* error = std::get_if<cache::FileError>(&read)) {
      return Error{ErrorKind::Io, fmt::format("{}: {}", path, error->reason)};
    }
    std::shared_ptr<State> state;
    const auto problem =
        State::parse(std::get<cache::FileContents>(read).bytes, *target, execution, state);
    if (problem) return Error{ErrorKind::Io, fmt::format("{}: {}", path, *problem)};
    return KeyIndex(std::move(state));
  } catch (const std::exception& error) {
    return Error{ErrorKind::Io,
                 fmt::format("{}: no memory for its contents: {}", path, error.what())};
  }
}

}  // namespace maskjit
