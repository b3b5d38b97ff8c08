#include "tools/io/safetensors.h"

#include <fmt/format.h>

#include <cstring>
#include <nlohmann/json.hpp>

namespace maskjit::io {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kMaxHeader = 100 << 20;
constexpr int kMaxDepth = 8;
constexpr size_t kMaxRank = 32;

struct TypeName {
  std::string_view code;
  ElementType type;
};
constexpr TypeName kTypes[] = {
    {"BOOL", ElementType::Bool}, {"I8", ElementType::I8},     {"U8", ElementType::U8},
    {"I16", ElementType::I16},   {"I32", ElementType::I32},   {"I64", ElementType::I64},
    {"F16", ElementType::F16},   {"BF16", ElementType::BF16}, {"F32", ElementType::F32},
    {"F64", ElementType::F64},
};

// A hostile header of nothing but brackets would cost memory far beyond its size.
bool nested_too_deeply(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMaxDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

struct Header {
  Json json;
  std::span<const std::byte> data;  // what follows the header
};

Result<Header> read_header(const std::string& name, const FileBytes& file) {
  if (file.bytes.size() < 8) return file_error(name, "is too short to be a .safetensors file");
  uint64_t length = 0;
  std::memcpy(&length, file.bytes.data(), 8);
  if (length > kMaxHeader) {
    return file_error(name, "is not a .safetensors file: its header would be larger than 100 MiB");
  }
  if (length > file.bytes.size() - 8) return file_error(name, "is truncated in its header");
  const std::string_view text(reinterpret_cast<const char*>(file.bytes.data()) + 8, length);
  if (nested_too_deeply(text)) return file_error(name, "its header is malformed");
  Header header;
  header.json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!header.json.is_object()) return file_error(name, "its header is not a JSON object");
  header.data = file.bytes.subspan(8 + length);
  return header;
}

// A non-negative integer of 63 bits.
std::optional<int64_t> size_value(const Json& json) {
  if (!json.is_number_unsigned()) return std::nullopt;
  const auto value = json.get<uint64_t>();
  if (value > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return static_cast<int64_t>(value);
}

std::optional<std::vector<int64_t>> size_values(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_array() || found->size() > kMaxRank) return std::nullopt;
  std::vector<int64_t> values;
  for (const Json& element : *found) {
    const std::optional<int64_t> value = size_value(element);
    if (!value.has_value()) return std::nullopt;
    values.push_back(*value);
  }
  return values;
}

std::string type_of(const Json& entry) {
  const auto found = entry.find("dtype");
  return found != entry.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

Result<std::vector<SafetensorsEntry>> list_safetensors(const std::string& name,
                                                       const FileBytes& file) {
  const Result<Header> header = read_header(name, file);
  if (!header) return header.error();
  std::vector<SafetensorsEntry> entries;
  for (const auto& [key, value] : header->json.items()) {
    if (key == "__metadata__") continue;
    const auto shape = value.is_object() ? size_values(value, "shape") : std::nullopt;
    if (!shape.has_value())
      return file_error(name, fmt::format("its entry '{}' is malformed", key));
    entries.push_back({key, type_of(value), *shape});
  }
  return entries;
}

Result<Tensor> parse_safetensors(const std::string& name, const FileBytes& file,
                                 const std::string& tensor) {
  const Result<Header> header = read_header(name, file);
  if (!header) return header.error();
  const auto found = header->json.find(tensor);
  if (found == header->json.end() || tensor == "__metadata__") {
    std::string known;
    for (const auto& [key, value] : header->json.items()) {
      if (key == "__metadata__") continue;
      if (known.size() > 200) {
        known += ", ...";
        break;
      }
      known += (known.empty() ? "" : ", ") + key;
    }
    return file_error(name, fmt::format("has no tensor '{}'; it has: {}", tensor, known));
  }
  const std::string full_name = name + ":" + tensor;
  if (!found->is_object()) return file_error(full_name, "its entry is malformed");
  auto shape = size_values(*found, "shape");
  const auto offsets = size_values(*found, "data_offsets");
  if (!shape.has_value() || !offsets.has_value() || offsets->size() != 2) {
    return file_error(full_name, "its entry is malformed");
  }
  const std::string type_name = type_of(*found);
  std::optional<ElementType> type;
  for (const TypeName& entry : kTypes) {
    if (entry.code == type_name) type = entry.type;
  }
  if (!type.has_value()) {
    return file_error(full_name, fmt::format("element type '{}' is not supported",
                                             type_name.size() < 40 ? type_name : "..."));
  }
  const std::optional<int64_t> needed = byte_size(*type, *shape);
  const int64_t begin = (*offsets)[0], end = (*offsets)[1];
  if (!needed.has_value() || begin > end || end - begin != *needed) {
    return file_error(full_name, "its shape and its extent in the file do not agree");
  }
  if (static_cast<uint64_t>(end) > header->data.size()) {
    return file_error(full_name,
                      fmt::format("is truncated: it ends at byte {} of the data, {} are there", end,
                                  header->data.size()));
  }
  if (shape->empty()) shape = std::vector<int64_t>{1};
  auto* data = const_cast<std::byte*>(header->data.data()) + begin;
  const TensorView view = TensorView::contiguous(data, *type, *shape);
  if (reinterpret_cast<uintptr_t>(data) % static_cast<size_t>(size_of(*type)) != 0) {
    return convert(view, *type);
  }
  return Tensor(view, file.owner);
}

std::string safetensors_header(const std::vector<std::pair<std::string, TensorView>>& tensors) {
  Json json = Json::object();
  int64_t offset = 0;
  for (const auto& [name, view] : tensors) {
    std::string_view code;
    for (const TypeName& entry : kTypes) {
      if (entry.type == view.type) code = entry.code;
    }
    const int64_t end = offset + view.elements() * size_of(view.type);
    json[name] = {{"dtype", code}, {"shape", view.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  // Names are the user's bytes: what is not UTF-8 is replaced.
  std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const uint64_t length = text.size();
  std::string header(8, '\0');
  std::memcpy(header.data(), &length, 8);
  return header + text;
}

}  // namespace maskjit::io
