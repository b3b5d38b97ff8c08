// The test binary, and the processes that the tests start: `runtime_cache_test --helper MODE ARGS`.
#include "tests/runtime/cache/helper.h"

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == "--helper") {
    return maskjit::cache::testing::helper_main({argv + 2, argv + argc});
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
