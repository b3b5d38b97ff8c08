#pragma once
// The spec of a command: a file, or a standard masker by name, with values for its parameters.
//
//   SPEC [--entry NAME] [--set name=value ...] [--tensor name=file ...]
#include <CLI/App.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "masker_dsl/driver/driver.h"
#include "masker_dsl/interp/interpreter.h"
#include "runtime/api/engine.h"
#include "tools/io/tensor.h"

namespace maskjit::cli {

struct SpecOptions {
  std::string spec;
  std::string entry;
  std::vector<std::string> settings;  // name=value
  std::vector<std::string> tensors;   // name=file
};
void add_spec_options(CLI::App& command, SpecOptions& options);

// The text of a spec argument. A name without '/' and '.' that is no file is a standard masker: the
// text is empty and the name is the entry.
struct SpecText {
  std::string name;
  std::string text;
  std::string entry;
};
Result<SpecText> read_spec(const SpecOptions& options);

struct Spec {
  SpecText source;
  ir::Program program;  // as checked
  driver::BoundProgram bound;
  std::map<std::string, driver::ParamValue> values;  // what the user set
  double check_milliseconds = 0, bind_milliseconds = 0;
};
// Errors are rendered diagnostics; warnings go to stderr.
Result<Spec> load_spec(const SpecOptions& options);

// Values of the run-time parameters that are left, by index of bound.program.function.
Result<std::vector<ir::Scalar>> runtime_values(const Spec& spec);
// The same set of values for the public API: what bind and run take.
Values api_values(const Spec& spec, ir::BindingTime time);
std::string print_value(const driver::ParamValue& value);

// Tensors that the user names, converted to the spec's element types (a value that does not fit is
// an error).
Result<std::map<std::string, io::Tensor>> read_tensors(const SpecOptions& options,
                                                       const Spec& spec);

ir::Element element_of(ElementType type);
std::optional<ElementType> parse_element_type(std::string_view text);

}  // namespace maskjit::cli
