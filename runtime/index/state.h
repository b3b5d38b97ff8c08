#pragma once
// An index behind its handles.
#include "runtime/index/part.h"

namespace maskjit {

struct KeyIndex::State {
  State(const Shape& with_shape, uint64_t with_seed, const codegen::Target& target,
        const Execution& execution)
      : shape(with_shape),
        seed(with_seed),
        kernels(index::kernels_of(target.level)),
        workers(execution.threads, execution.thread_pool) {}

  void add(const Part& part);
  Status update(const index::Keys& keys, int64_t unchanged);
  void clear();

  std::string print() const;
  // Why `bytes` are not what print() gives; their index is in `result` otherwise.
  static std::optional<std::string> parse(std::string_view bytes, const codegen::Target& target,
                                          const Execution& execution,
                                          std::shared_ptr<State>& result);
  // Gives such bytes, at least a header long, the checksum of what they hold.
  static void seal(std::string& bytes);

  // A hash of the keys at one position, of all heads: the first one, those at 2^i - 1, the last.
  struct Sample {
    int64_t key;
    uint64_t hash;
  };

  const Shape shape;
  const uint64_t seed;
  const index::IndexKernels kernels;
  const index::Workers workers;
  std::vector<std::unique_ptr<index::PartData>> parts;
  int64_t size = 0;
  std::vector<Sample> samples;

 private:
  uint64_t hash_at(const index::Keys& keys, int64_t key) const;
};

}  // namespace maskjit
