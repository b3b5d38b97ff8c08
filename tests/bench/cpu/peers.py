"""maskjit, torch's scaled_dot_product_attention and FlexAttention on one case, each as a function without arguments."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import maskjit
from cases import Case, sdpa_mask


@dataclasses.dataclass
class Contestant:
    name: str
    call: Callable[[], Tensor]
    #: Of the first call, which compiles.
    first_call_seconds: float = 0.0
    #: FlexAttention: what making the block mask takes, in the faster of the two ways.
    block_mask_seconds: float = 0.0
    #: Which way: "eager" or "compiled".
    block_mask_way: str = ""


def start_compiler() -> None:
    """What torch's compiler does once a process is no part of the first call of the first case."""
    x = torch.zeros(1, 1, 128, 16)
    torch.compile(flex_attention, dynamic=False)(x, x, x)


def _first(name: str, call: Callable[[], Tensor]) -> tuple[Contestant, Tensor]:
    started = time.perf_counter()
    output = call()
    return Contestant(name, call, time.perf_counter() - started), output


def enter_maskjit(case: Case, operands: tuple[Tensor, Tensor, Tensor], tensors: dict) -> tuple[Contestant, Tensor]:
    attn = maskjit.compile(case.mask.spec, constants=case.mask.constants)
    named = {p.name: tensors[p.name] for p in attn.parameters}
    return _first("maskjit", lambda: attn(*operands, **named))


def enter_sdpa(case: Case, operands: tuple[Tensor, Tensor, Tensor], tensors: dict) -> tuple[Contestant, Tensor]:
    named = sdpa_mask(case, tensors)
    gqa = case.heads != case.kv_heads
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return _first("SDPA", lambda: sdpa(*operands, enable_gqa=gqa, **named))


def enter_flex(
    case: Case, operands: tuple[Tensor, Tensor, Tensor], tensors: dict, compiled_block_mask: bool
) -> tuple[Contestant, Tensor]:
    """The mask as a block mask, made before; scores as a function; shapes static, which is the fastest."""
    torch.compiler.reset()
    mask_mod = case.mask.mask_mod and case.mask.mask_mod(case, tensors)
    score_mod = case.mask.score_mod and case.mask.score_mod(case, tensors)
    block_mask, ways = None, {}
    if mask_mod is not None:

        def make(create):
            return create(mask_mod, None, None, case.q_len, case.kv_len, device="cpu")

        block_mask = make(create_block_mask)
        ways["eager"] = _median_seconds(lambda: make(create_block_mask))
        if compiled_block_mask:
            compiled = torch.compile(create_block_mask, dynamic=False)
            make(compiled)
            ways["compiled"] = _median_seconds(lambda: make(compiled))
    run = torch.compile(flex_attention, dynamic=False)
    gqa = case.heads != case.kv_heads
    contestant, output = _first(
        "FlexAttention", lambda: run(*operands, score_mod=score_mod, block_mask=block_mask, enable_gqa=gqa)
    )
    if ways:
        contestant.block_mask_way = min(ways, key=ways.get)
        contestant.block_mask_seconds = ways[contestant.block_mask_way]
    return contestant, output


def _median_seconds(call: Callable[[], object], most: int = 5, seconds: float = 2.0) -> float:
    times = []
    while len(times) < most and sum(times) < seconds:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
