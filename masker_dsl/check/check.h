#pragma once
// Source text to a checked Program: loads the imports, checks every declaration by itself, then
// lowers the entry with all maskers and scores inlined. All errors of the files are reported, not
// only those of the entry.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "masker_dsl/check/modules.h"
#include "masker_dsl/ir/program.h"

namespace maskjit::check {

struct Checked {
  std::optional<ir::Program> program;
  std::vector<std::unique_ptr<source::SourceFile>> files;  // [0] is the main file
};

// `entry`: see driver::check.
Checked check(std::string name, std::string text, const std::string& entry,
              const FileReader& reader, diag::DiagnosticEmitter& diagnostics);

}  // namespace maskjit::check
