#pragma once
// What runs in another process, and how to start it.
#include <sys/types.h>
#include <string>
#include <vector>

namespace maskjit::cache::testing {

// race DIRECTORY SEED ITERATIONS: lookups of 20 keys in fresh caches, each result checked.
// full DIRECTORY: a lookup while files cannot grow beyond 2000 bytes.
// Exit codes: 0 all right, 1 something was wrong (said on stderr).
int helper_main(const std::vector<std::string>& arguments);

pid_t start_helper(const std::vector<std::string>& arguments);
// The exit code, or -signal.
int wait_for(pid_t child);

}  // namespace maskjit::cache::testing
