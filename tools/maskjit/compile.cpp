// maskjit compile: the text of any stage.
#include <fmt/format.h>

#include <memory>

#include "masker_dsl/analysis/plan.h"
#include "masker_dsl/ir/text.h"
#include "masker_dsl/lex/lexer.h"
#include "masker_dsl/parse/parser.h"
#include "tools/io/file.h"
#include "tools/maskjit/command.h"
#include "tools/maskjit/console.h"
#include "tools/maskjit/kernel_choice.h"
#include "tools/maskjit/machine_code.h"

namespace maskjit::cli {
namespace {

struct Options {
  SpecOptions spec;
  Lengths lengths;
  KernelOptions kernel;
  std::string emit = "asm";
  std::string output = "-";
  int pass_limit = -1;
};

int write(const Options& options, const std::string& text) {
  if (options.output == "-") {
    print(text);
    return kOk;
  }
  const Status done = io::write_text(options.output, text);
  return done ? kOk : report(done.error());
}

// Tokens and syntax tree, which exist for wrong programs, too.
int emit_syntax(const Options& options) {
  const Result<SpecText> source = read_spec(options.spec);
  if (!source) return report(source.error());
  const source::SourceFile file(source->name, source->text);
  diag::DiagnosticEmitter diagnostics;
  const lex::TokenBuffer tokens = lex::tokenize(file, diagnostics);
  std::string text;
  if (options.emit == "tokens") {
    text = parse::dump(file, tokens);
  } else {
    const parse::Ast ast = parse::parse(file, tokens, diagnostics);
    text = parse::dump(ast);
  }
  const int code = write(options, text);
  if (!diagnostics.has_errors()) return code;
  return report(
      {ErrorKind::InvalidInput, diag::render_all(diagnostics, {.color = color_on_stderr()})});
}

int emit_code(const Options& options, const Spec& spec) {
  const Result<KernelChoice> choice = choose_kernel(spec, options.kernel, options.lengths, nullptr);
  if (!choice) return report(choice.error());
  const bool assembled = options.emit == "cubin" || options.emit == "sass-report";
  if ((options.emit == "ptx" || assembled) && choice->target.is_host()) {
    return report_usage(fmt::format("--emit={} needs --target with one of {}", options.emit,
                                    fmt::join(codegen::Target::device_names(), ", ")));
  }
  if (options.emit == "object" && !choice->target.is_host()) {
    return report_usage(fmt::format("{} has no object: --emit=ptx", choice->target.print()));
  }
  codegen::EmitRequest request;
  request.llvm_before = options.emit == "llvm-before";
  request.llvm = options.emit == "llvm";
  request.assembly = options.emit == "asm" || options.emit == "ptx";
  request.pass_limit = options.pass_limit;
  codegen::EmitResult emitted;
  auto compiled = codegen::compile(spec.bound.program, spec.bound.tiles, choice->spec,
                                   choice->target, request, &emitted);
  if (const auto* error = std::get_if<codegen::CompileError>(&compiled)) {
    return report({ErrorKind::Internal, error->message});
  }
  if (request.llvm_before) return write(options, emitted.llvm_before);
  if (request.llvm) return write(options, emitted.llvm);
  if (request.assembly) return write(options, emitted.assembly);
  const auto& artifact = std::get<codegen::CodeArtifact>(compiled);
  if (!assembled) return write(options, artifact.object);
  const Result<MachineCode> code = assemble(artifact);
  if (!code) return report(code.error());
  if (options.emit == "sass-report") return write(options, sass_report(artifact, *code));
  const int done = write(options, code->assembled.cubin);
  for (const codegen::ResourceUsage& usage : code->assembled.resources)
    std::fprintf(stderr, "%s\n", describe(usage).c_str());
  return done;
}

int run(Options& options) {
  if ((options.emit == "object" || options.emit == "cubin") && options.output == "-") {
    return report_usage(fmt::format("--emit={} needs -o FILE", options.emit));
  }
  if (options.emit == "tokens" || options.emit == "ast") return emit_syntax(options);
  const Result<Spec> spec = load_spec(options.spec);
  if (!spec) return report(spec.error());
  const Status ok = complete(options.lengths, 1024);
  if (!ok) return report(ok.error());
  if (options.emit == "ir")
    return write(options, ir::print(spec->bound.program.function, {.comments = true}));
  if (options.emit == "plan") {
    if (spec->bound.program.stages.empty())
      return write(options, "static mask: one kernel, no plan\n");
    if (options.kernel.target.empty())
      return write(options, analysis::explain_plan(spec->bound.program));
    const Result<KernelChoice> choice =
        choose_kernel(*spec, options.kernel, options.lengths, nullptr);
    if (!choice) return report(choice.error());
    std::string plan = analysis::explain_plan(spec->bound.program, choice->target.is_host());
    if (!choice->target.is_host()) {
      plan += fmt::format("kernels of {} for {}, on 108 multiprocessors\n{}",
                          choice->spec.template_name, choice->target.print(),
                          launch_of(*choice, options.lengths));
    }
    return write(options, plan);
  }
  if (options.emit == "tiles") {
    return write(options, ir::print(spec->bound.tiles.tile) + ir::print(spec->bound.tiles.ranges));
  }
  return emit_code(options, *spec);
}

void declare(CLI::App& command, std::string_view, Action& action) {
  auto options = std::make_shared<Options>();
  command.footer(
      "Stages: tokens, ast, ir (after the passes), tiles (the tile and range functions), "
      "plan (of a sequence with selectors), llvm-before (before the\n"
      "optimiser), llvm, asm, object; of a GPU ptx, cubin (machine code, by ptxas) and sass-report "
      "(its registers,\n"
      "spills and instructions by class).\n"
      "Examples:\n"
      "  maskjit compile causal --emit=ir\n"
      "  maskjit compile streaming_llm.masker --emit=asm --dtype bf16 --target x86-64+avx512+bf16 "
      "-o kernel.s\n"
      "  maskjit compile causal --emit=ptx --dtype bf16 --head-dim 128 --target sm_90\n"
      "  maskjit compile causal --emit=sass-report --dtype bf16 --head-dim 128 --target sm_80");
  add_spec_options(command, options->spec);
  add_length_options(command, options->lengths);
  add_kernel_options(command, options->kernel);
  command.add_option("--emit", options->emit, "The stage to print")
      ->check(CLI::IsMember({"tokens", "ast", "ir", "tiles", "plan", "llvm-before", "llvm", "asm",
                             "ptx", "cubin", "sass-report", "object"}))
      ->capture_default_str();
  command.add_option("--pass-limit", options->pass_limit,
                     "Stop the optimiser after so many passes");
  command.add_option("-o,--output", options->output, "A file, or - for standard output")
      ->capture_default_str();
  command.callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace

const Subcommand kCompile = {"compile", "Compile a spec and print any stage of it", declare};

}  // namespace maskjit::cli
