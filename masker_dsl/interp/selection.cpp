#include "masker_dsl/interp/selection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "masker_dsl/interp/logits.h"
#include "masker_dsl/ir/internal_error.h"

namespace maskjit::interp {
namespace {

using ir::Stage;

struct Candidate {
  int64_t key;
  double score;
};

// Higher scores first, of equal ones the lower key. NaN counts as the highest.
bool before(const Candidate& a, const Candidate& b) {
  const bool nan_a = std::isnan(a.score), nan_b = std::isnan(b.score);
  if (nan_a != nan_b) return nan_a;
  if (!nan_a && a.score != b.score) return a.score > b.score;
  return a.key < b.key;
}

uint64_t threshold(double probability) {
  return static_cast<uint64_t>(std::clamp(probability, 0.0, 1.0) * 0x1p32);
}

class Selection {
 public:
  Selection(const ir::Program& program, const AttentionInputs& inputs,
            const SelectionInputs& selection)
      : program_(program),
        inputs_(inputs),
        selection_(selection),
        rows_(program.function, inputs),
        mask_(program.function, program.function.result("mask")) {
    for (const Stage& stage : program.stages) {
      StageEvaluators& at = stages_.emplace_back();
      if (stage.mask.valid()) at.mask.emplace_back(program.function, stage.mask);
      if (stage.weight.valid()) at.weight.emplace_back(program.function, stage.weight);
      for (const Stage::Argument& argument : stage.arguments)
        at.arguments.emplace_back(program.function, argument.value);
    }
  }

  std::vector<double> run() {
    const AttentionShape& shape = inputs_.shape;
    weights_.assign(static_cast<size_t>(shape.batch * shape.num_heads * shape.q_len * shape.kv_len),
                    0);
    allowed_.resize(static_cast<size_t>(shape.kv_len));
    for (int64_t b = 0; b < shape.batch; ++b) {
      for (int64_t h = 0; h < shape.num_heads; ++h) {
        for (int64_t i = 0; i < shape.q_len; ++i) row(b, h, i);
      }
    }
    return std::move(weights_);
  }

 private:
  struct StageEvaluators {
    std::vector<Evaluator> mask, weight;  // one, or none
    std::vector<Evaluator> arguments;
  };

  void row(int64_t b, int64_t h, int64_t i) {
    rows_.enter(b, h, i);
    batch_ = b;
    head_ = h;
    query_ = i;
    w_ = weights_.data() + rows_.index() * inputs_.shape.kv_len;
    for (int64_t j = 0; j < inputs_.shape.kv_len; ++j)
      allowed_[static_cast<size_t>(j)] = rows_.may_choose(j) && holds(mask_, j);
    for (size_t s = 0; s < program_.stages.size(); ++s) run_stage(s);
  }

  bool holds(Evaluator& mask, int64_t key) {
    rows_.environment()[ir::Var::Key] = key;
    return mask.run(rows_.environment()).integer != 0;
  }

  void run_stage(size_t s) {
    const Stage& stage = program_.stages[s];
    StageEvaluators& at = stages_[s];
    std::vector<ir::Scalar> arguments;
    for (Evaluator& argument : at.arguments) arguments.push_back(argument(rows_.environment()));
    const auto real = [&](size_t i) {
      return static_cast<double>(static_cast<float>(arguments.at(i).as_double()));
    };
    switch (stage.rule) {
      case Stage::Rule::Static:
        for (int64_t j = 0; j < inputs_.shape.kv_len; ++j) {
          if (!allowed_[static_cast<size_t>(j)] || !holds(at.mask.front(), j)) continue;
          const double weight =
              at.weight.empty() ? 1 : at.weight.front().run(rows_.environment()).real;
          w_[j] = std::min(w_[j] + weight, 1.0);
        }
        return;
      case Stage::Rule::TopK:
        return top_k(stage, s, std::max<int64_t>(arguments.at(0).integer, 0));
      case Stage::Rule::TopP:
        return top_p(s, real(0));
      case Stage::Rule::Random:
        return take(sample(s, Draw::Sample, real(0)), real(0));
      case Stage::Rule::Adaptive: {
        const bool count = arguments.at(0).type == ir::Type::Int;
        return adaptive(s, count ? static_cast<double>(arguments.at(0).integer) : real(0), count,
                        real(1), real(2));
      }
      case Stage::Rule::MagicPig:
        for (const Candidate& c : candidates(s)) {
          if (c.score > 0) w_[c.key] = std::min(c.score, 1.0);
        }
        return;
    }
  }

  std::vector<Candidate> candidates(size_t s) {
    const std::vector<double>* given = s < selection_.scores.size() && !selection_.scores[s].empty()
                                           ? &selection_.scores[s]
                                           : nullptr;
    const Stage& stage = program_.stages[s];
    MASKJIT_CHECK(given != nullptr || stage.rule == Stage::Rule::Random ||
                      stage.rule == Stage::Rule::Adaptive || stage.scorer == "logits",
                  "a stage without scores");
    std::vector<Candidate> all;
    for (int64_t j = 0; j < inputs_.shape.kv_len; ++j) {
      if (!allowed_[static_cast<size_t>(j)] || w_[j] != 0) continue;
      const double score =
          given != nullptr ? (*given)[static_cast<size_t>(rows_.index() * inputs_.shape.kv_len + j)]
          : stage.rule == Stage::Rule::Random ? 0
                                              : rows_.logit(j);
      all.push_back({j, score});
    }
    return all;
  }

  void take(const std::vector<Candidate>& chosen, double weight) {
    for (const Candidate& c : chosen) w_[c.key] = weight;
  }

  void top_k(const Stage& stage, size_t s, int64_t n) {
    std::vector<Candidate> all = candidates(s);
    if (stage.scorer == "page_bound") return top_pages(stage, std::move(all), n);
    std::sort(all.begin(), all.end(), before);
    all.resize(std::min(all.size(), static_cast<size_t>(n)));
    take(all, 1);
  }

  void top_pages(const Stage& stage, std::vector<Candidate> all, int64_t n) {
    const int64_t page = scorer_argument(stage, "page");
    n = std::max(scorer_argument(stage, "min_pages"), n / page);
    std::vector<Candidate> pages;
    for (const Candidate& c : all) {
      if (pages.empty() || pages.back().key != c.key / page)
        pages.push_back({c.key / page, c.score});
    }
    std::sort(pages.begin(), pages.end(), before);
    pages.resize(std::min(pages.size(), static_cast<size_t>(n)));
    for (const Candidate& chosen : pages) {
      for (const Candidate& c : all) {
        if (c.key / page == chosen.key) w_[c.key] = 1;
      }
    }
  }

  int64_t scorer_argument(const Stage& stage, std::string_view name) const {
    for (const Stage::Argument& argument : stage.scorer_arguments) {
      if (argument.name == name) return program_.function[argument.value].constant.integer;
    }
    MASKJIT_CHECK(false, "a scorer without " + std::string(name));
    return 0;
  }

  void top_p(size_t s, double p) {
    std::vector<Candidate> all = candidates(s);
    if (all.empty()) return;
    std::sort(all.begin(), all.end(), before);
    double total = 0;
    for (const Candidate& c : all) total += std::exp(c.score - all.front().score);
    size_t end = 0;
    double mass = 0;
    while (end < all.size()) {
      const double score = all[end].score;
      for (; end < all.size() && all[end].score == score; ++end)
        mass += std::exp(score - all.front().score);
      if (mass > p * total) break;
    }
    all.resize(end);
    take(all, 1);
  }

  std::vector<Candidate> sample(size_t s, Draw draw, double probability) {
    const PhiloxKey key =
        stage_key(selection_.seed, selection_.offset, static_cast<int64_t>(s), draw);
    std::vector<Candidate> kept;
    for (const Candidate& c : candidates(s)) {
      if (philox_draw(key, batch_, head_, query_, c.key) < threshold(probability))
        kept.push_back(c);
    }
    return kept;
  }

  void adaptive(size_t s, double base, bool is_count, double epsilon, double delta) {
    const std::vector<Candidate> all = candidates(s);
    const int64_t count = static_cast<int64_t>(all.size());
    if (count < 2) return take(all, 1);
    const double r = static_cast<double>(count);
    const double n0 =
        std::min(std::max(is_count ? base
                                   : std::floor(static_cast<double>(static_cast<float>(base) *
                                                                    static_cast<float>(r))),
                          2.0),
                 r);
    const double p0 = static_cast<double>(static_cast<float>(n0) / static_cast<float>(r));
    const std::vector<Candidate> sampled = sample(s, Draw::BaseSample, p0);
    double b = r;
    if (sampled.size() >= 2) {
      // u relative to the largest logit that takes part: b does not depend on what it is.
      double largest = -std::numeric_limits<double>::infinity();
      for (const Candidate& c : sampled) largest = std::max(largest, c.score);
      for (int64_t j = 0; j < inputs_.shape.kv_len; ++j) {
        if (w_[j] != 0) largest = std::max(largest, rows_.logit(j));
      }
      double sum = 0, squares = 0, total = 0;
      for (const Candidate& c : sampled) {
        const double u = std::exp(c.score - largest);
        sum += u;
        squares += u * u;
      }
      for (int64_t j = 0; j < inputs_.shape.kv_len; ++j) {
        if (w_[j] != 0) total += std::exp(rows_.logit(j) - largest) / w_[j];
      }
      total += sum / p0;
      const double tolerated = epsilon * total / normal_quantile_above(delta / 2);
      const double second_moment = r * squares / static_cast<double>(sampled.size());
      const double wanted = r / (1 + tolerated * tolerated / second_moment);
      if (total > 0 && second_moment > 0) b = std::clamp(std::ceil(wanted), n0, r);
    }
    const double p = static_cast<double>(static_cast<float>(b) / static_cast<float>(r));
    take(sample(s, Draw::Sample, p), p);
  }

  const ir::Program& program_;
  const AttentionInputs& inputs_;
  const SelectionInputs& selection_;
  Rows rows_;
  Evaluator mask_;
  std::vector<StageEvaluators> stages_;
  std::vector<double> weights_;
  std::vector<char> allowed_;
  double* w_ = nullptr;  // of the row
  int64_t batch_ = 0, head_ = 0, query_ = 0;
};

}  // namespace

PhiloxKey stage_key(uint64_t seed, uint64_t offset, int64_t stage, Draw draw) {
  const PhiloxCounter words =
      philox({static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32),
              static_cast<uint32_t>(1 + 2 * stage + (draw == Draw::BaseSample ? 1 : 0)), 0},
             {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  return {words[0], words[1]};
}

double normal_quantile_above(double p) {
  MASKJIT_CHECK(p > 0 && p < 1, "a probability outside of (0, 1)");
  double lo = -40, hi = 40;
  for (int i = 0; i < 200; ++i) {
    const double middle = (lo + hi) / 2;
    (0.5 * std::erfc(middle / std::sqrt(2.0)) > p ? lo : hi) = middle;
  }
  return (lo + hi) / 2;
}

std::vector<double> select_entries(const ir::Program& program, const AttentionInputs& inputs,
                                   const SelectionInputs& selection) {
  return Selection(program, inputs, selection).run();
}

}  // namespace maskjit::interp
