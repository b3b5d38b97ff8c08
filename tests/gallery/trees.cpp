// Trees of draft tokens, given by the parent of each node.
#include <random>

#include "tests/gallery/check.h"

namespace maskjit::gallery {
namespace {

constexpr int64_t kRoot = -1;

// parent[i] < i, or kRoot: several trees may start at the context.
struct Tree {
  std::vector<int64_t> parent;

  bool sees(int64_t node, int64_t other) const {
    while (node != kRoot) {
      if (node == other) return true;
      node = parent[static_cast<size_t>(node)];
    }
    return false;
  }
};

Tree random_tree(int64_t nodes, uint32_t seed) {
  std::mt19937 generator(seed);
  Tree tree;
  for (int64_t i = 0; i < nodes; ++i)
    tree.parent.push_back(
        std::uniform_int_distribution<int64_t>(std::max(kRoot, i - 9), i - 1)(generator));
  return tree;
}

// Bit j of number i: node i sees node j.
std::vector<int64_t> ancestor_bits(const Tree& tree) {
  std::vector<int64_t> bits;
  for (size_t i = 0; i < tree.parent.size(); ++i) {
    uint64_t own = uint64_t{1} << i;
    if (tree.parent[i] != kRoot)
      own |= static_cast<uint64_t>(bits[static_cast<size_t>(tree.parent[i])]);
    bits.push_back(static_cast<int64_t>(own));
  }
  return bits;
}

// A depth-first walk that numbers nodes as it enters them.
struct Walk {
  const Tree& tree;
  std::vector<int64_t> enter, exit;
  int64_t next = 0;

  explicit Walk(const Tree& t) : tree(t), enter(t.parent.size()), exit(t.parent.size()) {
    visit(kRoot);
  }
  void visit(int64_t node) {
    if (node != kRoot) enter[static_cast<size_t>(node)] = next++;
    for (size_t child = 0; child < tree.parent.size(); ++child) {
      if (tree.parent[child] == node) visit(static_cast<int64_t>(child));
    }
    if (node != kRoot) exit[static_cast<size_t>(node)] = next;
  }
};

// `context` keys before the nodes; one tree for each batch.
std::vector<Case> cases(const std::vector<std::pair<int64_t, int64_t>>& nodes_and_context,
                        bool bits) {
  std::vector<Case> result;
  for (const auto& [nodes, context] : nodes_and_context) {
    std::vector<Tree> trees;
    TensorData ancestors{{2, nodes}}, enter{{2, nodes}}, exit{{2, nodes}};
    for (uint32_t b = 0; b < 2; ++b) {
      trees.push_back(random_tree(nodes, b + static_cast<uint32_t>(nodes)));
      if (bits) {
        for (const int64_t v : ancestor_bits(trees.back())) ancestors.integers.push_back(v);
      }
      const Walk walk(trees.back());
      for (const int64_t v : walk.enter) enter.integers.push_back(v);
      for (const int64_t v : walk.exit) exit.integers.push_back(v);
    }
    const auto active = [trees, context = context](const Element& e) {
      return e.k < context || trees[static_cast<size_t>(e.batch)].sees(e.q_index, e.k - context);
    };
    std::map<std::string, TensorData> tensors;
    if (bits) {
      tensors = {{"ancestors", ancestors}};
    } else {
      tensors = {{"enter", enter}, {"exit", exit}};
    }
    result.push_back({{nodes, context + nodes, 2, 2, 1}, {}, tensors, active});
  }
  return result;
}

}  // namespace

std::vector<Check> tree_checks() {
  return {{"tree_intervals", cases({{17, 30}, {1, 5}, {40, 0}, {128, 256}}, false)},
          {"tree_bits", cases({{17, 30}, {1, 5}, {40, 0}, {64, 100}, {64, 256}}, true)}};
}

}  // namespace maskjit::gallery
