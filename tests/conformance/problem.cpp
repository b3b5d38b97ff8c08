#include "tests/conformance/problem.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <stdexcept>

#include "runtime/mask/kernel_mask.h"

namespace maskjit::conformance {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

uint16_t to_bf16(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
float from_bf16(uint16_t h) {
  const uint32_t bits = static_cast<uint32_t>(h) << 16;
  float v;
  std::memcpy(&v, &bits, 4);
  return v;
}

void write_element(uint8_t* at, MjElement element, double v) {
  const float f = static_cast<float>(v);
  if (element == MJ_F32) {
    std::memcpy(at, &f, 4);
  } else if (element == MJ_BF16) {
    const uint16_t h = to_bf16(f);
    std::memcpy(at, &h, 2);
  } else if (element == MJ_F16) {
    const _Float16 h = static_cast<_Float16>(f);
    std::memcpy(at, &h, 2);
  } else {
    *at = v != 0;
  }
}

double read_element(const uint8_t* at, MjElement element) {
  if (element == MJ_F32) {
    float f;
    std::memcpy(&f, at, 4);
    return f;
  }
  if (element == MJ_BOOL) return *at;
  uint16_t h;
  std::memcpy(&h, at, 2);
  if (element == MJ_BF16) return from_bf16(h);
  _Float16 half;
  std::memcpy(&half, at, 2);
  return static_cast<double>(static_cast<float>(half));
}

int bytes_of(MjElement element) { return element == MJ_F32 ? 4 : element == MJ_BOOL ? 1 : 2; }

double round_to(MjElement element, double v) {
  uint8_t bytes[4];
  write_element(bytes, element, v);
  return read_element(bytes, element);
}

// A source with declarations, or an expression in an attention of its own.
std::string as_source(const std::string& mask) {
  if (mask.find("attention") != std::string::npos || mask.find("masker") != std::string::npos)
    return mask;
  return "attention main() {\n  mask " + mask + "\n}\n";
}

}  // namespace

std::string ProblemDescription::print() const {
  return fmt::format(
      "{} B{} Hq{} Hkv{} Lq{} Lk{} D{} Dv{} element{} layout{} additive{}{} offset{:+} scale{} "
      "seed{}",
      mask, batch, num_heads, num_kv_heads, q_len, kv_len, head_dim, head_dim_v,
      static_cast<int>(element), static_cast<int>(layout), static_cast<int>(additive),
      dense_results ? " dense"
      : weighted    ? ""
                    : " unweighted",
      q_offset_delta, scale_factor, seed);
}

Problem::Problem(const ProblemDescription& description) : d_(description) {
  build_program();
  build_operands();
  build_tensors();
  build_stages();
}

void Problem::build_stages() {
  const std::vector<ir::Stage>& stages = bound_.program.stages;
  if (stages.empty()) return;
  stages_.resize(stages.size());
  for (size_t i = 0; i < stages.size(); ++i) {
    const auto key = [&](interp::Draw draw, uint32_t (&into)[2]) {
      const interp::PhiloxKey words = interp::stage_key(d_.seed, 0, static_cast<int64_t>(i), draw);
      std::copy(words.begin(), words.end(), into);
    };
    key(interp::Draw::Sample, stages_[i].sample_key);
    key(interp::Draw::BaseSample, stages_[i].base_key);
  }
  kept_ = interp::select_entries(bound_.program, reference_, {.seed = d_.seed, .scores = {}});
  reference_.kept = kept_;
}

void Problem::build_program() {
  driver::CheckedSource checked = driver::check("problem.masker", as_source(d_.mask));
  if (!checked.program) throw std::runtime_error(diag::render_all(checked.diagnostics));
  diag::DiagnosticEmitter emitter;
  std::optional<driver::BoundProgram> bound = driver::bind(*checked.program, d_.baked, emitter);
  if (!bound) throw std::runtime_error(diag::render_all(emitter));
  bound_ = std::move(*bound);
  spec_.element = d_.element;
  spec_.head_dim = d_.head_dim;
  spec_.head_dim_v = head_dim_v();
  spec_.additive = d_.additive;
  spec_.dropout = d_.dropout;
  spec_.dense_results = d_.dense_results;
  spec_.short_queries = d_.q_len * (d_.num_heads / d_.num_kv_heads) <= 16;
}

OperandData Problem::operand(int64_t heads, int64_t rows, int64_t columns, MjElement element,
                             Layout layout, const std::function<double(size_t)>& value) const {
  OperandData data;
  const int64_t row = layout == Layout::Padded ? columns + 7 : columns;
  data.view.row_stride = layout == Layout::RowsFirst ? heads * row : row;
  data.view.head_stride = layout == Layout::RowsFirst ? row : rows * row;
  data.view.batch_stride = heads * rows * row;
  // Exactly as long as the last element needs, so that a sanitizer sees every read past the end.
  const int64_t last = (d_.batch - 1) * data.view.batch_stride +
                       (heads - 1) * data.view.head_stride + (rows - 1) * data.view.row_stride +
                       columns;
  data.bytes.assign(rows > 0 ? static_cast<size_t>(last * bytes_of(element)) : 0, 0x7F);
  data.values.resize(static_cast<size_t>(d_.batch * heads * rows * columns));
  size_t i = 0;
  for (int64_t b = 0; b < d_.batch; ++b) {
    for (int64_t h = 0; h < heads; ++h) {
      for (int64_t r = 0; r < rows; ++r) {
        for (int64_t c = 0; c < columns; ++c, ++i) {
          const int64_t at =
              b * data.view.batch_stride + h * data.view.head_stride + r * data.view.row_stride + c;
          uint8_t* bytes = data.bytes.data() + at * bytes_of(element);
          write_element(bytes, element, value(i));
          data.values[i] = read_element(bytes, element);
        }
      }
    }
  }
  data.view.data = data.bytes.data();
  return data;
}

void Problem::build_operands() {
  std::mt19937_64 random(d_.seed);
  std::normal_distribution<double> normal;
  const auto gaussian = [&](size_t) { return normal(random); };
  query_ = operand(d_.num_heads, d_.q_len, d_.head_dim, d_.element, d_.layout, gaussian);
  key_ = operand(d_.num_kv_heads, d_.kv_len, d_.head_dim, d_.element, d_.layout, gaussian);
  value_ = operand(d_.num_kv_heads, d_.kv_len, head_dim_v(), d_.element, d_.layout, gaussian);
  reference_.shape = {d_.batch,  d_.num_heads, d_.num_kv_heads, d_.q_len,
                      d_.kv_len, d_.head_dim,  head_dim_v()};
  reference_.query = query_.values;
  reference_.key = key_.values;
  reference_.value = value_.values;
  reference_.scale = static_cast<float>(d_.scale_factor / std::sqrt(d_.head_dim));
  reference_.q_offset = d_.kv_len - d_.q_len + d_.q_offset_delta;
  if (d_.dropout != MJ_NO_DROPOUT) {
    reference_.dropout.emplace(0.3, d_.seed, 3, d_.dropout == MJ_DROPOUT_RENORMALISE);
  }
  if (d_.additive == MJ_NONE) return;
  const int64_t extra = d_.additive_broadcast ? 0 : 3;
  const auto entry = [&](size_t) {
    if (d_.additive == MJ_BOOL) return random() % 4 != 0 ? 1.0 : 0.0;
    return random() % 8 == 0 ? -kInfinity : normal(random);
  };
  const int64_t heads = d_.additive_broadcast ? 1 : d_.num_heads;
  additive_ = operand(heads, d_.q_len, d_.kv_len + extra, d_.additive, Layout::HeadsFirst, entry);
  interp::AdditiveMask mask;
  mask.boolean = d_.additive == MJ_BOOL;
  mask.extents = {d_.additive_broadcast ? 1 : d_.batch, heads, d_.q_len, d_.kv_len + extra};
  mask.values =
      std::span<const double>(additive_.values)
          .first(static_cast<size_t>(mask.extents[0] * heads * d_.q_len * (d_.kv_len + extra)));
  reference_.additive = mask;
  if (d_.additive_broadcast) {
    additive_.view.batch_stride = 0;
    additive_.view.head_stride = 0;
  }
}

int64_t Problem::extent_of(const ir::Dim& dim) const {
  switch (dim.kind) {
    case ir::Dim::Kind::Batch:
      return d_.batch;
    case ir::Dim::Kind::NumHeads:
      return d_.num_heads;
    case ir::Dim::Kind::NumKvHeads:
      return d_.num_kv_heads;
    case ir::Dim::Kind::QLen:
      return d_.q_len;
    case ir::Dim::Kind::KvLen:
      return d_.kv_len;
    case ir::Dim::Kind::HeadDim:
      return d_.head_dim;
    case ir::Dim::Kind::Constant:
      return dim.constant;
  }
  return 0;
}

void Problem::add_mask(const ir::Tensor& tensor, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int64_t> shape;
  // Some masks are the same for all batches or heads.
  const bool shared = seed % 3 == 0;
  for (size_t d = 0; d < tensor.dims.size(); ++d) {
    shape.push_back(shared && d + 2 < tensor.dims.size() ? 1 : extent_of(tensor.dims[d]));
  }
  const int64_t columns = shape.back();
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < shape.size(); ++d) rows *= shape[d];
  const int64_t group = shape.size() > 1 ? shape[shape.size() - 2] : 1;
  std::vector<float> values;
  std::map<std::pair<int64_t, int64_t>, uint64_t> kinds;
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < columns; ++k) {
      // Tiles of 64 x 64, and of 32 x 32 where the native templates have their own.
      const auto tile = std::pair{row / group * 1000 + row % group / 32, k / 32};
      const auto kind = kinds.try_emplace(tile, random() % 5).first->second;
      const bool active = kind == 0 || (kind > 1 && random() % 4 == 0);
      const bool one = !d_.weighted || k / 64 % 3 != 0;
      const float weight = one ? 1.0f : static_cast<float>(random() % 8 + 1) / 8;
      values.push_back(active ? weight : 0);
    }
  }
  Result<Mask> mask =
      Mask::from_dense(TensorView::contiguous(values.data(), ElementType::F32, shape));
  if (!mask) throw std::runtime_error(mask.error().message);
  masks_.push_back(*mask);
  const KernelMask& kernel = **masks_.back().for_kernel();
  const BitRows& bits = *kernel.bits;
  // The reference sees the bits where the kernel does and every weight on its own.
  auto& weights = mask_weights_.emplace_back(bits.words.size() * 64);
  for (int64_t row = 0; row < (kernel.one_row ? std::min<int64_t>(rows, 1) : rows); ++row) {
    for (int64_t k = 0; k < columns; ++k) {
      weights[static_cast<size_t>(row * bits.row_words * 64 + k)] =
          values[static_cast<size_t>(row * columns + k)];
    }
  }
  MjTensor view{};
  codegen::TensorLayout layout;
  interp::TensorValue seen;
  int64_t stride = kernel.one_row ? 0 : bits.row_words * 64;
  for (size_t d = shape.size(); d-- > 0;) {
    const bool last = d + 1 == shape.size();
    view.extent[d] = shape[d];
    view.stride[d] = shape[d] == 1 ? 0 : last ? 1 : stride;
    if (shape[d] == 1) layout.broadcast |= static_cast<uint8_t>(1 << d);
    if (!last) stride *= shape[d];
  }
  view.data = bits.words.data();
  view.block_min = kernel.tiles.data();
  view.blocks = kernel.tile_columns;
  const ir::Function& function = bound_.program.function;
  const ir::Value weight = function.result("weight");
  const bool by_mask = weight.valid() && function[weight].op != ir::Op::Const;
  const auto& stages = bound_.program.stages;
  const bool by_stage = std::any_of(stages.begin(), stages.end(),
                                    [](const ir::Stage& stage) { return stage.weight.valid(); });
  layout.weighted = bits.is_weighted() && (by_mask || by_stage);
  if (layout.weighted) {
    view.weight_start = bits.weight_start.data();
    view.weights = bits.weights.data();
  }
  seen.data = view.data;
  seen.element = ir::Element::Bit;
  seen.extents = shape;
  seen.strides.assign(view.stride, view.stride + shape.size());
  seen.weights = weights.data();
  summary_ints_.emplace_back();
  summary_floats_.emplace_back();
  tensor_bytes_.emplace_back();
  reference_.tensors.push_back(seen);
  spec_.tensors.push_back(layout);
  tensors_.push_back(view);
}

void Problem::build_tensors() {
  const ir::Function& function = bound_.program.function;
  std::mt19937_64 random(d_.seed * 77 + 5);
  for (const ir::Param& param : function.params()) {
    const auto value = d_.runtime.find(param.name);
    EXPECT_NE(value, d_.runtime.end()) << "no value for " << param.name;
    const bool real = param.type == ir::Type::Float;
    reference_.params.push_back(real ? ir::Scalar::of_float(static_cast<float>(value->second))
                                     : ir::Scalar::of_int(static_cast<int64_t>(value->second)));
    int64_t bits = static_cast<int64_t>(value->second);
    const double as_real = static_cast<float>(value->second);
    if (real) std::memcpy(&bits, &as_real, 8);
    scalars_.push_back(bits);
  }
  for (const ir::Tensor& tensor : function.tensors()) {
    if (tensor.element == ir::Element::Bit) {
      add_mask(tensor, random());
      continue;
    }
    MjTensor view{};
    codegen::TensorLayout layout;
    interp::TensorValue seen;
    int64_t total = 1;
    std::vector<int64_t> extents;
    for (const ir::Dim& dim : tensor.dims) {
      const int64_t extent = extent_of(dim);
      extents.push_back(extent);
      total *= extent;
    }
    const int size = ir::element_size(tensor.element);
    std::vector<uint8_t> bytes(static_cast<size_t>(total * size));
    const int64_t last = extents.back();
    for (int64_t i = 0; i < total; ++i) {
      // Integers rise slowly along the last dimension, as packed documents do; "len" is a length.
      int64_t integer = i % last / 37 + static_cast<int64_t>(random() % 2 == 0 && i % 5 == 0);
      if (tensor.name.find("len") != std::string::npos) {
        integer = static_cast<int64_t>(random() % static_cast<uint64_t>(d_.kv_len + 2));
      }
      const double real = std::normal_distribution<double>()(random);
      uint8_t* at = bytes.data() + i * size;
      switch (tensor.element) {
        case ir::Element::Bit:
          break;  // add_mask
        case ir::Element::Bool:
          *at = random() % 16 == 0;
          break;
        case ir::Element::I8:
        case ir::Element::U8:
          *at = static_cast<uint8_t>(integer);
          break;
        case ir::Element::I16:
        case ir::Element::I32:
        case ir::Element::I64:
          std::memcpy(at, &integer, static_cast<size_t>(size));
          break;
        case ir::Element::F16:
          write_element(at, MJ_F16, real);
          break;
        case ir::Element::BF16:
          write_element(at, MJ_BF16, real);
          break;
        case ir::Element::F32:
          write_element(at, MJ_F32, real);
          break;
        case ir::Element::F64: {
          const double v = static_cast<float>(real);
          std::memcpy(at, &v, 8);
          break;
        }
      }
    }
    int64_t stride = 1;
    for (size_t d = extents.size(); d-- > 0;) {
      view.extent[d] = extents[d];
      view.stride[d] = extents[d] == 1 ? 0 : stride;
      if (extents[d] == 1) layout.broadcast |= static_cast<uint8_t>(1 << d);
      stride *= extents[d];
    }
    tensor_bytes_.push_back(std::move(bytes));
    view.data = tensor_bytes_.back().data();
    seen.data = view.data;
    seen.element = tensor.element;
    seen.extents = extents;
    seen.strides.assign(view.stride, view.stride + extents.size());
    reference_.tensors.push_back(seen);
    spec_.tensors.push_back(layout);

    // Block summaries.
    if (total == 0) {
      summary_ints_.emplace_back();
      summary_floats_.emplace_back();
      tensors_.push_back(view);
      continue;
    }
    view.blocks = (last + mj_summary_block - 1) / mj_summary_block;
    const int64_t rows = total / last;
    std::vector<int64_t> ints(static_cast<size_t>(2 * rows * view.blocks));
    std::vector<float> floats(static_cast<size_t>(2 * rows * view.blocks));
    const auto read = [&](int64_t i) {
      ir::Scalar s;
      const uint8_t* at = tensor_bytes_.back().data() + i * size;
      if (tensor.element == ir::Element::Bool || tensor.element == ir::Element::U8)
        return ir::Scalar::of_int(*at);
      if (ir::value_type(tensor.element) == ir::Type::Int) {
        int64_t v = 0;
        std::memcpy(&v, at, static_cast<size_t>(size));
        return ir::Scalar::of_int(v << (64 - 8 * size) >> (64 - 8 * size));
      }
      if (tensor.element == ir::Element::F64) {
        std::memcpy(&s.real, at, 8);
        return ir::Scalar::of_float(s.real);
      }
      return ir::Scalar::of_float(read_element(at, tensor.element == ir::Element::F16    ? MJ_F16
                                                   : tensor.element == ir::Element::BF16 ? MJ_BF16
                                                                                         : MJ_F32));
    };
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t b = 0; b < view.blocks; ++b) {
        int64_t low = std::numeric_limits<int64_t>::max(),
                high = std::numeric_limits<int64_t>::min();
        double real_low = kInfinity, real_high = -kInfinity;
        for (int64_t i = b * mj_summary_block;
             i < std::min<int64_t>(last, (b + 1) * mj_summary_block); ++i) {
          const ir::Scalar s = read(r * last + i);
          low = std::min(low, s.integer);
          high = std::max(high, s.integer);
          real_low = std::min(real_low, s.real);
          real_high = std::max(real_high, s.real);
        }
        ints[static_cast<size_t>(r * view.blocks + b)] = low;
        ints[static_cast<size_t>((rows + r) * view.blocks + b)] = high;
        floats[static_cast<size_t>(r * view.blocks + b)] = static_cast<float>(real_low);
        floats[static_cast<size_t>((rows + r) * view.blocks + b)] = static_cast<float>(real_high);
      }
    }
    summary_ints_.push_back(std::move(ints));
    summary_floats_.push_back(std::move(floats));
    const bool real = ir::value_type(tensor.element) == ir::Type::Float;
    view.block_min = real ? static_cast<const void*>(summary_floats_.back().data())
                          : summary_ints_.back().data();
    view.block_max =
        real ? static_cast<const void*>(summary_floats_.back().data() + rows * view.blocks)
             : summary_ints_.back().data() + rows * view.blocks;
    tensors_.push_back(view);
  }
}

Results Problem::launch(MjPlanFunction plan_function, MjRunFunction run, int threads) const {
  const auto body = [&](const MjAttentionArgs& args, const std::vector<Buffer>&) {
    MjPlan plan{};
    plan_function(&args, threads, &plan);
    const auto aligned = [](std::vector<uint8_t>& storage, int64_t bytes) {
      storage.assign(static_cast<size_t>(bytes) + 64, 0xFF);  // NaN in every type
      const auto address = reinterpret_cast<uintptr_t>(storage.data());
      return static_cast<void*>(storage.data() + (64 - address % 64) % 64);
    };
    std::vector<uint8_t> workspace, scratch_bytes;
    plan.workspace = aligned(workspace, plan.workspace_bytes);
    for (int64_t phase = 0; phase < 2; ++phase) {
      for (int64_t item = 0; item < plan.phase_items[phase]; ++item) {
        run(&args, &plan, phase, item, aligned(scratch_bytes, plan.scratch_bytes));
      }
    }
  };
  Results results = launch(body, true);
  // Without results that are relative to the row maximum a kernel need not know it.
  const Results alone = launch(body, false);
  results.output_alone = alone.output;
  results.lse_alone = alone.lse;
  return results;
}

Results Problem::launch(const Launch& body, bool every_result) const {
  const int64_t rows = d_.batch * d_.num_heads * d_.q_len;
  const auto poison = [](size_t) { return std::numeric_limits<double>::quiet_NaN(); };
  OperandData output = operand(d_.num_heads, d_.q_len, head_dim_v(), d_.element, d_.layout, poison);
  OperandData numerator =
      operand(d_.num_heads, d_.q_len, head_dim_v(), MJ_F32, Layout::HeadsFirst, poison);
  OperandData weights;
  if (d_.dense_results)
    weights = operand(d_.num_heads, d_.q_len, d_.kv_len, MJ_F32, Layout::HeadsFirst, poison);
  std::vector<float> lse(static_cast<size_t>(rows), NAN), row_max = lse, denominator = lse;
  MjAttentionArgs args{};
  args.query = query_.view;
  args.key = key_.view;
  args.value = value_.view;
  args.output = output.view;
  args.additive = additive_.view;
  args.lse = lse.data();
  if (every_result) {
    args.numerator = numerator.view;
    args.weights = weights.view;
    args.row_max = row_max.data();
    args.denominator = denominator.data();
  }
  args.batch_size = d_.batch;
  args.num_heads = d_.num_heads;
  args.num_kv_heads = d_.num_kv_heads;
  args.q_len = d_.q_len;
  args.kv_len = d_.kv_len;
  args.q_offset = *reference_.q_offset;
  args.scale = static_cast<float>(*reference_.scale);
  args.row_max_over_all = every_result && d_.dense_results;
  if (const auto& dropout = reference_.dropout) {
    args.dropout_key[0] = dropout->launch_key()[0];
    args.dropout_key[1] = dropout->launch_key()[1];
    args.dropout_threshold = dropout->threshold();
    args.dropout_scale = static_cast<float>(dropout->scale());
  }
  args.scalars = scalars_.data();
  args.tensors = tensors_.data();
  args.stages = stages_.data();
  std::vector<Buffer> buffers;
  // Operands are read only; a kernel that writes one would change the next executor's input.
  const auto add = [&](const char* name, const void* data, size_t bytes) {
    if (bytes > 0) buffers.push_back({name, const_cast<void*>(data), bytes});
  };
  const auto add_vector = [&](const char* name, const auto& vector) {
    add(name, vector.data(), vector.size() * sizeof(vector[0]));
  };
  add_vector("query", query_.bytes);
  add_vector("key", key_.bytes);
  add_vector("value", value_.bytes);
  add_vector("additive mask", additive_.bytes);
  add_vector("output", output.bytes);
  add_vector("numerator", numerator.bytes);
  add_vector("weights", weights.bytes);
  add_vector("lse", lse);
  add_vector("row maximum", row_max);
  add_vector("denominator", denominator);
  for (const auto& bytes : tensor_bytes_) add_vector("tensor", bytes);
  for (const auto& summary : summary_ints_) add_vector("tensor summary", summary);
  for (const auto& summary : summary_floats_) add_vector("tensor summary", summary);
  for (const Mask& mask : masks_) {
    const KernelMask& kernel = **mask.for_kernel();
    add_vector("mask bits", kernel.bits->words);
    add_vector("mask tiles", kernel.tiles);
    add_vector("mask weight starts", kernel.bits->weight_start);
    add_vector("mask weights", kernel.bits->weights);
  }
  body(args, buffers);
  Results results;
  const auto gather = [&](const OperandData& data, int64_t columns, MjElement element) {
    std::vector<double> values;
    for (int64_t b = 0; b < d_.batch; ++b) {
      for (int64_t h = 0; h < d_.num_heads; ++h) {
        for (int64_t r = 0; r < d_.q_len; ++r) {
          for (int64_t c = 0; c < columns; ++c) {
            const int64_t at = b * data.view.batch_stride + h * data.view.head_stride +
                               r * data.view.row_stride + c;
            values.push_back(read_element(data.bytes.data() + at * bytes_of(element), element));
          }
        }
      }
    }
    return values;
  };
  results.output = gather(output, head_dim_v(), d_.element);
  results.numerator = gather(numerator, head_dim_v(), MJ_F32);
  if (d_.dense_results) results.weights = gather(weights, d_.kv_len, MJ_F32);
  results.lse.assign(lse.begin(), lse.end());
  results.row_max.assign(row_max.begin(), row_max.end());
  results.denominator.assign(denominator.begin(), denominator.end());
  return results;
}

Results Problem::reference() const {
  interp::AttentionOptions options;
  options.dense_weights = d_.dense_results;
  options.row_max_over_all = d_.dense_results;
  const interp::AttentionResults r =
      interp::reference_attention(bound_.program.function, reference_, options);
  return {r.output, r.numerator, r.lse, r.row_max, r.denominator, r.weights, {}, {}};
}

// Sums in f32, probabilities and output rounded to the element type: what eager attention does at
// best.
Results Problem::plain() const {
  Results r;
  const int64_t group = d_.num_heads / d_.num_kv_heads;
  const int columns = head_dim_v();
  const ir::Function& function = bound_.program.function;
  interp::Evaluator keep(function, function.result("mask"));
  interp::Evaluator score(function, function.result("score"));
  std::optional<interp::Evaluator> weight;
  if (const ir::Value w = function.result("weight"); w.valid()) weight.emplace(function, w);
  interp::Environment at;
  at.params = reference_.params;
  at.tensors = reference_.tensors;
  at[ir::Var::QLen] = d_.q_len;
  at[ir::Var::KvLen] = d_.kv_len;
  at[ir::Var::QOffset] = *reference_.q_offset;
  at[ir::Var::BatchSize] = d_.batch;
  at[ir::Var::NumHeads] = d_.num_heads;
  at[ir::Var::NumKvHeads] = d_.num_kv_heads;
  at[ir::Var::HeadDim] = d_.head_dim;
  for (int64_t b = 0; b < d_.batch; ++b) {
    for (int64_t h = 0; h < d_.num_heads; ++h) {
      for (int64_t i = 0; i < d_.q_len; ++i) {
        const double* q =
            query_.values.data() + ((b * d_.num_heads + h) * d_.q_len + i) * d_.head_dim;
        const int64_t kv = b * d_.num_kv_heads + h / group;
        std::vector<float> logits, kept;
        std::vector<bool> active;
        float m = -INFINITY, all = -INFINITY;
        at[ir::Var::Batch] = b;
        at[ir::Var::Head] = h;
        at[ir::Var::KvHead] = h / group;
        at[ir::Var::Query] = i + *reference_.q_offset;
        for (int64_t j = 0; j < d_.kv_len; ++j) {
          float x = 0;
          const double* k = key_.values.data() + (kv * d_.kv_len + j) * d_.head_dim;
          for (int d = 0; d < d_.head_dim; ++d)
            x += static_cast<float>(q[d]) * static_cast<float>(k[d]);
          at[ir::Var::Key] = j;
          at.score = x * static_cast<float>(*reference_.scale);
          x = static_cast<float>(score(at).real);
          if (reference_.additive) {
            const auto& e = reference_.additive->extents;
            const int64_t index =
                (((e[0] == 1 ? 0 : b) * e[1] + (e[1] == 1 ? 0 : h)) * e[2] + i) * e[3] + j;
            const float a =
                static_cast<float>(reference_.additive->values[static_cast<size_t>(index)]);
            x += d_.additive == MJ_BOOL ? (a != 0 ? 0.0f : -INFINITY) : a;
          }
          const size_t entry =
              static_cast<size_t>(((b * d_.num_heads + h) * d_.q_len + i) * d_.kv_len + j);
          active.push_back(keep(at).integer != 0 && (kept_.empty() || kept_[entry] != 0));
          logits.push_back(x);
          kept.push_back(!active.back()   ? 1.0f
                         : !kept_.empty() ? static_cast<float>(kept_[entry])
                         : weight         ? static_cast<float>((*weight)(at).real)
                                          : 1.0f);
          if (active.back()) m = std::max(m, x);
          all = std::max(all, x);
        }
        const bool empty = m == -INFINITY;
        float l = 0;
        std::vector<float> sums(static_cast<size_t>(columns));
        for (int64_t j = 0; j < d_.kv_len; ++j) {
          float e =
              active[static_cast<size_t>(j)] && !empty
                  ? std::exp(logits[static_cast<size_t>(j)] - m) / kept[static_cast<size_t>(j)]
                  : 0.0f;
          const bool renormalise = d_.dropout == MJ_DROPOUT_RENORMALISE;
          if (!renormalise) l += e;
          if (const auto& dropout = reference_.dropout) {
            e *= dropout->keeps(b, h, i, j) ? static_cast<float>(dropout->scale()) : 0.0f;
          }
          if (renormalise) l += e;
          logits[static_cast<size_t>(j)] = e;
          e = static_cast<float>(round_to(d_.element, e));
          const double* v = value_.values.data() + (kv * d_.kv_len + j) * columns;
          for (int d = 0; d < columns; ++d)
            sums[static_cast<size_t>(d)] += e * static_cast<float>(v[d]);
        }
        const float reported = d_.dense_results ? all : m;
        const float rescale = empty ? 0.0f : std::exp(m - reported);
        const bool nothing = empty || l == 0;
        for (float s : sums) r.output.push_back(nothing ? 0 : round_to(d_.element, s / l));
        for (float s : sums) r.numerator.push_back(s * rescale);
        r.denominator.push_back(l * rescale);
        r.row_max.push_back(reported);
        r.lse.push_back(empty ? -INFINITY : m + std::log(l));
        if (d_.dense_results) {
          for (float e : logits) r.weights.push_back(nothing ? 0 : e / l);
        }
      }
    }
  }
  return r;
}

}  // namespace maskjit::conformance
