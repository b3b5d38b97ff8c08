#pragma once
// The front end as three functions: text -> checked Program; Program + parameter values -> bound
// Program; bound Program -> what codegen needs. No LLVM, no I/O except reading imports through
// `FileReader`.
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "masker_dsl/analysis/tile_analysis.h"
#include "masker_dsl/diag/diagnostic.h"
#include "masker_dsl/ir/program.h"

namespace maskjit::driver {

// Reads a file for `import`: its text, or nullopt if it cannot be read.
using FileReader = std::function<std::optional<std::string>(const std::string& path)>;
FileReader disk_reader();

struct CheckedSource {
  std::optional<ir::Program> program;  // empty if there were errors
  diag::DiagnosticEmitter diagnostics;
  std::vector<std::unique_ptr<source::SourceFile>>
      files;  // what diagnostics point into; [0] is the main file
};

// `name` is shown in diagnostics and is what imports are relative to. `entry` picks an attention
// (or a masker without required parameters) by name; empty: the only attention, or the only masker,
// of the file.
CheckedSource check(std::string name, std::string text, const std::string& entry = {},
                    const FileReader& reader = disk_reader());

// A value for a parameter as a user writes it: a scalar, or a share such as "10%" for Const Int.
using ParamValue = std::variant<ir::Scalar, ir::Share>;
// "12", "0.5", "true", "10%"; nullopt if it is none of them.
std::optional<ParamValue> parse_param_value(std::string_view text);

struct BoundProgram {
  ir::Program program;  // passes have run; no Const parameter is left
  analysis::TileFunctions tiles;
};

// Replaces Const parameters by their values (defaults where none is given), runs the passes and the
// tile analysis. Unknown names, wrong types, missing values and values for Runtime parameters of
// the wrong type are diagnostics. Runtime parameters stay.
std::optional<BoundProgram> bind(const ir::Program& program,
                                 const std::map<std::string, ParamValue>& values,
                                 diag::DiagnosticEmitter& diagnostics);

// The text in canonical layout, or nothing but diagnostics if it cannot be parsed.
struct FormattedSource {
  std::optional<std::string> text;
  diag::DiagnosticEmitter diagnostics;
  std::unique_ptr<source::SourceFile> file;  // what diagnostics point into
};
FormattedSource format(std::string name, std::string text);

// Dumps of the first two stages, for --emit=tokens and --emit=ast; errors do not stop them.
std::string emit_tokens(std::string_view text);
std::string emit_ast(std::string_view text);

}  // namespace maskjit::driver
