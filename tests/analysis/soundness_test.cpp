// Empty and Full are never wrong and no active key is outside the ranges: random masks on random
// shapes, element by element. MASKJIT_SEED and MASKJIT_CASES vary the run.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "masker_dsl/passes/passes.h"
#include "tests/analysis/random_mask.h"
#include "tests/analysis/tile_oracle.h"

namespace maskjit {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

oracle::Launch random_launch(random::Generator& generator) {
  oracle::Launch launch;
  launch.q_len = 1 + random::below(generator, 20);
  launch.kv_len = 1 + random::below(generator, 24);
  launch.tile_q = 1 + random::below(generator, 8);
  launch.tile_k = 1 + random::below(generator, 8);
  switch (random::below(generator, 8)) {
    case 0:
      launch.q_offset = -ir::kMaxPosition;
      break;
    case 1:
      launch.q_offset = ir::kMaxPosition - launch.q_len;
      break;
    case 2:
    case 3:
      launch.q_offset = random::below(generator, 60) - 30;
      break;
    case 4:
      launch.q_offset = 0;
      break;
    default:
      launch.q_offset = launch.kv_len - launch.q_len;
      break;
  }
  return launch;
}

// What is wrong with the analysis of the function on `launches` random launches.
std::optional<std::string> check(const ir::Function& function, uint64_t seed, int launches,
                                 oracle::Counts* counts) {
  random::Generator generator(seed);
  analysis::TileFunctions tiles = analysis::analyse_tiles(function);
  for (const ir::Function* f : {&tiles.tile, &tiles.ranges}) {
    for (const std::string& problem : ir::verify(*f)) return problem + "\n" + ir::print(function);
  }
  for (int i = 0; i < launches; ++i) {
    // What the passes make of them must be sound as well; that is slow, so only sometimes.
    if (i == 1 && seed % 5 == 0) {
      tiles.tile = passes::run_pipeline(tiles.tile);
      tiles.ranges = passes::run_pipeline(tiles.ranges);
    }
    const random::Environment environment = random::environment(generator, function);
    const oracle::Launch launch = random_launch(generator);
    if (auto wrong = oracle::check(function, tiles, launch, environment.values, counts)) {
      return wrong;
    }
  }
  return std::nullopt;
}

void run(uint64_t salt, const std::function<ir::Function(random::Generator&)>& make) {
  const uint64_t seed = from_environment("MASKJIT_SEED", 1);
  const uint64_t cases = from_environment("MASKJIT_CASES", 500);
  std::cout << "MASKJIT_SEED=" << seed << " MASKJIT_CASES=" << cases << "\n";
  oracle::Counts counts;
  for (uint64_t i = 0; i < cases; ++i) {
    const uint64_t case_seed = (seed * 1000003 + i) * 7 + salt;
    random::Generator generator(case_seed);
    const ir::Function function = make(generator);
    const auto wrong = check(function, case_seed, 3, &counts);
    ASSERT_FALSE(wrong.has_value()) << "case " << i << "\n" << *wrong;
  }
  std::cout << "tiles " << counts.tiles << " empty " << counts.empty << " (called partial "
            << counts.missed_empty << ") full " << counts.full << " (called partial "
            << counts.missed_full << ")\n";
  // A run in which nothing is ever decided tests nothing.
  if (cases >= 500) {
    EXPECT_GT(counts.empty - counts.missed_empty, counts.tiles / 20);
    EXPECT_GT(counts.full - counts.missed_full, counts.tiles / 20);
  }
}

TEST(Soundness, RandomMasks) {
  run(0, [](random::Generator& generator) { return random::mask(generator); });
}

TEST(Soundness, RandomFunctions) {
  run(1, [](random::Generator& generator) {
    random::FunctionOptions options;
    options.nodes = 8 + static_cast<int>(random::below(generator, 24));
    options.floats = random::chance(generator, 30);
    return random::function(generator, options);
  });
}

// Masks that were once analysed wrongly, each run on many launches.
TEST(Soundness, Regressions) {
  const std::filesystem::path folder =
      std::filesystem::path(MASKJIT_SOURCE_DIR) / "tests/analysis/regressions";
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".ir") continue;
    std::ifstream file(entry.path());
    std::stringstream text;
    text << file.rdbuf();
    const auto parsed = ir::parse(text.str());
    if (const auto* error = std::get_if<ir::TextError>(&parsed)) {
      FAIL() << entry.path() << ":" << error->line << ": " << error->message;
    }
    ++files;
    const auto wrong = check(std::get<ir::Function>(parsed), 17, 300, nullptr);
    EXPECT_FALSE(wrong.has_value()) << entry.path() << "\n" << *wrong;
  }
  EXPECT_GT(files, 0);
}

}  // namespace
}  // namespace maskjit
