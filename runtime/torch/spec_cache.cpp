#include "runtime/torch/spec_cache.h"

#include <charconv>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>

#include "runtime/torch/checks.h"

namespace maskjit::torch {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T number;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failure != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<Value> parse_value(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  if (text.ends_with('%')) {
    // The number nearest to the share, as in the language.
    const std::string percent(text.substr(0, text.size() - 1));
    const auto share = parse_number<double>(percent + "e-2");
    if (!share) return std::nullopt;
    return Share{*share};
  }
  if (const auto integer = parse_number<int64_t>(text)) return *integer;
  if (const auto real = parse_number<double>(text)) return *real;
  return std::nullopt;
}

struct Hash {
  size_t operator()(const SpecText& text) const {
    size_t hash = 0;
    for (std::string_view part : {text.program, text.entry, text.constants, text.path}) {
      hash = hash * 31 + std::hash<std::string_view>()(part);
    }
    return hash;
  }
};

struct Entry {
  std::array<std::string, 4> texts;  // what the key refers to
  CompiledSpec compiled;
};

struct Specs {
  std::shared_mutex mutex;
  std::unordered_map<SpecText, std::unique_ptr<const Entry>, Hash> known;
};

Specs& specs() {
  static Specs& shared = *new Specs;
  return shared;
}

}  // namespace

std::vector<std::string> split_names(std::string_view text) {
  std::vector<std::string> names;
  while (!trimmed(text).empty()) {
    const size_t end = std::min(text.find(','), text.size());
    names.emplace_back(trimmed(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return names;
}

Values parse_constants(std::string_view text) {
  Values values;
  for (const std::string& item : split_names(text)) {
    const size_t equals = std::min(item.find('='), item.size());
    const std::string name(trimmed(std::string_view(item).substr(0, equals)));
    const auto value =
        parse_value(trimmed(std::string_view(item).substr(std::min(equals + 1, item.size()))));
    TORCH_CHECK_VALUE(!name.empty() && value, "constants has '", item,
                      "'; name=value is needed, where value is a number, true, false, or N% for a "
                      "share of the keys");
    TORCH_CHECK_VALUE(values.emplace(name, *value).second, "constants has '", name, "' twice");
  }
  return values;
}

const CompiledSpec& find_spec(const SpecText& text) {
  Specs& cache = specs();
  {
    const std::shared_lock lock(cache.mutex);
    if (const auto found = cache.known.find(text); found != cache.known.end()) {
      return found->second->compiled;
    }
  }
  std::array<std::string, 4> texts = {std::string(text.program), std::string(text.entry),
                                      std::string(text.constants), std::string(text.path)};
  CompiledSpec compiled = compile({texts[0], texts[1], texts[3], parse_constants(texts[2])});
  auto entry = std::make_unique<const Entry>(Entry{std::move(texts), std::move(compiled)});
  const auto& [program, name, constants, path] = entry->texts;
  const SpecText key = {program, name, constants, path};
  const std::unique_lock lock(cache.mutex);
  return cache.known.emplace(key, std::move(entry)).first->second->compiled;
}

}  // namespace maskjit::torch
