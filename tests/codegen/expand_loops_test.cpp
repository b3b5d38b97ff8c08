// Loops that are marked become their iterations and compute what they did; others stay.
#include "codegen/optimize/expand_loops.h"

#include <gtest/gtest.h>
#include <llvm/Analysis/LoopInfo.h>
#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/AsmParser/Parser.h>
#include <llvm/IR/Constants.h>
#include <llvm/IR/Dominators.h>
#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>
#include <llvm/IR/Verifier.h>
#include <llvm/Passes/PassBuilder.h>
#include <llvm/Support/SourceMgr.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Transforms/Utils/Evaluator.h>

#include <string>

namespace maskjit::codegen {
namespace {

constexpr const char* kMark = "!0 = distinct !{!0, !1}\n!1 = !{!\"llvm.loop.unroll.full\"}\n";

// A module with the function i32 @f(i32 %x).
class Code {
 public:
  explicit Code(const std::string& text) {
    llvm::SMDiagnostic error;
    module_ = llvm::parseAssemblyString(text + kMark, error, context_);
    if (module_ == nullptr) {
      ADD_FAILURE() << error.getMessage().str() << "\n" << error.getLineContents().str();
      std::abort();
    }
  }
  llvm::Function& function() { return *module_->getFunction("f"); }

  void expand() {
    llvm::LoopAnalysisManager loops;
    llvm::FunctionAnalysisManager functions;
    llvm::CGSCCAnalysisManager components;
    llvm::ModuleAnalysisManager modules;
    llvm::PassBuilder builder;
    builder.registerModuleAnalyses(modules);
    builder.registerCGSCCAnalyses(components);
    builder.registerFunctionAnalyses(functions);
    builder.registerLoopAnalyses(loops);
    builder.crossRegisterProxies(loops, functions, components, modules);
    ExpandLoopsPass::run(function(), functions);
    std::string problems;
    llvm::raw_string_ostream stream(problems);
    EXPECT_FALSE(llvm::verifyModule(*module_, &stream)) << problems << print();
  }

  // Marks the loops that are left.
  void mark_all() {
    llvm::MDNode* full =
        llvm::MDNode::get(context_, {llvm::MDString::get(context_, "llvm.loop.unroll.full")});
    llvm::MDNode* mark = llvm::MDNode::getDistinct(context_, {nullptr, full});
    mark->replaceOperandWith(0, mark);
    llvm::DominatorTree dominators(function());
    const llvm::LoopInfo loops(dominators);
    for (llvm::Loop* loop : loops.getLoopsInPreorder()) loop->setLoopID(mark);
  }

  size_t loops() {
    llvm::DominatorTree dominators(function());
    return llvm::LoopInfo(dominators).getLoopsInPreorder().size();
  }

  // f(x), of code without loops.
  int64_t operator()(int x) {
    llvm::TargetLibraryInfoImpl library(module_->getTargetTriple());
    const llvm::TargetLibraryInfo info(library);
    llvm::Evaluator evaluator(module_->getDataLayout(), &info);
    llvm::Constant* result = nullptr;
    llvm::SmallVector<llvm::Constant*, 1> arguments = {
        llvm::ConstantInt::get(llvm::Type::getInt32Ty(context_), static_cast<uint64_t>(x))};
    if (!evaluator.EvaluateFunction(&function(), result, arguments)) {
      ADD_FAILURE() << "cannot be evaluated:\n" << print();
      return -1;
    }
    return llvm::cast<llvm::ConstantInt>(result)->getSExtValue();
  }

  std::string print() {
    std::string text;
    llvm::raw_string_ostream stream(text);
    module_->print(stream, nullptr);
    return text;
  }

 private:
  llvm::LLVMContext context_;
  std::unique_ptr<llvm::Module> module_;
};

// for (i < 4) for (j <= i) sum += 10 i + j + x, in the form that asks before each iteration.
constexpr const char* kNest = R"(
define i32 @f(i32 %x) {
entry:
  br label %outer
outer:
  %i = phi i32 [ 0, %entry ], [ %i.next, %outer.latch ]
  %sum = phi i32 [ 0, %entry ], [ %inner.sum, %outer.latch ]
  %more = icmp slt i32 %i, 4
  br i1 %more, label %inner.entry, label %done
inner.entry:
  br label %inner
inner:
  %j = phi i32 [ 0, %inner.entry ], [ %j.next, %body ]
  %inner.sum = phi i32 [ %sum, %inner.entry ], [ %sum.next, %body ]
  %inside = icmp sle i32 %j, %i
  br i1 %inside, label %body, label %outer.latch
body:
  %ten = mul i32 %i, 10
  %term = add i32 %ten, %j
  %with = add i32 %term, %x
  %sum.next = add i32 %inner.sum, %with
  %j.next = add i32 %j, 1
  br label %inner, INNER
outer.latch:
  %i.next = add i32 %i, 1
  br label %outer, OUTER
done:
  ret i32 %sum
}
)";

std::string nest(const char* inner, const char* outer) {
  std::string text = kNest;
  const auto put = [&](const char* word, const char* mark) {
    const size_t at = text.find(word) - 2;
    text.replace(at, std::string(word).size() + 2, mark);
  };
  put("INNER", inner);
  put("OUTER", outer);
  return text;
}

int nest_value(int x) {
  int sum = 0;
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j <= i; ++j) sum += 10 * i + j + x;
  }
  return sum;
}

constexpr const char* kMarked = ", !llvm.loop !0";

TEST(ExpandLoops, ANestWhoseInnerBoundDependsOnTheOuterLoop) {
  Code code(nest(kMarked, kMarked));
  code.expand();
  EXPECT_EQ(code.loops(), 0U);
  for (int x : {0, 1, -7}) EXPECT_EQ(code(x), nest_value(x));
  // One block: what leads from one iteration to the next is gone.
  EXPECT_LE(code.function().size(), 3U) << code.print();
}

TEST(ExpandLoops, AnUnmarkedLoopInAMarkedOneIsCopied) {
  Code code(nest("", kMarked));
  code.expand();
  EXPECT_EQ(code.loops(), 4U);
  code.mark_all();
  code.expand();
  EXPECT_EQ(code.loops(), 0U);
  for (int x : {0, 1, -7}) EXPECT_EQ(code(x), nest_value(x));
}

TEST(ExpandLoops, AMarkedLoopInAnUnmarkedOneWhoseTripsAreNotKnown) {
  Code code(nest(kMarked, ""));
  code.expand();
  EXPECT_EQ(code.loops(), 2U);
}

TEST(ExpandLoops, NothingIsMarked) {
  Code code(nest("", ""));
  code.expand();
  EXPECT_EQ(code.loops(), 2U);
}

// A way out that only the run decides on, with values of the iteration that leaves.
constexpr const char* kBreak = R"(
define i32 @f(i32 %x) {
entry:
  br label %head
head:
  %i = phi i32 [ 0, %entry ], [ %i.next, %latch ]
  %sum = phi i32 [ 100, %entry ], [ %sum.next, %latch ]
  %found = icmp eq i32 %i, %x
  br i1 %found, label %early, label %latch
latch:
  %square = mul i32 %i, %i
  %sum.next = add i32 %sum, %square
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, COUNT
  br i1 %more, label %head, label %late, !llvm.loop !0
early:
  %at = add i32 %sum, %i
  ret i32 %at
late:
  %all = mul i32 %sum.next, 2
  ret i32 %all
}
)";

std::string with_count(std::string text, const char* count) {
  return text.replace(text.find("COUNT"), 5, count);
}

TEST(ExpandLoops, ABreak) {
  Code code(with_count(kBreak, "6"));
  code.expand();
  EXPECT_EQ(code.loops(), 0U);
  for (int x = -1; x < 8; ++x) {
    int sum = 100, expected = 0;
    bool found = false;
    for (int i = 0; i < 6 && !found; ++i) {
      found = i == x;
      if (found) expected = sum + i;
      sum += i * i;
    }
    EXPECT_EQ(code(x), found ? expected : 2 * sum) << x;
  }
}

TEST(ExpandLoops, ATripCountOfTheRunIsLeftAlone) {
  Code code(with_count(kBreak, "%x"));
  const size_t blocks = code.function().size();
  code.expand();
  EXPECT_EQ(code.loops(), 1U);
  EXPECT_EQ(code.function().size(), blocks) << code.print();
}

TEST(ExpandLoops, SoAreTooManyIterations) {
  Code code(with_count(kBreak, "100000"));
  const size_t blocks = code.function().size();
  code.expand();
  EXPECT_EQ(code.loops(), 1U);
  EXPECT_EQ(code.function().size(), blocks) << code.print();
}

// Values that trade places from one iteration to the next, and a switch on the counter.
TEST(ExpandLoops, PhisOfOneAnotherAndASwitch) {
  Code code(R"(
define i32 @f(i32 %x) {
entry:
  br label %head
head:
  %i = phi i32 [ 0, %entry ], [ %i.next, %latch ]
  %a = phi i32 [ 0, %entry ], [ %b, %latch ]
  %b = phi i32 [ %x, %entry ], [ %next, %latch ]
  switch i32 %i, label %plain [ i32 3, label %three
                                i32 5, label %five ]
three:
  br label %latch
five:
  br label %latch
plain:
  br label %latch
latch:
  %more.term = phi i32 [ 1000, %three ], [ 50000, %five ], [ 0, %plain ]
  %sum = add i32 %a, %b
  %next = add i32 %sum, %more.term
  %i.next = add i32 %i, 1
  %again = icmp ne i32 %i.next, 10
  br i1 %again, label %head, label %done, !llvm.loop !0
done:
  ret i32 %a
}
)");
  code.expand();
  EXPECT_EQ(code.loops(), 0U);
  for (int x : {1, 5, -3}) {
    int a = 0, b = x, last = 0;
    for (int i = 0; i < 10; ++i) {
      last = a;
      const int next = a + b + (i == 3 ? 1000 : i == 5 ? 50000 : 0);
      a = b;
      b = next;
    }
    EXPECT_EQ(code(x), last);
  }
}

// What is known not to alias within an iteration may alias across iterations.
TEST(ExpandLoops, ScopesOfAliasesAreDropped) {
  Code code(R"(
declare void @llvm.experimental.noalias.scope.decl(metadata)
define i32 @f(i32 %x, ptr %p) {
entry:
  br label %head
head:
  %i = phi i32 [ 0, %entry ], [ %i.next, %head ]
  call void @llvm.experimental.noalias.scope.decl(metadata !4)
  %v = load i32, ptr %p, !alias.scope !4
  store i32 %i, ptr %p, !noalias !4
  %i.next = add i32 %i, 1
  %more = icmp ult i32 %i.next, 3
  br i1 %more, label %head, label %done, !llvm.loop !0
done:
  ret i32 %v
}
!2 = distinct !{!2}
!3 = distinct !{!3, !2}
!4 = !{!3}
)");
  code.expand();
  EXPECT_EQ(code.loops(), 0U);
  const std::string text = code.print();
  EXPECT_EQ(text.find("!noalias"), std::string::npos) << text;
  EXPECT_EQ(text.find("!alias.scope"), std::string::npos) << text;
  EXPECT_EQ(text.find("call void"), std::string::npos) << text;
}

}  // namespace
}  // namespace maskjit::codegen
