#include "tools/io/safetensors.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/tools/io/bytes.h"

namespace maskjit::io {
namespace {

using ::maskjit::testing::file_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string file_with_header(const std::string& json, const std::string& data) {
  std::string length(8, '\0');
  const uint64_t size = json.size();
  std::memcpy(length.data(), &size, 8);
  return length + json + data;
}

std::string entry(const std::string& type, const std::string& shape, const std::string& offsets) {
  return fmt::format(R"({{"x":{{"dtype":"{}","shape":{},"data_offsets":{}}}}})", type, shape,
                     offsets);
}

std::string error_of(const std::string& bytes, const std::string& tensor = "x") {
  const Result<Tensor> read = parse_safetensors("f.safetensors", file_of(bytes), tensor);
  EXPECT_FALSE(read);
  return read ? "" : read.error().message;
}

TEST(Safetensors, EveryTypeRoundTrips) {
  std::vector<std::pair<std::string, TensorView>> views;
  std::vector<Tensor> tensors;
  std::string data;
  for (const ElementType type :
       {ElementType::F64, ElementType::I64, ElementType::F32, ElementType::I32, ElementType::F16,
        ElementType::BF16, ElementType::I16, ElementType::Bool, ElementType::I8, ElementType::U8}) {
    const Result<Tensor> made = Tensor::zeros(type, {3, 2});
    ASSERT_TRUE(made);
    for (int i = 0; i < 6; ++i)
      store_double(made->view().data, type, i, type == ElementType::Bool ? i % 2 : i);
    data += std::string(made->data<char>(), static_cast<size_t>(6 * size_of(type)));
    views.emplace_back(std::string(name_of(type)), made->view());
    tensors.push_back(*made);
  }
  const std::string header = safetensors_header(views);
  EXPECT_EQ(header.size() % 8, 0U);
  const FileBytes file = file_of(header + data);
  const auto listed = list_safetensors("f.safetensors", file);
  ASSERT_TRUE(listed);
  EXPECT_EQ(listed->size(), views.size());
  for (const auto& [name, view] : views) {
    const Result<Tensor> read = parse_safetensors("f.safetensors", file, name);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->view().type, view.type);
    EXPECT_EQ(read->view().shape, view.shape);
    for (int i = 0; i < 6; ++i) {
      EXPECT_EQ(load_double(read->view().data, view.type, i), load_double(view.data, view.type, i));
    }
  }
}

TEST(Safetensors, UnalignedDataIsCopied) {
  const std::string json = entry("F32", "[1]", "[0,4]");
  for (size_t padding = 0; padding < 4; ++padding) {
    const Result<Tensor> read = parse_safetensors(
        "f",
        file_of(file_with_header(json + std::string(padding, ' '), std::string("\0\0\x80\x3f", 4))),
        "x");
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(reinterpret_cast<uintptr_t>(read->view().data) % 4, 0U);
    EXPECT_EQ(*read->data<float>(), 1);
  }
}

TEST(Safetensors, ErrorsSayWhatIsWrong) {
  const struct {
    std::string bytes, message;
  } cases[] = {
      {"", "f.safetensors: is too short to be a .safetensors file"},
      {std::string(8, '\xff'),
       "f.safetensors: is not a .safetensors file: its header would be larger than 100 MiB"},
      {std::string("\x10\0\0\0\0\0\0\0{}", 10), "f.safetensors: is truncated in its header"},
      {file_with_header("[]", ""), "f.safetensors: its header is not a JSON object"},
      {file_with_header("{", ""), "f.safetensors: its header is not a JSON object"},
      {file_with_header("{\"x\":" + std::string(1000, '[') + "}", ""),
       "f.safetensors: its header is malformed"},
      {file_with_header("{\"x\":1}", ""), "f.safetensors:x: its entry is malformed"},
      {file_with_header(entry("F8_E4M3", "[1]", "[0,1]"), "a"),
       "f.safetensors:x: element type 'F8_E4M3' is not supported"},
      {file_with_header(entry("F32", "[2]", "[0,4]"), "abcd"),
       "f.safetensors:x: its shape and its extent in the file do not agree"},
      {file_with_header(entry("F32", "[2]", "[8,0]"), "abcd"),
       "f.safetensors:x: its shape and its extent in the file do not agree"},
      {file_with_header(entry("F32", "[4611686018427387904,4]", "[0,0]"), ""),
       "f.safetensors:x: its shape and its extent in the file do not agree"},
      {file_with_header(entry("F32", "[1]", "[9223372036854775803,9223372036854775807]"), "abcd"),
       "f.safetensors:x: is truncated: it ends at byte 9223372036854775807 of the data, 4 are "
       "there"},
      {file_with_header(entry("F32", "[-1]", "[0,4]"), "abcd"),
       "f.safetensors:x: its entry is malformed"},
      {file_with_header(entry("F32", "[1.5]", "[0,4]"), "abcd"),
       "f.safetensors:x: its entry is malformed"},
      {file_with_header(entry("F32", "[18446744073709551615]", "[0,4]"), "abcd"),
       "f.safetensors:x: its entry is malformed"},
      {file_with_header(R"({"y":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})", "abcd"),
       "f.safetensors: has no tensor 'x'; it has: y"},
  };
  for (const auto& c : cases) EXPECT_EQ(error_of(c.bytes), c.message);
  EXPECT_THAT(error_of(file_with_header(R"({"__metadata__":{"a":"b"}})", ""), "__metadata__"),
              HasSubstr("has no tensor"));
}

TEST(Safetensors, DamagedFilesAreErrorsOrInBounds) {
  const std::string whole = file_with_header(entry("F32", "[2,3]", "[0,24]"), std::string(24, 'x'));
  std::mt19937 random(1);
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole.substr(0, random() % 8 == 0 ? random() % whole.size() : whole.size());
    for (uint32_t flips = bytes.empty() ? 0 : random() % 3 + 1; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const Result<Tensor> read = parse_safetensors("f", file_of(bytes), "x");
    if (!read) continue;
    ++accepted;
    ASSERT_TRUE(convert(read->view(), ElementType::F64));
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace maskjit::io
