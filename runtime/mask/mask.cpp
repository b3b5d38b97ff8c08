#include "runtime/mask/mask.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "masker_dsl/ir/internal_error.h"
#include "masker_dsl/ir/types.h"
#include "runtime/mask/storage.h"

namespace maskjit {

std::string_view name_of(Mask::Representation representation) {
  switch (representation) {
    case Mask::Representation::Empty:
      return "empty";
    case Mask::Representation::Full:
      return "full";
    case Mask::Representation::Dense:
      return "dense";
    case Mask::Representation::Index:
      return "index";
  }
  return "";
}

std::string describe_shape(const std::vector<int64_t>& shape) {
  return fmt::format("mask[{}]", fmt::join(shape, ", "));
}

std::optional<Error> check_mask_shape(const std::vector<int64_t>& shape) {
  const auto invalid = [&](std::string problem) {
    return Error{ErrorKind::InvalidInput, describe_shape(shape) + " " + problem};
  };
  if (shape.empty()) return invalid("has no dimension; the last one counts the columns");
  int64_t entries = 1;
  for (const int64_t extent : shape) {
    if (extent < 0 || extent > ir::kMaxPosition) {
      return invalid(fmt::format("has a dimension outside of 0 to {}", ir::kMaxPosition));
    }
    // Extents of 0 do not hide the others: products of rows alone must fit, too.
    if (__builtin_mul_overflow(entries, std::max<int64_t>(extent, 1), &entries) ||
        entries > int64_t{1} << 56) {
      return invalid("is too large");
    }
  }
  return std::nullopt;
}

int64_t rows_of(const std::vector<int64_t>& shape) {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < shape.size(); ++d) rows *= shape[d];
  return rows;
}

std::string subscripts_of(const std::vector<int64_t>& shape, int64_t row, int64_t column) {
  std::vector<int64_t> subscripts(shape.size());
  subscripts.back() = column;
  for (size_t d = shape.size() - 1; d-- > 0;) {
    subscripts[d] = row % shape[d];
    row /= shape[d];
  }
  return fmt::format("[{}]", fmt::join(subscripts, ", "));
}

std::shared_ptr<Mask::Storage> Mask::Access::storage_of(std::vector<int64_t> shape) {
  MASKJIT_CHECK(!check_mask_shape(shape), "a mask of an impossible shape");
  auto storage = std::make_shared<Storage>();
  storage->rows = rows_of(shape);
  storage->columns = shape.back();
  storage->shape = std::move(shape);
  return storage;
}

Mask Mask::Access::of(std::vector<int64_t> shape, Representation empty_or_full) {
  auto storage = storage_of(std::move(shape));
  // A mask without entries is empty.
  const int64_t entries = storage->rows * storage->columns;
  const bool full = empty_or_full == Representation::Full && entries > 0;
  storage->representation = full ? Representation::Full : Representation::Empty;
  storage->active = full ? entries : 0;
  return Mask(std::move(storage));
}

Mask Mask::Access::of(std::vector<int64_t> shape, BitRows bits) {
  const int64_t active = bits.active();
  if (active == 0) return of(std::move(shape), Representation::Empty);
  if (active == bits.rows * bits.columns && !bits.is_weighted()) {
    return of(std::move(shape), Representation::Full);
  }
  auto storage = storage_of(std::move(shape));
  storage->representation = Representation::Dense;
  storage->active = active;
  storage->bits = std::move(bits);
  return Mask(std::move(storage));
}

Mask Mask::Access::of(std::vector<int64_t> shape, IndexRows index) {
  const bool all_one =
      std::all_of(index.weights.begin(), index.weights.end(), [](float w) { return w == 1.0f; });
  if (all_one) index.weights.clear();
  const auto active = static_cast<int64_t>(index.columns.size());
  if (active == 0) return of(std::move(shape), Representation::Empty);
  auto storage = storage_of(std::move(shape));
  if (all_one && active == storage->rows * storage->columns) {
    return of(std::move(storage->shape), Representation::Full);
  }
  storage->representation = Representation::Index;
  storage->active = active;
  storage->index = std::move(index);
  return Mask(std::move(storage));
}

Result<Mask> Mask::empty(std::vector<int64_t> shape) {
  if (auto error = check_mask_shape(shape)) return std::move(*error);
  return Access::of(std::move(shape), Representation::Empty);
}

Result<Mask> Mask::full(std::vector<int64_t> shape) {
  if (auto error = check_mask_shape(shape)) return std::move(*error);
  return Access::of(std::move(shape), Representation::Full);
}

const std::vector<int64_t>& Mask::shape() const { return storage_->shape; }
Mask::Representation Mask::representation() const { return storage_->representation; }
int64_t Mask::entries() const { return storage_->rows * storage_->columns; }
int64_t Mask::active() const { return storage_->active; }

bool Mask::is_weighted() const {
  return (storage_->bits && storage_->bits->is_weighted()) ||
         (storage_->index && !storage_->index->weights.empty());
}

double Mask::density() const {
  return entries() == 0 ? 0.0 : static_cast<double>(active()) / static_cast<double>(entries());
}

std::string Mask::describe() const {
  return fmt::format("{} {}, {} of {} active{}", name_of(representation()), describe_shape(shape()),
                     active(), entries(), is_weighted() ? ", weighted" : "");
}

}  // namespace maskjit
