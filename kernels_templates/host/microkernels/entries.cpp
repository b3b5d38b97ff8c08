// The microkernels of the instruction set that this is compiled for, by the names that kernels
// call.
#include "kernels_templates/host/microkernels/microkernels.h"
#include "kernels_templates/host/microkernels/scorers.h"
#include "kernels_templates/host/microkernels/select.h"
#include "kernels_templates/include/microkernel_table.h"

#define MJ_ENTRY(name) {#name, reinterpret_cast<const void*>(name)}
#define mj_entries MJ_OF_ISA(mj_entries, MJ_ISA)

extern "C" {

// Ends with a null name.
extern const MjMicrokernel mj_entries[];
const MjMicrokernel mj_entries[] = {
    MJ_ENTRY(mj_insert_run),      MJ_ENTRY(mj_pack_query),     MJ_ENTRY(mj_pack_keys),
    MJ_ENTRY(mj_pack_values),     MJ_ENTRY(mj_multiply_f32),   MJ_ENTRY(mj_multiply_pairs),
    MJ_ENTRY(mj_pairs_begin),     MJ_ENTRY(mj_pairs_end),      MJ_ENTRY(mj_round_pairs),
    MJ_ENTRY(mj_row_maximum),     MJ_ENTRY(mj_exponentials),   MJ_ENTRY(mj_softmax_rows),
    MJ_ENTRY(mj_row_sum),         MJ_ENTRY(mj_bit_tile),       MJ_ENTRY(mj_drop_out),
    MJ_ENTRY(mj_write_row),       MJ_ENTRY(mj_widen_query),    MJ_ENTRY(mj_dot_rows),
    MJ_ENTRY(mj_add_value_rows),  MJ_ENTRY(mj_close_gap),      MJ_ENTRY(mj_merge_parts),
    MJ_ENTRY(mj_drop_out_list),   MJ_ENTRY(mj_select_scratch), MJ_ENTRY(mj_count_bits),
    MJ_ENTRY(mj_list_bits),       MJ_ENTRY(mj_choose_top_k),   MJ_ENTRY(mj_choose_pages),
    MJ_ENTRY(mj_choose_top_p),    MJ_ENTRY(mj_choose_random),  MJ_ENTRY(mj_choose_positive),
    MJ_ENTRY(mj_adaptive_budget), MJ_ENTRY(mj_dot_bits),       MJ_ENTRY(mj_gather),
    MJ_ENTRY(mj_add_value_list),  MJ_ENTRY(mj_scorer_scratch), MJ_ENTRY(mj_scorer_prepare),
    MJ_ENTRY(mj_scorer_scores),   MJ_ENTRY(mj_page_scores),    MJ_ENTRY(mj_lsh_weight),
    MJ_ENTRY(mj_index_scratch),   MJ_ENTRY(mj_index_keys),     MJ_ENTRY(mj_nearest),
    MJ_ENTRY(mj_attend_tiles),    MJ_ENTRY(mj_fetch_rows),     {nullptr, nullptr},
};
}
