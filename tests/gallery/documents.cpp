// Masks of sequences that are made of parts: documents, batch elements, continuations, images.
#include "tests/gallery/check.h"

namespace maskjit::gallery {
namespace {

// A part of the sequence, by its first position and the one after its last.
struct Part {
  int64_t begin, end;
};

// Parts of lengths 17, 3, 29, ... that fill `length` positions.
std::vector<Part> parts_of(int64_t length, int64_t seed) {
  std::vector<Part> parts;
  for (int64_t begin = 0, i = seed; begin < length; ++i) {
    const int64_t end = std::min(begin + 3 + (i * i * 13 + 14 * (seed + 1)) % 45, length);
    parts.push_back({begin, end});
    begin = end;
  }
  return parts;
}

size_t part_at(const std::vector<Part>& parts, int64_t position) {
  size_t i = 0;
  while (position < parts[i].begin || position >= parts[i].end) ++i;
  return i;
}

std::vector<Launch> launches() { return {{60, 60, 2, 2, 1}, {7, 80, 2}, {384, 384, 2}}; }

using Inside = std::function<bool(const std::vector<Part>&, const Element&)>;

// Numbers of documents ascend (all but the first by 3, so that numbers are not indices) or are
// shuffled.
Check packed(const char* name, const char* tensor, bool numbered_from_0, const Inside& inside,
             double visited) {
  Check check{name, {}, {0, 0, visited}, {0, 0, visited}};
  for (const Launch& launch : launches()) {
    std::vector<std::vector<Part>> batches;
    TensorData numbers{{launch.batches, launch.kv_len}};
    for (int64_t b = 0; b < launch.batches; ++b) {
      batches.push_back(parts_of(launch.kv_len, b));
      const std::vector<Part>& parts = batches.back();
      for (int64_t i = 0; i < launch.kv_len; ++i) {
        const int64_t part = static_cast<int64_t>(part_at(parts, i));
        numbers.integers.push_back(numbered_from_0 ? part : 3 * part - 5);
      }
    }
    const auto active = [batches, inside](const Element& e) {
      return inside(batches[static_cast<size_t>(e.batch)], e);
    };
    check.cases.push_back({launch, {}, {{tensor, numbers}}, active});
  }
  return check;
}

bool within(const Part& part, int64_t position) {
  return part.begin <= position && position < part.end;
}

bool together(const std::vector<Part>& parts, const Element& e) {
  for (const Part& part : parts) {
    if (within(part, e.q) && within(part, e.k)) return true;
  }
  return false;
}

Check batchify_documents() {
  // Tiles in which documents with and without a prefix meet are not seen to be empty.
  Check check{"batchify_documents", {}, {0.005, 0, 0.5}, {0.05, 0, 0.5}};
  for (const Launch& launch : launches()) {
    struct Item {
      Part part;
      int64_t prefix;
    };
    std::vector<std::vector<Item>> batches;
    const std::vector<int64_t> extents = {launch.batches, launch.kv_len};
    TensorData number{extents}, start{extents}, prefix{extents};
    for (int64_t b = 0; b < launch.batches; ++b) {
      std::vector<Item> items;
      for (const Part& part : parts_of(launch.kv_len, b + 2)) {
        const Item item{part, static_cast<int64_t>(items.size()) % 4 * 5};
        for (int64_t i = part.begin; i < part.end; ++i) {
          number.integers.push_back(static_cast<int64_t>(items.size()));
          start.integers.push_back(part.begin);
          prefix.integers.push_back(item.prefix);
        }
        items.push_back(item);
      }
      batches.push_back(items);
    }
    const auto active = [batches](const Element& e) {
      for (const Item& item : batches[static_cast<size_t>(e.batch)]) {
        if (!within(item.part, e.q) || !within(item.part, e.k)) continue;
        return e.k <= e.q || e.k < item.part.begin + item.prefix;
      }
      return false;
    };
    check.cases.push_back(
        {launch, {}, {{"document", number}, {"start", start}, {"prefix", prefix}}, active});
  }
  return check;
}

Check batchify_lengths() {
  Check check{"batchify_lengths", {}};
  for (const Launch& launch :
       std::vector<Launch>{{60, 60, 2, 2, 1}, {7, 90}, {30, 20}, {256, 256}}) {
    const auto active = [](const Element& e) {
      for (int64_t begin = -60; begin < 256; begin += 20) {
        const Part part{begin, begin + 20};
        if (!within(part, e.q) || !within(part, e.k)) continue;
        return e.k <= e.q || e.k - begin < 6;
      }
      return false;
    };
    check.cases.push_back({launch, {{"length", "20"}, {"prefix", "6"}}, {}, active});
  }
  return check;
}

// Text with images: '<' opens an image, every other position is a word.
Check flamingo() {
  Check check{"flamingo", {}};
  struct Shape {
    int64_t q_len, images, tokens;
  };
  for (const Shape& shape : {Shape{40, 4, 8}, Shape{9, 3, 5}, Shape{1, 1, 3}, Shape{256, 8, 32}}) {
    std::vector<std::vector<int64_t>> recent(2);  // by batch and text position; -1: none yet
    TensorData image{{2, shape.q_len}};
    for (int64_t b = 0; b < 2; ++b) {
      int64_t last = -1;
      for (int64_t i = 0; i < shape.q_len; ++i) {
        const int64_t every = shape.q_len / shape.images;
        if (i % every == b + 1 && last + 1 < shape.images) ++last;
        recent[static_cast<size_t>(b)].push_back(last);
        image.integers.push_back(last + 1);
      }
    }
    const auto active = [recent, tokens = shape.tokens](const Element& e) {
      const int64_t seen = recent[static_cast<size_t>(e.batch)][static_cast<size_t>(e.q_index)];
      return seen >= 0 && seen * tokens <= e.k && e.k < (seen + 1) * tokens;
    };
    check.cases.push_back({{shape.q_len, shape.images * shape.tokens, 2, 2, 1},
                           {{"tokens", std::to_string(shape.tokens)}},
                           {{"image", image}},
                           active});
  }
  return check;
}

}  // namespace

std::vector<Check> document_checks() {
  std::vector<Check> checks;
  checks.push_back(packed(
      "packed_documents", "document", false,
      [](const std::vector<Part>& parts, const Element& e) {
        return together(parts, e) && e.k <= e.q;
      },
      0.5));
  checks.push_back(packed("packed_documents_full", "document", false, together, 1));
  checks.push_back(packed(
      "shared_prefix", "part", true,
      [](const std::vector<Part>& parts, const Element& e) {
        return e.k <= e.q && (within(parts[0], e.k) || together(parts, e));
      },
      0.5));
  checks.push_back(batchify_lengths());
  checks.push_back(batchify_documents());
  checks.push_back(flamingo());
  return checks;
}

}  // namespace maskjit::gallery
