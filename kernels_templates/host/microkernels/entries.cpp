// The microkernels of the instruction set that this is compiled for, by the names that kernels
// call.
#include "kernels_templates/host/microkernels/microkernels.h"
#include "kernels_templates/include/microkernel_table.h"

#define MJ_ENTRY(name) {#name, reinterpret_cast<const void*>(name)}
#define mj_entries MJ_OF_ISA(mj_entries, MJ_ISA)

extern "C" {

// Ends with a null name.
extern const MjMicrokernel mj_entries[];
const MjMicrokernel mj_entries[] = {
    MJ_ENTRY(mj_insert_run),     MJ_ENTRY(mj_pack_query),   MJ_ENTRY(mj_pack_keys),
    MJ_ENTRY(mj_pack_values),    MJ_ENTRY(mj_multiply_f32), MJ_ENTRY(mj_multiply_pairs),
    MJ_ENTRY(mj_pairs_begin),    MJ_ENTRY(mj_pairs_end),    MJ_ENTRY(mj_round_pairs),
    MJ_ENTRY(mj_row_maximum),    MJ_ENTRY(mj_exponentials), MJ_ENTRY(mj_softmax_rows),
    MJ_ENTRY(mj_row_sum),        MJ_ENTRY(mj_bit_tile),     MJ_ENTRY(mj_drop_out),
    MJ_ENTRY(mj_write_row),      MJ_ENTRY(mj_widen_query),  MJ_ENTRY(mj_dot_rows),
    MJ_ENTRY(mj_add_value_rows), MJ_ENTRY(mj_close_gap),    MJ_ENTRY(mj_merge_parts),
    {nullptr, nullptr},
};
}
