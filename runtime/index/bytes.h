#pragma once
// Numbers and arrays one after the other, as files hold them (little endian).
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace maskjit::index {

class Writer {
 public:
  template <typename T>
  void number(T value) {
    static_assert(std::is_trivially_copyable_v<T>);
    bytes(&value, sizeof(T));
  }
  void bytes(const void* data, size_t size) {
    if (size != 0) text_.append(static_cast<const char*>(data), size);
  }
  template <typename Vector>
  void array(const Vector& values) {
    bytes(values.data(), values.size() * sizeof(values[0]));
  }
  std::string& text() { return text_; }

 private:
  std::string text_;
};

// Nothing is read past the end: what does not fit gives false, or 0 and then !ok().
class Reader {
 public:
  explicit Reader(std::string_view text) : rest_(text) {}

  template <typename T>
  T number() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value = {};
    bytes(&value, sizeof(T));
    return value;
  }
  bool bytes(void* data, size_t size) {
    if (!ok_ || size > rest_.size()) {
      ok_ = false;
      return false;
    }
    if (size != 0) std::memcpy(data, rest_.data(), size);
    rest_.remove_prefix(size);
    return true;
  }
  // As many values as the vector has.
  template <typename Vector>
  bool array(Vector& values) {
    return bytes(values.data(), values.size() * sizeof(values[0]));
  }
  // Whether so many bytes are left: before memory is allocated for them.
  bool has(uint64_t size) {
    ok_ = ok_ && size <= rest_.size();
    return ok_;
  }
  bool ok() const { return ok_; }
  size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace maskjit::index
