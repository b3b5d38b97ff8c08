#include "tools/io/npy.h"

#include <fmt/format.h>

#include <charconv>
#include <cstring>

namespace maskjit::io {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxHeader = 1 << 20;
constexpr size_t kMaxRank = 32;

struct Header {
  std::string type;
  bool fortran_order = false;
  std::vector<int64_t> shape;
  bool has_type = false, has_order = false, has_shape = false;
};

// The Python literal {'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  // What is wrong, or empty.
  std::string parse(Header& header) {
    if (!take("{")) return "the header is not a dictionary";
    while (!take("}")) {
      std::string key;
      if (!string(key) || !take(":")) return "the header is malformed";
      std::string problem = entry(key, header);
      if (!problem.empty()) return problem;
      if (!take(",") && !peek("}")) return "the header is malformed";
    }
    skip();
    if (!rest_.empty()) return "there is something after the header's dictionary";
    if (!header.has_type) return "the header lacks 'descr'";
    if (!header.has_order) return "the header lacks 'fortran_order'";
    if (!header.has_shape) return "the header lacks 'shape'";
    return "";
  }

 private:
  std::string entry(const std::string& key, Header& header) {
    if (key == "descr") {
      header.has_type = true;
      if (peek("[")) return "it has a structured type; plain elements are expected";
      return string(header.type) ? "" : "'descr' is not a type";
    }
    if (key == "fortran_order") {
      header.has_order = true;
      header.fortran_order = take("True");
      return header.fortran_order || take("False") ? "" : "'fortran_order' is not a Boolean";
    }
    if (key == "shape") {
      header.has_shape = true;
      return shape(header.shape) ? "" : "'shape' is not a tuple of sizes";
    }
    return "the header has an unknown entry";
  }

  bool shape(std::vector<int64_t>& extents) {
    extents.clear();
    if (!take("(")) return false;
    while (!take(")")) {
      skip();
      int64_t extent = 0;
      const char* end = rest_.data() + rest_.size();
      const auto [stop, error] = std::from_chars(rest_.data(), end, extent);
      if (error != std::errc() || extent < 0 || extents.size() == kMaxRank) return false;
      rest_.remove_prefix(static_cast<size_t>(stop - rest_.data()));
      take("L");
      extents.push_back(extent);
      if (!take(",") && !peek(")")) return false;
    }
    return true;
  }

  bool string(std::string& out) {
    skip();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return false;
    const size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) return false;
    out = rest_.substr(1, end - 1);
    rest_.remove_prefix(end + 1);
    return true;
  }

  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n' || rest_[0] == '\t')) {
      rest_.remove_prefix(1);
    }
  }
  bool peek(std::string_view token) {
    skip();
    return rest_.starts_with(token);
  }
  bool take(std::string_view token) {
    if (!peek(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  std::string_view rest_;
};

struct TypeName {
  std::string_view code;
  ElementType type;
};
// The first entry of a type is what is written.
constexpr TypeName kTypes[] = {
    {"b1", ElementType::Bool}, {"i1", ElementType::I8},   {"u1", ElementType::U8},
    {"i2", ElementType::I16},  {"i4", ElementType::I32},  {"i8", ElementType::I64},
    {"f2", ElementType::F16},  {"V2", ElementType::BF16}, {"f4", ElementType::F32},
    {"f8", ElementType::F64},
};

Result<ElementType> element_type(const std::string& name, const std::string& descr,
                                 bool bits_are_bfloat16) {
  if (descr.size() >= 3 && descr[0] == '>') {
    return file_error(
        name, fmt::format("its elements ({}) are big-endian; little-endian is expected", descr));
  }
  const bool prefixed = !descr.empty() && (descr[0] == '<' || descr[0] == '|' || descr[0] == '=');
  const std::string_view code = std::string_view(descr).substr(prefixed ? 1 : 0);
  if (bits_are_bfloat16) {
    if (code == "u2" || code == "i2" || code == "V2") return ElementType::BF16;
    return file_error(name,
                      fmt::format("its elements ({}) are not the 16 bits of a bfloat16", descr));
  }
  for (const TypeName& entry : kTypes) {
    if (entry.code == code) return entry.type;
  }
  if (code == "u2") {
    return file_error(name,
                      "its elements are 16-bit unsigned integers; if they are the bits of "
                      "bfloat16, append :bf16 to the file name");
  }
  return file_error(
      name, fmt::format("element type '{}' is not supported; f2 f4 f8 i1 i2 i4 i8 u1 b1 and "
                        "bfloat16 (V2) are",
                        descr.size() < 40 ? descr : "..."));
}

}  // namespace

Result<Tensor> parse_npy(const std::string& name, const FileBytes& file, bool bits_are_bfloat16) {
  const std::span<const std::byte> bytes = file.bytes;
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  if (bytes.size() < 10 || std::string_view(text, kMagic.size()) != kMagic) {
    return file_error(name, "is not a .npy file");
  }
  const auto byte = [&](size_t i) { return static_cast<size_t>(bytes[i]); };
  const size_t version = byte(6);
  if (version < 1 || version > 3) {
    return file_error(name, fmt::format("has .npy version {}; 1 to 3 are known", version));
  }
  const size_t start = version == 1 ? 10 : 12;
  if (bytes.size() < start) return file_error(name, "is truncated in its header");
  size_t length = byte(8) | byte(9) << 8;
  if (version > 1) length |= byte(10) << 16 | byte(11) << 24;
  if (length > kMaxHeader) return file_error(name, fmt::format("has a header of {} bytes", length));
  if (bytes.size() - start < length) return file_error(name, "is truncated in its header");

  Header header;
  const std::string problem = HeaderParser(std::string_view(text + start, length)).parse(header);
  if (!problem.empty()) return file_error(name, problem);
  const Result<ElementType> type = element_type(name, header.type, bits_are_bfloat16);
  if (!type) return type.error();
  if (header.shape.empty()) header.shape = {1};

  const std::optional<int64_t> needed = byte_size(*type, header.shape);
  const size_t available = bytes.size() - start - length;
  if (!needed.has_value()) return file_error(name, "its shape is too large for any memory");
  if (static_cast<uint64_t>(*needed) > available) {
    return file_error(name, fmt::format("is truncated: its shape needs {} bytes, {} are there",
                                        *needed, available));
  }
  auto* data = const_cast<std::byte*>(bytes.data()) + start + length;
  TensorView view = TensorView::contiguous(data, *type, header.shape);
  if (header.fortran_order) {
    int64_t stride = 1;
    for (size_t d = 0; d < view.shape.size(); ++d) {
      view.strides[d] = stride;
      stride *= std::max<int64_t>(view.shape[d], 1);
    }
  }
  const bool aligned = reinterpret_cast<uintptr_t>(data) % static_cast<size_t>(size_of(*type)) == 0;
  if (!aligned || (header.fortran_order && !is_contiguous(view))) return convert(view, *type);
  return Tensor(TensorView::contiguous(data, *type, header.shape), file.owner);
}

std::string npy_header(const TensorView& view) {
  std::string_view code;
  for (const TypeName& entry : kTypes) {
    if (entry.type == view.type) code = entry.code;
  }
  std::string shape;
  for (const int64_t extent : view.shape) shape += fmt::format("{}, ", extent);
  if (view.shape.size() > 1) shape.resize(shape.size() - 2);
  if (view.shape.size() == 1) shape.resize(shape.size() - 1);
  const char order = size_of(view.type) == 1 ? '|' : '<';
  std::string text = fmt::format("{{'descr': '{}{}', 'fortran_order': False, 'shape': ({}), }}",
                                 order, code, shape);
  text.resize((text.size() + 10 + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  text += '\n';
  std::string header(kMagic);
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace maskjit::io
