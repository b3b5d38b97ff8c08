// The source of mixture.ptx, from the root of the repository:
//   clang-22 --target=nvptx64-nvidia-cuda -march=sm_80 -O2 -S -std=c++20 -ffreestanding -I.
//       -ffp-contract=off tests/emulator/kernels/mixture.cpp
#include "tests/emulator/kernels/mixture.h"

extern "C" [[clang::nvptx_kernel]] void mixture_kernel(mixture::Input input, mixture::u32* out,
                                                       mixture::u32 count) {
  const mixture::u32 i =
      __nvvm_read_ptx_sreg_ctaid_x() * __nvvm_read_ptx_sreg_ntid_x() + __nvvm_read_ptx_sreg_tid_x();
  if (i < count) out[i] = mixture::mix(i, input);
}
