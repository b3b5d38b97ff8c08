#include "runtime/api/device_call.h"

#include <array>
#include <bit>
#include <limits>
#include <list>
#include <utility>

#include "codegen/spec/device_templates.h"
#include "kernels_templates/include/device_abi.h"
#include "masker_dsl/ir/internal_error.h"
#include "runtime/api/staging.h"
#include "runtime/index/extents.h"
#include "runtime/mask/kernel_mask.h"
#include "runtime/plan/stages.h"

namespace maskjit::detail {
namespace {

using device::Device;
using device::Stream;

codegen::LaunchShape shape_of(const plan::Launch& launch) {
  const MjAttentionArgs& args = launch.args;
  int64_t prepared = 0;
  for (const MjStage& stage : launch.stages)
    prepared = std::max(prepared, stage.scorer.scratch_bytes);
  return {args.batch_size, args.num_heads, args.num_kv_heads, args.q_len, args.kv_len, prepared};
}

bool is_floating(ElementType type) {
  return type == ElementType::F16 || type == ElementType::BF16 || type == ElementType::F32 ||
         type == ElementType::F64;
}

// Bytes of the minima, or of the maxima, of a summarised tensor.
int64_t summary_bytes(const plan::TensorParameter& declared, const MjTensor& tensor) {
  int64_t blocks = tensor.blocks;
  for (size_t d = 0; d + 1 < declared.dims.size(); ++d) blocks *= tensor.extent[d];
  return blocks * (is_floating(declared.element) ? 4 : 8);
}

// Replaces the addresses of the host's summaries of `launch` by those of copies.
Status stage_summaries(const plan::Signature& signature, Staging& staging, plan::Launch& launch) {
  for (size_t i = 0; i < signature.tensors.size(); ++i) {
    const plan::TensorParameter& declared = signature.tensors[i];
    if (!declared.summarised) continue;
    MjTensor& tensor = launch.tensors[i];
    const int64_t bytes = summary_bytes(declared, tensor);
    for (const void** summary : {&tensor.block_min, &tensor.block_max}) {
      const Result<void*> copy = staging.bytes("summary of " + declared.name, *summary, bytes);
      if (!copy) return copy.error();
      *summary = *copy;
    }
  }
  return Done{};
}

// The same for explicit masks, whose storage is the host's.
Status stage_masks(const plan::Signature& signature, Staging& staging, plan::Launch& launch) {
  size_t next = 0;
  for (size_t i = 0; i < signature.tensors.size(); ++i) {
    MjTensor& tensor = launch.tensors[i];
    if (!signature.tensors[i].bits || tensor.data == nullptr) continue;
    const Result<const KernelMask*> found = launch.masks[next++].for_kernel();
    if (!found) return found.error();
    const KernelMask& mask = **found;
    const BitRows& bits = *mask.bits;
    const std::string& name = signature.tensors[i].name;
    const auto stage = [&](const auto& values, const auto*& into) -> Status {
      if (into == nullptr) return Done{};
      const auto bytes = static_cast<int64_t>(values.size() * sizeof(values[0]));
      const Result<void*> copy = staging.bytes(name, values.data(), bytes);
      if (!copy) return copy.error();
      into = static_cast<std::remove_reference_t<decltype(into)>>(*copy);
      return Done{};
    };
    for (const Status& done :
         {stage(bits.words, tensor.data), stage(mask.tiles, tensor.block_min),
          stage(bits.weight_start, tensor.weight_start), stage(bits.weights, tensor.weights)}) {
      if (!done) return done;
    }
  }
  return Done{};
}

// The same for what an index holds, in host memory. What kernels make indexes with stays there.
Status stage_index(Staging& staging, plan::Launch& launch) {
  for (MjStage& stage : launch.stages) {
    MjScorer& scorer = stage.scorer;
    const std::array<int64_t, 4> bytes =
        index::bytes_of_rows(scorer, launch.args.batch_size, launch.args.num_heads,
                             launch.args.num_kv_heads, launch.args.kv_len);
    for (size_t i = 0; i < bytes.size(); ++i) {
      const void*& data = scorer.rows[i].data;
      const void* from = std::exchange(data, nullptr);
      if (bytes[i] == 0) continue;
      const Result<void*> copy = staging.bytes("index", from, bytes[i]);
      if (!copy) return copy.error();
      data = *copy;
    }
  }
  return Done{};
}

Status launch_steps(Device& device, const Prepared& prepared, const codegen::DeviceLaunch& launch,
                    std::span<const std::byte> parameters, Stream stream) {
  const auto& kernel = static_cast<const device::CompiledKernel&>(*prepared.kernel->code);
  for (int i = 0; i < launch.step_count; ++i) {
    const codegen::DeviceStep& step = launch.steps[static_cast<size_t>(i)];
    if (step.blocks <= 0) continue;
    if (step.blocks > std::numeric_limits<int32_t>::max()) {
      return Error{
          ErrorKind::Unsupported,
          fmt::format("{} blocks of {}: a launch has at most 2^31 - 1", step.blocks, step.entry)};
    }
    const Status done = device.launch(
        kernel,
        {step.entry, static_cast<uint32_t>(step.blocks), static_cast<uint32_t>(step.threads),
         static_cast<uint32_t>(step.shared_memory)},
        parameters, stream);
    if (!done) return done;
  }
  return Done{};
}

// The kernels of a launch whose addresses are all of the device. Allocates nothing but a workspace,
// in the stream's order.
Status launch_kernels(const AttentionState& attention, const Prepared& prepared,
                      const plan::Launch& launch, Stream stream) {
  Device& device = *attention.engine->device;
  MASKJIT_CHECK(launch.scalars.size() <= mj_max_device_scalars &&
                    launch.tensors.size() <= mj_max_device_tensors,
                "a template supports more than a launch holds");
  MjSelectArgs args = {};
  args.device.attention = launch.args;
  args.device.attention.scalars = nullptr;
  args.device.attention.tensors = nullptr;
  args.device.attention.stages = nullptr;
  std::copy(launch.scalars.begin(), launch.scalars.end(), args.device.scalars);
  std::copy(launch.tensors.begin(), launch.tensors.end(), args.device.tensors);
  std::copy(launch.stages.begin(), launch.stages.end(), args.stages);
  codegen::LaunchShape shape = shape_of(launch);
  const int64_t queries = codegen::queries_a_round(prepared.spec, shape);
  device::Buffer workspace;
  for (int64_t first = 0; first < launch.args.q_len; first += queries) {
    shape.q_len = std::min(queries, launch.args.q_len - first);
    const codegen::DeviceLaunch round =
        codegen::device_launch(prepared.spec, shape, device.limits().multiprocessors);
    if (first == 0 && round.workspace_bytes > 0) {
      Result<device::Buffer> buffer =
          device.allocate(static_cast<uint64_t>(round.workspace_bytes), stream, "workspace");
      if (!buffer) return buffer.error();
      workspace = std::move(*buffer);
    }
    const size_t bytes = codegen::place(round, workspace.address(), first, args);
    const Status done = launch_steps(device, prepared, round,
                                     std::as_bytes(std::span(&args, 1)).first(bytes), stream);
    if (!done) return done;
  }
  return Done{};
}

// Results of a call without keys, in device memory.
Status write_without_keys(Device& device, const plan::Launch& launch, Stream stream) {
  const MjAttentionArgs& args = launch.args;
  const auto rows = static_cast<uint64_t>(args.batch_size * args.num_heads * args.q_len);
  const auto fill = [&](const float* to, float value) -> Status {
    if (to == nullptr) return Done{};
    return device.fill_words(reinterpret_cast<device::Address>(to), std::bit_cast<uint32_t>(value),
                             rows, stream);
  };
  const auto clear = [&](const MjOperand& operand, int64_t element_bytes) -> Status {
    if (operand.data == nullptr) return Done{};
    for (int64_t row = 0; row < static_cast<int64_t>(rows); ++row) {
      const int64_t q = row % args.q_len, h = row / args.q_len % args.num_heads,
                    b = row / args.q_len / args.num_heads;
      const int64_t at =
          b * operand.batch_stride + h * operand.head_stride + q * operand.row_stride;
      const Status done = device.fill_bytes(
          reinterpret_cast<device::Address>(operand.data) +
              static_cast<device::Address>(at * element_bytes),
          0, static_cast<uint64_t>(launch.problem.head_dim_v * element_bytes), stream);
      if (!done) return done;
    }
    return Done{};
  };
  for (const Status& done :
       {fill(args.lse, -INFINITY), fill(args.row_max, -INFINITY), fill(args.denominator, 0),
        clear(args.output, launch.problem.element == MJ_F32 ? 4 : 2), clear(args.numerator, 4)}) {
    if (!done) return done;
  }
  return Done{};
}

Status run_on_host_memory(const AttentionState& attention, const AttentionInputs& inputs,
                          const AttentionOutputs& outputs, const Prepared& prepared,
                          plan::Launch& launch) {
  const Stream stream{inputs.stream};
  Staging staging(*attention.engine->device, stream);
  plan::summarise_tensors(attention.signature, launch);
  MjAttentionArgs& args = launch.args;
  const struct {
    std::string_view name;
    const TensorView& view;
    void*& into;
  } operands[] = {{"query", inputs.query, args.query.data},
                  {"key", inputs.key, args.key.data},
                  {"value", inputs.value, args.value.data},
                  {"additive_mask", inputs.additive_mask, args.additive.data}};
  for (const auto& [name, view, into] : operands) {
    const Result<void*> copy = staging.input(name, view);
    if (!copy) return copy.error();
    into = *copy;
  }
  for (size_t i = 0; i < attention.signature.tensors.size(); ++i) {
    const plan::TensorParameter& declared = attention.signature.tensors[i];
    const auto given = inputs.tensors.find(declared.name);
    if (declared.bits || !declared.used || given == inputs.tensors.end()) continue;
    const Result<void*> copy = staging.input(declared.name, given->second);
    if (!copy) return copy.error();
    launch.tensors[i].data = *copy;
  }
  Status done = stage_summaries(attention.signature, staging, launch);
  if (done) done = stage_masks(attention.signature, staging, launch);
  if (!done) return done;
  if (auto error = plan::make_index(attention.signature, inputs, attention.execution(), launch))
    return std::move(*error);
  done = stage_index(staging, launch);
  if (!done) return done;
  const auto result = [&](std::string_view name, const TensorView& view, auto& into) -> Status {
    const Result<void*> copy = staging.output(name, view);
    if (!copy) return copy.error();
    into = static_cast<std::remove_reference_t<decltype(into)>>(*copy);
    return Done{};
  };
  for (const Status& placed :
       {result("output", outputs.output, args.output.data), result("lse", outputs.lse, args.lse),
        result("row_max", outputs.row_max, args.row_max),
        result("numerator", outputs.numerator, args.numerator.data),
        result("denominator", outputs.denominator, args.denominator),
        result("weights", outputs.weights, args.weights.data)}) {
    if (!placed) return placed;
  }
  done = launch_kernels(attention, prepared, launch, stream);
  if (!done) return done;
  return staging.collect();
}

// The first thing that the host has to see: an explicit mask, a tensor that is summarised, or an
// index.
std::string_view read_by_host(const plan::Signature& signature, const plan::Launch& launch) {
  for (size_t i = 0; i < signature.tensors.size(); ++i) {
    const plan::TensorParameter& declared = signature.tensors[i];
    if (declared.summarised || (declared.bits && launch.tensors[i].data != nullptr)) {
      return declared.name;
    }
  }
  return signature.needs_index() ? "index" : "";
}

// An index of keys that are in device memory, made on the host of copies of them and of the
// tensors that its scorers take.
Status make_index_of_device(const AttentionState& attention, const AttentionInputs& inputs,
                            plan::Launch& launch) {
  AttentionInputs on_host = inputs;
  std::list<HostCopy> copies;
  const auto copy_of = [&](TensorView& view) -> Status {
    Result<HostCopy> copy = HostCopy::of(*attention.engine->device, Stream{inputs.stream}, view);
    if (!copy) return copy.error();
    copies.push_back(std::move(*copy));
    view.data = const_cast<void*>(copies.back().data());
    return Done{};
  };
  Status done = copy_of(on_host.key);
  for (const plan::StageParameter& stage : attention.signature.stages) {
    for (const auto& [name, tensor] : stage.tensors) {
      const auto given = on_host.tensors.find(tensor);
      if (done && given != on_host.tensors.end()) done = copy_of(given->second);
    }
  }
  if (!done) return done;
  if (auto error = plan::make_index(attention.signature, on_host, attention.execution(), launch))
    return std::move(*error);
  return Done{};
}

// What kernels need of the host beside a call's tensors: explicit masks, the index of a sequence,
// and summaries, which are made there of copies of their tensors. All of them wait for the stream;
// most specs have none.
Status add_host_data(const AttentionState& attention, const AttentionInputs& inputs,
                     plan::Launch& launch, Staging& staging) {
  const plan::Signature& signature = attention.signature;
  plan::Launch on_host;
  on_host.tensors = launch.tensors;
  std::vector<HostCopy> copies;
  const std::string_view first = read_by_host(signature, launch);
  if (first.empty()) return Done{};
  const Result<bool> capturing = attention.engine->device->is_capturing(Stream{inputs.stream});
  if (!capturing) return capturing.error();
  if (*capturing) {
    return Error{ErrorKind::Unsupported,
                 fmt::format("the host reads '{}' at each call: such a call cannot be captured in "
                             "a graph",
                             first)};
  }
  for (size_t i = 0; i < signature.tensors.size(); ++i) {
    if (!signature.tensors[i].summarised) continue;
    Result<HostCopy> copy = HostCopy::of(*attention.engine->device, Stream{inputs.stream},
                                         inputs.tensors.at(signature.tensors[i].name));
    if (!copy) return copy.error();
    copies.push_back(std::move(*copy));
    on_host.tensors[i].data = copies.back().data();
  }
  if (signature.needs_index()) {
    if (!launch.index) {
      const Status made = make_index_of_device(attention, inputs, launch);
      if (!made) return made;
    }
    const Status staged = stage_index(staging, launch);
    if (!staged) return staged;
  }
  plan::summarise_tensors(signature, on_host);
  for (size_t i = 0; i < signature.tensors.size(); ++i) {
    if (!signature.tensors[i].summarised) continue;
    launch.tensors[i].block_min = on_host.tensors[i].block_min;
    launch.tensors[i].block_max = on_host.tensors[i].block_max;
    launch.tensors[i].blocks = on_host.tensors[i].blocks;
  }
  Status staged = stage_summaries(signature, staging, launch);
  if (staged) staged = stage_masks(signature, staging, launch);
  // The copies read what this function made.
  return staged ? attention.engine->device->synchronise(Stream{inputs.stream}) : staged;
}

// Masks are made and classified on the host.
std::optional<Error> check_device_views(const plan::Signature& signature,
                                        const AttentionInputs& inputs) {
  for (const plan::TensorParameter& declared : signature.tensors) {
    if (!declared.bits || !inputs.tensors.contains(declared.name)) continue;
    return Error{ErrorKind::Unsupported,
                 fmt::format("tensor '{}' is an explicit mask in device memory: give it as a Mask",
                             declared.name)};
  }
  return std::nullopt;
}

}  // namespace

Status run_on_device(const AttentionState& attention, const AttentionInputs& inputs,
                     const AttentionOutputs& outputs) {
  const bool on_device = inputs.memory == MemorySpace::Device;
  if (on_device) {
    if (auto error = check_device_views(attention.signature, inputs)) return std::move(*error);
  }
  plan::Launch launch;
  if (auto error = plan::make_launch(attention.signature, inputs, outputs, launch))
    return std::move(*error);
  if (launch.nothing_to_do()) return Done{};
  const Stream stream{inputs.stream};
  if (launch.args.kv_len == 0) {
    if (on_device) return write_without_keys(*attention.engine->device, launch, stream);
    plan::write_results_without_keys(launch);
    return Done{};
  }
  const auto choice = attention.prepare(launch.problem);
  if (!choice) return choice.error();
  const Prepared& prepared = *choice->prepared;
  if (!on_device) return run_on_host_memory(attention, inputs, outputs, prepared, launch);
  Staging staging(*attention.engine->device, stream);
  const Status done = add_host_data(attention, inputs, launch, staging);
  if (!done) return done;
  return launch_kernels(attention, prepared, launch, stream);
}

int64_t count_blocks(const EngineState& engine, const codegen::KernelSpec& spec,
                     const plan::Launch& launch) {
  codegen::LaunchShape shape = shape_of(launch);
  const int64_t queries = codegen::queries_a_round(spec, shape);
  int64_t blocks = 0;
  for (int64_t first = 0; first < launch.args.q_len; first += queries) {
    shape.q_len = std::min(queries, launch.args.q_len - first);
    const codegen::DeviceLaunch round =
        codegen::device_launch(spec, shape, engine.device->limits().multiprocessors);
    for (int i = 0; i < round.step_count; ++i) blocks += round.steps[static_cast<size_t>(i)].blocks;
  }
  return blocks;
}

}  // namespace maskjit::detail
