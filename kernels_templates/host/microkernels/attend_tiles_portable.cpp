// Instruction sets whose products and exponentials share the same units: nothing overlaps.
#include "kernels_templates/host/microkernels/microkernels.h"

extern "C" int32_t mj_attend_tiles(const MjTilesToAttend*, int32_t) { return -1; }
