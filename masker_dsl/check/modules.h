#pragma once
// Files and what they declare. Loading a file reads and parses it and everything it imports;
// declaring resolves the parameters of its maskers and scores and fills its scope: its own
// declarations, those of the files it imports (not what those import), and the standard library.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/ir/types.h"
#include "masker_dsl/parse/ast.h"

namespace maskjit::check {

using FileReader = std::function<std::optional<std::string>(const std::string& path)>;

struct Module;

// A parameter of a masker, score or attention, its type resolved.
struct Parameter {
  enum class Kind : uint8_t { Invalid, Scalar, Tensor } kind = Kind::Invalid;
  std::string_view name;
  source::SourceRange range;  // of its name
  ir::Type type = ir::Type::Int;
  ir::BindingTime time = ir::BindingTime::Const;
  std::optional<ir::Scalar> default_value;
  std::optional<ir::Share> default_share;
  ir::Element element = ir::Element::I32;
  std::vector<ir::Dim> dims;

  bool has_default() const { return default_value || default_share; }
  // "an int", "a tensor<i32>[batch, kv_len]"
  std::string describe() const;
};

struct Callable {
  enum class Result : uint8_t { Unknown, Mask, Sequence, LimitedSequence, Logit };
  const parse::Declaration* declaration = nullptr;
  const Module* module = nullptr;
  std::vector<Parameter> params;
  Result result = Result::Unknown;  // Unknown: in error, or not checked yet

  std::string_view name() const { return declaration->name.text(); }
  bool is_score() const { return declaration->kind == parse::Declaration::Kind::Score; }
};

struct Module {
  const source::SourceFile* file = nullptr;
  parse::Ast ast;
  bool is_library = false;
  bool failed_imports = false;  // unknown names may come from a file that could not be read
  struct Import {
    const Module* module;
    source::SourceRange range;
  };
  std::vector<Import> imports;
  std::vector<std::unique_ptr<Callable>> callables;  // declared here, in order
  std::vector<std::unique_ptr<Callable>> attentions;
  std::map<std::string_view, const Callable*> scope;

  // What `name` means when called in this file, or null.
  const Callable* find(std::string_view name) const;
  std::vector<std::string> names() const;  // for "did you mean"
};

// The standard library: parsed and declared once, never changed.
struct Library {
  std::vector<std::unique_ptr<source::SourceFile>> files;
  std::vector<std::unique_ptr<Module>> modules;
  std::map<std::string_view, const Callable*> scope;
};
const Library& standard_library();

class ModuleSet {
 public:
  ModuleSet(const FileReader& reader, diag::DiagnosticEmitter& diagnostics)
      : reader_(reader), diagnostics_(diagnostics) {}

  // The main file; the others follow in the order of their imports, depth first, importing after
  // imported.
  Module& load(std::string name, std::string text);

  const std::vector<Module*>& in_dependency_order() const { return order_; }
  std::vector<std::unique_ptr<source::SourceFile>> take_files() { return std::move(files_); }

 private:
  struct Entry {
    std::unique_ptr<Module> module;
    bool loading = true;
  };
  Module* load_file(std::string name, std::string text);
  void load_imports(Module& module);

  const FileReader& reader_;
  diag::DiagnosticEmitter& diagnostics_;
  std::vector<std::unique_ptr<source::SourceFile>> files_;
  std::map<std::string, Entry> entries_;  // by normalised path
  std::vector<Module*> order_;
  std::vector<std::string> stack_;  // of paths being loaded
};

// declarations.cpp: fills callables, attentions and scope of a module whose imports are declared.
void declare(Module& module, diag::DiagnosticEmitter& diagnostics);

}  // namespace maskjit::check
