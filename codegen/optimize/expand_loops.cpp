#include "codegen/optimize/expand_loops.h"

#include <llvm/ADT/DenseMap.h>
#include <llvm/ADT/SmallPtrSet.h>
#include <llvm/Analysis/AssumptionCache.h>
#include <llvm/Analysis/InstructionSimplify.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/LoopIterator.h>
#include <llvm/IR/CFG.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/Function.h>
#include <llvm/IR/Instructions.h>
#include <llvm/IR/IntrinsicInst.h>
#include <llvm/Transforms/Utils/LoopSimplify.h>
#include <llvm/Transforms/Utils/LoopUtils.h>
#include <llvm/Transforms/Utils/UnrollLoop.h>

#include <vector>

namespace maskjit::codegen {
namespace {

using llvm::BasicBlock;
using llvm::Instruction;
using llvm::Loop;
using llvm::PHINode;
using llvm::Value;

bool is_marked(const Loop& loop) {
  llvm::MDNode* id = loop.getLoopID();
  return id != nullptr && llvm::GetUnrollMetadata(id, "llvm.loop.unroll.full") != nullptr;
}

// The outermost marked loops.
void collect_marked(Loop& loop, std::vector<Loop*>& marked) {
  if (is_marked(loop)) {
    marked.push_back(&loop);
    return;
  }
  for (Loop* inner : loop) collect_marked(*inner, marked);
}

// Writes the iterations of one outermost marked loop. Nothing of the function changes before
// finish().
class Expansion {
 public:
  Expansion(Loop& root, const llvm::LoopInfo& loops)
      : root_(root),
        loops_(loops),
        function_(*root.getHeader()->getParent()),
        layout_(function_.getDataLayout()) {}

  // False: the number of iterations is not known. Then discard().
  bool run() {
    add_edge(root_.getLoopPreheader(), root_.getHeader(), root_.getLoopPreheader());
    first_ = targets_[root_.getHeader()].block;
    return expand(root_);
  }

  // The preheader and the exits use the copies; the loop is gone.
  void finish() {
    root_.getLoopPreheader()->getTerminator()->replaceSuccessorWith(root_.getHeader(), first_);
    llvm::SmallVector<BasicBlock*, 4> exits;
    root_.getUniqueExitBlocks(exits);
    for (BasicBlock* exit : exits) {
      const Target& target = targets_[exit];
      size_t index = 0;
      for (PHINode& phi : exit->phis()) {
        phi.removeIncomingValueIf(
            [&](unsigned i) { return root_.contains(phi.getIncomingBlock(i)); },
            /*DeletePHIIfEmpty=*/false);
        for (const Edge& edge : target.edges) phi.addIncoming(edge.values[index], edge.from);
        ++index;
      }
      // An exit that is never taken.
      while (target.edges.empty() && !exit->phis().empty()) {
        PHINode& phi = *exit->phis().begin();
        phi.replaceAllUsesWith(llvm::PoisonValue::get(phi.getType()));
        phi.eraseFromParent();
      }
    }
    erase(llvm::SmallVector<BasicBlock*>(root_.blocks()));
  }

  void discard() { erase(llvm::SmallVector<BasicBlock*>(made_.begin(), made_.end())); }

 private:
  // Into a block that is still to be written, with the values of its phis.
  struct Edge {
    BasicBlock* from;
    llvm::SmallVector<Value*, 4> values;
  };
  struct Target {
    BasicBlock* block = nullptr;
    llvm::SmallVector<Edge, 2> edges;
  };
  // The copy of the header of a loop that stays one.
  struct OpenHeader {
    BasicBlock* block;
    llvm::SmallVector<PHINode*, 4> phis;
  };

  static constexpr int kMostIterations = 4096;  // of a loop
  static constexpr size_t kMostInstructions = size_t{1} << 18;

  static void erase(llvm::ArrayRef<BasicBlock*> blocks) {
    for (BasicBlock* block : blocks) block->dropAllReferences();
    for (BasicBlock* block : blocks) block->eraseFromParent();
  }

  Value* copy_of(Value* value) const {
    const auto found = copies_.find(value);
    return found == copies_.end() ? value : found->second;
  }

  // The copy of `to` that an edge from `copy`, the copy of `from`, leads to.
  BasicBlock* add_edge(BasicBlock* from, BasicBlock* to, BasicBlock* copy) {
    if (const auto open = open_.find(to); open != open_.end()) {
      size_t index = 0;
      for (PHINode& phi : to->phis())
        open->second.phis[index++]->addIncoming(copy_of(phi.getIncomingValueForBlock(from)), copy);
      return open->second.block;
    }
    Target& target = targets_[to];
    if (target.block == nullptr) target.block = root_.contains(to) ? make_block() : to;
    Edge edge{copy, {}};
    for (PHINode& phi : to->phis())
      edge.values.push_back(copy_of(phi.getIncomingValueForBlock(from)));
    target.edges.push_back(std::move(edge));
    return target.block;
  }

  BasicBlock* make_block() {
    BasicBlock* block =
        BasicBlock::Create(function_.getContext(), "", &function_, root_.getHeader());
    made_.insert(block);
    return block;
  }

  // The blocks of a loop in an order in which each comes after all that lead to it; of a nested
  // loop only its header.
  llvm::ArrayRef<BasicBlock*> order_of(Loop& loop) {
    std::vector<BasicBlock*>& order = orders_[&loop];
    if (order.empty()) {
      llvm::LoopBlocksRPO all(&loop);
      all.perform(&loops_);
      for (BasicBlock* block : all) {
        const Loop* inner = loops_.getLoopFor(block);
        if (inner == &loop || (inner->getParentLoop() == &loop && inner->getHeader() == block))
          order.push_back(block);
      }
    }
    return order;
  }

  bool expand(Loop& loop) {
    for (int i = 0; i < kMostIterations; ++i) {
      exits_known_.erase(&loop);
      if (!copy_blocks(loop)) return false;
      if (!targets_.contains(loop.getHeader())) return true;  // no edge leads back
      if (!exits_known_.contains(&loop)) return false;
    }
    return false;
  }

  bool copy_blocks(Loop& loop) {
    for (BasicBlock* block : order_of(loop)) {
      if (!targets_.contains(block)) continue;  // never reached
      Loop* inner = loops_.getLoopFor(block);
      if (inner == &loop) {
        if (!copy_block(*block)) return false;
      } else if (is_marked(*inner) ? !expand(*inner) : !copy_loop(*inner)) {
        return false;
      }
    }
    return true;
  }

  // A loop that stays one.
  bool copy_loop(Loop& loop) {
    BasicBlock* header = loop.getHeader();
    const Target target = take(*header);
    OpenHeader open{target.block, {}};
    size_t index = 0;
    for (PHINode& phi : header->phis()) {
      PHINode* copy = PHINode::Create(phi.getType(), 2, "", target.block);
      for (const Edge& edge : target.edges) copy->addIncoming(edge.values[index], edge.from);
      ++index;
      open.phis.push_back(copy);
      copies_[&phi] = copy;
    }
    open_[header] = open;
    const bool ok = copy_instructions(*header, target.block) && copy_blocks(loop);
    open_.erase(header);
    return ok;
  }

  Target take(BasicBlock& block) {
    const auto found = targets_.find(&block);
    Target target = std::move(found->second);
    targets_.erase(found);
    return target;
  }

  bool copy_block(BasicBlock& block) {
    const Target target = take(block);
    BasicBlock* copy = target.block;
    // A block with one way in goes on where that comes from.
    BasicBlock* before = target.edges.size() == 1 ? target.edges[0].from : nullptr;
    const bool joined = before != nullptr && before != root_.getLoopPreheader() &&
                        before->getTerminator()->getNumSuccessors() == 1;
    size_t index = 0;
    for (PHINode& phi : block.phis()) {
      Value* value = target.edges[0].values[index];
      const bool same =
          llvm::all_of(target.edges, [&](const Edge& edge) { return edge.values[index] == value; });
      if (!same) {
        PHINode* merged =
            PHINode::Create(phi.getType(), static_cast<unsigned>(target.edges.size()), "", copy);
        for (const Edge& edge : target.edges) merged->addIncoming(edge.values[index], edge.from);
        value = merged;
      }
      ++index;
      copies_[&phi] = value;
    }
    if (joined) {
      before->getTerminator()->eraseFromParent();
      made_.erase(copy);
      copy->eraseFromParent();
      copy = before;
    }
    return copy_instructions(block, copy);
  }

  bool copy_instructions(BasicBlock& block, BasicBlock* copy) {
    for (Instruction& instruction : block) {
      if (llvm::isa<PHINode>(instruction)) continue;
      if (llvm::isa<llvm::NoAliasScopeDeclInst>(instruction)) continue;
      if (instruction.isTerminator()) {
        copy_terminator(instruction, copy);
        break;
      }
      if (++instructions_ > kMostInstructions) return false;
      if (Value* folded = fold(instruction)) {
        copies_[&instruction] = folded;
        continue;
      }
      Instruction* made = instruction.clone();
      for (llvm::Use& operand : made->operands()) operand.set(copy_of(operand));
      // They hold within one iteration.
      made->setMetadata(llvm::LLVMContext::MD_noalias, nullptr);
      made->setMetadata(llvm::LLVMContext::MD_alias_scope, nullptr);
      made->insertInto(copy, copy->end());
      copies_[&instruction] = made;
    }
    return true;
  }

  // What an instruction is with the constants of this iteration, or null.
  Value* fold(Instruction& instruction) const {
    if (instruction.mayReadOrWriteMemory() || instruction.getType()->isVoidTy() ||
        llvm::isa<llvm::AllocaInst>(instruction))
      return nullptr;
    llvm::SmallVector<Value*, 4> operands;
    bool any = false, all = true;
    for (Value* operand : instruction.operands()) {
      operands.push_back(copy_of(operand));
      const bool constant = llvm::isa<llvm::Constant>(operands.back());
      any |= constant;
      all &= constant;
    }
    // In a loop that stays one, phis lack what comes back: nothing may be concluded from them.
    if (open_.empty() ? !any : !all) return nullptr;
    return llvm::simplifyInstructionWithOperands(&instruction, operands,
                                                 llvm::SimplifyQuery(layout_));
  }

  void copy_terminator(Instruction& terminator, BasicBlock* copy) {
    BasicBlock* block = terminator.getParent();
    Instruction* made = nullptr;
    if (BasicBlock* taken = taken_of(terminator)) {
      const Loop* loop = loops_.getLoopFor(block);
      if (loop->isLoopExiting(block)) exits_known_.insert(loop);
      made = llvm::BranchInst::Create(add_edge(block, taken, copy), copy);
    } else {
      made = terminator.clone();
      for (llvm::Use& operand : made->operands()) operand.set(copy_of(operand));
      for (unsigned i = 0; i < made->getNumSuccessors(); ++i)
        made->setSuccessor(i, add_edge(block, terminator.getSuccessor(i), copy));
      made->insertInto(copy, copy->end());
    }
    // Only a loop that stays one has something to say about itself.
    const bool leads_back = llvm::any_of(llvm::successors(&terminator), [&](BasicBlock* successor) {
      return open_.contains(successor);
    });
    made->setMetadata(llvm::LLVMContext::MD_loop,
                      leads_back ? terminator.getMetadata(llvm::LLVMContext::MD_loop) : nullptr);
  }

  // The one successor that the constants of this iteration leave, or null.
  BasicBlock* taken_of(Instruction& terminator) const {
    if (auto* branch = llvm::dyn_cast<llvm::BranchInst>(&terminator)) {
      if (branch->isUnconditional()) return branch->getSuccessor(0);
      if (auto* condition = llvm::dyn_cast<llvm::ConstantInt>(copy_of(branch->getCondition())))
        return branch->getSuccessor(condition->isZero() ? 1 : 0);
    }
    if (auto* choice = llvm::dyn_cast<llvm::SwitchInst>(&terminator)) {
      if (auto* value = llvm::dyn_cast<llvm::ConstantInt>(copy_of(choice->getCondition())))
        return choice->findCaseValue(value)->getCaseSuccessor();
    }
    return nullptr;
  }

  Loop& root_;
  const llvm::LoopInfo& loops_;
  llvm::Function& function_;
  const llvm::DataLayout& layout_;
  BasicBlock* first_ = nullptr;
  llvm::DenseMap<Value*, Value*> copies_;  // in the iteration that is being written
  llvm::DenseMap<BasicBlock*, Target> targets_;
  llvm::DenseMap<BasicBlock*, OpenHeader> open_;
  llvm::DenseMap<Loop*, std::vector<BasicBlock*>> orders_;
  llvm::SmallPtrSet<BasicBlock*, 32> made_;
  llvm::SmallPtrSet<const Loop*, 8> exits_known_;  // an exit's condition is a constant
  size_t instructions_ = 0;
};

}  // namespace

llvm::PreservedAnalyses ExpandLoopsPass::run(llvm::Function& function,
                                             llvm::FunctionAnalysisManager& analyses) {
  llvm::LoopInfo& loops = analyses.getResult<llvm::LoopAnalysis>(function);
  llvm::DominatorTree& dominators = analyses.getResult<llvm::DominatorTreeAnalysis>(function);
  llvm::AssumptionCache& assumptions = analyses.getResult<llvm::AssumptionAnalysis>(function);
  for (Loop* loop : loops) {
    llvm::simplifyLoop(loop, &dominators, &loops, nullptr, &assumptions, nullptr,
                       /*PreserveLCSSA=*/false);
    llvm::formLCSSARecursively(*loop, dominators, &loops, nullptr);
  }
  std::vector<Loop*> roots;
  for (Loop* loop : loops) collect_marked(*loop, roots);
  for (size_t i = 0; i < roots.size(); ++i) {
    Loop& loop = *roots[i];
    Expansion expansion(loop, loops);
    if (loop.isLoopSimplifyForm() && expansion.run()) {
      expansion.finish();
    } else {
      expansion.discard();
      for (Loop* inner : loop) collect_marked(*inner, roots);
    }
  }
  return llvm::PreservedAnalyses::none();
}

}  // namespace maskjit::codegen
