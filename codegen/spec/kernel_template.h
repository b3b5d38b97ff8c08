#pragma once
// Templates as data: what each can do, in the order in which they are tried.
#include <optional>
#include <string>
#include <vector>

#include "codegen/spec/kernel_spec.h"

namespace maskjit::codegen {

// Yes, or no with the reason.
struct Support {
  bool yes = true;
  std::string reason;
  static Support no(std::string why) { return {false, std::move(why)}; }
};

struct KernelTemplate {
  std::string name;
  std::string purpose;
  Support (*supports)(const ir::Program&, const ProblemSpec&, const Target&);
  // The specialisation for a problem that it supports: operand words and tile shape.
  // select_template adds the name and what follows from the program.
  KernelSpec (*specialise)(const ProblemSpec&, const Target&);
  bool selects = false;  // it runs sequences of stages, and nothing else
};

// Of host kernels (device_templates.h has the others). Best first; the last one, the reference,
// supports every valid problem.
const std::vector<KernelTemplate>& kernel_templates();

struct Refusal {
  std::string template_name;
  std::string reason;
};
struct Selection {
  std::optional<KernelSpec> spec;
  std::vector<Refusal> refused;
};
// `only`: the name of the single template to consider; empty: all of them.
Selection select_template(const ir::Program& program, const ProblemSpec& problem,
                          const Target& target, std::string_view only = {});

}  // namespace maskjit::codegen
