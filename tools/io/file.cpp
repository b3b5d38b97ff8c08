#include "tools/io/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace maskjit::io {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  bool close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 || ::close(fd) == 0;
  }

 private:
  int fd_;
};

Error system_error(const std::string& path, std::string_view what) {
  return file_error(path, fmt::format("{}: {}", what, std::strerror(errno)));
}

Result<FileBytes> read_stream(const std::string& path, int fd) {
  auto bytes = std::make_shared<std::vector<std::byte>>();
  size_t used = 0;
  while (true) {
    bytes->resize(std::max<size_t>(used * 2, 64 << 10));
    const ssize_t got = ::read(fd, bytes->data() + used, bytes->size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path, "cannot read it");
    if (got == 0) break;
    used += static_cast<size_t>(got);
  }
  bytes->resize(used);
  return FileBytes{{bytes->data(), used}, bytes};
}

bool write_all(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = ::write(fd, bytes.data(), bytes.size());
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) return false;
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return true;
}

}  // namespace

Error file_error(const std::string& path, std::string_view what) {
  return Error{ErrorKind::Io, fmt::format("{}: {}", path, what)};
}

Result<FileBytes> read_bytes(const std::string& path) {
  Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return system_error(path, "cannot open it");
  struct stat status = {};
  if (::fstat(file.get(), &status) != 0) return system_error(path, "cannot read it");
  if (S_ISDIR(status.st_mode)) return file_error(path, "is a directory");
  if (!S_ISREG(status.st_mode)) return read_stream(path, file.get());
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return read_stream(path, file.get());  // also files of /proc, whose size is 0
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) return system_error(path, "cannot map it");
  std::shared_ptr<const void> owner(
      mapped, [size](const void* memory) { ::munmap(const_cast<void*>(memory), size); });
  return FileBytes{{static_cast<const std::byte*>(mapped), size}, std::move(owner)};
}

Result<std::string> read_text(const std::string& path) {
  const Result<FileBytes> file = read_bytes(path);
  if (!file) return file.error();
  return std::string(reinterpret_cast<const char*>(file->bytes.data()), file->bytes.size());
}

Status write_bytes(const std::string& path, const std::vector<std::span<const std::byte>>& pieces) {
  struct stat status = {};
  const bool exists = ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) return file_error(path, "is a directory");
  const bool in_place = exists && !S_ISREG(status.st_mode);
  const std::string name = in_place ? path : fmt::format("{}.{}.tmp", path, ::getpid());
  Descriptor file(::open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file.valid()) return system_error(path, "cannot create it");
  bool ok = true;
  for (const auto& piece : pieces) ok = ok && write_all(file.get(), piece);
  ok = file.close() && ok;
  ok = ok && (in_place || ::rename(name.c_str(), path.c_str()) == 0);
  if (!ok) {
    const Error error = system_error(path, "cannot write it");
    if (!in_place) ::unlink(name.c_str());
    return error;
  }
  return Done{};
}

Status write_text(const std::string& path, std::string_view text) {
  return write_bytes(path, {std::as_bytes(std::span(text.data(), text.size()))});
}

}  // namespace maskjit::io
