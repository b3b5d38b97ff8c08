#pragma once
// Results without exceptions: a value or an Error that is meant to be shown to the user as it is.
#include <string>
#include <utility>
#include <variant>

namespace maskjit {

// Whose fault it is: the caller's input (spec, shapes, files), or ours.
enum class ErrorKind { InvalidInput, Unsupported, Io, Internal };

struct Error {
  ErrorKind kind = ErrorKind::InvalidInput;
  std::string message;  // may be several lines (rendered diagnostics)
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : state_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }
  T& value() { return std::get<0>(state_); }
  const T& value() const { return std::get<0>(state_); }
  T& operator*() { return value(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

struct Done {};
using Status = Result<Done>;

}  // namespace maskjit
