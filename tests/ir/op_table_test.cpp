// The op table is complete, unambiguous and agrees with the type rules and the reference page.
#include <fstream>
#include <set>
#include <sstream>

#include "masker_dsl/ir/function.h"
#include "masker_dsl/ir/op.h"
#include "masker_dsl/ir/text.h"
#include "masker_dsl/passes/passes.h"

namespace maskjit::ir {
namespace {

std::vector<Op> all_ops() {
  std::vector<Op> ops;
  for (int i = 0; i < kNumOps; ++i) ops.push_back(static_cast<Op>(i));
  return ops;
}

TEST(OpTable, CoversEveryOp) {
  std::set<std::string_view> names;
  for (Op op : all_ops()) {
    EXPECT_EQ(info(op).op, op);
    EXPECT_FALSE(info(op).meaning.empty()) << info(op).name;
    EXPECT_TRUE(names.insert(info(op).name).second) << info(op).name;
    EXPECT_EQ(parse_op(info(op).name), op);
  }
  EXPECT_EQ(parse_op("addition"), std::nullopt);
  EXPECT_EQ(parse_op(""), std::nullopt);
}

TEST(OpTable, ArityAgreesWithTheTypeRules) {
  const Type types[] = {Type::Bool, Type::Int, Type::Float};
  for (Op op : all_ops()) {
    if (info(op).operands <= 0) continue;
    const size_t count = static_cast<size_t>(info(op).operands);
    int accepted = 0;
    for (Type a : types) {
      for (Type b : types) {
        for (Type c : types) {
          const Type operands[] = {a, b, c};
          if (result_type(op, std::span(operands, count))) ++accepted;
        }
      }
    }
    EXPECT_GT(accepted, 0) << info(op).name << " takes no operands at all";
    EXPECT_LT(accepted, 27) << info(op).name << " takes anything";
    const Type four[] = {Type::Int, Type::Int, Type::Int, Type::Int};
    EXPECT_EQ(result_type(op, four), std::nullopt) << info(op).name;
    EXPECT_EQ(result_type(op, {}), std::nullopt) << info(op).name;
  }
}

TEST(OpTable, CommutativeOpsHaveTwoOperandsOfOneType) {
  for (Op op : all_ops()) {
    if (!info(op).commutative) continue;
    EXPECT_EQ(info(op).operands, 2) << info(op).name;
    const Type mixed[] = {Type::Int, Type::Float};
    EXPECT_EQ(result_type(op, mixed), std::nullopt) << info(op).name;
  }
}

TEST(OpTable, TensorOpsTakeOneIntASubscript) {
  const Tensor tensor{"t", Element::F16, {{Dim::Kind::Batch}, {Dim::Kind::KvLen}}};
  const Type two[] = {Type::Int, Type::Int};
  const Type three[] = {Type::Int, Type::Int, Type::Int};
  const Type wrong[] = {Type::Int, Type::Bool};
  EXPECT_EQ(tensor_op_type(Op::TensorLoad, tensor, two), Type::Float);
  EXPECT_EQ(tensor_op_type(Op::TensorLoad, tensor, three), std::nullopt);
  EXPECT_EQ(tensor_op_type(Op::TensorLoad, tensor, wrong), std::nullopt);
  EXPECT_EQ(tensor_op_type(Op::TensorMin, tensor, three), Type::Float);
  EXPECT_EQ(tensor_op_type(Op::TensorMax, tensor, two), std::nullopt);
  const Tensor flags{"f", Element::Bool, {{Dim::Kind::Batch}, {Dim::Kind::KvLen}}};
  EXPECT_EQ(tensor_op_type(Op::TensorLoad, flags, two), Type::Bool);
  EXPECT_EQ(tensor_op_type(Op::TensorMin, flags, three), Type::Int);
}

TEST(OpTable, BitTensorsHaveOpsOfTheirOwn) {
  const Tensor bits{"m", Element::Bit, {{Dim::Kind::QLen}, {Dim::Kind::KvLen}}};
  const Type four[] = {Type::Int, Type::Int, Type::Int, Type::Int};
  const std::span<const Type> two(four, 2), three(four, 3);
  EXPECT_EQ(tensor_op_type(Op::TensorLoad, bits, two), Type::Bool);
  EXPECT_EQ(tensor_op_type(Op::TensorWeight, bits, two), Type::Float);
  EXPECT_EQ(tensor_op_type(Op::TensorAny, bits, four), Type::Bool);
  EXPECT_EQ(tensor_op_type(Op::TensorAll, bits, four), Type::Bool);
  EXPECT_EQ(tensor_op_type(Op::TensorAll, bits, three), std::nullopt);
  EXPECT_EQ(tensor_op_type(Op::TensorMin, bits, three), std::nullopt);
  const Tensor row{"m", Element::Bit, {{Dim::Kind::KvLen}}};
  EXPECT_EQ(tensor_op_type(Op::TensorAny, row, three), std::nullopt);
  const Tensor bytes{"m", Element::Bool, {{Dim::Kind::QLen}, {Dim::Kind::KvLen}}};
  EXPECT_EQ(tensor_op_type(Op::TensorWeight, bytes, two), std::nullopt);
  EXPECT_EQ(tensor_op_type(Op::TensorAny, bytes, four), std::nullopt);
}

TEST(Names, RoundTrip) {
  for (int i = 0; i < kNumVars; ++i) {
    const Var var = static_cast<Var>(i);
    EXPECT_EQ(parse_var(name_of(var)), var);
  }
  for (Type type : {Type::Bool, Type::Int, Type::Float}) EXPECT_EQ(parse_type(name_of(type)), type);
  for (int i = 0; i < 11; ++i) {
    const Element element = static_cast<Element>(i);
    EXPECT_EQ(parse_element(name_of(element)), element);
    if (element != Element::Bit) EXPECT_GE(element_size(element), 1);
  }
  for (int i = 0; i < 6; ++i) {
    const Dim dim{static_cast<Dim::Kind>(i), 0};
    EXPECT_EQ(parse_dim(name_of(dim)), dim);
  }
  EXPECT_EQ(parse_dim("17"), (Dim{Dim::Kind::Constant, 17}));
  for (const char* bad : {"0", "-1", "", "1x", "keys", "99999999999999999999"}) {
    EXPECT_EQ(parse_dim(bad), std::nullopt) << bad;
  }
}

class ReferencePage : public testing::Test {
 protected:
  void SetUp() override {
    std::ifstream file(MASKJIT_SOURCE_DIR "/docs/ir.md");
    ASSERT_TRUE(file.good()) << "docs/ir.md is missing";
    std::stringstream stream;
    stream << file.rdbuf();
    text_ = stream.str();
  }
  bool has(const std::string& part) const { return text_.find(part) != std::string::npos; }
  std::string text_;
};

TEST_F(ReferencePage, HasEveryOpWithItsMeaning) {
  for (Op op : all_ops()) {
    // Bars are escaped in Markdown tables.
    std::string meaning;
    for (char c : info(op).meaning) meaning += c == '|' ? "\\|" : std::string(1, c);
    const std::string row = fmt::format("| `{}` |", info(op).name);
    const size_t at = text_.find(row);
    ASSERT_NE(at, std::string::npos) << "docs/ir.md lacks the row of " << info(op).name;
    const std::string line = text_.substr(at, text_.find('\n', at) - at);
    EXPECT_NE(line.find("| " + meaning + " |"), std::string::npos)
        << "docs/ir.md: the row of " << info(op).name << " should say: " << meaning;
  }
}

TEST_F(ReferencePage, HasEveryName) {
  for (int i = 0; i < kNumVars; ++i) {
    const std::string_view name = name_of(static_cast<Var>(i));
    EXPECT_TRUE(has(fmt::format("`{}`", name))) << name;
  }
  for (int i = 0; i < 10; ++i) {
    const std::string_view name = name_of(static_cast<Element>(i));
    EXPECT_TRUE(has(fmt::format("`{}`", name))) << name;
  }
  for (const passes::PassInfo& pass : passes::pipeline()) {
    EXPECT_TRUE(has(fmt::format("| `{}` |", pass.name))) << pass.name;
  }
}

TEST_F(ReferencePage, ShowsACanonicalFunction) {
  const size_t start = text_.find("```\nfunc");
  ASSERT_NE(start, std::string::npos);
  const std::string block = text_.substr(start + 4, text_.find("```", start + 4) - start - 4);
  const auto parsed = parse(block);
  ASSERT_TRUE(std::holds_alternative<Function>(parsed)) << std::get<TextError>(parsed).message;
  const Function& function = std::get<Function>(parsed);
  EXPECT_EQ(print(function), block);
  EXPECT_EQ(print(compact(passes::run_pipeline(function), true)), print(compact(function, true)));
}

}  // namespace
}  // namespace maskjit::ir
