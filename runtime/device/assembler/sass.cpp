#include "runtime/device/assembler/sass.h"

#include <algorithm>
#include <iterator>

#include "runtime/device/assembler/process.h"

namespace maskjit::assembler {
namespace {

struct OpcodeClass {
  std::string_view prefix;
  std::string_view name;
};
// By prefix, the first that fits (CUDA Binary Utilities, instruction set reference).
constexpr OpcodeClass kClasses[] = {
    {"HMMA", "matrix"},      {"IMMA", "matrix"},       {"DMMA", "matrix"},
    {"BMMA", "matrix"},      {"QMMA", "matrix"},       {"OMMA", "matrix"},
    {"HGMMA", "matrix"},     {"IGMMA", "matrix"},      {"QGMMA", "matrix"},
    {"BGMMA", "matrix"},     {"UTC", "matrix"},        {"WARPGROUP", "matrix"},
    {"LDC", "move"},         {"REDUX", "integer"},     {"LDGSTS", "async"},
    {"LDGDEPBAR", "async"},  {"UTMA", "async"},        {"UBLKCP", "async"},
    {"ARRIVES", "async"},    {"DEPBAR", "async"},      {"SYNCS", "async"},
    {"LDSM", "shared"},      {"STSM", "shared"},       {"LDS", "shared"},
    {"STS", "shared"},       {"ATOMS", "shared"},      {"MOVM", "shared"},
    {"LDL", "local"},        {"STL", "local"},         {"LDG", "global"},
    {"STG", "global"},       {"ATOMG", "global"},      {"ATOM", "global"},
    {"RED", "global"},       {"LD", "global"},         {"ST", "global"},
    {"CCTL", "global"},      {"MUFU", "special"},      {"F2F", "convert"},
    {"F2I", "convert"},      {"I2F", "convert"},       {"I2I", "convert"},
    {"I2IP", "convert"},     {"F2FP", "convert"},      {"FRND", "convert"},
    {"BAR", "barrier"},      {"MEMBAR", "barrier"},    {"ERRBAR", "barrier"},
    {"WARPSYNC", "barrier"}, {"BRA", "control"},       {"BRX", "control"},
    {"JMP", "control"},      {"JMX", "control"},       {"CALL", "control"},
    {"RET", "control"},      {"EXIT", "control"},      {"BSSY", "control"},
    {"BSYNC", "control"},    {"BREAK", "control"},     {"BMOV", "control"},
    {"YIELD", "control"},    {"NANOSLEEP", "control"}, {"NOP", "control"},
    {"KILL", "control"},     {"RPCMOV", "control"},    {"BPT", "control"},
    {"MOV", "move"},         {"UMOV", "move"},         {"SEL", "move"},
    {"USEL", "move"},        {"PRMT", "move"},         {"UPRMT", "move"},
    {"SHFL", "move"},        {"R2UR", "move"},         {"S2R", "move"},
    {"S2UR", "move"},        {"CS2R", "move"},         {"P2R", "move"},
    {"R2P", "move"},         {"ULDC", "move"},         {"R2B", "move"},
    {"B2R", "move"},         {"FSWZADD", "float"},     {"FADD", "float"},
    {"FMUL", "float"},       {"FFMA", "float"},        {"FMNMX", "float"},
    {"FSEL", "float"},       {"FSET", "float"},        {"FCHK", "float"},
    {"HADD", "float"},       {"HMUL", "float"},        {"HFMA", "float"},
    {"HMNMX", "float"},      {"HSET", "float"},        {"DADD", "float"},
    {"DMUL", "float"},       {"DFMA", "float"},        {"DSET", "float"},
    {"DMNMX", "float"},      {"IADD", "integer"},      {"IMAD", "integer"},
    {"IMNMX", "integer"},    {"IABS", "integer"},      {"IDP", "integer"},
    {"ISETP", "integer"},    {"ISCADD", "integer"},    {"LEA", "integer"},
    {"LOP", "integer"},      {"SHF", "integer"},       {"SHL", "integer"},
    {"SHR", "integer"},      {"PLOP", "integer"},      {"POPC", "integer"},
    {"FLO", "integer"},      {"BREV", "integer"},      {"BMSK", "integer"},
    {"SGXT", "integer"},     {"VOTE", "integer"},      {"MATCH", "integer"},
    {"VIADD", "integer"},    {"VIMNMX", "integer"},    {"UIADD", "integer"},
    {"UIMAD", "integer"},    {"UISETP", "integer"},    {"ULEA", "integer"},
    {"ULOP", "integer"},     {"USHF", "integer"},      {"UPLOP", "integer"},
    {"UPOPC", "integer"},    {"UFLO", "integer"},      {"UBREV", "integer"},
    {"UBMSK", "integer"},    {"USGXT", "integer"},     {"VOTEU", "integer"},
};

// "HMMA" of "/*0010*/   @!P0 HMMA.16816.F32 R4, R8, R2, R4 ;   /* 0x... */"; empty: no instruction.
std::string_view opcode_of(std::string_view line) {
  const auto skip_spaces = [&] {
    line.remove_prefix(std::min(line.find_first_not_of(" \t{"), line.size()));
  };
  skip_spaces();
  if (!line.starts_with("/*")) return {};
  const size_t close = line.find("*/");
  if (close == std::string_view::npos || close > 10) return {};
  const std::string_view offset = line.substr(2, close - 2);
  if (offset.empty() || offset.find_first_not_of("0123456789abcdef") != std::string_view::npos)
    return {};
  line.remove_prefix(close + 2);
  skip_spaces();
  if (line.starts_with('@')) {
    line.remove_prefix(std::min(line.find(' '), line.size()));
    skip_spaces();
  }
  const size_t end =
      std::min(line.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), line.size());
  const std::string_view opcode = line.substr(0, end);
  return opcode.empty() || opcode.front() < 'A' ? std::string_view() : opcode;
}

// The kernel that a line begins, if it does: "Function : name" or ".text.name:".
std::string_view kernel_of(std::string_view line) {
  constexpr std::string_view kFunction = "Function : ";
  if (const size_t at = line.find(kFunction); at != std::string_view::npos) {
    const std::string_view name = line.substr(at + kFunction.size());
    return name.substr(0, name.find_first_of(" \t\r"));
  }
  if (line.starts_with(".text.") && line.ends_with(':')) return line.substr(6, line.size() - 7);
  return {};
}

}  // namespace

std::string_view sass_class(std::string_view opcode) {
  for (const OpcodeClass& c : kClasses) {
    if (opcode.starts_with(c.prefix)) return c.name;
  }
  return "other";
}

std::vector<SassCounts> parse_sass(std::string_view listing) {
  std::vector<SassCounts> kernels;
  while (!listing.empty()) {
    const size_t end = std::min(listing.find('\n'), listing.size());
    const std::string_view line = listing.substr(0, end);
    listing.remove_prefix(std::min(end + 1, listing.size()));
    if (const std::string_view name = kernel_of(line); !name.empty()) {
      kernels.emplace_back();
      kernels.back().kernel = name;
      continue;
    }
    const std::string_view opcode = opcode_of(line);
    if (opcode.empty() || kernels.empty()) continue;
    SassCounts& counts = kernels.back();
    ++counts.instructions;
    ++counts.by_class[std::string(sass_class(opcode))];
    ++counts.by_opcode[std::string(opcode)];
  }
  return kernels;
}

Result<std::vector<SassCounts>> count_sass(const ToolPaths& paths, std::string_view cubin) {
  std::vector<std::string> arguments = {"-sass"};
  Result<std::string> tool = find_tool(paths, "cuobjdump");
  if (!tool) {
    arguments = {"-c"};
    Result<std::string> other = find_tool(paths, "nvdisasm");
    if (!other) {
      Error error = tool.error();
      error.message = "no cuobjdump and " + other.error().message;
      return error;
    }
    tool = std::move(other);
  }
  const Result<TemporaryDirectory> folder = TemporaryDirectory::create();
  if (!folder) return folder.error();
  const std::string file = folder->file("kernel.cubin");
  const Status written = write_file(file, cubin);
  if (!written) return written.error();
  arguments.push_back(file);
  const Result<Finished> finished = run_process(*tool, arguments);
  if (!finished) return finished.error();
  if (finished->code != 0) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("{} ended with {}:\n{}", *tool, finished->code, finished->output)};
  }
  std::vector<SassCounts> kernels = parse_sass(finished->output);
  if (kernels.empty())
    return Error{ErrorKind::Unsupported, *tool + " lists no kernel of the cubin"};
  return kernels;
}

}  // namespace maskjit::assembler
