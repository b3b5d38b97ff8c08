#pragma once
// A naive mask, one double an entry, and random masks of both kinds with equal content.
#include <random>
#include <utility>
#include <vector>

#include "runtime/mask/mask.h"

namespace maskjit {

struct Model {
  std::vector<int64_t> shape;
  std::vector<double> weights;  // row-major, 0 is inactive

  int64_t columns() const { return shape.back(); }
  int64_t rows() const;
  bool operator==(const Model&) const = default;
};

enum class Content { Nothing, Everything, Bits, Weights, FewWeights };

std::vector<int64_t> random_shape(std::mt19937_64& random);
// Weights are multiples of 1/8, so that their sums are exact in every type.
Model random_model(std::mt19937_64& random, const std::vector<int64_t>& shape, Content content);

// The two ways to make a mask with these entries.
Mask dense_mask(const Model& model, ElementType type = ElementType::F32);
Mask index_mask(const Model& model);

// What to_dense says.
Model model_of(const Mask& mask);

// Storage for a view of any type and strides.
class Buffer {
 public:
  Buffer(ElementType type, std::vector<int64_t> shape);
  // With a gap after each row and the dimensions' order in memory reversed.
  static Buffer strided(ElementType type, std::vector<int64_t> shape);
  const TensorView& view() const { return view_; }
  int64_t size() const { return view_.elements(); }
  void set(int64_t index, double value);  // row-major
  double get(int64_t index) const;
  void set_all(const std::vector<double>& values);
  std::vector<double> all() const;

 private:
  int64_t offset(int64_t index) const;
  std::vector<std::byte> bytes_;
  TensorView view_;
};

}  // namespace maskjit
