#!/usr/bin/env python3
"""What a call from Python costs beside the kernel: problems of one row and one key, on one thread, kernels in memory.

    PYTHONPATH=build/release/python build/venv/bin/python tests/bench/torch/overhead.py

A kernel of that size takes some hundred nanoseconds, which are counted here. torch's own calls of like kind are for
comparison. The best of several rounds, in microseconds.
"""

import time

import torch

import maskjit

ROUNDS, CALLS = 20, 2000


def microseconds(call):
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(CALLS):
            call()
        best = min(best, (time.perf_counter() - started) / CALLS)
    return best * 1e6


def main():
    torch.set_num_threads(1)
    x = torch.randn(1, 1, 1, 16)
    mask = torch.zeros(1, 1, 1, 1)
    document = torch.zeros(1, 1, dtype=torch.int32)
    operator = torch.ops.maskjit.attention.default
    causal = maskjit.compile("causal")
    runtime = maskjit.compile("masker m(runtime n: int) = causal() & local(n)")
    packed = maskjit.compile("masker m(document: tensor<i32>[batch, kv_len]) = document[batch, q] == document[batch, k]")
    explicit = maskjit.compile("masker m(m: tensor<bit>[batch, num_heads, q_len, kv_len]) = explicit(m)")
    bits = maskjit.Mask.full((1, 1, 1, 1))
    paged = maskjit.compile("top_k(1, by = page_bound(16))")
    index = paged.key_index(x, x)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    calls = {
        "torch.ops.maskjit.attention": lambda: operator(x, x, x, "causal"),
        "attn(q, k, v)": lambda: causal(x, x, x),
        "attn(q, k, v, attn_mask=...)": lambda: causal(x, x, x, attn_mask=mask),
        "attn(q, k, v, n=4)": lambda: runtime(x, x, x, n=4),
        "attn(q, k, v, document=...)": lambda: packed(x, x, x, document=document),
        "attn(q, k, v, m=Mask)": lambda: explicit(x, x, x, m=bits),
        "attn(q, k, v, index=...)": lambda: paged(x, x, x, index=index),
        "attn.results(q, k, v), 2 results": lambda: causal.results(x, x, x),
        "torch: scaled_dot_product_attention": lambda: sdpa(x, x, x, is_causal=True),
        "torch: matmul": lambda: torch.matmul(x, x.mT),
    }
    with torch.inference_mode():
        for name, call in calls.items():
            call()
            print(f"{microseconds(call):7.2f} us  {name}", flush=True)


if __name__ == "__main__":
    main()
