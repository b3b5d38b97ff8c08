#include "tools/io/tensor_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "tests/tools/io/temporary_folder.h"
#include "tools/io/file.h"
#include "tools/io/png.h"

namespace maskjit::io {
namespace {

using ::maskjit::testing::TemporaryFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tensor counting(std::vector<int64_t> shape, float first = 0) {
  Tensor tensor = *Tensor::zeros(ElementType::F32, shape);
  for (int64_t i = 0; i < tensor.view().elements(); ++i)
    tensor.data<float>()[i] = first + static_cast<float>(i);
  return tensor;
}

float first_of(const std::string& argument, std::string_view expected = {}) {
  const Result<Tensor> tensor = read_tensor(argument, expected);
  EXPECT_TRUE(tensor) << tensor.error().message;
  return tensor ? tensor->data<float>()[0] : -1;
}

TEST(TensorFile, WritesAndReadsBothFormats) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_tensors({{folder / "a.npy", "", counting({2, 2}, 10)},
                             {folder / "b.safetensors", "output", counting({3}, 20)},
                             {folder / "b.safetensors:other", "", counting({4}, 30)},
                             {folder / "c.safetensors", "only", counting({4}, 40)}}));
  EXPECT_EQ(first_of(folder / "a.npy"), 10);
  EXPECT_EQ(first_of(folder / "b.safetensors:output"), 20);
  EXPECT_EQ(first_of(folder / "b.safetensors", "other"), 30);
  EXPECT_EQ(first_of(folder / "c.safetensors", "query"), 40);
  const Result<Tensor> ambiguous = read_tensor(folder / "b.safetensors", "query");
  ASSERT_FALSE(ambiguous);
  EXPECT_EQ(ambiguous.error().message,
            folder / "b.safetensors: has 2 tensors; append :name to choose one of other, output");
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    EXPECT_THAT(entry.path().string(), ::testing::Not(HasSubstr(".tmp")));
  }
}

TEST(TensorFile, StridedViewsAreWrittenInOrder) {
  const TemporaryFolder folder;
  const Tensor matrix = counting({3, 2});
  TensorView transposed = matrix.view();
  transposed.shape = {2, 3};
  transposed.strides = {1, 2};
  ASSERT_TRUE(write_tensors({{folder / "a.npy", "", Tensor(transposed, nullptr)},
                             {folder / "a.safetensors", "x", Tensor(transposed, nullptr)}}));
  for (const char* name : {"a.npy", "a.safetensors"}) {
    const Result<Tensor> read = read_tensor(folder / name);
    ASSERT_TRUE(read);
    EXPECT_THAT(std::vector<float>(read->data<float>(), read->data<float>() + 6),
                ElementsAre(0, 2, 4, 1, 3, 5));
  }
}

TEST(TensorFile, TheSameTensorTwiceIsAnError) {
  const TemporaryFolder folder;
  const Status done = write_tensors({{folder / "b.safetensors:x", "", counting({3})},
                                     {folder / "b.safetensors", "x", counting({4})}});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message, HasSubstr("would be written twice"));
  EXPECT_FALSE(std::filesystem::exists(folder / "b.safetensors"));
}

TEST(TensorFile, UnreadableFilesAreNamedWithTheReason) {
  const TemporaryFolder folder;
  std::filesystem::create_directory(folder / "d.npy");
  const struct {
    std::string argument, message;
  } cases[] = {
      {folder / "none.npy", folder / "none.npy: cannot open it: No such file or directory"},
      {folder / "d.npy", folder / "d.npy: is a directory"},
      {folder / "x.txt", folder / "x.txt: is neither a .npy nor a .safetensors file"},
      {"", ": is neither a .npy nor a .safetensors file"},
  };
  for (const auto& c : cases) {
    const Result<Tensor> read = read_tensor(c.argument);
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().message, c.message);
    EXPECT_EQ(read.error().kind, ErrorKind::Io);
  }
  const Status done = write_tensors({{folder / "no/such/folder.npy", "", counting({1})}});
  ASSERT_FALSE(done);
  EXPECT_THAT(done.error().message,
              HasSubstr("folder.npy: cannot create it: No such file or directory"));
  EXPECT_FALSE(check_output_name("o.bin"));
  EXPECT_TRUE(check_output_name("o.safetensors:x"));
}

TEST(TensorFile, ReadsPipes) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_tensors({{folder / "a.npy", "", counting({50000}, 7)}}));
  const std::string pipe = folder / "pipe.npy";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  std::thread writer([&] {
    std::ofstream(pipe, std::ios::binary)
        << std::ifstream(folder / "a.npy", std::ios::binary).rdbuf();
  });
  EXPECT_EQ(first_of(pipe), 7);
  writer.join();
}

TEST(TensorFile, EmptyFilesAreErrors) {
  const TemporaryFolder folder;
  std::ofstream(folder / "a.npy");
  const Result<Tensor> read = read_tensor(folder / "a.npy");
  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("is not a .npy file"));
}

TEST(Png, WritesAnImage) {
  const TemporaryFolder folder;
  Image image(5, 3, {255, 255, 255});
  image.fill(-2, 1, 4, 10, {255, 0, 0});
  EXPECT_EQ(image.at(1, 2), (Color{255, 0, 0}));
  EXPECT_EQ(image.at(2, 2), (Color{255, 255, 255}));
  ASSERT_TRUE(write_png(folder / "x.png", image));
  const Result<std::string> bytes = read_text(folder / "x.png");
  ASSERT_TRUE(bytes);
  EXPECT_EQ(bytes->substr(0, 8), "\x89PNG\r\n\x1a\n");
  EXPECT_EQ(bytes->substr(12, 12), std::string("IHDR\0\0\0\x05\0\0\0\x03", 12));
}

}  // namespace
}  // namespace maskjit::io
