#include "tools/io/npy.h"

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

std::string file_with_header(std::string header, const std::string& data, int version = 1) {
  header += '\n';
  std::string file = "\x93NUMPY";
  file += static_cast<char>(version);
  file += '\0';
  file += static_cast<char>(header.size() & 0xff);
  file += static_cast<char>(header.size() >> 8);
  if (version > 1) file += std::string(2, '\0');
  return file + header + data;
}

std::string header_of(const std::string& type, const std::string& shape, bool fortran = false) {
  return fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}", type,
                     fortran ? "True" : "False", shape);
}

std::string error_of(const std::string& bytes, bool bfloat16 = false) {
  const Result<Tensor> tensor = parse_npy("x.npy", file_of(bytes), bfloat16);
  EXPECT_FALSE(tensor);
  return tensor ? "" : tensor.error().message;
}

TEST(Npy, EveryTypeRoundTrips) {
  for (const ElementType type :
       {ElementType::Bool, ElementType::I8, ElementType::U8, ElementType::I16, ElementType::I32,
        ElementType::I64, ElementType::F16, ElementType::BF16, ElementType::F32,
        ElementType::F64}) {
    const Result<Tensor> made = Tensor::zeros(type, {2, 3});
    ASSERT_TRUE(made);
    for (int i = 0; i < 6; ++i)
      store_double(made->view().data, type, i, type == ElementType::Bool ? i % 2 : i - 2);
    const std::string data(made->data<char>(), static_cast<size_t>(6 * size_of(type)));
    const std::string header = npy_header(made->view());
    EXPECT_EQ(header.size() % 64, 0U);
    const Result<Tensor> read = parse_npy("x.npy", file_of(header + data), false);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(read->view().type, type);
    EXPECT_THAT(read->view().shape, ElementsAre(2, 3));
    EXPECT_EQ(std::string(read->data<char>(), data.size()), data);
  }
}

TEST(Npy, HeaderOfOneDimensionIsATuple) {
  EXPECT_THAT(npy_header(TensorView::contiguous(nullptr, ElementType::I8, {7})),
              HasSubstr("{'descr': '|i1', 'fortran_order': False, 'shape': (7,), }"));
  EXPECT_THAT(npy_header(TensorView::contiguous(nullptr, ElementType::BF16, {7, 1})),
              HasSubstr("'<V2', 'fortran_order': False, 'shape': (7, 1), "));
}

TEST(Npy, VersionsOneToThree) {
  for (const int version : {1, 2, 3}) {
    const Result<Tensor> read = parse_npy(
        "x.npy", file_of(file_with_header(header_of("|u1", "(3,)"), "abc", version)), false);
    ASSERT_TRUE(read) << read.error().message;
    EXPECT_EQ(std::string(read->data<char>(), 3), "abc");
  }
  EXPECT_EQ(error_of(file_with_header(header_of("|u1", "(3,)"), "abc", 4)),
            "x.npy: has .npy version 4; 1 to 3 are known");
}

TEST(Npy, FortranOrderIsCopied) {
  const Result<Tensor> read = parse_npy(
      "x.npy", file_of(file_with_header(header_of("|u1", "(2, 3)", true), "adbecf")), false);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(read->view().strides, ElementsAre(3, 1));
  EXPECT_EQ(std::string(read->data<char>(), 6), "abcdef");
}

TEST(Npy, ScalarsHaveOneDimension) {
  const Result<Tensor> read =
      parse_npy("x.npy", file_of(file_with_header(header_of("|u1", "()"), "a")), false);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(read->view().shape, ElementsAre(1));
}

TEST(Npy, UnsignedBitsAreBfloat16OnRequest) {
  const std::string bytes = file_with_header(header_of("<u2", "(1,)"), std::string("\x80\x3f", 2));
  EXPECT_THAT(error_of(bytes), HasSubstr("append :bf16 to the file name"));
  const Result<Tensor> read = parse_npy("x.npy", file_of(bytes), true);
  ASSERT_TRUE(read);
  EXPECT_EQ(load_double(read->view().data, read->view().type, 0), 1);
  EXPECT_THAT(error_of(file_with_header(header_of("<f4", "(1,)"), "abcd"), true),
              HasSubstr("(<f4) are not the 16 bits of a bfloat16"));
}

TEST(Npy, ErrorsSayWhatIsWrong) {
  const struct {
    std::string bytes, message;
  } cases[] = {
      {"", "is not a .npy file"},
      {"PK\x03\x04 something else", "is not a .npy file"},
      {file_with_header(header_of(">f4", "(1,)"), "abcd"),
       "its elements (>f4) are big-endian; little-endian is expected"},
      {file_with_header(header_of("<c8", "(1,)"), "abcdabcd"),
       "element type '<c8' is not supported; f2 f4 f8 i1 i2 i4 i8 u1 b1 and bfloat16 (V2) are"},
      {file_with_header("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", "abcd"),
       "it has a structured type; plain elements are expected"},
      {file_with_header(header_of("<f4", "(2,)"), "abcd"),
       "is truncated: its shape needs 8 bytes, 4 are there"},
      {file_with_header(header_of("<f4", "(4611686018427387904, 4)"), "abcd"),
       "its shape is too large for any memory"},
      {file_with_header(header_of("<f4", "(99999999999999999999,)"), ""),
       "'shape' is not a tuple of sizes"},
      {file_with_header(header_of("<f4", "(-1,)"), ""), "'shape' is not a tuple of sizes"},
      {file_with_header("{'descr': '<f4', 'shape': (1,)}", "abcd"),
       "the header lacks 'fortran_order'"},
      {file_with_header("{'fortran_order': False, 'shape': (1,)}", "abcd"),
       "the header lacks 'descr'"},
      {file_with_header("{'descr': '<f4', 'fortran_order': False}", "abcd"),
       "the header lacks 'shape'"},
      {file_with_header("()", ""), "the header is not a dictionary"},
      {file_with_header("{'descr' '<f4'}", ""), "the header is malformed"},
      {file_with_header(header_of("<f4", "(1,)") + " x", "abcd"),
       "there is something after the header's dictionary"},
      {std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12), "has a header of 4294967295 bytes"},
      {std::string("\x93NUMPY\x01\x00\xff\x00", 10), "is truncated in its header"},
  };
  for (const auto& c : cases) EXPECT_EQ(error_of(c.bytes), "x.npy: " + c.message);
}

TEST(Npy, EveryTruncationIsAnError) {
  const std::string whole = file_with_header(header_of("<f4", "(2, 2)"), std::string(16, 'x'));
  for (size_t length = 0; length < whole.size(); ++length) error_of(whole.substr(0, length));
}

TEST(Npy, DamagedFilesAreErrorsOrInBounds) {
  const std::string whole =
      file_with_header(header_of("<f4", "(2, 3)", true), std::string(24, 'x'));
  std::mt19937 random(1);
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string bytes = whole;
    for (uint32_t flips = random() % 3 + 1; flips > 0; --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    const Result<Tensor> read = parse_npy("x.npy", file_of(bytes), false);
    if (!read) continue;
    ++accepted;
    ASSERT_TRUE(convert(read->view(), ElementType::F64));  // reads every element
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace maskjit::io
