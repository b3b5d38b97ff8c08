// Finding the CUDA tools, reading what they print, and assembling where there is a ptxas.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "runtime/api/environment.h"
#include "runtime/device/assembler/process.h"
#include "runtime/device/assembler/ptxas.h"
#include "runtime/device/assembler/sass.h"

namespace maskjit::assembler {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kEmpty = R"(.version 7.0
.target sm_80
.address_size 64
.visible .entry nothing() { ret; }
.visible .entry something(.param .u64 to)
{
  .reg .b32 %r<2>;
  .reg .b64 %rd<2>;
  .shared .align 4 .b8 memory[512];
  ld.param.u64 %rd1, [to];
  mov.u32 %r1, %tid.x;
  st.shared.u32 [memory], %r1;
  bar.sync 0;
  ld.shared.u32 %r1, [memory];
  st.global.u32 [%rd1], %r1;
  ret;
}
)";

void write_program(const std::string& path, const std::string& text) {
  std::ofstream(path) << "#!/bin/sh\n" << text;
  fs::permissions(path, fs::perms::owner_all);
}

TEST(Process, GivesOutputAndExitCode) {
  const auto folder = TemporaryDirectory::create();
  ASSERT_TRUE(folder);
  const std::string program = folder->file("program");
  write_program(program, "echo \"$1|$2\"; echo more >&2; exit 7\n");
  const auto finished = run_process(program, {"a b", "'$HOME'"});
  ASSERT_TRUE(finished) << finished.error().message;
  EXPECT_EQ(finished->code, 7);
  EXPECT_EQ(finished->output, "a b|'$HOME'\nmore\n");
  write_program(program, "kill -9 $$\n");
  EXPECT_EQ(run_process(program, {})->code, 128 + 9);
  const auto missing = run_process(folder->file("none"), {});
  ASSERT_FALSE(missing);
  EXPECT_THAT(missing.error().message, HasSubstr("none cannot be started: No such file"));
}

TEST(CudaTools, AreLookedForInOrder) {
  const auto folder = TemporaryDirectory::create();
  ASSERT_TRUE(folder);
  fs::create_directories(folder->file("first"));
  fs::create_directories(folder->file("home/bin"));
  write_program(folder->file("home/bin/ptxas"), "");
  std::vector<std::string> folders = tool_folders(
      folder->file("first") + "::" + folder->file("second"), {folder->file("home"), ""});
  ASSERT_GE(folders.size(), 4u);
  EXPECT_EQ(folders[0], folder->file("first"));
  EXPECT_EQ(folders[1], folder->file("second"));
  EXPECT_EQ(folders[2], folder->file("home/bin"));
  EXPECT_EQ(folders[3], "/usr/local/cuda/bin");
  EXPECT_EQ(*find_tool({"", folders}, "ptxas"), folder->file("home/bin/ptxas"));
  write_program(folder->file("first/ptxas"), "");
  EXPECT_EQ(*find_tool({"", folders}, "ptxas"), folder->file("first/ptxas"));
  EXPECT_EQ(*find_tool({folder->file("home/bin/ptxas"), folders}, "ptxas"),
            folder->file("home/bin/ptxas"));
  EXPECT_EQ(find_tool({folder->file("gone"), folders}, "ptxas").error().message,
            "MASKJIT_PTXAS is " + folder->file("gone") + ", which is no program");
  EXPECT_THAT(find_tool({"", {}}, "ptxas").error().message,
              AllOf(HasSubstr("no ptxas, which makes machine code of PTX, in PATH"),
                    HasSubstr("nvidia-cuda-nvcc"), HasSubstr("MASKJIT_PTXAS")));
  EXPECT_THAT(find_tool({"", {}}, "cuobjdump").error().message, HasSubstr("triton"));
}

TEST(Ptxas, ResourcesAreReadOfItsMessages) {
  const auto resources = parse_resources(
      "ptxas info    : 0 bytes gmem\n"
      "ptxas info    : Compiling entry function 'mj_attention' for 'sm_80'\n"
      "ptxas info    : Function properties for mj_attention\n"
      "    24 bytes stack frame, 16 bytes spill stores, 8 bytes spill loads\n"
      "ptxas info    : Used 244 registers, used 1 barriers, 24 bytes cumulative stack size, "
      "512 bytes smem, 2000 bytes cmem[0]\n"
      "ptxas info    : Compiling entry function 'mj_merge' for 'sm_80'\n"
      "ptxas info    : Function properties for mj_merge\n"
      "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
      "ptxas info    : Used 32 registers, used 0 barriers, 2000 bytes cmem[0]\n");
  ASSERT_EQ(resources.size(), 2u);
  EXPECT_EQ(resources[0], (codegen::ResourceUsage{"mj_attention", 244, 24, 16, 8, 512}));
  EXPECT_EQ(resources[1], (codegen::ResourceUsage{"mj_merge", 32, 0, 0, 0, 0}));
  EXPECT_TRUE(parse_resources("").empty());
  EXPECT_TRUE(parse_resources("Used 3 registers\n'").empty());
  EXPECT_EQ(parse_resources("Compiling entry function 'unterminated").size(), 1u);
}

TEST(Ptxas, Assembles) {
  const auto ptxas = find_tool(read_environment().cuda_tools, "ptxas");
  if (!ptxas) GTEST_SKIP() << ptxas.error().message;
  const auto assembled = assemble(*ptxas, kEmpty, "sm_80");
  ASSERT_TRUE(assembled) << assembled.error().message;
  EXPECT_THAT(assembled->cubin, HasSubstr("ELF"));
  ASSERT_EQ(assembled->resources.size(), 2u);
  for (const codegen::ResourceUsage& usage : assembled->resources) {
    EXPECT_GT(usage.registers, 0) << usage.entry;
    EXPECT_EQ(usage.shared_bytes, usage.entry == "something" ? 512 : 0);
  }
  const auto wrong = assemble(*ptxas, "garbage", "sm_80");
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().message, AllOf(HasSubstr("for sm_80 ended with"), HasSubstr("error")));
}

// As cuobjdump -sass prints it.
constexpr const char* kListing = R"sass(
	code for sm_80
		Function : mj_attention
	.headerflags	@"EF_CUDA_SM80 EF_CUDA_PTX_SM(EF_CUDA_SM80)"
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;  /* 0x00000a00ff017624 */
                                                                            /* 0x000fc400078e00ff */
        /*0010*/              @!P0 HMMA.16816.F32.BF16 R4, R8, R2, R4 ;     /* 0x000000020804723c */
        /*0020*/                   LDSM.16.M88.4 R8, [R2+0x100] ;
        /*0030*/                   LDGSTS.E.BYPASS.128 [R3], [R4.64] ;
        /*0040*/              @P1  STL [R1], R2 ;
        /*0050*/                   MUFU.EX2 R3, R3 ;
        /*0060*/                   EXIT ;
		..........

		Function : mj_merge
        /*0000*/                   FFMA R1, R2, R3, R4 ;
)sass";

TEST(Sass, IsCountedByClassAndOpcode) {
  const auto kernels = parse_sass(kListing);
  ASSERT_EQ(kernels.size(), 2u);
  EXPECT_EQ(kernels[0].kernel, "mj_attention");
  EXPECT_EQ(kernels[0].instructions, 7);
  EXPECT_EQ(kernels[0].by_class, (std::map<std::string, int>{{"integer", 1},
                                                             {"matrix", 1},
                                                             {"shared", 1},
                                                             {"async", 1},
                                                             {"local", 1},
                                                             {"special", 1},
                                                             {"control", 1}}));
  EXPECT_EQ(kernels[0].by_opcode.at("HMMA"), 1);
  EXPECT_EQ(kernels[1].kernel, "mj_merge");
  EXPECT_EQ(kernels[1].by_class, (std::map<std::string, int>{{"float", 1}}));
  // As nvdisasm prints it.
  const auto other =
      parse_sass(".section\t.text.k,\"ax\"\n.text.k:\n        /*0000*/ NOP ;\n.L_0:\n");
  ASSERT_EQ(other.size(), 1u);
  EXPECT_EQ(other[0].kernel, "k");
  EXPECT_EQ(other[0].instructions, 1);
  EXPECT_TRUE(parse_sass("/*0000*/ NOP ;").empty());
  EXPECT_EQ(sass_class("LDC"), "move");
  EXPECT_EQ(sass_class("LD"), "global");
  EXPECT_EQ(sass_class("REDUX"), "integer");
  EXPECT_EQ(sass_class("UNHEARDOF"), "other");
}

TEST(Sass, UsesWhatThereIs) {
  const auto folder = TemporaryDirectory::create();
  ASSERT_TRUE(folder);
  const ToolPaths paths{"", {folder->path()}};
  const auto none = count_sass(paths, "cubin");
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr("no cuobjdump and no nvdisasm"));
  write_program(folder->file("nvdisasm"), "printf '.text.k:\\n  /*0000*/ NOP ;\\n'\n");
  auto counts = count_sass(paths, "cubin");
  ASSERT_TRUE(counts) << counts.error().message;
  EXPECT_EQ((*counts)[0].kernel, "k");
  write_program(folder->file("cuobjdump"), "[ \"$1\" = -sass ] && echo broken && exit 1\n");
  counts = count_sass(paths, "cubin");
  ASSERT_FALSE(counts);
  EXPECT_THAT(counts.error().message, HasSubstr("cuobjdump ended with 1:\nbroken"));
  write_program(folder->file("cuobjdump"), "echo nothing\n");
  EXPECT_THAT(count_sass(paths, "cubin").error().message, HasSubstr("lists no kernel"));
}

}  // namespace
}  // namespace maskjit::assembler
