// The functions that lowered masks and scores call.
#include "kernels_templates/host/common/math.h"

extern "C" {
__attribute__((always_inline)) float mj_exp(float x) { return mj::exp_scalar(x); }
__attribute__((always_inline)) float mj_log(float x) { return mj::log_scalar(x); }
__attribute__((always_inline)) float mj_tanh(float x) { return mj::tanh_scalar(x); }
__attribute__((always_inline)) float mj_widen_f16(uint16_t h) {
  return mj::widen_scalar(h, MJ_F16);
}
}
