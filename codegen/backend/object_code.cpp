#include "codegen/backend/object_code.h"

#include <elf.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <limits>
#include <type_traits>

namespace maskjit::codegen {
namespace {

// Of this file alone: what is wrong with the object.
struct Malformed {
  std::string message;
};

[[noreturn]] void fail(std::string message) { throw Malformed{std::move(message)}; }

// A function elsewhere may be further away than a call reaches, and a load of an address needs a
// place where it is: one slot a symbol serves both.
struct Slot {
  uint64_t address;
  uint8_t jump[8] = {0xFF, 0x25, 0xF2, 0xFF, 0xFF, 0xFF, 0xCC, 0xCC};  // jmp *-14(%rip)
};
static_assert(sizeof(Slot) == 16 && offsetof(Slot, jump) == 8);

// Reading an object: every access is checked.
class Reader {
 public:
  explicit Reader(std::string_view object) : object_(object) {
    const auto header = at<Elf64_Ehdr>(0, "the header");
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) fail("it is not an ELF file");
    if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
        header.e_machine != EM_X86_64 || header.e_type != ET_REL)
      fail("it is not a relocatable object of x86-64");
    if (header.e_shentsize != sizeof(Elf64_Shdr)) fail("its section headers have another size");
    for (size_t i = 0; i < header.e_shnum; ++i) {
      sections_.push_back(
          at<Elf64_Shdr>(header.e_shoff, i, fmt::format("the header of section {}", i)));
    }
    for (size_t i = 0; i < sections_.size(); ++i) {
      if (sections_[i].sh_type == SHT_SYMTAB) read_symbols(sections_[i]);
    }
  }

  const std::vector<Elf64_Shdr>& sections() const { return sections_; }
  const std::vector<Elf64_Sym>& symbols() const { return symbols_; }

  std::string_view contents(size_t section) const {
    const Elf64_Shdr& s = sections_[section];
    if (s.sh_offset > object_.size() || s.sh_size > object_.size() - s.sh_offset)
      fail(fmt::format("section {} ends after the object", section));
    return object_.substr(s.sh_offset, s.sh_size);
  }

  std::vector<Elf64_Rela> relocations(size_t section) const {
    return table<Elf64_Rela>(section, "relocations");
  }

  std::string_view name(const Elf64_Sym& symbol) const {
    if (symbol.st_name >= names_.size()) fail("the name of a symbol is outside of the names");
    const std::string_view rest = names_.substr(symbol.st_name);
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos) fail("the name of a symbol does not end");
    return rest.substr(0, end);
  }

 private:
  template <typename T>
  T at(uint64_t offset, const std::string& what) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (offset > object_.size() || sizeof(T) > object_.size() - offset)
      fail(what + " is outside of the object");
    T value;
    std::memcpy(&value, object_.data() + offset, sizeof(T));
    return value;
  }
  template <typename T>
  T at(uint64_t begin, size_t index, const std::string& what) const {
    if (begin > object_.size()) fail(what + " is outside of the object");
    return at<T>(begin + index * sizeof(T), what);
  }
  template <typename T>
  std::vector<T> table(size_t section, const char* what) const {
    const std::string_view bytes = contents(section);
    if (sections_[section].sh_entsize != sizeof(T) || bytes.size() % sizeof(T) != 0)
      fail(fmt::format("section {} is no table of {}", section, what));
    std::vector<T> result(bytes.size() / sizeof(T));
    if (!result.empty()) std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }
  void read_symbols(const Elf64_Shdr& header) {
    if (!symbols_.empty()) fail("it has two symbol tables");
    symbols_ = table<Elf64_Sym>(static_cast<size_t>(&header - sections_.data()), "symbols");
    if (header.sh_link >= sections_.size()) fail("the symbol table has no names");
    names_ = contents(header.sh_link);
  }

  std::string_view object_;
  std::vector<Elf64_Shdr> sections_;
  std::vector<Elf64_Sym> symbols_;
  std::string_view names_;
};

bool needs_slot(uint32_t type, const Elf64_Sym& symbol) {
  switch (type) {
    case R_X86_64_GOTPCREL:
    case R_X86_64_GOTPCRELX:
    case R_X86_64_REX_GOTPCRELX:
      return true;
    default:
      return symbol.st_shndx == SHN_UNDEF && type != R_X86_64_64;
  }
}

uint64_t round_up(uint64_t value, uint64_t to) { return (value + to - 1) / to * to; }

// Where everything goes: code and slots, which become executable, then constants.
class Layout {
 public:
  explicit Layout(const Reader& object)
      : object_(object),
        page_(static_cast<uint64_t>(::sysconf(_SC_PAGESIZE))),
        offsets_(object.sections().size(), kNowhere),
        slots_(object.symbols().size(), kNowhere) {
    place_sections(SHF_EXECINSTR);
    place_slots();
    code_bytes_ = size_ = round_up(size_, page_);
    place_sections(0);
    size_ = round_up(size_, page_);
  }

  uint64_t size() const { return size_; }
  uint64_t code_bytes() const { return code_bytes_; }
  bool is_placed(size_t section) const { return offsets_[section] != kNowhere; }
  uint64_t offset_of(size_t section) const { return offsets_[section]; }
  uint64_t slot_of(size_t symbol) const { return slots_[symbol]; }
  bool has_slot(size_t symbol) const { return slots_[symbol] != kNowhere; }

 private:
  static constexpr uint64_t kNowhere = std::numeric_limits<uint64_t>::max();

  void place_sections(uint64_t executable) {
    for (size_t i = 0; i < offsets_.size(); ++i) {
      const Elf64_Shdr& s = object_.sections()[i];
      if (!(s.sh_flags & SHF_ALLOC) || (s.sh_flags & SHF_EXECINSTR) != executable) continue;
      if (s.sh_size > 0 && ((s.sh_flags & (SHF_WRITE | SHF_TLS)) || s.sh_type == SHT_NOBITS))
        fail(fmt::format("section {} holds variables, which kernels do not have", i));
      const uint64_t alignment = std::max<uint64_t>(s.sh_addralign, 1);
      if ((alignment & (alignment - 1)) != 0 || alignment > page_)
        fail(fmt::format("section {} is aligned to {} bytes", i, alignment));
      offsets_[i] = round_up(size_, alignment);
      size_ = offsets_[i] + (s.sh_type == SHT_NOBITS ? 0 : object_.contents(i).size());
    }
  }

  void place_slots() {
    size_ = round_up(size_, sizeof(Slot));
    for (size_t i = 0; i < offsets_.size(); ++i) {
      const Elf64_Shdr& s = object_.sections()[i];
      if (s.sh_type != SHT_RELA) continue;
      for (const Elf64_Rela& relocation : object_.relocations(i)) {
        const uint64_t symbol = ELF64_R_SYM(relocation.r_info);
        if (symbol >= slots_.size()) fail("a relocation names a symbol that there is not");
        if (slots_[symbol] != kNowhere ||
            !needs_slot(ELF64_R_TYPE(relocation.r_info), object_.symbols()[symbol]))
          continue;
        slots_[symbol] = size_;
        size_ += sizeof(Slot);
      }
    }
  }

  const Reader& object_;
  uint64_t page_, size_ = 0, code_bytes_ = 0;
  std::vector<uint64_t> offsets_;  // of sections
  std::vector<uint64_t> slots_;    // of symbols
};

class Linker {
 public:
  Linker(const Reader& object, const Layout& layout, const ObjectCode::Resolve& resolve,
         uint8_t* memory)
      : object_(object), layout_(layout), resolve_(resolve), memory_(memory) {}

  void link() {
    for (size_t i = 0; i < object_.sections().size(); ++i) {
      if (!layout_.is_placed(i) || object_.sections()[i].sh_type == SHT_NOBITS) continue;
      const std::string_view bytes = object_.contents(i);
      if (!bytes.empty()) std::memcpy(memory_ + layout_.offset_of(i), bytes.data(), bytes.size());
    }
    for (size_t i = 0; i < object_.symbols().size(); ++i) {
      if (!layout_.has_slot(i)) continue;
      const Slot slot{address_of(i)};
      std::memcpy(memory_ + layout_.slot_of(i), &slot, sizeof(slot));
    }
    for (size_t i = 0; i < object_.sections().size(); ++i) {
      const Elf64_Shdr& s = object_.sections()[i];
      if (s.sh_type != SHT_RELA && s.sh_type != SHT_REL) continue;
      if (s.sh_info >= object_.sections().size())
        fail(fmt::format("section {} relocates one that there is not", i));
      if (!layout_.is_placed(s.sh_info)) continue;
      if (s.sh_type == SHT_REL) fail(fmt::format("section {} has no addends", i));
      for (const Elf64_Rela& relocation : object_.relocations(i)) apply(relocation, s.sh_info);
    }
  }

  // A symbol's address in the process.
  uint64_t address_of(size_t index) const {
    const Elf64_Sym& symbol = object_.symbols()[index];
    if (symbol.st_shndx == SHN_UNDEF) {
      const std::string_view name = object_.name(symbol);
      const void* found = resolve_(name);
      if (found == nullptr)
        fail(fmt::format("it calls '{}', which is no function that kernels may call", name));
      return reinterpret_cast<uint64_t>(found);
    }
    if (symbol.st_shndx == SHN_ABS) return symbol.st_value;
    if (symbol.st_shndx >= object_.sections().size() || !layout_.is_placed(symbol.st_shndx))
      fail(fmt::format("'{}' is in no section that is loaded", object_.name(symbol)));
    if (symbol.st_value > object_.sections()[symbol.st_shndx].sh_size)
      fail(fmt::format("'{}' is outside of its section", object_.name(symbol)));
    return address(layout_.offset_of(symbol.st_shndx) + symbol.st_value);
  }

 private:
  uint64_t address(uint64_t offset) const { return reinterpret_cast<uint64_t>(memory_) + offset; }

  void apply(const Elf64_Rela& relocation, size_t section) {
    const uint64_t symbol = ELF64_R_SYM(relocation.r_info);
    const uint32_t type = ELF64_R_TYPE(relocation.r_info);
    const uint64_t width = type == R_X86_64_64 ? 8 : 4;
    const uint64_t size = object_.contents(section).size();
    if (relocation.r_offset > size || width > size - relocation.r_offset)
      fail(fmt::format("a relocation is outside of section {}", section));
    const uint64_t offset = layout_.offset_of(section) + relocation.r_offset;
    const auto addend = static_cast<uint64_t>(relocation.r_addend);
    switch (type) {
      case R_X86_64_64: {
        const uint64_t value = address_of(symbol) + addend;
        std::memcpy(memory_ + offset, &value, sizeof(value));
        return;
      }
      case R_X86_64_PC32:
      case R_X86_64_PLT32:
        return write_distance(offset,
                              layout_.has_slot(symbol) && is_undefined(symbol)
                                  ? address(layout_.slot_of(symbol) + offsetof(Slot, jump))
                                  : address_of(symbol),
                              addend);
      case R_X86_64_GOTPCREL:
      case R_X86_64_GOTPCRELX:
      case R_X86_64_REX_GOTPCRELX:
        return write_distance(offset, address(layout_.slot_of(symbol)), addend);
      default:
        fail(fmt::format("it has a relocation of type {}, which kernels do not need", type));
    }
  }

  bool is_undefined(size_t symbol) const { return object_.symbols()[symbol].st_shndx == SHN_UNDEF; }

  void write_distance(uint64_t offset, uint64_t to, uint64_t addend) {
    const auto distance = static_cast<int64_t>(to + addend - address(offset));
    const auto value = static_cast<int32_t>(distance);
    if (value != distance) fail("a relocation does not reach");
    std::memcpy(memory_ + offset, &value, sizeof(value));
  }

  const Reader& object_;
  const Layout& layout_;
  const ObjectCode::Resolve& resolve_;
  uint8_t* memory_;
};

}  // namespace

std::variant<ObjectCode, std::string> ObjectCode::place(std::string_view object,
                                                        const Resolve& resolve) {
  try {
    const Reader reader(object);
    const Layout layout(reader);
    if (layout.code_bytes() == 0) fail("it has no code");
    ObjectCode code;
    void* memory =
        ::mmap(nullptr, layout.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
      fail(fmt::format("no memory of {} bytes: {}", layout.size(), std::strerror(errno)));
    code.memory_ = memory;
    code.bytes_ = layout.size();
    auto* bytes = static_cast<uint8_t*>(memory);
    Linker linker(reader, layout, resolve, bytes);
    linker.link();
    for (size_t i = 0; i < reader.symbols().size(); ++i) {
      const Elf64_Sym& symbol = reader.symbols()[i];
      if (ELF64_ST_BIND(symbol.st_info) == STB_LOCAL || symbol.st_shndx == SHN_UNDEF ||
          symbol.st_shndx == SHN_ABS)
        continue;
      code.symbols_[std::string(reader.name(symbol))] =
          reinterpret_cast<void*>(linker.address_of(i));
    }
    const uint64_t constants = layout.size() - layout.code_bytes();
    if (::mprotect(bytes, layout.code_bytes(), PROT_READ | PROT_EXEC) != 0 ||
        (constants > 0 && ::mprotect(bytes + layout.code_bytes(), constants, PROT_READ) != 0))
      fail(fmt::format("its memory cannot be made executable: {}", std::strerror(errno)));
    return code;
  } catch (const Malformed& malformed) {
    return malformed.message;
  }
}

ObjectCode::ObjectCode(ObjectCode&& other) noexcept { *this = std::move(other); }

ObjectCode& ObjectCode::operator=(ObjectCode&& other) noexcept {
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  std::swap(symbols_, other.symbols_);
  return *this;
}

ObjectCode::~ObjectCode() {
  if (memory_ != nullptr) ::munmap(memory_, bytes_);
}

void* ObjectCode::symbol(std::string_view name) const {
  const auto found = symbols_.find(std::string(name));
  return found == symbols_.end() ? nullptr : found->second;
}

}  // namespace maskjit::codegen
