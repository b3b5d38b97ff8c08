#pragma once
// The data of one scorer. What all kinds share: rows in blocks, made from the keys by microkernels
// in chunks on several threads. A kind that needs more than a key for its row (a codebook, a
// centre, a norm) says in prepare() from which key on the rows of a head have to be made again.
#include <memory>
#include <string>
#include <vector>

#include "runtime/index/blocks.h"
#include "runtime/index/kernels.h"
#include "runtime/index/key_index.h"
#include "runtime/index/keys.h"
#include "runtime/index/workers.h"

namespace maskjit::index {

// What every part is made for.
struct Setting {
  KeyIndex::Shape shape;
  uint64_t seed;
};

class PartData {
 public:
  virtual ~PartData() = default;

  // Makes this the data of `keys`, the first `unchanged` of which are those of the update before.
  // Throws where there is no memory, and then only clear() may follow.
  void update(const Keys& keys, int64_t unchanged, const Workers& workers);
  void clear();

  MjScorerKind kind() const { return kind_; }
  MjScorer scorer() const;
  virtual int64_t bytes() const;
  virtual bool matches(const KeyIndex::Part& part) const = 0;
  virtual std::string describe() const = 0;

  // The options that create() takes, then what depends on the keys.
  virtual void write_options(Writer& writer) const = 0;
  void write(Writer& writer) const;
  // Of an index of `keys` keys; false if that is not what the bytes hold.
  bool read(Reader& reader, int64_t keys);

 protected:
  PartData(const Setting& setting, const IndexKernels& kernels, MjScorerKind kind, bool by_head);

  // Before rows are made: the first key, for each [batch, head], whose row has to be, in `from`,
  // which is `unchanged` for all.
  virtual void prepare(const Keys& keys, int64_t unchanged, const Workers& workers,
                       std::vector<int64_t>& from);
  // Fills what `scorer` has besides blocks.
  virtual void fill(MjScorer& scorer) const = 0;
  virtual void forget() {}  // what prepare() made
  virtual void write_state(Writer&) const {}
  virtual bool read_state(Reader&, int64_t) { return true; }
  // Of rows that were read: whether kernels may use them.
  virtual bool rows_are_valid(int64_t) const { return true; }

  // Blocks for rows[i].
  void add_blocks(size_t i, int64_t strips, int64_t lane_bytes);
  int64_t heads() const {
    return by_head_ ? setting_.shape.num_heads : setting_.shape.num_kv_heads;
  }
  int64_t kv_head_of(int64_t head) const {
    return by_head_ ? head / (setting_.shape.num_heads / setting_.shape.num_kv_heads) : head;
  }
  const Setting setting_;
  const IndexKernels kernels_;
  int64_t keys_a_row_ = 1;  // above 1 for pages
  double work_a_key_ = 1;   // roughly, operations

 private:
  MjScorerKind kind_;
  bool by_head_;
  std::vector<std::pair<size_t, Blocks>> blocks_;
};

// Options that were checked.
std::unique_ptr<PartData> make_pages(const Setting&, const IndexKernels&,
                                     const KeyIndex::PageBound&);
std::unique_ptr<PartData> make_channels(const Setting&, const IndexKernels&,
                                        const KeyIndex::Channels&);
std::unique_ptr<PartData> make_hash(const Setting&, const IndexKernels&, const KeyIndex::HashBits&);
std::unique_ptr<PartData> make_pq(const Setting&, const IndexKernels&, const KeyIndex::PqCodes&);
std::unique_ptr<PartData> make_lsh(const Setting&, const IndexKernels&, const KeyIndex::Lsh&);

MjElement element_of(ElementType type);

}  // namespace maskjit::index
