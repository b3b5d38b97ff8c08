"""What is measured: masks, each written for maskjit, for FlexAttention and for SDPA, and the problems they are run on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
SINKS, WINDOW, CAP, MEAN_DOCUMENT = 4, 1024, 30.0, 512


@dataclasses.dataclass(frozen=True)
class Mask:
    name: str
    #: For maskjit; `name=value` pairs are constants.
    spec: str
    constants: dict[str, int] = dataclasses.field(default_factory=dict)
    #: Tensor parameters of the spec, and what the functions below read: a function of the case.
    tensors: Callable[[Case], dict[str, Tensor]] = lambda case: {}
    #: FlexAttention: (case, tensors) -> mask_mod, score_mod; None: none.
    mask_mod: Callable | None = None
    score_mod: Callable | None = None
    #: SDPA has no such score.
    sdpa: bool = True

    def active(self, case: Case, tensors: dict[str, Tensor]) -> Tensor | None:
        """bool [q_len, kv_len] or None for every key."""
        if self.mask_mod is None:
            return None
        q = torch.arange(case.q_len).unsqueeze(1) + case.kv_len - case.q_len
        k = torch.arange(case.kv_len)
        return self.mask_mod(case, tensors)(0, 0, q, k).expand(case.q_len, case.kv_len)


@dataclasses.dataclass(frozen=True)
class Case:
    mask: Mask
    q_len: int
    kv_len: int
    dtype: str = "f32"
    dim: int = 64
    heads: int = 1
    kv_heads: int = 1
    batch: int = 1
    #: "masks", "gqa", "heads", "decode", "cliffs", "tiny"
    group: str = "masks"
    #: Rows of all heads lie together: [batch, length, heads, dim] in memory.
    strided: bool = False
    #: Measured under --quick.
    quick: bool = False

    @property
    def name(self) -> str:
        length = f"{_short(self.kv_len)}" if self.q_len == self.kv_len else f"{self.q_len}x{_short(self.kv_len)}"
        heads = f"{self.heads}h" if self.heads == self.kv_heads else f"{self.heads}h/{self.kv_heads}"
        batch = f"{self.batch}b " if self.batch > 1 else ""
        return f"{self.mask.name} {length} {self.dtype} D{self.dim} {batch}{heads}{' strided' if self.strided else ''}"

    def operands(self) -> tuple[Tensor, Tensor, Tensor]:
        generator = torch.Generator().manual_seed(20261122)

        def normal(heads: int, length: int) -> Tensor:
            shape = (self.batch, length, heads, self.dim) if self.strided else (self.batch, heads, length, self.dim)
            x = torch.randn(shape, generator=generator).to(DTYPES[self.dtype])
            return x.transpose(1, 2) if self.strided else x

        return normal(self.heads, self.q_len), normal(self.kv_heads, self.kv_len), normal(self.kv_heads, self.kv_len)

    def active_elements(self) -> int:
        """Of the mask of one head."""
        active = self.mask.active(self, self.mask.tensors(self))
        return self.q_len * self.kv_len if active is None else int(active.sum())

    def bytes(self) -> int:
        """Of queries, keys, values and the output, each once."""
        rows = 2 * self.heads * self.q_len + 2 * self.kv_heads * self.kv_len
        return self.batch * rows * self.dim * DTYPES[self.dtype].itemsize


def _short(length: int) -> str:
    return f"{length // 1024}k" if length % 1024 == 0 else str(length)


def _documents(case: Case) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    starts = torch.rand(case.kv_len, generator=generator) < 1 / MEAN_DOCUMENT
    return {"document": starts.cumsum(0).to(torch.int32).unsqueeze(0)}


def _slopes(case: Case) -> Tensor:
    return torch.exp2(-8.0 * (torch.arange(case.heads) + 1) / case.heads)


def _window(size: int) -> Mask:
    return Mask(
        f"window {size}", "local", {"n": size},
        mask_mod=lambda case, tensors: lambda b, h, q, k: (k <= q) & (q - k < size),
    )  # fmt: skip


def _causal_mod(case: Case, tensors: dict[str, Tensor]):
    return lambda b, h, q, k: k <= q


def _alibi_mod(case: Case, tensors: dict[str, Tensor]):
    slopes = _slopes(case)
    return lambda s, b, h, q, k: s + slopes[h] * (k - q)


DENSE = Mask("dense", "full")
CAUSAL = Mask("causal", "causal", mask_mod=_causal_mod)
WINDOW_1024 = _window(1024)
MASKS = (
    DENSE,
    CAUSAL,
    _window(256),
    WINDOW_1024,
    Mask(
        "sink + window", f"causal() & (sink({SINKS}) | local({WINDOW}))",
        mask_mod=lambda case, tensors: lambda b, h, q, k: (k <= q) & ((k < SINKS) | (q - k < WINDOW)),
    ),
    Mask(
        "documents", "masker m(document: tensor<i32>[1, kv_len]) = causal() & document[0, q] == document[0, k]",
        tensors=_documents,
        mask_mod=lambda case, tensors: lambda b, h, q, k: (
            (k <= q) & (tensors["document"][0][q] == tensors["document"][0][k])
        ),
    ),
    Mask(
        "prefix LM", "masker m(runtime length: int) = causal() | prefix(length)",
        tensors=lambda case: {"length": case.kv_len // 4},
        mask_mod=lambda case, tensors: lambda b, h, q, k: (k <= q) | (k < case.kv_len // 4),
    ),
    Mask("ALiBi causal", "attention main { mask causal() score alibi(s) }", mask_mod=_causal_mod, score_mod=_alibi_mod),
    Mask(
        "soft-cap causal", f"attention main {{ mask causal() score softcap(s, {CAP}) }}", mask_mod=_causal_mod,
        score_mod=lambda case, tensors: lambda s, b, h, q, k: CAP * torch.tanh(s / CAP), sdpa=False,
    ),
)  # fmt: skip
_QUICK = ("dense", "causal", "window 256", "documents")


def sdpa_mask(case: Case, tensors: dict[str, Tensor]) -> dict:
    """The arguments that stand for the mask."""
    if case.mask.mask_mod is None:
        return {}
    if case.mask.name == "causal" and case.q_len == case.kv_len:
        return {"is_causal": True}
    active = case.mask.active(case, tensors)
    if case.mask.score_mod is None:
        return {"attn_mask": active}
    q = torch.arange(case.q_len).unsqueeze(1) + case.kv_len - case.q_len
    bias = case.mask.score_mod(case, tensors)(0.0, 0, torch.arange(case.heads).view(-1, 1, 1), q, torch.arange(case.kv_len))
    return {"attn_mask": bias.masked_fill(~active, -math.inf).to(DTYPES[case.dtype]).unsqueeze(0)}


def all_cases() -> list[Case]:
    """In the order in which they are worth their time."""
    cases = []
    # Every mask at every length, with fewer heads where there is more work.
    for length, heads in ((512, 8), (1024, 8), (2048, 4), (4096, 2), (8192, 1), (16384, 1)):
        for dtype, dim in (("f32", 64), ("bf16", 128)):
            for mask in MASKS:
                quick = mask.name in _QUICK and length == 1024 and dtype == "f32"
                quick = quick or (mask.name in ("dense", "causal") and length == 2048 and dtype == "bf16")
                cases.append(Case(mask, length, length, dtype, dim, heads, heads, quick=quick))
    for dtype in ("f32", "bf16"):
        for length in (1024, 4096, 16384, 32768, 131072):
            cases.append(Case(DENSE, 1, length, dtype, 128, 8, 8, group="decode", quick=length == 4096))
            cases.append(Case(DENSE, 1, length, dtype, 128, 32, 8, group="decode"))
        cases.append(Case(DENSE, 1, 4096, dtype, 128, 32, 32, group="decode"))
    for dtype, dim in (("f32", 128), ("bf16", 64)):
        for mask in (DENSE, CAUSAL, WINDOW_1024):
            for length, heads in ((2048, 4), (8192, 1)):
                cases.append(Case(mask, length, length, dtype, dim, heads, heads))
        cases.append(Case(CAUSAL, 1024, 1024, dtype, dim, 8, 8))
    for mask in (CAUSAL, WINDOW_1024):
        for dtype, dim in (("f32", 64), ("bf16", 128)):
            cases.append(Case(mask, 4096, 4096, dtype, dim, 8, 2, group="gqa"))
    for batch, heads in ((1, 1), (1, 2), (2, 4), (2, 16)):
        for dtype, dim in (("f32", 64), ("bf16", 128)):
            cases.append(Case(CAUSAL, 1024, 1024, dtype, dim, heads, heads, batch, group="heads"))
    # Beside causal 1k with 8 heads and a head dimension of 64 and 128.
    for dtype, dim in (("f32", 64), ("bf16", 128)):
        for length in (1023, 1025):
            cases.append(Case(CAUSAL, length, length, dtype, dim, 8, 8, group="cliffs"))
        cases.append(Case(CAUSAL, 1024, 1024, dtype, 80, 8, 8, group="cliffs"))
        cases.append(Case(CAUSAL, 1024, 1024, dtype, dim, 8, 8, group="cliffs", strided=True))
        for rows in (1, 8, 64):
            cases.append(Case(DENSE, rows, 64, dtype, dim, group="tiny"))
    return cases
