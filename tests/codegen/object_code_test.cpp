// Linking objects: each relocation on objects made by hand, and damaged ones.
#include "codegen/backend/object_code.h"

#include <elf.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <random>

#include "codegen/compile.h"
#include "masker_dsl/driver/driver.h"

namespace maskjit::codegen {
namespace {

using ::testing::HasSubstr;

int twice(int x) { return 2 * x; }

const void* resolve(std::string_view name) {
  return name == "twice" ? reinterpret_cast<const void*>(&twice) : nullptr;
}

// An object of one section of code, one of constants, and symbols for both, for "entry" (the
// beginning of the code) and for "twice", which is elsewhere.
struct Assembly {
  enum Symbol : uint32_t { kCode = 1, kConstants, kEntry, kTwice };
  struct Relocation {
    uint64_t offset;
    uint32_t type;
    Symbol symbol;
    int64_t addend;
  };

  std::vector<uint8_t> code;
  std::vector<uint8_t> constants = {42, 0, 0, 0, 0, 0, 0, 0};
  std::vector<Relocation> of_code, of_constants;
  uint64_t constant_flags = SHF_ALLOC;
  uint64_t alignment = 16;
  Elf64_Half type = ET_REL;

  std::string object() const {
    enum Section { kNull, kText, kData, kTextRelocations, kDataRelocations, kSymbols, kNames };
    const std::string names("\0entry\0twice", 13);
    std::string bytes(sizeof(Elf64_Ehdr), '\0');
    std::vector<Elf64_Shdr> sections(7);
    const auto add = [&](Section index, uint32_t kind, uint64_t flags, const void* data,
                         size_t size, size_t entry) -> Elf64_Shdr& {
      bytes.resize((bytes.size() + 7) / 8 * 8);
      Elf64_Shdr& s = sections[index];
      s.sh_type = kind;
      s.sh_flags = flags;
      s.sh_offset = bytes.size();
      s.sh_size = size;
      s.sh_addralign = alignment;
      s.sh_entsize = entry;
      bytes.append(static_cast<const char*>(data), size);
      return s;
    };
    const auto add_relocations = [&](Section index, Section target,
                                     const std::vector<Relocation>& from) {
      std::vector<Elf64_Rela> list;
      for (const Relocation& r : from)
        list.push_back({r.offset, ELF64_R_INFO(uint64_t{r.symbol}, r.type), r.addend});
      add(index, SHT_RELA, 0, list.data(), list.size() * sizeof(Elf64_Rela), sizeof(Elf64_Rela))
          .sh_info = target;
    };
    add(kText, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, code.data(), code.size(), 0);
    add(kData, SHT_PROGBITS, constant_flags, constants.data(), constants.size(), 0);
    add_relocations(kTextRelocations, kText, of_code);
    add_relocations(kDataRelocations, kData, of_constants);
    const auto local = static_cast<unsigned char>(ELF64_ST_INFO(STB_LOCAL, STT_SECTION));
    const auto global = static_cast<unsigned char>(ELF64_ST_INFO(STB_GLOBAL, STT_FUNC));
    const Elf64_Sym symbols[] = {{},
                                 {0, local, 0, kText, 0, 0},
                                 {0, local, 0, kData, 0, 0},
                                 {1, global, 0, kText, 0, 0},
                                 {7, global, 0, SHN_UNDEF, 0, 0}};
    add(kSymbols, SHT_SYMTAB, 0, symbols, sizeof(symbols), sizeof(Elf64_Sym)).sh_link = kNames;
    add(kNames, SHT_STRTAB, 0, names.data(), names.size(), 0);
    bytes.resize((bytes.size() + 7) / 8 * 8);
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = type;
    header.e_machine = EM_X86_64;
    header.e_shoff = bytes.size();
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = static_cast<Elf64_Half>(sections.size());
    std::memcpy(bytes.data(), &header, sizeof(header));
    bytes.append(reinterpret_cast<const char*>(sections.data()),
                 sections.size() * sizeof(Elf64_Shdr));
    return bytes;
  }
};

std::string error_of(const std::string& object) {
  const auto placed = ObjectCode::place(object, resolve);
  const auto* error = std::get_if<std::string>(&placed);
  return error == nullptr ? "" : *error;
}

#if defined(__x86_64__)
int call(const Assembly& assembly, int argument) {
  const auto placed = ObjectCode::place(assembly.object(), resolve);
  if (const auto* error = std::get_if<std::string>(&placed)) {
    ADD_FAILURE() << *error;
    return 0;
  }
  const auto& code = std::get<ObjectCode>(placed);
  EXPECT_EQ(code.symbol("twice"), nullptr);
  return reinterpret_cast<int (*)(int)>(code.symbol("entry"))(argument);
}

TEST(ObjectCode, CallsWhatIsElsewhere) {
  Assembly a;
  a.code = {0xE9, 0, 0, 0, 0};  // jmp twice
  for (const uint32_t type : {R_X86_64_PLT32, R_X86_64_PC32}) {
    a.of_code = {{1, type, Assembly::kTwice, -4}};
    EXPECT_EQ(call(a, 21), 42);
  }
}

TEST(ObjectCode, ReadsConstants) {
  Assembly a;
  a.code = {0x8B, 0x05, 0, 0, 0, 0, 0xC3};  // mov eax, [rip + constant]; ret
  a.of_code = {{2, R_X86_64_PC32, Assembly::kConstants, -4}};
  EXPECT_EQ(call(a, 0), 42);
}

TEST(ObjectCode, LoadsAddresses) {
  Assembly a;
  a.code = {0x48, 0x8B, 0x05, 0, 0, 0, 0, 0xFF, 0xE0};  // mov rax, [rip + slot]; jmp rax
  for (const uint32_t type : {R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_REX_GOTPCRELX}) {
    a.of_code = {{3, type, Assembly::kTwice, -4}};
    EXPECT_EQ(call(a, 4), 8);
  }
  // Of what the object defines, too: the constant's.
  a.code = {0x48, 0x8B, 0x05, 0, 0, 0, 0, 0x8B, 0x00, 0xC3};  // mov rax, [slot]; mov eax, [rax]
  a.of_code = {{3, R_X86_64_REX_GOTPCRELX, Assembly::kConstants, -4}};
  EXPECT_EQ(call(a, 0), 42);
}

TEST(ObjectCode, StoresAddressesInConstants) {
  Assembly a;
  a.code = {0xFF, 0x25, 0, 0, 0, 0};  // jmp *[rip + constant]
  a.of_code = {{2, R_X86_64_PC32, Assembly::kConstants, -4}};
  a.of_constants = {{0, R_X86_64_64, Assembly::kTwice, 0}};
  EXPECT_EQ(call(a, 5), 10);
}
#endif

TEST(ObjectCode, CodeIsNeverWritable) {
  Assembly a;
  a.code = {0xC3};
  const auto placed = ObjectCode::place(a.object(), resolve);
  const auto& code = std::get<ObjectCode>(placed);
  const auto entry = reinterpret_cast<uintptr_t>(code.symbol("entry"));
  std::ifstream maps("/proc/self/maps");
  std::string found;
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0, end = 0;
    char access[5] = {};
    if (std::sscanf(line.c_str(), "%lx-%lx %4s", &begin, &end, access) == 3 && begin <= entry &&
        entry < end)
      found = access;
  }
  EXPECT_EQ(found, "r-xp");
}

TEST(ObjectCode, WhatKernelsDoNotHaveIsAnError) {
  Assembly a;
  a.code = {0xE9, 0, 0, 0, 0};
  EXPECT_EQ(error_of(a.object()), "");
  a.of_code = {{1, R_X86_64_TPOFF32, Assembly::kTwice, 0}};
  EXPECT_EQ(error_of(a.object()), "it has a relocation of type 23, which kernels do not need");
  a.of_code = {{2, R_X86_64_PLT32, Assembly::kTwice, -4}};
  EXPECT_EQ(error_of(a.object()), "a relocation is outside of section 1");
  a.of_code = {{1, R_X86_64_PLT32, static_cast<Assembly::Symbol>(9), -4}};
  EXPECT_EQ(error_of(a.object()), "a relocation names a symbol that there is not");
  a.of_code = {{1, R_X86_64_PC32, Assembly::kConstants, int64_t{1} << 40}};
  EXPECT_EQ(error_of(a.object()), "a relocation does not reach");
  a.of_code = {{1, R_X86_64_PLT32, Assembly::kTwice, -4}};
  const auto unknown =
      ObjectCode::place(a.object(), [](std::string_view) -> const void* { return nullptr; });
  EXPECT_EQ(std::get<std::string>(unknown),
            "it calls 'twice', which is no function that kernels may call");
  a.constant_flags = SHF_ALLOC | SHF_WRITE;
  EXPECT_EQ(error_of(a.object()), "section 2 holds variables, which kernels do not have");
  a.constant_flags = SHF_ALLOC;
  a.alignment = 24;
  EXPECT_EQ(error_of(a.object()), "section 1 is aligned to 24 bytes");
  a.alignment = 16;
  a.type = ET_DYN;
  EXPECT_EQ(error_of(a.object()), "it is not a relocatable object of x86-64");
  EXPECT_EQ(error_of(""), "the header is outside of the object");
  EXPECT_EQ(error_of(std::string(100, 'x')), "it is not an ELF file");
}

// A kernel as the compiler makes it, damaged: an error or an object, and nothing else happens.
TEST(ObjectCode, SurvivesDamage) {
  const driver::CheckedSource checked =
      driver::check("test.masker", "attention a() { mask causal() score softcap(s, 2.5) }");
  diag::DiagnosticEmitter diagnostics;
  const auto bound = driver::bind(*checked.program, {}, diagnostics);
  ASSERT_TRUE(bound);
  ProblemSpec problem;
  problem.head_dim = problem.head_dim_v = 64;
  const KernelSpec spec = *select_template(bound->program, problem, Target{}).spec;
  const auto compiled = compile(bound->program, bound->tiles, spec, Target{});
  const std::string& object = std::get<CodeArtifact>(compiled).object;
  const auto any = [](std::string_view) { return reinterpret_cast<const void*>(&twice); };
  ASSERT_TRUE(std::holds_alternative<ObjectCode>(ObjectCode::place(object, any)));
  for (size_t size = 0; size < object.size(); size += 61)
    EXPECT_NE(error_of(object.substr(0, size)), "") << size;
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = object;
    // Half of it in the headers at both ends, where it matters most.
    const size_t span = i % 2 == 0 ? damaged.size() : 700;
    for (int n = 0; n < 1 + i % 4; ++n) {
      const size_t at = random() % span;
      damaged[i % 4 == 1 ? damaged.size() - 1 - at : at] = static_cast<char>(random());
    }
    (void)ObjectCode::place(damaged, any);
  }
}

}  // namespace
}  // namespace maskjit::codegen
