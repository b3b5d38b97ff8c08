#include "tests/tools/cli/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/io/file.h"
#include "tools/io/tensor_file.h"

namespace maskjit::testing {
namespace {

void redirect(const std::string& path, int to, int flags) {
  const int fd = ::open(path.c_str(), flags, 0600);
  if (fd < 0 || ::dup2(fd, to) < 0) ::_exit(126);
}

std::string text_of(const std::string& path) {
  const Result<std::string> text = io::read_text(path);
  return text ? *text : "";
}

}  // namespace

void Program::write(const std::string& name, const std::string& text) const {
  const Status done = io::write_text(folder_ / name, text);
  ASSERT_TRUE(done);
}

void Program::write_tensor(const std::string& name, std::vector<int64_t> shape,
                           ElementType type) const {
  const Result<io::Tensor> tensor = io::Tensor::zeros(type, shape);
  ASSERT_TRUE(tensor);
  uint32_t state = static_cast<uint32_t>(name[0]);
  for (int64_t i = 0; i < tensor->view().elements(); ++i) {
    state = state * 1664525 + 1013904223;
    io::store_double(tensor->view().data, type, i, static_cast<double>(state >> 16) / 16384 - 2);
  }
  const Status done = io::write_tensors({{folder_ / name, "", *tensor}});
  ASSERT_TRUE(done);
}

void Program::write_attention(int64_t length, ElementType type) const {
  for (const char* name : {"q.npy", "k.npy", "v.npy"}) write_tensor(name, {1, 2, length, 16}, type);
}

Outcome Program::run(const std::vector<std::string>& arguments, const std::string& standard_input,
                     const std::vector<std::pair<std::string, std::string>>& environment) const {
  const std::string input = folder_ / "stdin", output = folder_ / "stdout",
                    errors = folder_ / "stderr";
  write("stdin", standard_input);
  std::vector<char*> argv = {const_cast<char*>(MASKJIT_PROGRAM)};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("MASKJIT_CACHE_DIR", (folder_ / "cache").c_str(), 1);
    ::unsetenv("MASKJIT_CACHE");
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    if (::chdir(folder_.path().c_str()) != 0) ::_exit(126);
    redirect(input, STDIN_FILENO, O_RDONLY);
    redirect(output, STDOUT_FILENO, O_WRONLY | O_CREAT | O_TRUNC);
    redirect(errors, STDERR_FILENO, O_WRONLY | O_CREAT | O_TRUNC);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  Outcome outcome;
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return outcome;
  outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.out = text_of(output);
  outcome.err = text_of(errors);
  return outcome;
}

}  // namespace maskjit::testing
