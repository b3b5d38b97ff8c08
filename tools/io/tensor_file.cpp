#include "tools/io/tensor_file.h"

#include <fmt/format.h>

#include <map>

#include "tools/io/npy.h"
#include "tools/io/safetensors.h"

namespace maskjit::io {
namespace {

enum class Format { Npy, Safetensors };

struct Location {
  std::string path;
  std::string tensor;  // what follows the colon
  Format format = Format::Npy;
};

Result<Location> locate(const std::string& argument) {
  constexpr std::string_view kNpy = ".npy";
  constexpr std::string_view kSafetensors = ".safetensors";
  if (argument.ends_with(kNpy)) return Location{argument, "", Format::Npy};
  if (argument.ends_with(kSafetensors)) return Location{argument, "", Format::Safetensors};
  if (argument.ends_with(".npy:bf16")) {
    return Location{argument.substr(0, argument.size() - 5), "bf16", Format::Npy};
  }
  const size_t colon = argument.find(".safetensors:");
  if (colon != std::string::npos && colon + kSafetensors.size() + 1 < argument.size()) {
    const size_t end = colon + kSafetensors.size();
    return Location{argument.substr(0, end), argument.substr(end + 1), Format::Safetensors};
  }
  return file_error(argument, "is neither a .npy nor a .safetensors file");
}

Result<std::string> choose(const Location& location, const FileBytes& file,
                           std::string_view expected) {
  const auto entries = list_safetensors(location.path, file);
  if (!entries) return entries.error();
  if (entries->empty()) return file_error(location.path, "has no tensors");
  if (entries->size() == 1) return (*entries)[0].name;
  std::string known;
  for (const SafetensorsEntry& entry : *entries) {
    if (entry.name == expected) return entry.name;
    if (known.size() < 200) known += (known.empty() ? "" : ", ") + entry.name;
  }
  return file_error(location.path, fmt::format("has {} tensors; append :name to choose one of {}",
                                               entries->size(), known));
}

}  // namespace

Result<Tensor> read_tensor(const std::string& argument, std::string_view expected) {
  Result<Location> location = locate(argument);
  if (!location) return location.error();
  const Result<FileBytes> file = read_bytes(location->path);
  if (!file) return file.error();
  if (location->format == Format::Npy) {
    return parse_npy(location->path, *file, location->tensor == "bf16");
  }
  if (location->tensor.empty()) {
    Result<std::string> chosen = choose(*location, *file, expected);
    if (!chosen) return chosen.error();
    location->tensor = *chosen;
  }
  return parse_safetensors(location->path, *file, location->tensor);
}

Status check_output_name(const std::string& argument) {
  const Result<Location> location = locate(argument);
  if (!location) return location.error();
  return Done{};
}

Status write_tensors(const std::vector<NamedTensor>& tensors) {
  std::map<std::string, std::vector<std::pair<std::string, TensorView>>> collections;
  std::vector<Tensor> copies;  // keeps contiguous copies alive
  for (const NamedTensor& entry : tensors) {
    const Result<Location> location = locate(entry.argument);
    if (!location) return location.error();
    TensorView view = entry.tensor.view();
    if (!is_contiguous(view)) {
      Result<Tensor> copy = convert(view, view.type);
      if (!copy) return copy.error();
      view = copy->view();
      copies.push_back(*copy);
    }
    const auto bytes = std::as_bytes(
        std::span(static_cast<const char*>(view.data),
                  static_cast<size_t>(view.elements()) * static_cast<size_t>(size_of(view.type))));
    if (location->format == Format::Npy) {
      const std::string header = npy_header(view);
      Status done = write_bytes(location->path, {std::as_bytes(std::span(header)), bytes});
      if (!done) return done;
    } else {
      const std::string& name = location->tensor.empty() ? entry.name : location->tensor;
      for (const auto& [other, unused] : collections[location->path]) {
        if (other == name) return file_error(entry.argument, "would be written twice");
      }
      collections[location->path].emplace_back(name, view);
    }
  }
  for (const auto& [path, views] : collections) {
    const std::string header = safetensors_header(views);
    std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(header))};
    for (const auto& [name, view] : views) {
      pieces.push_back(std::as_bytes(std::span(
          static_cast<const char*>(view.data),
          static_cast<size_t>(view.elements()) * static_cast<size_t>(size_of(view.type)))));
    }
    Status done = write_bytes(path, pieces);
    if (!done) return done;
  }
  return Done{};
}

}  // namespace maskjit::io
