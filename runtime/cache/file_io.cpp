#include "runtime/cache/file_io.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <filesystem>

namespace maskjit::cache {
namespace {

FileError error_of(int code, std::string_view what) {
  char buffer[128];
  return {code, fmt::format("{}: {}", what, strerror_r(code, buffer, sizeof(buffer)))};
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  int get() const { return fd_; }
  // Some file systems report a full disk only here.
  bool close_checked() {
    const int fd = fd_;
    fd_ = -1;
    return close(fd) == 0 || errno == EINTR;
  }

 private:
  int fd_;
};

// Writing past RLIMIT_FSIZE raises SIGXFSZ, whose default ends the process: blocked and consumed
// here, so that only the error EFBIG is left.
class FileSizeSignalBlocked {
 public:
  FileSizeSignalBlocked() {
    sigemptyset(&signals_);
    sigaddset(&signals_, SIGXFSZ);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGXFSZ) == 1;
    pthread_sigmask(SIG_BLOCK, &signals_, &before_);
  }
  FileSizeSignalBlocked(const FileSizeSignalBlocked&) = delete;
  FileSizeSignalBlocked& operator=(const FileSizeSignalBlocked&) = delete;
  ~FileSizeSignalBlocked() {
    const timespec now = {0, 0};
    if (!was_pending_) sigtimedwait(&signals_, nullptr, &now);
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }

 private:
  sigset_t signals_, before_;
  bool was_pending_ = false;
};

int write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  return 0;
}

// Unique among the threads of this process and, with the time, among processes of several machines
// that share a directory; O_EXCL catches the rest.
std::string temporary_name(const std::filesystem::path& path) {
  static std::atomic<uint64_t> counter{0};
  const auto now = std::chrono::system_clock::now().time_since_epoch().count();
  return fmt::format(".{}.{}-{}-{:x}.tmp", path.filename().string(), getpid(), counter++,
                     static_cast<uint64_t>(now));
}

int make_directory(const std::filesystem::path& directory) {
  if (directory.empty()) return 0;
  if (mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST) return 0;
  if (errno != ENOENT) return errno;
  const int parent = make_directory(directory.parent_path());
  if (parent != 0) return parent;
  return mkdir(directory.c_str(), 0700) == 0 || errno == EEXIST ? 0 : errno;
}

}  // namespace

std::variant<FileContents, FileError> read_whole(const std::string& path, double touch_after,
                                                 int64_t max_bytes) {
  // Without O_NONBLOCK a pipe of that name would block.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return error_of(errno, "cannot be opened");
  struct stat status;
  if (fstat(file.get(), &status) != 0) return error_of(errno, "cannot be examined");
  if (!S_ISREG(status.st_mode)) return FileError{0, "is not a regular file"};
  if (status.st_size > max_bytes) return FileError{0, "is too large"};
  FileContents contents;
  contents.bytes.resize(static_cast<size_t>(status.st_size));
  size_t have = 0;
  while (have < contents.bytes.size()) {
    const ssize_t got =
        read(file.get(), contents.bytes.data() + have, contents.bytes.size() - have);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return error_of(errno, "cannot be read");
    if (got == 0) break;
    have += static_cast<size_t>(got);
  }
  contents.bytes.resize(have);
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  contents.age_seconds = static_cast<double>(now.tv_sec - status.st_mtim.tv_sec) +
                         1e-9 * static_cast<double>(now.tv_nsec - status.st_mtim.tv_nsec);
  if (touch_after >= 0 && contents.age_seconds > touch_after) futimens(file.get(), nullptr);
  return contents;
}

std::variant<std::monostate, FileError> write_atomically(const std::string& path,
                                                         std::string_view bytes) {
  const std::filesystem::path target(path);
  const std::string temporary = (target.parent_path() / temporary_name(target)).string();
  const auto open_temporary = [&] {
    return open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  };
  int fd = open_temporary();
  // More than once, for another process may remove the directory in between.
  for (int attempt = 0; attempt < 3 && fd < 0 && errno == ENOENT; ++attempt) {
    const int code = make_directory(target.parent_path());
    if (code != 0) return error_of(code, "its directory cannot be created");
    fd = open_temporary();
  }
  if (fd < 0) return error_of(errno, "cannot be created");
  Descriptor file(fd);
  int code = 0;
  {
    const FileSizeSignalBlocked blocked;
    code = write_all(fd, bytes);
  }
  if (code == 0 && !file.close_checked()) code = errno;
  if (code == 0 && rename(temporary.c_str(), path.c_str()) == 0) return std::monostate{};
  if (code == 0) code = errno;
  unlink(temporary.c_str());
  return error_of(code, "cannot be written");
}

bool is_temporary_name(std::string_view name) {
  return name.starts_with('.') && name.ends_with(".tmp") &&
         name.find(".mjk.") != std::string_view::npos;
}

}  // namespace maskjit::cache
