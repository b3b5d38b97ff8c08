#include <algorithm>
#include <array>

#include "masker_dsl/diag/diagnostic.h"

namespace maskjit::diag {
namespace {

constexpr size_t kLongest = 64;

// Edits (insert, delete, replace, swap neighbours) from a to b.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::array<std::array<size_t, kLongest + 1>, 3> rows;
  for (size_t j = 0; j <= b.size(); ++j) rows[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    auto& row = rows[i % 3];
    const auto& above = rows[(i - 1) % 3];
    const auto& two_above = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] =
          std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], two_above[j - 2] + 1);
      }
    }
  }
  return rows[a.size() % 3][b.size()];
}

}  // namespace

std::string closest_name(std::string_view name, const std::vector<std::string>& candidates) {
  if (name.empty() || name.size() > kLongest) return {};
  const size_t limit = std::max<size_t>(1, name.size() / 3);
  size_t best_distance = limit + 1;
  std::string best;
  for (const std::string& candidate : candidates) {
    if (candidate.empty() || candidate.size() > kLongest) continue;
    const size_t distance = edit_distance(name, candidate);
    // A name of one letter is close to every other one: such a guess says nothing.
    if (distance < best_distance && distance < std::max(name.size(), candidate.size())) {
      best_distance = distance;
      best = candidate;
    }
  }
  if (!best.empty() || name.size() < 3) return best;
  for (const std::string& candidate : candidates) {
    if (candidate.starts_with(name)) return candidate;
  }
  return {};
}

}  // namespace maskjit::diag
