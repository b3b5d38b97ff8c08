#pragma once
// NumPy's .npy format, versions 1 to 3: little-endian f2 f4 f8 i1 i2 i4 i8 u1 b1. bfloat16 has no
// NumPy type: it is stored as V2 (what ml_dtypes writes) and written so; u2 is read as bfloat16 if
// the caller asks for it.
#include <string>

#include "tools/io/file.h"
#include "tools/io/tensor.h"

namespace maskjit::io {

// `name` is shown in errors. A tensor in Fortran order is copied to C order; an array without
// dimensions has shape [1].
Result<Tensor> parse_npy(const std::string& name, const FileBytes& file, bool bits_are_bfloat16);

// A contiguous view. Pieces for write_bytes: header, data.
std::string npy_header(const TensorView& view);

}  // namespace maskjit::io
