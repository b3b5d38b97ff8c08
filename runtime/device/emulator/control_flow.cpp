#include "runtime/device/emulator/control_flow.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "runtime/device/emulator/alu.h"

namespace maskjit::emulator {
namespace {

// Sets of registers in all blocks beyond this many bits are not worth their memory.
constexpr uint64_t kMaxSetBits = uint64_t{1} << 31;

struct Block {
  uint32_t begin = 0, end = 0;
  std::vector<uint32_t> successors, predecessors;  // kNone among successors: the exit
};

class Bits {
 public:
  explicit Bits(size_t size = 0, bool value = false)
      : words_((size + 63) / 64, value ? ~uint64_t{0} : 0) {}
  bool test(size_t i) const { return words_[i / 64] >> (i % 64) & 1; }
  void set(size_t i) { words_[i / 64] |= uint64_t{1} << (i % 64); }
  void reset(size_t i) { words_[i / 64] &= ~(uint64_t{1} << (i % 64)); }
  bool operator==(const Bits&) const = default;
  void operator&=(const Bits& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
  }
  void operator|=(const Bits& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  void remove(const Bits& other) {
    for (size_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
  }
  template <typename F>
  void each(F f) const {
    for (size_t i = 0; i < words_.size(); ++i) {
      for (uint64_t word = words_[i]; word != 0; word &= word - 1)
        f(64 * i + static_cast<size_t>(std::countr_zero(word)));
    }
  }

 private:
  std::vector<uint64_t> words_;
};

bool ends_block(Kind kind) {
  return kind == Kind::Jump || kind == Kind::JumpTable || kind == Kind::Return ||
         kind == Kind::Exit || kind == Kind::Trap;
}

std::vector<Block> find_blocks(const Function& function) {
  const auto& code = function.code;
  std::vector<bool> leads(code.size() + 1, false);
  leads[0] = true;
  for (size_t pc = 0; pc < code.size(); ++pc) {
    const Instruction& in = code[pc];
    if (in.kind == Kind::Jump) leads[in.target] = true;
    if (in.kind == Kind::JumpTable) {
      for (const uint32_t target : function.jump_tables[in.detail]) leads[target] = true;
    }
    if (ends_block(in.kind)) leads[pc + 1] = true;
  }
  std::vector<Block> blocks;
  std::vector<uint32_t> block_of(code.size(), 0);
  for (uint32_t pc = 0; pc < code.size(); ++pc) {
    if (leads[pc]) {
      blocks.emplace_back();
      blocks.back().begin = pc;
    }
    blocks.back().end = pc + 1;
    block_of[pc] = static_cast<uint32_t>(blocks.size() - 1);
  }
  for (uint32_t b = 0; b < blocks.size(); ++b) {
    Block& block = blocks[b];
    const Instruction& last = code[block.end - 1];
    const auto next = [&] {
      // The last instruction of a function returns.
      if (block.end < code.size()) block.successors.push_back(block_of[block.end]);
    };
    switch (last.kind) {
      case Kind::Jump:
        block.successors.push_back(block_of[last.target]);
        if (last.guard != kNone) next();
        break;
      case Kind::JumpTable:
        for (const uint32_t target : function.jump_tables[last.detail])
          block.successors.push_back(block_of[target]);
        if (last.guard != kNone) next();
        break;
      case Kind::Return:
      case Kind::Exit:
      case Kind::Trap:
        block.successors.push_back(kNone);
        if (last.guard != kNone) next();
        break;
      default:
        next();
        break;
    }
    std::sort(block.successors.begin(), block.successors.end());
    block.successors.erase(std::unique(block.successors.begin(), block.successors.end()),
                           block.successors.end());
  }
  for (uint32_t b = 0; b < blocks.size(); ++b) {
    for (const uint32_t s : blocks[b].successors) {
      if (s != kNone) blocks[s].predecessors.push_back(b);
    }
  }
  return blocks;
}

// The immediate post-dominator of each block, kNone where it is the exit or the block never gets
// there: Cooper, Harvey and Kennedy's iteration on the reversed graph.
std::vector<uint32_t> post_dominators(const std::vector<Block>& blocks) {
  const auto exit = static_cast<uint32_t>(blocks.size());
  // Post-order of the reversed graph from the exit.
  std::vector<uint32_t> number(blocks.size() + 1, kNone), order;
  std::vector<std::vector<uint32_t>> into(blocks.size() + 1);
  for (uint32_t b = 0; b < blocks.size(); ++b) {
    for (const uint32_t s : blocks[b].successors) into[s == kNone ? exit : s].push_back(b);
  }
  std::vector<bool> seen(blocks.size() + 1, false);
  std::vector<std::pair<uint32_t, size_t>> stack = {{exit, 0}};
  seen[exit] = true;
  while (!stack.empty()) {
    auto& [node, next] = stack.back();
    if (next < into[node].size()) {
      const uint32_t to = into[node][next++];
      if (!seen[to]) {
        seen[to] = true;
        stack.emplace_back(to, 0);
      }
      continue;
    }
    number[node] = static_cast<uint32_t>(order.size());
    order.push_back(node);
    stack.pop_back();
  }
  std::vector<uint32_t> dominator(blocks.size() + 1, kNone);
  dominator[exit] = exit;
  const auto intersect = [&](uint32_t a, uint32_t b) {
    while (a != b) {
      while (number[a] < number[b]) a = dominator[a];
      while (number[b] < number[a]) b = dominator[b];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t i = order.size() - 1; i-- > 0;) {
      const uint32_t node = order[i];
      uint32_t found = kNone;
      for (const uint32_t successor : blocks[node].successors) {
        const uint32_t s = successor == kNone ? exit : successor;
        if (number[s] == kNone || dominator[s] == kNone) continue;
        found = found == kNone ? s : intersect(found, s);
      }
      if (found != dominator[node]) {
        dominator[node] = found;
        changed = true;
      }
    }
  }
  dominator.pop_back();
  for (uint32_t& d : dominator) {
    if (d == exit) d = kNone;
  }
  return dominator;
}

template <typename F>
void each_operand_use(const Function& function, const Instruction& in, F f) {
  for (int i = in.defs; i < in.arity; ++i) {
    if (in.operands[i] != kNone) f(in.operands[i]);
  }
  for (uint32_t i = in.list_defs; i < in.list_size; ++i) f(function.lists[in.list + i]);
}

template <typename F>
void each_use(const Function& function, const Instruction& in, F f) {
  if (in.guard != kNone) f(in.guard);
  each_operand_use(function, in, f);
}

template <typename F>
void each_def(const Function& function, const Instruction& in, F f) {
  for (int i = 0; i < in.defs; ++i) {
    if (in.operands[i] != kNone) f(in.operands[i]);
  }
  for (uint32_t i = 0; i < in.list_defs; ++i) {
    if (function.lists[in.list + i] != kNone) f(function.lists[in.list + i]);
  }
}

class Finisher {
 public:
  explicit Finisher(Function& function) : function_(function), blocks_(find_blocks(function)) {}

  void run() {
    set_joins();
    number_registers();
    if (uint64_t{registers_.size()} * blocks_.size() <= kMaxSetBits) {
      find_unwritten_reads();
      find_intervals();
    } else {
      // Too large to analyse: everything is checked, nothing shares memory.
      tracked_.assign(function_.values.size(), false);
      for (const uint32_t value : registers_) tracked_[value] = true;
    }
    assign_slots();
    rewrite();
  }

 private:
  struct Interval {
    uint64_t begin = ~uint64_t{0}, end = 0;
    void include(uint64_t at) {
      begin = std::min(begin, at);
      end = std::max(end, at);
    }
  };

  void set_joins() {
    const std::vector<uint32_t> dominators = post_dominators(blocks_);
    for (size_t b = 0; b < blocks_.size(); ++b) {
      Instruction& last = function_.code[blocks_[b].end - 1];
      if (last.kind == Kind::Jump || last.kind == Kind::JumpTable)
        last.join = dominators[b] == kNone ? kNone : blocks_[dominators[b]].begin;
    }
  }

  bool is_register(uint32_t value) const {
    return function_.values[value].kind == Value::Kind::Register;
  }

  void number_registers() {
    index_.assign(function_.values.size(), kNone);
    for (uint32_t v = 0; v < function_.values.size(); ++v) {
      if (!is_register(v)) continue;
      index_[v] = static_cast<uint32_t>(registers_.size());
      registers_.push_back(v);
    }
    tracked_.assign(function_.values.size(), false);
  }

  // Of a Pack or an Unpack.
  static int sources_of(const Instruction& in) { return in.op == AluOp::Pack ? in.arity - 1 : 1; }

  // A forward analysis: the registers written on every path. Guarded writes do not count.
  void find_unwritten_reads() {
    const size_t n = registers_.size();
    std::vector<Bits> written(blocks_.size(), Bits(n)), out(blocks_.size(), Bits(n, true));
    for (size_t b = 0; b < blocks_.size(); ++b) {
      for (uint32_t pc = blocks_[b].begin; pc < blocks_[b].end; ++pc) {
        const Instruction& in = function_.code[pc];
        if (in.guard != kNone) continue;
        each_def(function_, in, [&](uint32_t v) { written[b].set(index_[v]); });
      }
    }
    const auto on_entry = [&](size_t b) {
      Bits in(n, b != 0);
      for (const uint32_t p : blocks_[b].predecessors) in &= out[p];
      return in;
    };
    std::vector<bool> queued(blocks_.size(), true);
    std::queue<uint32_t> queue;
    for (uint32_t b = 0; b < blocks_.size(); ++b) queue.push(b);
    while (!queue.empty()) {
      const uint32_t b = queue.front();
      queue.pop();
      queued[b] = false;
      Bits now = on_entry(b);
      now |= written[b];
      if (now == out[b]) continue;
      out[b] = std::move(now);
      for (const uint32_t s : blocks_[b].successors) {
        if (s != kNone && !queued[s]) {
          queued[s] = true;
          queue.push(s);
        }
      }
    }
    for (size_t b = 0; b < blocks_.size(); ++b) {
      Bits now = on_entry(b);
      for (uint32_t pc = blocks_[b].begin; pc < blocks_[b].end; ++pc) {
        const Instruction& in = function_.code[pc];
        each_use(function_, in, [&](uint32_t v) {
          if (is_register(v) && !now.test(index_[v])) tracked_[v] = true;
        });
        if (in.guard != kNone) continue;
        each_def(function_, in, [&](uint32_t v) { now.set(index_[v]); });
      }
    }
    // A copy of a tracked register, or of a part of it, hands its state on, so that the copy is
    // tracked, too. So does what is packed of tracked registers alone.
    for (bool changed = true; changed;) {
      changed = false;
      for (const Instruction& in : function_.code) {
        if (in.kind == Kind::Alu && (in.op == AluOp::Unpack || in.op == AluOp::Pack)) {
          int from = 0;
          each_operand_use(function_, in, [&](uint32_t v) { from += tracked_[v] ? 1 : 0; });
          if (from < sources_of(in)) continue;
          each_def(function_, in, [&](uint32_t v) {
            changed = changed || !tracked_[v];
            tracked_[v] = true;
          });
          continue;
        }
        if (in.kind != Kind::Alu || (in.op != AluOp::Mov && in.op != AluOp::Select)) continue;
        const uint32_t to = in.operands[0];
        for (int source = 1; source <= (in.op == AluOp::Select ? 2 : 1); ++source) {
          const uint32_t from = in.operands[source];
          if (!is_register(from) || !tracked_[from] || tracked_[to]) continue;
          tracked_[to] = true;
          changed = true;
        }
      }
    }
  }

  void find_intervals() {
    const size_t n = registers_.size();
    std::vector<Bits> uses(blocks_.size(), Bits(n)), defs(blocks_.size(), Bits(n)),
        live_in(blocks_.size(), Bits(n)), live_out(blocks_.size(), Bits(n));
    for (size_t b = 0; b < blocks_.size(); ++b) {
      for (uint32_t pc = blocks_[b].begin; pc < blocks_[b].end; ++pc) {
        const Instruction& in = function_.code[pc];
        each_use(function_, in, [&](uint32_t v) {
          if (is_register(v) && !defs[b].test(index_[v])) uses[b].set(index_[v]);
        });
        if (in.guard != kNone) continue;
        each_def(function_, in, [&](uint32_t v) { defs[b].set(index_[v]); });
      }
    }
    std::vector<bool> queued(blocks_.size(), true);
    std::queue<uint32_t> queue;
    for (auto b = static_cast<uint32_t>(blocks_.size()); b-- > 0;) queue.push(b);
    while (!queue.empty()) {
      const uint32_t b = queue.front();
      queue.pop();
      queued[b] = false;
      Bits out(n);
      for (const uint32_t s : blocks_[b].successors) {
        if (s != kNone) out |= live_in[s];
      }
      live_out[b] = out;
      out.remove(defs[b]);
      out |= uses[b];
      if (out == live_in[b]) continue;
      live_in[b] = std::move(out);
      for (const uint32_t p : blocks_[b].predecessors) {
        if (!queued[p]) {
          queued[p] = true;
          queue.push(p);
        }
      }
    }
    // Position 2 pc: an instruction reads; 2 pc + 1: it writes.
    intervals_.assign(function_.values.size(), {});
    for (size_t b = 0; b < blocks_.size(); ++b) {
      const Block& block = blocks_[b];
      live_in[b].each([&](size_t i) { intervals_[registers_[i]].include(2ull * block.begin); });
      live_out[b].each([&](size_t i) { intervals_[registers_[i]].include(2ull * block.end); });
      for (uint32_t pc = block.begin; pc < block.end; ++pc) {
        const Instruction& in = function_.code[pc];
        // Handlers of one result read everything before they write. Others get other memory.
        const uint64_t read = in.kind == Kind::Alu && in.defs == 1 ? 2ull * pc : 2ull * pc + 2;
        each_use(function_, in, [&](uint32_t v) {
          intervals_[v].include(2ull * pc);
          intervals_[v].include(read);
        });
        each_def(function_, in, [&](uint32_t v) {
          intervals_[v].include(2ull * pc + 1);
          if (in.defs != 1) intervals_[v].include(2ull * pc + 2);
        });
      }
    }
  }

  static uint32_t class_of(ScalarType type) {
    switch (bytes_of(type)) {
      case 8:
        return 0;
      case 4:
        return 1;
      case 2:
        return 2;
      default:
        return 3;
    }
  }

  void assign_slots() {
    constexpr uint32_t kBytes[4] = {256, 128, 64, 4};
    std::vector<uint32_t> slot(function_.values.size(), kNone);
    uint32_t counts[4] = {};
    std::vector<uint32_t> shared;
    for (uint32_t v = 0; v < function_.values.size(); ++v) {
      const bool shares = is_register(v) && !tracked_[v] && !intervals_.empty();
      if (!shares) {
        slot[v] = counts[class_of(function_.values[v].type)]++;
      } else if (intervals_[v].begin <= intervals_[v].end) {
        shared.push_back(v);
      }
    }
    std::sort(shared.begin(), shared.end(), [&](uint32_t a, uint32_t b) {
      return intervals_[a].begin != intervals_[b].begin ? intervals_[a].begin < intervals_[b].begin
                                                        : a < b;
    });
    using Active = std::pair<uint64_t, uint32_t>;  // end, slot
    std::priority_queue<Active, std::vector<Active>, std::greater<>> active[4];
    for (const uint32_t v : shared) {
      const uint32_t c = class_of(function_.values[v].type);
      if (!active[c].empty() && active[c].top().first < intervals_[v].begin) {
        slot[v] = active[c].top().second;
        active[c].pop();
      } else {
        slot[v] = counts[c]++;
      }
      active[c].emplace(intervals_[v].end, slot[v]);
    }
    uint64_t begins[4], end = kRegisterHeaderBytes;
    for (int c = 0; c < 4; ++c) {
      begins[c] = end;
      end += uint64_t{counts[c]} * kBytes[c];
    }
    for (uint32_t v = 0; v < function_.values.size(); ++v) {
      const uint32_t c = class_of(function_.values[v].type);
      if (slot[v] != kNone)
        function_.values[v].slot = static_cast<uint32_t>(begins[c] + uint64_t{slot[v]} * kBytes[c]);
    }
    function_.written_begin = static_cast<uint32_t>(end);
    for (const uint32_t v : registers_) {
      if (!tracked_[v]) continue;
      function_.values[v].written_slot = static_cast<uint32_t>(end);
      end += 4;
    }
    function_.written_end = static_cast<uint32_t>(end);
    function_.register_bytes = (end + 255) / 256 * 256;
  }

  void rewrite() {
    const auto slot_of = [&](uint32_t& operand) {
      if (operand != kNone) operand = function_.values[operand].slot;
    };
    for (uint32_t pc = 0; pc < function_.code.size(); ++pc) {
      Instruction& in = function_.code[pc];
      Function::RegisterChecks checks;
      if (in.guard != kNone && tracked_[in.guard]) checks.guard = in.guard;
      each_operand_use(function_, in, [&](uint32_t v) {
        if (tracked_[v]) checks.reads.push_back(v);
      });
      each_def(function_, in, [&](uint32_t v) {
        if (tracked_[v]) checks.writes.push_back(v);
      });
      if (checks.guard != kNone || !checks.reads.empty() || !checks.writes.empty()) {
        in.checked = true;
        checks.copies = in.kind == Kind::Alu && (in.op == AluOp::Mov || in.op == AluOp::Unpack);
        if (in.kind == Kind::Alu && in.op == AluOp::Pack) checks.packs = sources_of(in);
        if (in.kind == Kind::Alu && in.op == AluOp::Select) {
          const auto tracked = [&](uint32_t v) { return tracked_[v] ? v : kNone; };
          checks.selection = {in.operands[3], tracked(in.operands[1]), tracked(in.operands[2])};
          checks.reads.clear();
          if (tracked_[in.operands[3]]) checks.reads.push_back(in.operands[3]);
        }
        function_.register_checks.emplace(pc, std::move(checks));
      }
      slot_of(in.guard);
      for (int i = 0; i < in.arity; ++i) slot_of(in.operands[i]);
      for (uint32_t i = 0; i < in.list_size; ++i) slot_of(function_.lists[in.list + i]);
    }
  }

  Function& function_;
  std::vector<Block> blocks_;
  std::vector<uint32_t> registers_;  // values that are registers
  std::vector<uint32_t> index_;      // value -> its place in registers_
  std::vector<bool> tracked_;        // value -> its writes are tracked
  std::vector<Interval> intervals_;  // by value
};

}  // namespace

void finish_function(Function& function) { Finisher(function).run(); }

}  // namespace maskjit::emulator
