// print and parse are inverse; malformed text gives an error on its line and never more than that.
#include "masker_dsl/ir/text.h"

#include <cmath>

#include "tests/ir/random_function.h"

namespace maskjit::ir {
namespace {

constexpr std::string_view kExample =
    "func @main(const %window: int = 1024, const %n: int = share 0.1, runtime %cap: float = 30.0, "
    "const %on: bool = true, tensor %doc: i32[batch, kv_len], tensor %bias: bf16[3]) {\n"
    "  %0 = var q : int\n"
    "  %1 = param %window : int\n"
    "  %2 = sub %0, %1 : int\n"
    "  %3 = var k : int\n"
    "  %4 = lt %2, %3 : bool\n"
    "  %5 = tensor_load %doc [%0, %3] : int\n"
    "  %6 = tensor_max %bias [%0, %3] : float\n"
    "  %7 = share 0.25, %5 : int\n"
    "  %8 = const -inf : float\n"
    "  %9 = select %4, %6, %8 : float\n"
    "  result mask = %4 : bool\n"
    "  result score = %9 : float\n"
    "  result value = %7 : int\n"
    "}\n";

Function must_parse(std::string_view text) {
  auto parsed = parse(text);
  const TextError* error = std::get_if<TextError>(&parsed);
  EXPECT_EQ(error, nullptr) << error->line << ": " << error->message;
  return error != nullptr ? Function() : std::get<Function>(std::move(parsed));
}

TEST(Text, RoundTripsTheExample) { EXPECT_EQ(print(must_parse(kExample)), kExample); }

TEST(Text, TakesNamesCommentsAndLineBreaks) {
  const Function function = must_parse(
      "// a causal mask\n"
      "func @causal ( ) {  // no parameters\n"
      "%query = var q : int %key = var k : int\n"
      "%mask = le %key,\n"
      "   %query : bool\n"
      "result mask = %mask : bool }\n");
  EXPECT_EQ(print(function),
            "func @causal() {\n"
            "  %0 = var q : int\n"
            "  %1 = var k : int\n"
            "  %2 = le %1, %0 : bool\n"
            "  result mask = %2 : bool\n"
            "}\n");
}

TEST(Text, CommentsSayBindingTimeAndVariables) {
  Function f("f");
  const Value q = f.variable(Var::Query), k = f.variable(Var::Key);
  f.binary(Op::Mul, f.constant_int(2), f.variable(Var::KvLen));
  f.add_result("mask", f.binary(Op::Le, k, q));
  EXPECT_EQ(print(f, {.comments = true}),
            "func @f() {\n"
            "  %0 = var q : int  // index: q\n"
            "  %1 = var k : int  // index: k\n"
            "  %2 = const 2 : int  // const\n"
            "  %3 = var kv_len : int  // runtime: kv_len\n"
            "  %4 = mul %2, %3 : int  // runtime: kv_len\n"
            "  %5 = le %1, %0 : bool  // index: q, k\n"
            "  result mask = %5 : bool\n"
            "}\n");
  EXPECT_EQ(print(must_parse(print(f, {.comments = true}))), print(f));
}

TEST(Text, FloatsReadBackToTheSameBits) {
  std::vector<double> values = {0.0,  -0.0,    1.0,      -1.5,      0.1, 1e300,      5e-324, 1e22,
                                1e-7, 1.0 / 3, INFINITY, -INFINITY, NAN, 16777217.0, 1e15};
  random::Generator generator(11);
  for (int i = 0; i < 1000; ++i) values.push_back(std::bit_cast<double>(generator()));
  for (double value : values) {
    Function f;
    f.add_result("score", f.constant_float(value));
    const std::string text = print(f);
    const Function back = must_parse(text);
    EXPECT_EQ(print(back), text);
    const double read = back[back.result("score")].constant.real;
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(read));
    } else {
      EXPECT_EQ(std::bit_cast<uint64_t>(read), std::bit_cast<uint64_t>(value)) << text;
    }
  }
}

TEST(Text, RoundTripsRandomFunctions) {
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    SCOPED_TRACE(seed);
    random::Generator generator(seed);
    random::FunctionOptions options;
    options.tile = random::chance(generator, 30);
    const Function function = random::function(generator, options);
    const std::string text = print(function);
    ASSERT_EQ(print(must_parse(text)), text);
  }
}

struct Malformed {
  const char* text;
  int line;
  const char* message;
};

TEST(Text, ReportsErrorsOnTheirLine) {
  const std::vector<Malformed> cases = {
      {"", 1, "expected 'func', found ''"},
      {"\n\nfunk", 3, "expected 'func', found 'funk'"},
      {"func @1(", 1, "'1' is not a name for a function"},
      {"func @f(int %a)", 1, "expected 'const', 'runtime' or 'tensor', found 'int'"},
      {"func @f(const %a: real)", 1, "'real' is not a type"},
      {"func @f(const %a: int, const %a: int) {}", 1, "the name 'a' is declared twice"},
      {"func @f(const %a: int = 1.5) {}", 1, "'1.5' is not an int"},
      {"func @f(const %a: bool = 1) {}", 1, "'1' is not a bool"},
      {"func @f(runtime %a: int = share 0.1) {}", 1, "parameter 'a' cannot have a share"},
      {"func @f(tensor %t: i31[kv_len]) {}", 1, "'i31' is not an element type"},
      {"func @f(tensor %t: i32[]) {}", 1, "'' is not a dimension"},
      {"func @f(tensor %t: i32[2,2,2,2,2]) {}", 1, "tensor 't' has 5 dimensions; 4 at most"},
      {"func @f(const %t: int, tensor %t: i32[2]) {}", 1, "the name 't' is declared twice"},
      {"func @f() {\n %0 = add 1 : int\n}", 2, "expected '%', found '1'"},
      {"func @f() {\n %0 = plus %1 : int\n}", 2, "there is no op 'plus'"},
      {"func @f() {\n %0 = var p : int\n}", 2, "there is no variable 'p'"},
      {"func @f() {\n %0 = var k : float\n}", 2, "var gives int, not float"},
      {"func @f() {\n %0 = var k : int\n %1 = neg %2 : int }", 3, "%2 is not defined"},
      {"func @f() {\n %0 = var k : int\n %0 = var q : int }", 3, "%0 is defined twice"},
      {"func @f() {\n %0 = var k : int\n\n %1 = add %0 : int }", 4,
       "add does not take these operands"},
      {"func @f() {\n %0 = var k : int\n %1 = lt %0, %0 : int }", 3, "lt gives bool, not int"},
      {"func @f() {\n %0 = const 9223372036854775808 : int }", 2,
       "'9223372036854775808' is not an int"},
      {"func @f() {\n %0 = const 1e999 : float }", 2, "'1e999' is not a float"},
      {"func @f() {\n %0 = const infinity : float }", 2, "'infinity' is not a float"},
      {"func @f() {\n %0 = const true : int }", 2, "'true' is not an int"},
      {"func @f() {\n %0 = param %x : int }", 2, "there is no parameter %x"},
      {"func @f() {\n %0 = tensor_load %x [%0] : int }", 2, "there is no tensor %x"},
      {"func @f(tensor %x: i32[2]) {\n %0 = var k : int\n %1 = tensor_load %x [%0, %0] : int }", 3,
       "tensor_load does not take these operands"},
      {"func @f() {\n %0 = var k : int\n result mask = %0 : bool }", 3,
       "result 'mask' is int, not bool"},
      {"func @f() {\n %0 = var k : int\n result a = %0 : int\n result a = %0 : int }", 4,
       "two results are called 'a'"},
      {"func @f() {\n return }", 2, "expected a value, 'result' or '}', found 'return'"},
      {"func @f() {\n", 2, "expected '}', found the end of the text"},
      {"func @f() {\n \x01 }", 2, "expected '}', found byte 0x01"},
      {"func @f() {}\nfunc @g() {}", 2, "text after the end of the function"},
  };
  for (const Malformed& item : cases) {
    const auto parsed = parse(item.text);
    const TextError* error = std::get_if<TextError>(&parsed);
    ASSERT_NE(error, nullptr) << item.text;
    EXPECT_EQ(error->line, item.line) << item.text;
    EXPECT_THAT(error->message, testing::StartsWith(item.message)) << item.text;
  }
}

// Anything goes in, a function or an error comes out, and a function is well formed.
void parse_anything(const std::string& text) {
  const auto parsed = parse(text);
  if (const Function* function = std::get_if<Function>(&parsed)) {
    EXPECT_THAT(verify(*function), testing::IsEmpty()) << text;
    EXPECT_EQ(print(must_parse(print(*function))), print(*function));
  } else {
    EXPECT_GE(std::get<TextError>(parsed).line, 1);
    EXPECT_FALSE(std::get<TextError>(parsed).message.empty());
  }
}

TEST(Text, SurvivesRandomMutations) {
  random::Generator generator(3);
  const std::vector<std::string> pieces = {
      "%",      "0", "1",     ",",     ":",     " int", "\n",    "//", "=",
      "result", "}", "{",     "[",     "]",     "nan",  "-inf",  "%1", " lt ",
      "add",    "@", "share", "param", "const", "\xff", "tensor"};
  int parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text(kExample);
    const int64_t edits = 1 + random::below(generator, 3);
    for (int64_t i = 0; i < edits; ++i) {
      const size_t at =
          static_cast<size_t>(random::below(generator, static_cast<int64_t>(text.size())));
      const size_t length = static_cast<size_t>(random::below(generator, 6));
      switch (random::below(generator, 4)) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text.insert(at, random::pick(generator, pieces));
          break;
        case 2:
          text[at] = static_cast<char>(generator());
          break;
        default:
          text.resize(random::chance(generator, 10) ? at : text.size());
          break;
      }
      if (text.empty()) break;
    }
    if (std::holds_alternative<Function>(parse(text))) ++parsed;
    parse_anything(text);
    if (HasFailure()) return;
  }
  EXPECT_GT(parsed, 100);
  for (int round = 0; round < 2000; ++round) {
    std::string text(static_cast<size_t>(random::below(generator, 60)), ' ');
    for (char& c : text) c = static_cast<char>(generator());
    parse_anything(text);
  }
}

}  // namespace
}  // namespace maskjit::ir
