// Every file of examples/masks against its definition in C++, element by element, and its tiles and
// key ranges against its elements.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>

#include "tests/gallery/bound_case.h"

namespace maskjit::gallery {
namespace {

using ir::Var;

// Which elements of one batch and head are active.
struct Plane {
  int64_t q_len = 0, kv_len = 0;
  std::vector<char> active;

  char& at(int64_t q_index, int64_t k) { return active[static_cast<size_t>(q_index * kv_len + k)]; }
};

struct Counts {
  int64_t tiles = 0, empty = 0, full = 0;     // what is true
  int64_t missed_empty = 0, missed_full = 0;  // but called Partial
  int64_t visited_empty = 0;                  // empty tiles that key ranges cover in part
  void print(const std::string& name, int64_t tile) const {
    fmt::print("{:22} {:3} {:6} {:6} {:6} {:7} {:12} {:11} {:13}\n", name, tile, tiles, empty, full,
               tiles - empty - full, missed_empty, missed_full, visited_empty);
  }
  static void print_header() {
    fmt::print("{:22} {:3} {:>6} {:>6} {:>6} {:>7} {:>12} {:>11} {:>13}\n", "mask", "", "tiles",
               "empty", "full", "partial", "missed empty", "missed full", "visited empty");
  }
};

class TileChecker {
 public:
  TileChecker(const BoundCase& bound, const Launch& launch)
      : launch_(launch),
        may_(bound.tiles().tile, bound.tiles().tile.result("may")),
        must_(bound.tiles().tile, bound.tiles().tile.result("must")) {
    const ir::Function& ranges = bound.tiles().ranges;
    for (int i = 0; i < bound.tiles().range_count; ++i) {
      lo_.emplace_back(ranges, ranges.result("lo" + std::to_string(i)));
      hi_.emplace_back(ranges, ranges.result("hi" + std::to_string(i)));
    }
  }

  // Adds to `counts`; a failure is a tile that is called Empty or Full and is not, or an active
  // key outside of the ranges.
  void run(interp::Environment& environment, Plane& plane, int64_t tile_q, int64_t tile_k,
           Counts& counts) {
    for (int64_t q0 = 0; q0 < launch_.q_len; q0 += tile_q) {
      const int64_t q1 = std::min(q0 + tile_q, launch_.q_len) - 1;
      environment[Var::QueryLo] = q0 + launch_.offset();
      environment[Var::QueryHi] = q1 + launch_.offset();
      const std::vector<char> covered = keys_in_ranges(environment);
      for (int64_t k0 = 0; k0 < launch_.kv_len; k0 += tile_k) {
        const int64_t k1 = std::min(k0 + tile_k, launch_.kv_len) - 1;
        environment[Var::KeyLo] = k0;
        environment[Var::KeyHi] = k1;
        const bool may = may_.run(environment).integer != 0;
        const bool must = must_.run(environment).integer != 0;
        int64_t active = 0, outside = 0, touched = 0;
        for (int64_t k = k0; k <= k1; ++k) {
          const bool in_range = covered[static_cast<size_t>(k)] != 0;
          touched += in_range;
          for (int64_t q = q0; q <= q1; ++q) {
            const bool on = plane.at(q, k) != 0;
            active += on;
            outside += on && !in_range;
          }
        }
        const bool full = active == (q1 - q0 + 1) * (k1 - k0 + 1);
        EXPECT_TRUE(may || active == 0) << "Empty: " << q0 << ".." << q1 << " " << k0 << ".." << k1;
        EXPECT_TRUE(!must || full) << "Full: " << q0 << ".." << q1 << " " << k0 << ".." << k1;
        EXPECT_EQ(outside, 0) << "keys: " << q0 << ".." << q1 << " " << k0 << ".." << k1;
        ++counts.tiles;
        counts.empty += active == 0;
        counts.full += full;
        counts.missed_empty += active == 0 && may;
        counts.missed_full += full && !must;
        counts.visited_empty += active == 0 && touched > 0;
      }
    }
  }

 private:
  std::vector<char> keys_in_ranges(const interp::Environment& environment) {
    std::vector<char> covered(static_cast<size_t>(launch_.kv_len));
    for (size_t i = 0; i < lo_.size(); ++i) {
      const int64_t lo = std::max<int64_t>(lo_[i].run(environment).integer, 0);
      const int64_t hi = std::min(hi_[i].run(environment).integer, launch_.kv_len - 1);
      for (int64_t k = lo; k <= hi; ++k) covered[static_cast<size_t>(k)] = 1;
    }
    return covered;
  }

  Launch launch_;
  interp::Evaluator may_, must_;
  std::vector<interp::Evaluator> lo_, hi_;
};

void set_plane(interp::Environment& environment, const Launch& launch, int64_t batch,
               int64_t head) {
  environment[Var::Batch] = batch;
  environment[Var::Head] = head;
  environment[Var::KvHead] = head * launch.kv_heads / launch.heads;
}

// Mask and score of one batch and head against the definition; the number of wrong elements.
Plane check_elements(const BoundCase& bound, const Case& c, interp::Environment& environment) {
  const ir::Function& function = bound.program().function;
  interp::Evaluator mask(function, function.result("mask"));
  interp::Evaluator score(function, function.result("score"));
  const Launch& launch = c.launch;
  Plane plane{launch.q_len, launch.kv_len, {}};
  plane.active.resize(static_cast<size_t>(launch.q_len * launch.kv_len));
  Element e{environment[Var::Batch], environment[Var::Head]};
  int64_t wrong = 0;
  for (e.q_index = 0; e.q_index < launch.q_len; ++e.q_index) {
    e.q = e.q_index + launch.offset();
    for (e.k = 0; e.k < launch.kv_len; ++e.k) {
      environment[Var::Query] = e.q;
      environment[Var::Key] = e.k;
      const bool on = mask.run(environment).integer != 0;
      const bool expected = !c.active || c.active(e);
      plane.at(e.q_index, e.k) = on;
      if (on != expected && ++wrong <= 5) {
        ADD_FAILURE() << "batch " << e.batch << " head " << e.head << " q " << e.q << " k " << e.k
                      << " is " << on;
      }
      // One logit for each element, all of them along the sequence.
      static const double kLogits[] = {0, -60, 3.25, 1000, -0.5, 1e-3, 49};
      const double s = kLogits[static_cast<size_t>(e.q_index * 3 + e.k) % std::size(kLogits)];
      environment.score = s;
      const double result = score(environment).real;
      const double wanted = c.score ? c.score(e, s) : s;
      if (!(std::abs(result - wanted) <= 1e-12 * (1 + std::abs(wanted))) && ++wrong <= 5) {
        ADD_FAILURE() << "head " << e.head << " q " << e.q << " k " << e.k << ": score of " << s
                      << " is " << result << ", not " << wanted;
      }
    }
  }
  EXPECT_EQ(wrong, 0);
  return plane;
}

void expect_precise(const Counts& counts, const Bounds& bounds) {
  const double empty = static_cast<double>(counts.empty), full = static_cast<double>(counts.full);
  EXPECT_LE(static_cast<double>(counts.missed_empty), bounds.empty * empty);
  EXPECT_LE(static_cast<double>(counts.missed_full), bounds.full * full);
  EXPECT_LE(static_cast<double>(counts.visited_empty), bounds.visited * empty);
}

class Gallery : public ::testing::TestWithParam<Check> {
 protected:
  static void SetUpTestSuite() { Counts::print_header(); }
};

TEST_P(Gallery, MeansItsDefinition) {
  const Check check = GetParam();
  for (size_t i = 0; i < check.cases.size(); ++i) {
    const Case& c = check.cases[i];
    SCOPED_TRACE(fmt::format("case {}: q_len {} kv_len {} offset {}", i, c.launch.q_len,
                             c.launch.kv_len, c.launch.offset()));
    const BoundCase bound(check.name, c);
    ASSERT_TRUE(bound.ok());
    interp::Environment environment = bound.environment();
    TileChecker tiles(bound, c.launch);
    Counts at_16, at_64, odd;
    for (int64_t batch = 0; batch < c.launch.batches; ++batch) {
      for (int64_t head = 0; head < c.launch.heads; ++head) {
        set_plane(environment, c.launch, batch, head);
        Plane plane = check_elements(bound, c, environment);
        tiles.run(environment, plane, 16, 16, at_16);
        tiles.run(environment, plane, 64, 64, at_64);
        tiles.run(environment, plane, 7, 5, odd);
        tiles.run(environment, plane, 1, 32, odd);
        if (HasFailure()) return;
      }
    }
    if (i + 1 < check.cases.size()) continue;
    at_16.print(check.name, 16);
    at_64.print(check.name, 64);
    expect_precise(at_16, check.at_16);
    expect_precise(at_64, check.at_64);
  }
}

// Without values and tensors, as a reader first sees a file.
TEST_P(Gallery, HasDefaults) {
  const std::string path = masks_folder() + GetParam().name + ".masker";
  const driver::CheckedSource checked = driver::check(path, read_file(path));
  ASSERT_TRUE(checked.program);
  diag::DiagnosticEmitter diagnostics;
  EXPECT_TRUE(driver::bind(*checked.program, {}, diagnostics)) << diag::render_all(diagnostics);
  for (const ir::Param& param : checked.program->function.params()) {
    EXPECT_TRUE(param.default_value || param.default_share) << param.name;
  }
}

TEST_P(Gallery, IsInCanonicalLayout) {
  const std::string path = masks_folder() + GetParam().name + ".masker";
  const std::string text = read_file(path);
  EXPECT_EQ(driver::format(path, text).text, text);
}

INSTANTIATE_TEST_SUITE_P(Masks, Gallery, ::testing::ValuesIn(all_checks()),
                         [](const auto& info) { return info.param.name; });

std::set<std::string> files_in(const std::string& folder, const std::string& extension) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == extension) names.insert(entry.path().stem().string());
  }
  return names;
}

TEST(GalleryFiles, EveryFileIsChecked) {
  std::set<std::string> checked;
  for (const Check& check : all_checks()) EXPECT_TRUE(checked.insert(check.name).second);
  EXPECT_EQ(files_in(masks_folder(), ".masker"), checked);
}

}  // namespace

std::vector<Check> all_checks() {
  std::vector<Check> all;
  for (const auto& some : {window_checks(), document_checks(), neighbourhood_checks(),
                           tree_checks(), score_checks()}) {
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

}  // namespace maskjit::gallery
