// The handlers for every instruction set of the host give the same results, bit by bit.
#include <fmt/format.h>

#include <cstring>
#include <random>

#include "runtime/device/emulator/alu.h"
#include "tests/emulator/harness.h"

namespace maskjit::emulator {
namespace {

// Random bits, special numbers and small integers.
void fill(std::vector<std::byte>& registers, std::mt19937_64& random) {
  static const uint32_t kSpecial[] = {0,          0x80000000, 0x3F800000, 0x7F800000, 0xFF800000,
                                      0x7FC00000, 1,          0x007FFFFF, 0x00800000, 0x7F7FFFFF,
                                      31,         32,         0x3C003C00, 0xFFFFFFFF, 0x42000000};
  for (size_t i = 0; i + 4 <= registers.size(); i += 4) {
    const uint64_t choice = random() % 4;
    const uint32_t word = choice == 0   ? kSpecial[random() % std::size(kSpecial)]
                          : choice == 1 ? static_cast<uint32_t>(random() % 70)
                                        : static_cast<uint32_t>(random());
    std::memcpy(&registers[i], &word, 4);
  }
}

TEST(EmulatorLevels, EqualResults) {
  const int levels = alu_levels();
  if (levels < 2) GTEST_SKIP() << "this CPU runs the baseline only";
  std::mt19937_64 random(7);
  const auto types = static_cast<int>(ScalarType::B128);
  int handlers = 0;
  // A header and slots of 256 bytes; vectors are aligned to that.
  constexpr size_t kBytes = 256 * 16;
  std::vector<std::byte> storage(kBytes + 256);
  const size_t shift = 256 - reinterpret_cast<uintptr_t>(storage.data()) % 256;
  std::byte* registers = storage.data() + shift;
  std::vector<std::byte> before(kBytes), results[3];
  for (int op = 0; op <= static_cast<int>(AluOp::IsSpace); ++op) {
    for (int type = 0; type < types; ++type) {
      for (int source = 0; source < types; ++source) {
        const bool by_source =
            op == static_cast<int>(AluOp::Convert) || op == static_cast<int>(AluOp::Set) ||
            op == static_cast<int>(AluOp::SelectBySign) ||
            op == static_cast<int>(AluOp::DotProduct2) ||
            op == static_cast<int>(AluOp::DotProduct4) || op == static_cast<int>(AluOp::Pack) ||
            op == static_cast<int>(AluOp::Unpack);
        if (!by_source && source != type) continue;
        for (int variant = 0; variant < 12; ++variant) {
          Instruction in;
          in.op = static_cast<AluOp>(op);
          in.type = static_cast<ScalarType>(type);
          in.source_type = static_cast<ScalarType>(source);
          in.modes.flush = (variant & 1) != 0;
          in.modes.saturate = variant == 4;
          in.modes.rounding = variant == 3 ? Rounding::Zero : Rounding::Nearest;
          in.modes.compare = static_cast<Compare>(random() % 14);
          in.modes.nan = variant == 2;
          in.modes.integral = variant == 5;
          in.modes.combine = static_cast<BoolOp>(random() % 4);
          in.modes.carry_in = in.modes.carry_out = true;
          in.immediate = op == static_cast<int>(AluOp::Permute) ? static_cast<uint32_t>(variant % 7)
                         : op == static_cast<int>(AluOp::TestProperty)
                             ? static_cast<uint32_t>(variant % 6)
                             : static_cast<uint32_t>(
                                   random() % (op == static_cast<int>(AluOp::Lop3) ? 256 : 2));
          if (in.op == AluOp::Convert) {
            if (type == 0 || source == 0 ||
                (is_float(in.type) && bytes_of(in.type) == 4 && in.type != ScalarType::F32 &&
                 in.type != ScalarType::TF32) ||
                (bytes_of(in.source_type) == 4 && is_float(in.source_type) &&
                 in.source_type != ScalarType::F32) ||
                in.type == ScalarType::F32x2 || in.source_type == ScalarType::F32x2 ||
                in.type == ScalarType::U16x2 || in.type == ScalarType::S16x2 ||
                in.source_type == ScalarType::U16x2 || in.source_type == ScalarType::S16x2)
              continue;
            in.immediate = static_cast<uint32_t>(std::max(2, bytes_of(in.type)) << 8 |
                                                 std::max(2, bytes_of(in.source_type)));
          }
          if (in.op == AluOp::ConvertPacked && in.type != ScalarType::F16x2 &&
              in.type != ScalarType::BF16x2)
            continue;
          if ((in.op == AluOp::Pack || in.op == AluOp::Unpack) &&
              !((in.type == ScalarType::B32 && in.source_type == ScalarType::B16) ||
                (in.type == ScalarType::B64 &&
                 (in.source_type == ScalarType::B16 || in.source_type == ScalarType::B32))))
            continue;
          if (find_alu_at(0, in) == nullptr) continue;
          ++handlers;
          // Results first; predicates are single words, vectors 256 bytes.
          for (uint32_t i = 0; i < 6; ++i) in.operands[i] = 256 + 512 * i;
          in.defs = 1;
          in.arity = static_cast<uint8_t>(in.op == AluOp::Fma ? 4
                                          : in.op == AluOp::Ex2 || in.op == AluOp::Tanh ||
                                                  in.op == AluOp::Neg || in.op == AluOp::Abs
                                              ? 2
                                              : 3);
          const uint32_t mask = variant % 3 == 0 ? kAllLanes : static_cast<uint32_t>(random()) | 1;
          fill(before, random);
          for (int level = 0; level < levels; ++level) {
            std::memcpy(registers, before.data(), kBytes);
            const AluFunction handler = find_alu_at(level, in);
            ASSERT_NE(handler, nullptr);
            handler(registers, mask, in);
            results[level].assign(registers, registers + kBytes);
            ASSERT_EQ(results[level] == results[0], true)
                << fmt::format("op {} type {} source {} variant {} level {}", op, name_of(in.type),
                               name_of(in.source_type), variant, level);
          }
        }
      }
    }
  }
  EXPECT_GT(handlers, 1500);
}

}  // namespace
}  // namespace maskjit::emulator
