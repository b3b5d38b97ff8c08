#pragma once
// What the gallery tests know of a file of examples/masks: what its mask and its score should be,
// as C++ functions written from the definition, and how precise its tiles are.
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace maskjit::gallery {

struct Launch {
  int64_t q_len = 0, kv_len = 0;
  int64_t batches = 1, heads = 1, kv_heads = 1;
  std::optional<int64_t> q_offset = {};  // kv_len - q_len if absent

  int64_t offset() const { return q_offset.value_or(kv_len - q_len); }
};

struct Element {
  int64_t batch = 0, head = 0, q_index = 0, q = 0, k = 0;  // q = q_index + offset
};

// Row-major; integers for Bool and Int elements, reals for Float ones.
struct TensorData {
  std::vector<int64_t> extents;
  std::vector<int64_t> integers = {};
  std::vector<double> reals = {};
};

using Predicate = std::function<bool(const Element&)>;
using Score = std::function<double(const Element&, double)>;

struct Case {
  Launch launch;
  std::map<std::string, std::string> values = {};  // as on a command line
  std::map<std::string, TensorData> tensors = {};
  Predicate active = {};  // every element, if there is none
  Score score = {};       // the logit itself, if there is none
};

// Of the tiles that are empty (full), the share that may be called Partial, and of the empty ones
// the share that the key ranges may cover.
struct Bounds {
  double empty = 0, full = 0, visited = 0;
};

struct Check {
  std::string name;  // examples/masks/<name>.masker
  std::vector<Case> cases;
  // Tiles of 16 x 16 and of 64 x 64 elements of the last case.
  Bounds at_16 = {}, at_64 = {};
};

std::vector<Check> window_checks();
std::vector<Check> document_checks();
std::vector<Check> neighbourhood_checks();
std::vector<Check> tree_checks();
std::vector<Check> score_checks();
std::vector<Check> all_checks();

}  // namespace maskjit::gallery
