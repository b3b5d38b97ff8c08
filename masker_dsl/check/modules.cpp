#include "masker_dsl/check/modules.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "masker_dsl/check/names.h"
#include "masker_dsl/check/selectors.h"
#include "masker_dsl/diag/text.h"
#include "masker_dsl/ir/internal_error.h"
#include "masker_dsl/lex/lexer.h"
#include "masker_dsl/library/library.h"
#include "masker_dsl/parse/parser.h"

namespace maskjit::check {

using diag::Kind;

namespace {

constexpr size_t kMaxImportDepth = 50;
constexpr size_t kMaxFiles = 500;

std::string normalised(const std::string& path) {
  return std::filesystem::path(path).lexically_normal().generic_string();
}

Library build_library() {
  Library library;
  diag::DiagnosticEmitter diagnostics;
  for (const library::LibraryFile& text : library::files()) {
    const auto& file = library.files.emplace_back(
        std::make_unique<source::SourceFile>(std::string(text.name), std::string(text.text)));
    const auto& module = library.modules.emplace_back(std::make_unique<Module>());
    module->file = file.get();
    module->is_library = true;
    module->ast = parse::parse(*file, lex::tokenize(*file, diagnostics), diagnostics);
    declare(*module, diagnostics);
    for (const auto& callable : module->callables) {
      callable->result = callable->is_score() ? Callable::Result::Logit : Callable::Result::Mask;
      library.scope.emplace(callable->name(), callable.get());
    }
  }
  MASKJIT_CHECK(!diagnostics.has_errors(), diag::render_all(diagnostics));
  return library;
}

}  // namespace

const Library& standard_library() {
  static const Library library = build_library();
  return library;
}

const Callable* Module::find(std::string_view name) const {
  if (const auto found = scope.find(name); found != scope.end()) return found->second;
  const auto& standard = standard_library().scope;
  const auto found = standard.find(name);
  return found == standard.end() ? nullptr : found->second;
}

std::vector<std::string> Module::names() const {
  std::vector<std::string> names;
  for (const auto& [name, callable] : scope) names.emplace_back(name);
  for (const auto& [name, callable] : standard_library().scope) names.emplace_back(name);
  for (const BuiltinFunction& function : builtin_functions()) names.emplace_back(function.name);
  for (const SelectorInfo& selector : selectors()) names.emplace_back(selector.name);
  return names;
}

Module& ModuleSet::load(std::string name, std::string text) {
  return *load_file(std::move(name), std::move(text));
}

Module* ModuleSet::load_file(std::string name, std::string text) {
  const std::string key = normalised(name);
  Entry& entry = entries_[key];  // stays where it is
  entry.module = std::make_unique<Module>();
  Module& module = *entry.module;
  module.file =
      files_.emplace_back(std::make_unique<source::SourceFile>(std::move(name), std::move(text)))
          .get();
  module.ast = parse::parse(*module.file, lex::tokenize(*module.file, diagnostics_), diagnostics_);
  stack_.push_back(key);
  load_imports(module);
  stack_.pop_back();
  declare(module, diagnostics_);
  entry.loading = false;
  order_.push_back(&module);
  return &module;
}

void ModuleSet::load_imports(Module& module) {
  for (const parse::Declaration& declaration : module.ast.declarations) {
    if (declaration.kind != parse::Declaration::Kind::Import || declaration.has_errors) continue;
    const std::string written(declaration.import_path());
    const auto folder = std::filesystem::path(module.file->name()).parent_path();
    const std::string path = normalised((folder / written).generic_string());
    const auto fail = [&](Kind kind, std::string message) -> diag::Diagnostic& {
      module.failed_imports = true;
      return diagnostics_.error(kind, declaration.name, std::move(message));
    };
    if (const auto known = entries_.find(path); known != entries_.end()) {
      if (known->second.loading) {
        std::string cycle;
        for (auto at = std::find(stack_.begin(), stack_.end(), path); at != stack_.end(); ++at) {
          cycle += *at + " -> ";
        }
        fail(Kind::ImportCycle, fmt::format("the import closes a cycle: {}{}", cycle, path))
            .with_hint("move what both files need into a third one");
      } else {
        module.imports.push_back({known->second.module.get(), declaration.name});
      }
      continue;
    }
    if (stack_.size() >= kMaxImportDepth || files_.size() >= kMaxFiles) {
      fail(Kind::ProgramTooLarge, fmt::format("imports nest over {} deep or name over {} files",
                                              kMaxImportDepth, kMaxFiles));
      continue;
    }
    const bool readable_name =
        !written.empty() && std::all_of(written.begin(), written.end(), [](char c) {
          return static_cast<unsigned char>(c) >= 0x20;
        });
    std::optional<std::string> text;
    if (readable_name) text = reader_(path);
    if (!text) {
      fail(Kind::ImportNotFound, fmt::format("cannot read {}", diag::quoted(path)))
          .with_hint("paths are relative to the importing file");
      continue;
    }
    module.imports.push_back({load_file(path, std::move(*text)), declaration.name});
  }
}

}  // namespace maskjit::check
