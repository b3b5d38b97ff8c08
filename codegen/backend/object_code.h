#pragma once
// A relocatable ELF object of x86-64 in executable memory: a linker for what kernels are made of
// (docs/adr/0009-start-without-llvm.md). Code, constants, calls of named functions, addresses
// relative to the code and absolute ones. What else an object may hold (variables, thread-local
// storage, common symbols) is an error, and so is any header, offset or name that is not right:
// objects come from files.
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>

namespace maskjit::codegen {

class ObjectCode {
 public:
  // The address of a function that the object does not define; null: there is none.
  using Resolve = std::function<const void*(std::string_view name)>;
  // The error says what is wrong with the object.
  static std::variant<ObjectCode, std::string> place(std::string_view object,
                                                     const Resolve& resolve);

  ObjectCode(ObjectCode&& other) noexcept;
  ObjectCode& operator=(ObjectCode&& other) noexcept;
  ObjectCode(const ObjectCode&) = delete;
  ObjectCode& operator=(const ObjectCode&) = delete;
  ~ObjectCode();

  // The address of a global symbol that the object defines; null: there is none.
  void* symbol(std::string_view name) const;
  size_t bytes() const { return bytes_; }

 private:
  ObjectCode() = default;
  void* memory_ = nullptr;
  size_t bytes_ = 0;
  std::unordered_map<std::string, void*> symbols_;
};

}  // namespace maskjit::codegen
