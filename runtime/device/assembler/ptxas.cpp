#include "runtime/device/assembler/ptxas.h"

#include <charconv>

#include "runtime/device/assembler/process.h"

namespace maskjit::assembler {
namespace {

// The number that stands before `what`, 0 if there is none: "244" of "Used 244 registers".
int number_before(std::string_view line, std::string_view what) {
  size_t end = line.find(what);
  if (end == std::string_view::npos) return 0;
  while (end > 0 && line[end - 1] == ' ') --end;
  size_t begin = end;
  while (begin > 0 && line[begin - 1] >= '0' && line[begin - 1] <= '9') --begin;
  int number = 0;
  std::from_chars(line.data() + begin, line.data() + end, number);
  return number;
}

}  // namespace

std::vector<codegen::ResourceUsage> parse_resources(std::string_view verbose) {
  std::vector<codegen::ResourceUsage> resources;
  while (!verbose.empty()) {
    const size_t end = std::min(verbose.find('\n'), verbose.size());
    const std::string_view line = verbose.substr(0, end);
    verbose.remove_prefix(std::min(end + 1, verbose.size()));
    constexpr std::string_view kEntry = "Compiling entry function '";
    if (const size_t at = line.find(kEntry); at != std::string_view::npos) {
      const std::string_view rest = line.substr(at + kEntry.size());
      resources.emplace_back();
      resources.back().entry = rest.substr(0, rest.find('\''));
    }
    if (resources.empty()) continue;
    codegen::ResourceUsage& usage = resources.back();
    if (line.find("bytes stack frame") != std::string_view::npos) {
      usage.stack_bytes = number_before(line, "bytes stack frame");
      usage.spill_store_bytes = number_before(line, "bytes spill stores");
      usage.spill_load_bytes = number_before(line, "bytes spill loads");
    }
    if (line.find("Used ") != std::string_view::npos) {
      usage.registers = number_before(line, "registers");
      usage.shared_bytes = number_before(line, "bytes smem");
    }
  }
  return resources;
}

Result<Assembled> assemble(const std::string& ptxas, std::string_view ptx,
                           const std::string& target) {
  const Result<TemporaryDirectory> folder = TemporaryDirectory::create();
  if (!folder) return folder.error();
  const std::string source = folder->file("kernel.ptx");
  const std::string output = folder->file("kernel.cubin");
  const Status written = write_file(source, ptx);
  if (!written) return written.error();
  const Result<Finished> finished =
      run_process(ptxas, {"-v", "-arch=" + target, source, "-o", output});
  if (!finished) return finished.error();
  if (finished->code != 0) {
    return Error{ErrorKind::Unsupported, fmt::format("{} for {} ended with {}:\n{}", ptxas, target,
                                                     finished->code, finished->output)};
  }
  Result<std::string> cubin = read_file(output);
  if (!cubin) return cubin.error();
  return Assembled{std::move(*cubin), parse_resources(finished->output)};
}

}  // namespace maskjit::assembler
