#include "kernels_templates/host/microkernels/microkernels.h"

extern "C" void mj_insert_run(MjTileRuns* runs, int64_t begin, int64_t end) {
  // Merge every run that touches [begin, end) into it, keep the rest in order.
  int kept = 0;
  int position = 0;
  for (int i = 0; i < runs->count; ++i) {
    if (runs->end[i] >= begin && runs->begin[i] <= end) {
      begin = runs->begin[i] < begin ? runs->begin[i] : begin;
      end = runs->end[i] > end ? runs->end[i] : end;
    } else {
      if (runs->begin[i] < begin) position = kept + 1;
      runs->begin[kept] = runs->begin[i];
      runs->end[kept] = runs->end[i];
      ++kept;
    }
  }
  if (kept == mj_max_runs) {  // no room: the last run grows to cover both
    if (begin < runs->begin[kept - 1]) runs->begin[kept - 1] = begin;
    if (end > runs->end[kept - 1]) runs->end[kept - 1] = end;
    runs->count = kept;
    return;
  }
  for (int i = kept; i > position; --i) {
    runs->begin[i] = runs->begin[i - 1];
    runs->end[i] = runs->end[i - 1];
  }
  runs->begin[position] = begin;
  runs->end[position] = end;
  runs->count = kept + 1;
}
