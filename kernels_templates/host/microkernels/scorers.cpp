// The scorers' entry points: each goes to the file of its kind.
#include "kernels_templates/host/microkernels/scorers.h"

#include "kernels_templates/host/microkernels/scorers_channels.h"
#include "kernels_templates/host/microkernels/scorers_hash.h"
#include "kernels_templates/host/microkernels/scorers_lsh.h"
#include "kernels_templates/host/microkernels/scorers_pages.h"
#include "kernels_templates/host/microkernels/scorers_pq.h"

extern "C" {

int64_t mj_scorer_scratch(const MjScorer* scorer) {
  using namespace mj;
  switch (scorer->kind) {
    case MJ_SCORER_PAGE_BOUND:
      return align64(int64_t{8} * PageNumbers(scorer).head_dim);
    case MJ_SCORER_CHANNELS:
      return 64 + align64(int64_t{8} * ChannelNumbers(scorer).count);
    case MJ_SCORER_HASH_BITS: {
      const HashNumbers n(scorer);
      return align64(int64_t{4} * n.words()) + align64(int64_t{4} * 2 * n.widest());
    }
    case MJ_SCORER_PQ_CODES: {
      const PqNumbers n(scorer);
      return align64(int64_t{4} * n.groups() * n.padded());
    }
    case MJ_SCORER_LSH:
      return LshPrepared(LshNumbers(scorer)).bytes;
    default:
      return 0;
  }
}

void mj_scorer_prepare(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                       const float* query, int32_t, void* prepared) {
  using namespace mj;
  const int32_t row_head = head_of(scorer, head, kv_head);
  switch (scorer->kind) {
    case MJ_SCORER_PAGE_BOUND:
      return prepare_pages(scorer, query, prepared);
    case MJ_SCORER_CHANNELS:
      return prepare_channels(scorer, row_head, query, prepared);
    case MJ_SCORER_HASH_BITS:
      return prepare_hash(scorer, row_head, query, prepared);
    case MJ_SCORER_PQ_CODES:
      return prepare_pq(scorer, batch, row_head, query, prepared);
    case MJ_SCORER_LSH:
      return prepare_lsh(scorer, batch, row_head, query, prepared);
    default:
      return;
  }
}

void mj_scorer_scores(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                      const void* prepared, int64_t k_begin, int32_t count, float* scores) {
  using namespace mj;
  const int32_t row_head = head_of(scorer, head, kv_head);
  switch (scorer->kind) {
    case MJ_SCORER_PAGE_BOUND:
      return score_keys_by_page(scorer, batch, row_head, prepared, k_begin, count, scores);
    case MJ_SCORER_CHANNELS:
      return score_channels(scorer, batch, row_head, prepared, k_begin, count, scores);
    case MJ_SCORER_HASH_BITS:
      return score_hash(scorer, batch, row_head, prepared, k_begin, count, scores);
    case MJ_SCORER_PQ_CODES:
      return score_pq(scorer, batch, row_head, prepared, k_begin, count, scores);
    case MJ_SCORER_LSH:
      return score_lsh(scorer, batch, row_head, prepared, k_begin, count, scores);
    default:
      return;
  }
}

void mj_page_scores(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                    const void* prepared, int64_t page_begin, int32_t count, float* scores) {
  mj::score_pages(scorer, batch, mj::head_of(scorer, head, kv_head), prepared, page_begin, count,
                  scores);
}

float mj_lsh_weight(const MjScorer* scorer, int32_t batch, int32_t kv_head, const void* prepared,
                    int64_t k, float product) {
  return mj::lsh_weight(scorer, batch, kv_head, prepared, k, product);
}

int64_t mj_index_scratch(const MjScorer* scorer) {
  using namespace mj;
  switch (scorer->kind) {
    case MJ_SCORER_PAGE_BOUND:
      return int64_t{8} * round_up(PageNumbers(scorer).head_dim, kLanes);
    case MJ_SCORER_CHANNELS:
      return int64_t{4} * ChannelNumbers(scorer).count;
    case MJ_SCORER_HASH_BITS: {
      const HashNumbers n(scorer);
      return int64_t{4} * 16 * (round_up(n.head_dim, kLanes) + int64_t{2} * n.widest() + n.words());
    }
    case MJ_SCORER_PQ_CODES: {
      const PqNumbers n(scorer);
      return int64_t{4} * 16 * (round_up(n.head_dim, kLanes) + int64_t{n.padded()});
    }
    case MJ_SCORER_LSH: {
      const LshNumbers n(scorer);
      return int64_t{4} * 16 * (lsh_row_width(n) + int64_t{n.projections()}) + 8 * n.sign_words();
    }
    default:
      return 0;
  }
}

void mj_index_keys(const MjScorer* scorer, int32_t batch, int32_t head, int32_t kv_head,
                   const void* keys, int64_t row_bytes, int32_t element, int64_t begin, int64_t end,
                   void* scratch) {
  using namespace mj;
  const int32_t row_head = head_of(scorer, head, kv_head);
  const char* rows = static_cast<const char*>(keys);
  switch (scorer->kind) {
    case MJ_SCORER_PAGE_BOUND:
      return index_pages(scorer, batch, row_head, rows, row_bytes, begin, end, scratch);
    case MJ_SCORER_CHANNELS:
      return index_channels(scorer, batch, row_head, rows, row_bytes, begin, end, scratch);
    case MJ_SCORER_HASH_BITS:
      return index_hash(scorer, batch, row_head, rows, row_bytes, element, begin, end, scratch);
    case MJ_SCORER_PQ_CODES:
      return index_pq(scorer, batch, row_head, rows, row_bytes, element, begin, end, scratch);
    case MJ_SCORER_LSH:
      return index_lsh(scorer, batch, row_head, rows, row_bytes, element, begin, end, scratch);
    default:
      return;
  }
}

void mj_nearest(const float* points, int64_t stride, int64_t count, int32_t dims,
                const float* codebook, const float* norms, int32_t centroids, int32_t* nearest,
                void* scratch) {
  const int padded = mj_pad_lanes(centroids);
  for (int64_t i = 0; i < count; i += 16) {
    mj::nearest_centroids(points + i * stride, stride,
                          static_cast<int>(count - i < 16 ? count - i : 16), dims, codebook, norms,
                          padded, nearest + i, static_cast<float*>(scratch));
  }
}

}  // extern "C"
