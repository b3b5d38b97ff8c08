#include "tests/runtime/cache/helper.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "tests/runtime/cache/support.h"

namespace maskjit::cache::testing {
namespace {

int wrong(const std::string& what) {
  std::fprintf(stderr, "helper %d: %s\n", getpid(), what.c_str());
  return 1;
}

CacheOptions options_of(const std::string& directory, Log log) {
  CacheOptions options;
  options.directory = directory;
  options.build_id = "build";
  options.log = std::move(log);
  return options;
}

int race(const std::string& directory, uint32_t seed, int iterations) {
  std::minstd_rand random(seed);
  LogLines lines;
  for (int i = 0; i < iterations; ++i) {
    CacheOptions options = options_of(directory, lines.log());
    options.limit_bytes = 60'000;  // about 12 of the 20 entries: everybody sweeps
    KernelCache cache(std::move(options), fake_load);
    for (int lookup = 0; lookup < 10; ++lookup) {
      const auto key = key_of(random() % 20);
      const auto found = cache.get_or_compile(key, [&] { return artifact_of(key); });
      const auto* kernel = std::get_if<Lookup>(&found);
      if (kernel == nullptr) return wrong("a lookup failed");
      if (object_in(*kernel) != object_of(key)) return wrong("a lookup gave another object");
    }
  }
  const auto said = lines.take();
  return said.empty() ? 0 : wrong("logged: " + said.front());
}

int full(const std::string& directory) {
  const rlimit limit = {2000, 2000};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return wrong("setrlimit failed");
  signal(SIGXFSZ, SIG_DFL);
  LogLines lines;
  KernelCache cache(options_of(directory, lines.log()), fake_load);
  for (uint32_t number = 0; number < 3; ++number) {
    const auto key = key_of(number);
    const auto found = cache.get_or_compile(key, [&] { return artifact_of(key); });
    if (!std::holds_alternative<Lookup>(found)) return wrong("a lookup failed");
  }
  const auto said = lines.take();
  if (said.size() != 1) return wrong(fmt::format("{} lines logged", said.size()));
  if (said[0].find("File too large") == std::string::npos) return wrong("logged: " + said[0]);
  return 0;
}

}  // namespace

int helper_main(const std::vector<std::string>& arguments) {
  if (arguments.size() == 4 && arguments[0] == "race") {
    return race(arguments[1], static_cast<uint32_t>(std::stoul(arguments[2])),
                std::stoi(arguments[3]));
  }
  if (arguments.size() == 2 && arguments[0] == "full") return full(arguments[1]);
  return wrong("unknown mode");
}

pid_t start_helper(const std::vector<std::string>& arguments) {
  std::vector<std::string> texts = {"/proc/self/exe", "--helper"};
  texts.insert(texts.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    execv(argv[0], argv.data());
    _exit(127);
  }
  return child;
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace maskjit::cache::testing
