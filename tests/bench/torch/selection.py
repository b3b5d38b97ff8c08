#!/usr/bin/env python3
"""Decoding with selectors: against the same selection in PyTorch operations, and recipes with an index against dense decoding.

    PYTHONPATH=build/release/python python3 tests/bench/torch/selection.py [--kv-len 32768] [--threads 2] [--json FILE]

Every contestant runs once per round, in turn, in one process; medians over the rounds, ratios of medians.
"""

import argparse
import json
import statistics
import time

import torch

import maskjit

SINKS, WINDOW = 128, 128


def torch_top_k(query, key, value, budget):
    """Sinks, window and top-k as dense tensors, step by step, as the replaced code builds them."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    logits = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
    mask = torch.zeros_like(logits)
    mask[..., :SINKS] = 1
    mask[..., -WINDOW:] = 1
    candidates = logits.masked_fill(mask != 0, torch.finfo(logits.dtype).min)
    mask.scatter_(-1, candidates.topk(budget, -1).indices, 1)
    weights = torch.exp(logits - logits.amax(-1, keepdim=True)) * mask
    return (weights @ value) / weights.sum(-1, keepdim=True)


def race(contestants, seconds):
    """Median seconds of each."""
    for run in contestants.values():
        run()
    times = {name: [] for name in contestants}
    end = time.perf_counter() + seconds * len(contestants)
    while time.perf_counter() < end or len(times[name]) < 5:
        for name, run in contestants.items():
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    return {name: statistics.median(measured) for name, measured in times.items()}


def recipes(query, key, budget):
    """Mask, index parameters."""
    head_dim, heads = query.shape[3], query.shape[1]
    table = (query.abs().mean((0, 2)) * key.abs().mean((0, 2)).repeat_interleave(heads // key.shape[1], 0)).topk(16).indices
    head = "attention main(table: tensor<i32>[num_heads, 16]) "
    bits = 128
    projection = torch.randn(heads, head_dim * bits + bits)
    hashed = f"attention main(mlp: tensor<f32>[num_heads, {head_dim * bits + bits}]) "
    stages = f"sink({SINKS}) then local({WINDOW}) then "
    yield "top_k by logits", f"attention main {{ mask {stages} top_k({budget}) }}", {}
    yield "top_k by page_bound(16)", f"attention main {{ mask {stages} top_k({budget}, by = page_bound(16)) }}", {}
    yield "top_k by channels(16 of D)", head + f"{{ mask {stages} top_k({budget}, by = channels(table, bits = 4)) }}", {
        "table": table.int()
    }
    yield "top_k by hash_bits(128)", hashed + (
        f"{{ mask {stages} top_k({budget}, by = hash_bits(mlp, mlp, bits = {bits}, layers = 1)) }}"
    ), {"mlp": projection}
    yield "top_k by pq_codes(8, 6)", f"attention main {{ mask {stages} top_k({budget}, by = pq_codes(8, 6)) }}", {}
    yield "magic_pig(75, 8)", f"attention main {{ mask {stages} magic_pig(75, 8) }}", {}
    yield "random 10%", f"attention main {{ mask {stages} random(0.1) }}", {}
    yield "vattention", f"attention main {{ mask {stages} top_k(2%) then adaptive(2%, 0.1, 0.1) }}", {}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kv-len", type=int, default=32768)
    parser.add_argument("--heads", type=int, default=32)
    parser.add_argument("--kv-heads", type=int, default=32)
    parser.add_argument("--head-dim", type=int, default=128)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--seconds", type=float, default=2, help="for each contestant")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    results = {"arguments": vars(arguments), "torch": torch.__version__, "cases": []}
    for dtype in (torch.float32, torch.bfloat16):
        query = torch.randn(1, arguments.heads, 1, arguments.head_dim, dtype=dtype)
        key = torch.randn(1, arguments.kv_heads, arguments.kv_len, arguments.head_dim, dtype=dtype)
        value = torch.randn_like(key)
        budget = arguments.kv_len // 10
        dense = maskjit.compile("full")
        contestants = {
            "torch: top_k by logits": lambda: torch_top_k(query, key, value, budget),
            "torch: dense SDPA": lambda: torch.nn.functional.scaled_dot_product_attention(
                query, key, value, enable_gqa=arguments.heads != arguments.kv_heads
            ),
            "dense": lambda: dense(query, key, value),
        }
        for name, text, parameters in recipes(query, key, budget):
            attn = maskjit.compile(text)
            index = None
            if " by " in name and "logits" not in name or "magic_pig" in name:
                index = attn.key_index(query, key, parameters=parameters)
            contestants[name] = lambda attn=attn, index=index: attn(
                query, key, value, index=index, sampling=maskjit.Sampling(seed=0)
            )
        medians = race(contestants, arguments.seconds)
        print(f"\n{dtype}, B 1, H {arguments.heads}/{arguments.kv_heads}, Lq 1, Lk {arguments.kv_len}, D {arguments.head_dim}, "
              f"{arguments.threads} threads\n")
        print("| | time | dense / time | torch top_k / time |\n|---|---|---|---|")
        for name, seconds in medians.items():
            print(f"| {name} | {1e3 * seconds:.2f} ms | {medians['dense'] / seconds:.2f} | "
                  f"{medians['torch: top_k by logits'] / seconds:.2f} |")
        results["cases"].append({"dtype": str(dtype), "median_seconds": medians})
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=1)


if __name__ == "__main__":
    main()
