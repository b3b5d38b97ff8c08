#pragma once
// Asking for rows line by line, beside other work.
#include "kernels_templates/host/common/vector.h"
#include "kernels_templates/host/microkernels/microkernels.h"

namespace mj {

// Takes rows off `rows` as it goes; what is begun and not done is asked for again.
struct RowFetcher {
  static constexpr int kLine = 64, kSecondLevel = 2;

  MjRowsToFetch* rows;
  int operand = 0;
  int64_t at = 0;

  MJ_MEMBER explicit RowFetcher(MjRowsToFetch* all) : rows(all) {}

  // Asks for one line, if there is one left.
  MJ_MEMBER void line() {
    if (rows->count <= 0) return;
    __builtin_prefetch(rows->row[operand] + at, 0, kSecondLevel);
    at += kLine;
    if (at < rows->bytes[operand]) return;
    at = 0;
    operand ^= 1;
    if (operand == 1) return;
    rows->row[0] += rows->row_bytes[0];
    rows->row[1] += rows->row_bytes[1];
    --rows->count;
  }
};

}  // namespace mj
