#include "runtime/device/assembler/cuda_tools.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace maskjit::assembler {
namespace {

bool is_program(const std::string& path) {
  std::error_code ignored;
  return ::access(path.c_str(), X_OK) == 0 && !std::filesystem::is_directory(path, ignored);
}

std::string_view purpose_of(std::string_view name) {
  if (name == "ptxas") return "which makes machine code of PTX";
  return "which lists machine code";
}

}  // namespace

std::vector<std::string> tool_folders(std::string_view path,
                                      const std::vector<std::string>& cuda_homes) {
  std::vector<std::string> folders;
  while (!path.empty()) {
    const size_t end = std::min(path.find(':'), path.size());
    if (end > 0) folders.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  for (const std::string& home : cuda_homes) {
    if (!home.empty()) folders.push_back(home + "/bin");
  }
  folders.emplace_back("/usr/local/cuda/bin");
  std::vector<std::string> versions;
  std::error_code error;
  std::filesystem::directory_iterator it("/usr/local", error), end;
  for (; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with("cuda-")) versions.push_back(it->path().string() + "/bin");
  }
  // cuda-13.0 before cuda-9.2: longer names are later versions.
  std::sort(versions.begin(), versions.end(), [](const std::string& a, const std::string& b) {
    return a.size() != b.size() ? a.size() > b.size() : a > b;
  });
  folders.insert(folders.end(), versions.begin(), versions.end());
  return folders;
}

Result<std::string> find_tool(const ToolPaths& paths, std::string_view name) {
  if (name == "ptxas" && !paths.ptxas.empty()) {
    if (is_program(paths.ptxas)) return paths.ptxas;
    return Error{ErrorKind::Unsupported,
                 fmt::format("MASKJIT_PTXAS is {}, which is no program", paths.ptxas)};
  }
  for (const std::string& folder : paths.folders) {
    std::string path = fmt::format("{}/{}", folder, name);
    if (is_program(path)) return path;
  }
  return Error{
      ErrorKind::Unsupported,
      fmt::format("no {}, {}, in PATH, CUDA_HOME/bin or the usual CUDA folders: install the CUDA "
                  "toolkit{}",
                  name, purpose_of(name),
                  name == "ptxas" ? " (from PyPI: nvidia-cuda-nvcc) or set MASKJIT_PTXAS"
                                  : ", or put the one that triton brings (from PyPI) on PATH")};
}

}  // namespace maskjit::assembler
