"""Every file of examples/masks against FlexAttention (eager, on the CPU) and against float64.

The masks are written here once more, as FlexAttention's mask_mod(b, h, q, k) and score_mod(s, b, h, q, k), from the
descriptions of the papers that the files name, on coordinates instead of positions where there are any.
"""

import dataclasses
import unittest
import warnings
from collections.abc import Callable

import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import maskjit
from reference import MASKS, assert_close, operands, reference

HEADS, KV_HEADS = 4, 2


@dataclasses.dataclass
class Case:
    name: str
    mask: Callable | None = None
    score: Callable | None = None
    length: int = 64
    q_len: int | None = None  # None: length
    constants: dict = dataclasses.field(default_factory=dict)
    given: dict = dataclasses.field(default_factory=dict)


def causal(b, h, q, k):
    return k <= q


def ints(*rows):
    return torch.tensor(rows, dtype=torch.int32)


# Two batches of documents of these lengths.
LENGTHS = ((17, 9, 22, 16), (30, 2, 32))
DOCUMENT = ints(*([number for number, n in enumerate(lengths) for _ in range(n)] for lengths in LENGTHS))
START = ints(*([sum(lengths[:number]) for number, n in enumerate(lengths) for _ in range(n)] for lengths in LENGTHS))
PREFIX = (DOCUMENT % 3 * 4).contiguous()
BATCH_PREFIX, BATCH_LENGTH = torch.tensor([20, 5], dtype=torch.int32), torch.tensor([56, 64], dtype=torch.int32)
FLAG = torch.zeros(2, 64, dtype=torch.bool)
FLAG[0, [0, 1, 40]] = True
FLAG[1, 63] = True
IMAGE = torch.stack([(torch.arange(24) >= torch.tensor(at).view(-1, 1)).sum(0) for at in ((2, 9, 17), (0, 1, 20))]).int()
GENERATOR = torch.Generator().manual_seed(7)
RELATIVE = torch.randn(HEADS, 65, generator=GENERATOR)
T5_TABLE = torch.randn(HEADS, 32, generator=GENERATOR)
GRAPH_TABLE = torch.randn(HEADS, 64, generator=GENERATOR)
DISTANCE = torch.randint(0, 80, (2, 64, 64), generator=GENERATOR, dtype=torch.int32)

# A tree of 12 draft tokens, depth first, after 52 tokens of context; -1: its parent is the context.
PARENTS = (-1, 0, 1, 1, 0, 4, -1, 6, 7, 7, 9, 6)
ANCESTOR = torch.eye(12, dtype=torch.bool)  # [node, ancestor or itself]
for node, parent in enumerate(PARENTS):
    if parent >= 0:
        ANCESTOR[node] |= ANCESTOR[parent]
BITS = (ANCESTOR.long() << torch.arange(12)).sum(-1).expand(2, -1).contiguous()
ENTER = torch.arange(12, dtype=torch.int32).expand(2, -1).contiguous()
EXIT = (ENTER + ANCESTOR.sum(0)).int().contiguous()


def tree(b, h, q, k):
    return (k < 52) | ANCESTOR[q, (k - 52).clamp(min=0)]


def near(at, other, size, kernel):
    start = torch.clamp(at - kernel // 2, 0, size - kernel)
    return (start <= other) & (other < start + kernel)


def neighbourhood(coordinates, kernels):
    """coordinates: for each axis, that of every position."""

    def mask(b, h, q, k):
        seen = torch.tensor(True)
        for at, kernel in zip(coordinates, kernels, strict=True):
            seen = seen & near(at[q], at[k], int(at.max()) + 1, kernel)
        return seen

    return mask


def row_major(*sizes):
    return torch.meshgrid(*(torch.arange(n) for n in sizes), indexing="ij")


def in_order(grid):
    return [axis.flatten() for axis in grid]


def tiled(sizes, tiles):
    """Positions go through a tile before the next one begins."""
    axes = row_major(*sizes)
    for dim, tile in reversed(list(enumerate(tiles))):
        axes = [axis.unflatten(dim, (-1, tile)) for axis in axes]
    rank = len(sizes)
    order = [2 * i for i in range(rank)] + [2 * i + 1 for i in range(rank)]
    return in_order([axis.permute(order) for axis in axes])


def morton(bits, dims):
    position = torch.arange(1 << (bits * dims))
    return [sum(((position >> (i * dims + d)) & 1) << i for i in range(bits)) for d in range(dims)]


def sliding_tiles(sizes, volume, windows):
    """Position -> tile -> its coordinates."""
    return neighbourhood([axis.repeat_interleave(volume) for axis in in_order(row_major(*sizes))], windows)


def block_diffusion(b, h, q, k):
    q_noisy, k_noisy, q_block, k_block = q < 32, k < 32, q % 32 // 16, k % 32 // 16
    return torch.where(
        q_noisy, torch.where(k_noisy, q_block == k_block, k_block < q_block), ~k_noisy & (k_block <= q_block)
    )


def t5_bucket(distance):
    """Raffel et al.'s decoder: exact up to 16, then logarithmic up to 128."""
    distance = distance.clamp(min=0)
    wide = 16 + (torch.log(distance.clamp(min=1) / 16) / torch.log(torch.tensor(8.0)) * 16).floor().long()
    return torch.where(distance < 16, distance, wide.clamp(max=31))


def batchify_documents(b, h, q, k):
    return (DOCUMENT[b, q] == DOCUMENT[b, k]) & ((k <= q) | (k - START[b, q] < PREFIX[b, q]))


def shared_prefix(b, h, q, k):
    return (k <= q) & ((DOCUMENT[b, k] == 0) | (DOCUMENT[b, q] == DOCUMENT[b, k]))


CASES = [
    Case("alibi", causal, lambda s, b, h, q, k: s + 2.0 ** (-8 * (h + 1) / HEADS) * (k - q)),
    Case("batchify_documents", batchify_documents, given={"document": DOCUMENT, "start": START, "prefix": PREFIX}),
    Case(
        "batchify_lengths",
        lambda b, h, q, k: (q // 20 == k // 20) & ((k <= q) | (k % 20 < 6)),
        constants={"length": 20, "prefix": 6},
    ),
    Case("block_diffusion", block_diffusion),
    Case("causal", causal),
    Case("chunked", lambda b, h, q, k: (k <= q) & (q // 24 == k // 24), constants={"size": 24}),
    Case("dilated_window", lambda b, h, q, k: ((q - k).abs() <= 9) & ((q - k) % 3 == 0), constants={"count": 3, "step": 3}),
    Case(
        "flamingo",
        lambda b, h, q, k: k // 8 == IMAGE[b, q] - 1,
        length=24,
        q_len=24,
        constants={"tokens": 8},
        given={"image": IMAGE},
    ),
    Case(
        "graph_bias",
        score=lambda s, b, h, q, k: s + GRAPH_TABLE[h, DISTANCE[b, q, k].clamp(max=63)],
        given={"distance": DISTANCE, "bias": GRAPH_TABLE},
    ),
    Case("longformer", lambda b, h, q, k: ((q - k).abs() <= 8) | FLAG[b, q] | FLAG[b, k], given={"flag": FLAG}),
    Case("natten_1d", neighbourhood(in_order(row_major(64)), (13,))),
    Case("natten_2d", neighbourhood(in_order(row_major(16, 16)), (5, 5)), length=256),
    Case("natten_2d_morton", neighbourhood(morton(4, 2), (5, 5)), length=256),
    Case("natten_2d_tiled", neighbourhood(tiled((16, 16), (4, 4)), (5, 5)), length=256),
    Case("natten_3d", neighbourhood(in_order(row_major(4, 8, 8)), (3, 3, 3)), length=256),
    Case("natten_3d_morton", neighbourhood(morton(3, 3), (3, 3, 3)), length=512),
    Case("natten_3d_tiled", neighbourhood(tiled((4, 8, 8), (2, 4, 4)), (3, 3, 3)), length=256),
    Case("packed_documents", lambda b, h, q, k: (k <= q) & (DOCUMENT[b, q] == DOCUMENT[b, k]), given={"document": DOCUMENT}),
    Case("packed_documents_full", lambda b, h, q, k: DOCUMENT[b, q] == DOCUMENT[b, k], given={"document": DOCUMENT}),
    Case("prefix_lm", lambda b, h, q, k: (k <= q) | (k < 30), given={"prefix": 30}),
    Case(
        "prefix_lm_batch",
        lambda b, h, q, k: ((k <= q) | (k < BATCH_PREFIX[b])) & (k < BATCH_LENGTH[b]),
        given={"prefix": BATCH_PREFIX, "length": BATCH_LENGTH},
    ),
    Case(
        "relative_bias",
        score=lambda s, b, h, q, k: s + RELATIVE[h, (k - q).clamp(-32, 32) + 32],
        given={"table": RELATIVE},
    ),
    Case("shared_prefix", shared_prefix, given={"part": DOCUMENT}),
    Case("sliding_tile_2d", sliding_tiles((4, 4), 16, (3, 3)), length=256),
    Case("sliding_tile_3d", sliding_tiles((4, 4, 4), 4, (3, 3, 3)), length=256),
    Case("sliding_window", lambda b, h, q, k: (k <= q) & (q - k < 10), given={"window": 10}),
    Case("softcap", causal, lambda s, b, h, q, k: 2.0 * torch.tanh(s / 2.0), given={"cap": 2.0}),
    Case("streaming_llm", lambda b, h, q, k: (k <= q) & ((k < 4) | (q - k < 12)), constants={"window": 12}),
    Case("strided_sparse", lambda b, h, q, k: (k <= q) & ((q - k < 16) | ((q - k) % 16 == 0))),
    Case("t5_bias", causal, lambda s, b, h, q, k: s + T5_TABLE[h, t5_bucket(q - k)], given={"table": T5_TABLE}),
    Case("tree_bits", tree, q_len=12, given={"ancestors": BITS}),
    Case("tree_intervals", tree, q_len=12, given={"enter": ENTER, "exit": EXIT}),
]


def flex(query, key, value, case):
    """FlexAttention's positions are rows: queries that are fewer than the keys count from 0."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "flex_attention called without torch.compile()"
        block_mask = None
        if case.mask is not None:
            q_len, kv_len = query.shape[2], key.shape[2]
            block_mask = create_block_mask(case.mask, 2, HEADS, q_len, kv_len, device="cpu", BLOCK_SIZE=128)
        return flex_attention(query, key, value, score_mod=case.score, block_mask=block_mask, enable_gqa=True)


class Gallery(unittest.TestCase):
    def test_every_file_has_a_case(self):
        self.assertEqual([case.name for case in CASES], sorted(path.stem for path in MASKS.glob("*.masker")))

    def test_masks(self):
        for seed, case in enumerate(CASES):
            with self.subTest(mask=case.name):
                q_len = case.q_len or case.length
                query, key, value = operands(
                    heads=HEADS, kv_heads=KV_HEADS, q_len=q_len, kv_len=case.length, seed=seed
                )
                index = (
                    torch.arange(2).view(2, 1, 1, 1),
                    torch.arange(HEADS).view(-1, 1, 1),
                    torch.arange(q_len).view(-1, 1),
                    torch.arange(case.length),
                )
                mask = case.mask(*index) if case.mask else None
                score = (lambda s, case=case, index=index: case.score(s, *index)) if case.score else None
                want = reference(query, key, value, mask=mask, score=score)["output"]
                attn = maskjit.compile(MASKS / f"{case.name}.masker", **case.constants)
                out = attn(query, key, value, parameters=case.given)
                assert_close(self, out, want, 2e-5, "float64")
                assert_close(self, out, flex(query, key, value, case).double(), 2e-5, "FlexAttention")


if __name__ == "__main__":
    unittest.main()
