#include "runtime/device/emulator/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "runtime/device/emulator/instruction_class.h"

namespace maskjit::emulator {
namespace {

constexpr uint64_t kMaxRegisterFile = uint64_t{4} << 30;

uint32_t lanes_of(uint32_t threads, uint32_t warp) {
  const uint32_t left = threads - warp * kLanes;
  return left >= kLanes ? kAllLanes : (1u << left) - 1;
}

// The variables' addresses, by index; those of shared memory are 0.
const std::vector<DeviceAddress>& load_module(const Module& module, Memory& memory) {
  const Program& program = module.program();
  auto [place, added] = memory.module_variables().try_emplace(module.handle());
  std::vector<DeviceAddress>& addresses = place->second;
  if (!added) return addresses;
  for (const Variable& variable : program.variables) {
    if (variable.space == Space::Shared) {
      addresses.push_back(0);
      continue;
    }
    AllocationOptions options;
    options.name = variable.name;
    options.read_only = variable.space == Space::Const;
    addresses.push_back(memory.allocate(variable.bytes, std::move(options)));
    memory.copy_in(addresses.back(), variable.initial);
  }
  for (size_t i = 0; i < program.variables.size(); ++i) {
    for (const auto& relocation : program.variables[i].relocations) {
      const uint64_t address = addresses[relocation.variable] + relocation.addend;
      memory.copy_in(addresses[i] + relocation.offset, std::as_bytes(std::span(&address, 1)));
    }
  }
  return addresses;
}

}  // namespace

Executor::Executor(const Module& module, Memory& memory, const LaunchConfig& config,
                   const LaunchOptions& options, Report& report)
    : module_(module),
      program_(module.program()),
      memory_(memory),
      config_(config),
      options_(options),
      report_(report),
      random_(options.seed),
      multiply_(matrix_multiply()) {}

bool Executor::fail_launch(std::string message) {
  Fault fault;
  fault.kind = FaultKind::InvalidLaunch;
  fault.message = std::move(message);
  fault.kernel = layout_.functions.empty() ? std::string()
                                           : program_.functions[layout_.functions[0].function].name;
  fault.function = fault.kernel;
  report_.fault = std::move(fault);
  return false;
}

bool Executor::prepare(std::string_view kernel) {
  const auto found = program_.function_index.find(kernel);
  if (found == program_.function_index.end() || !program_.functions[found->second].is_entry)
    return fail_launch(fmt::format("the module has no kernel {}", kernel));
  const Function& function = program_.functions[found->second];
  layout_ = lay_out(program_, found->second);

  uint64_t threads = 1;
  for (size_t i = 0; i < 3; ++i) {
    if (config_.block[i] == 0 || config_.grid[i] == 0)
      return fail_launch("an extent of the grid or the block is 0");
    threads *= config_.block[i];
    if (threads > 1024) return fail_launch("a block has at most 1024 threads");
    if (i > 0 && config_.grid[i] > 65535)
      return fail_launch(fmt::format("the grid's extent {} is larger than 65535", config_.grid[i]));
  }
  if (config_.block[2] > 64) return fail_launch("a block's third extent is at most 64");
  if (config_.grid[0] > 0x7FFFFFFFu) return fail_launch("the grid is too large");
  threads_ = static_cast<uint32_t>(threads);
  if (function.max_threads) {
    const auto& max = *function.max_threads;
    if (threads > uint64_t{max[0]} * max[1] * max[2])
      return fail_launch(fmt::format("{} threads, but .maxntid allows {}", threads,
                                     uint64_t{max[0]} * max[1] * max[2]));
  }
  if (function.required_threads && *function.required_threads != config_.block)
    return fail_launch("the block is not that of .reqntid");
  if (config_.params.size() != function.param_bytes)
    return fail_launch(fmt::format("{} bytes of parameters, but {} takes {}", config_.params.size(),
                                   kernel, function.param_bytes));
  shared_bytes_ = layout_.static_shared_bytes + config_.dynamic_shared_bytes;
  if (shared_bytes_ < config_.dynamic_shared_bytes || shared_bytes_ > options_.max_shared_bytes)
    return fail_launch(fmt::format("{} bytes of shared memory, but a CTA has at most {}",
                                   shared_bytes_, options_.max_shared_bytes));
  warps_count_ = (threads_ + kLanes - 1) / kLanes;
  const uint64_t file = layout_.register_bytes;
  if (file * warps_count_ > kMaxRegisterFile)
    return fail_launch("the kernel has too many registers to emulate");
  frame_bytes_ = layout_.local_bytes;
  if (frame_bytes_ > (uint64_t{512} << 10))
    return fail_launch(fmt::format("{} bytes of local memory a thread", frame_bytes_));
  if (options_.quantum == 0) return fail_launch("the quantum is 0");

  executions_.assign(layout_.counters, 0);
  missing_lanes_.assign(layout_.counters, 0);
  traffic_.assign(layout_.counters, {});
  recent_.assign(layout_.counters, nullptr);
  registers_storage_.assign(file * warps_count_ + 256, std::byte{0});
  auto base = reinterpret_cast<uintptr_t>(registers_storage_.data());
  auto* registers = registers_storage_.data() + ((256 - base % 256) % 256);
  local_.assign(frame_bytes_ * threads_, std::byte{0});
  local_written_.assign(local_.size(), 0);
  warps_.resize(warps_count_);
  for (uint32_t w = 0; w < warps_count_; ++w) {
    warps_[w].index = w;
    warps_[w].exists = lanes_of(threads_, w);
    warps_[w].registers = registers + w * file;
    fill_constants(warps_[w]);
  }
  report_.counts.shared_bytes = shared_bytes_;
  return true;
}

// What is the same for all CTAs: constants, addresses, the thread's place in its block.
void Executor::fill_constants(Warp& warp) {
  const std::vector<DeviceAddress>& variables = load_module(module_, memory_);
  for (const auto& part : layout_.functions) {
    const Function& function = program_.functions[part.function];
    std::byte* registers = warp.registers + part.registers;
    for (const Value& value : function.values) {
      if (value.slot == kNone || value.kind == Value::Kind::Register) continue;
      if (value.kind == Value::Kind::Special) continue;
      uint64_t bits = value.bits;
      if (value.kind == Value::Kind::Address) {
        if (value.variable >= 0) {
          const auto index = static_cast<uint32_t>(value.variable);
          bits += program_.variables[index].space == Space::Shared ? layout_.shared.at(index)
                                                                   : variables[index];
        } else {
          const Variable& variable = function.variables[static_cast<size_t>(~value.variable)];
          bits += variable.offset;
          if (variable.space == Space::Local) bits += part.frame;
          if (variable.is_thread_param) bits += part.frame + kThreadParams;
        }
      }
      if (value.type == ScalarType::Pred) {
        const auto mask = static_cast<uint32_t>(bits);
        std::memcpy(registers + value.slot, &mask, sizeof(mask));
        continue;
      }
      const auto bytes = static_cast<size_t>(bytes_of(value.type));
      for (size_t lane = 0; lane < kLanes; ++lane)
        std::memcpy(registers + value.slot + lane * bytes, &bits, bytes);
    }
  }
}

void Executor::fill_cta_registers(Warp& warp, Dim3 cta) {
  for (const auto& part : layout_.functions) {
    const Function& function = program_.functions[part.function];
    std::byte* registers = warp.registers + part.registers;
    if (function.written_end > function.written_begin)
      std::memset(registers + function.written_begin, 0,
                  function.written_end - function.written_begin);
    for (const Value& value : function.values) {
      if (value.kind != Value::Kind::Special || value.slot == kNone) continue;
      for (uint32_t lane = 0; lane < kLanes; ++lane) {
        const uint32_t thread = warp.index * kLanes + lane;
        const Dim3 tid = {thread % config_.block[0], thread / config_.block[0] % config_.block[1],
                          thread / config_.block[0] / config_.block[1]};
        uint64_t bits = 0;
        switch (value.special) {
          case SpecialRegister::TidX:
            bits = tid[0];
            break;
          case SpecialRegister::TidY:
            bits = tid[1];
            break;
          case SpecialRegister::TidZ:
            bits = tid[2];
            break;
          case SpecialRegister::NtidX:
            bits = config_.block[0];
            break;
          case SpecialRegister::NtidY:
            bits = config_.block[1];
            break;
          case SpecialRegister::NtidZ:
            bits = config_.block[2];
            break;
          case SpecialRegister::CtaidX:
            bits = cta[0];
            break;
          case SpecialRegister::CtaidY:
            bits = cta[1];
            break;
          case SpecialRegister::CtaidZ:
            bits = cta[2];
            break;
          case SpecialRegister::NctaidX:
            bits = config_.grid[0];
            break;
          case SpecialRegister::NctaidY:
            bits = config_.grid[1];
            break;
          case SpecialRegister::NctaidZ:
            bits = config_.grid[2];
            break;
          case SpecialRegister::Zero:
            bits = 0;
            break;
          case SpecialRegister::One:
            bits = 1;
            break;
          case SpecialRegister::LaneId:
            bits = lane;
            break;
          case SpecialRegister::WarpId:
            bits = warp.index;
            break;
          case SpecialRegister::WarpCount:
            bits = warps_count_;
            break;
          case SpecialRegister::LaneMaskEq:
            bits = 1u << lane;
            break;
          case SpecialRegister::LaneMaskLt:
            bits = (1u << lane) - 1;
            break;
          case SpecialRegister::LaneMaskLe:
            bits = ((1u << lane) - 1) | 1u << lane;
            break;
          case SpecialRegister::LaneMaskGe:
            bits = ~((1u << lane) - 1);
            break;
          case SpecialRegister::LaneMaskGt:
            bits = ~(((1u << lane) - 1) | 1u << lane);
            break;
          case SpecialRegister::GridId:
            bits = 1;
            break;
          case SpecialRegister::DynamicSharedBytes:
            bits = config_.dynamic_shared_bytes;
            break;
          case SpecialRegister::TotalSharedBytes:
            bits = shared_bytes_;
            break;
        }
        const auto bytes = static_cast<size_t>(bytes_of(value.type));
        std::memcpy(registers + value.slot + lane * bytes, &bits, bytes);
      }
    }
  }
}

void Executor::run_cta(Dim3 cta) {
  cta_ = cta;
  shared_.reset(shared_bytes_, layout_.shared_granule, warps_count_, options_.check_races,
                options_.check_warp_races);
  barriers_.fill({});
  objects_.clear();
  arrives_.clear();
  released_.clear();
  std::fill(local_written_.begin(), local_written_.end(), 0);
  for (Warp& warp : warps_) {
    warp.live = warp.exists;
    warp.splits.assign(1, {0, warp.exists, kNone, 0, SplitState::Ready, 0});
    warp.joins.clear();
    warp.frames.assign(1, {0, kNone, 0, kNone, warp.exists});
    warp.clock.fill(0);
    warp.clock[warp.index] = 1;
    warp.copies.clear();
    warp.groups.fill(0);
    fill_cta_registers(warp, cta);
  }
  ++report_.counts.ctas;
  report_.counts.warps += warps_count_;

  std::vector<uint32_t> runnable;
  while (!faulted()) {
    runnable.clear();
    bool finished = true;
    for (Warp& warp : warps_) {
      if (warp.done()) continue;
      finished = false;
      const bool ready =
          std::any_of(warp.splits.begin(), warp.splits.end(),
                      [](const Split& split) { return split.state == SplitState::Ready; });
      if (ready) runnable.push_back(warp.index);
    }
    if (finished) break;
    if (runnable.empty()) {
      report_deadlock();
      break;
    }
    Warp& warp = warps_[runnable[random_() % runnable.size()]];
    run_warp(warp, 1 + static_cast<uint32_t>(random_() % (2 * uint64_t{options_.quantum})));
    if (threads_exited_) {
      threads_exited_ = false;
      complete_barriers();
    }
  }
  report_.counts.peak_shared_bytes = std::max(report_.counts.peak_shared_bytes, shared_.peak());
}

std::string Executor::place_of(uint32_t counter) const {
  for (const auto& part : layout_.functions) {
    const Function& function = program_.functions[part.function];
    if (counter < part.counters || counter >= part.counters + function.code.size()) continue;
    const auto pc = static_cast<uint32_t>(counter - part.counters);
    return fmt::format("ptx line {}: {}", function.lines[pc].line,
                       program_.statement(function, pc));
  }
  return "the end of the function";
}

void Executor::report_deadlock() {
  // The first waiting split is the place of the fault; the notes tell where the others are.
  bool at_warp = false;
  for (const Warp& warp : warps_) {
    for (const Split& split : warp.splits) at_warp |= split.state == SplitState::WarpWait;
  }
  for (Warp& warp : warps_) {
    for (const Split& split : warp.splits) {
      if (at_warp != (split.state == SplitState::WarpWait)) continue;
      warp_ = &warp;
      part_ = warp.frames[split.frame].part;
      pc_ = split.pc;
      counter_ = static_cast<uint32_t>(layout_.functions[part_].counters) + pc_;
      const auto lane = static_cast<uint32_t>(std::countr_zero(split.mask));
      fault(
          FaultKind::Deadlock,
          at_warp
              ? fmt::format("lanes {:#010x} wait for lanes of their warp that never get here",
                            split.mask)
              : "no thread of the CTA can go on: this barrier waits for threads that do not arrive",
          lane);
      break;
    }
    if (faulted()) break;
  }
  note_positions();
}

// Where every warp is.
void Executor::note_positions() {
  size_t notes = 0;
  for (const Warp& warp : warps_) {
    if (warp.done()) {
      note(fmt::format("warp {} has exited", warp.index));
      continue;
    }
    for (const Split& split : warp.splits) {
      if (++notes > 40) continue;
      const uint64_t counter = layout_.functions[warp.frames[split.frame].part].counters + split.pc;
      note(fmt::format("warp {}, lanes {:#010x}: {}", warp.index, split.mask,
                       place_of(static_cast<uint32_t>(counter))));
    }
  }
}

bool Executor::fault(FaultKind kind, std::string message, uint32_t lane,
                     std::optional<uint64_t> address) {
  if (faulted()) return false;
  const Function& function = program_.functions[layout_.functions[part_].function];
  Fault fault;
  fault.kind = kind;
  fault.message = std::move(message);
  fault.kernel = program_.functions[layout_.functions[0].function].name;
  fault.function = function.name;
  fault.line = pc_ < function.lines.size() ? function.lines[pc_].line : 0;
  fault.instruction = program_.statement(function, pc_);
  fault.cta = cta_;
  fault.warp = warp_ == nullptr ? 0 : warp_->index;
  fault.lane = lane;
  const uint32_t thread = fault.warp * kLanes + lane;
  fault.thread = {thread % config_.block[0], thread / config_.block[0] % config_.block[1],
                  thread / config_.block[0] / config_.block[1]};
  fault.address = address;
  report_.fault = std::move(fault);
  return false;
}

void Executor::note(std::string text) {
  if (report_.fault) report_.fault->notes.push_back(std::move(text));
}

void Executor::run(std::string_view kernel) {
  if (!prepare(kernel)) return;
  for (uint32_t z = 0; z < config_.grid[2]; ++z) {
    for (uint32_t y = 0; y < config_.grid[1]; ++y) {
      for (uint32_t x = 0; x < config_.grid[0]; ++x) {
        run_cta({x, y, z});
        if (faulted()) return collect_counts();
      }
    }
  }
  collect_counts();
}

void Executor::collect_counts() {
  Counts& counts = report_.counts;
  for (const auto& part : layout_.functions) {
    const Function& function = program_.functions[part.function];
    for (uint32_t pc = 0; pc < function.code.size(); ++pc) {
      const uint64_t counter = part.counters + pc;
      const uint64_t executions = executions_[counter];
      if (executions == 0) continue;
      const Instruction& in = function.code[pc];
      const uint64_t lanes = executions * kLanes - missing_lanes_[counter];
      counts.warp_instructions += executions;
      counts.thread_instructions += lanes;
      const MemoryAccess* access =
          in.detail != kNone && reads_access(in.kind) ? &function.accesses[in.detail] : nullptr;
      counts.by_class[std::string(class_of(in, access))] += executions;
      counts.by_opcode[std::string(function.opcodes[pc])] += executions;
      if (in.kind == Kind::MultiplyMatrix) {
        const MatrixShape& shape = function.matrices[in.detail];
        counts.matrix_operations += executions;
        counts.matrix_multiply_adds += executions * shape.m * shape.n * shape.k;
      }
      const LineTraffic& traffic = traffic_[counter];
      switch (in.kind) {
        case Kind::Load:
          counts.global_loads += traffic.global;
          counts.shared_loads += traffic.shared;
          break;
        case Kind::Store:
          counts.global_stores += traffic.global;
          counts.shared_stores += traffic.shared;
          break;
        case Kind::Atomic:
        case Kind::Reduce:
          counts.global_atomics += traffic.global;
          counts.shared_atomics += traffic.shared;
          break;
        case Kind::CopyAsync:
          counts.async_copies += traffic.global;
          counts.async_writes += traffic.shared;
          break;
        case Kind::LoadMatrix:
          counts.matrix_loads += traffic.shared;
          break;
        case Kind::StoreMatrix:
          counts.matrix_stores += traffic.shared;
          break;
        default:
          break;
      }
      if (!options_.count_lines) continue;
      counts.lines.push_back({function.name, function.lines[pc].line,
                              std::string(function.opcodes[pc]), executions, lanes, traffic.global,
                              traffic.shared});
    }
  }
}

Report launch(const Module& module, Memory& memory, std::string_view kernel,
              const LaunchConfig& config, const LaunchOptions& options) {
  Report report;
  Executor(module, memory, config, options, report).run(kernel);
  return report;
}

std::optional<DeviceAddress> variable_address(const Module& module, Memory& memory,
                                              std::string_view name) {
  const Program& program = module.program();
  for (size_t i = 0; i < program.variables.size(); ++i) {
    const Variable& variable = program.variables[i];
    if (variable.name != name || variable.space == Space::Shared) continue;
    return load_module(module, memory)[i];
  }
  return std::nullopt;
}

}  // namespace maskjit::emulator
