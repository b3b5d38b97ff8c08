#!/usr/bin/env python3
"""What each recipe of this folder keeps, and what that costs in accuracy, on the queries, keys and values of a real model.

    PYTHONPATH=build/release/python python3 examples/recipes/table.py            # prints the table
    PYTHONPATH=build/release/python python3 examples/recipes/table.py --update   # and writes it into README.md

density: active entries as a share of those that the causal mask allows. error: |output - dense| / |dense| over all heads and
queries (Frobenius norms), dense being causal attention.
"""

import argparse
import json
import pathlib
import re
import struct

import torch

import maskjit

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parent / "data" / "minilm_layer3.safetensors"
# For 512 keys: the published sizes of sinks and windows are for contexts of many thousands.
SMALL = {"sinks": 8, "window": 32}
SEED = 1


def load(path):
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header, data = json.loads(file.read(length)), bytearray(file.read())
    begin_of = {name: entry["data_offsets"][0] for name, entry in header.items() if name != "__metadata__"}
    return {
        name: torch.frombuffer(data, dtype=torch.float32, offset=begin, count=torch.Size(header[name]["shape"]).numel())
        .reshape(header[name]["shape"])
        for name, begin in begin_of.items()
    }


def heavy_channels(query, key, count):
    """int32 [heads, count]: the channels with the largest products, as double sparsity's calibration on the same data."""
    return (query.abs().mean((0, 2)) * key.abs().mean((0, 2))).topk(count, -1).indices.int()


def random_projection(heads, head_dim, bits):
    """One layer of normal weights without bias: a stand-in for HashAttention's trained perceptrons."""
    generator = torch.Generator().manual_seed(SEED)
    matrix = torch.randn(heads, head_dim * bits, generator=generator)
    return torch.cat([matrix, torch.zeros(heads, bits)], 1)


def recipes(query, key):
    """Title, file, constants, tensors."""
    heads, head_dim = query.shape[1], query.shape[3]
    projection = random_projection(heads, head_dim, 32)
    hashed = {"query_mlp": projection, "key_mlp": projection}
    channels = {"table": heavy_channels(query, key, 16)}
    yield "StreamingLLM, window 10%", "streaming_llm", {"sinks": 8}, {}
    yield "oracle top-k 10%", "oracle_top_k", SMALL, {}
    yield "oracle top-p 0.85", "oracle_top_p", SMALL, {}
    yield "HashAttention 10%, untrained", "hash_attention", SMALL, hashed
    yield "double sparsity 10%, 16 of 32 channels, 2 bits", "double_sparsity", SMALL, channels
    yield "Quest 12.8%, pages of 16", "quest", {}, {}
    yield "PQCache 10%, 8 channels, 6 bits", "pq_cache", SMALL, {}
    yield "random 10%", "random", SMALL, {}
    yield "vAttention, top-k 10%", "vattention", SMALL, {}
    yield "vAttention, top-p 0.10", "vattention_top_p", SMALL, {}
    yield "vAttention, HashAttention 3.125%, untrained", "vattention_hash", SMALL, hashed
    yield "MagicPIG, 75 tables of 8 bits", "magic_pig", SMALL, {}


def table():
    tensors = load(DATA)
    query, key, value = tensors["query"], tensors["key"], tensors["value"]
    dense = maskjit.compile("causal")(query, key, value)
    allowed = query.shape[0] * query.shape[1] * query.shape[2] * (query.shape[2] + 1) // 2
    lines = ["| recipe | file | density | error |", "|---|---|---|---|", "| dense | | 100 % | 0 |"]
    for title, name, constants, parameters in recipes(query, key):
        attn = maskjit.compile(HERE / f"{name}.masker", **constants)
        output, weights = attn.results(
            query, key, value, ("output", "weights"), sampling=maskjit.Sampling(seed=SEED), parameters=parameters
        )
        density = (weights > 0).sum().item() / allowed
        error = ((output - dense).norm() / dense.norm()).item()
        lines.append(f"| {title} | [{name}.masker]({name}.masker) | {100 * density:.1f} % | {error:.3f} |")
    return "\n".join(lines) + "\n"


def alike(made, kept):
    """The same table but for what rounding on another CPU changes: keys of nearly equal scores."""
    number = re.compile(r"\d+\.\d+(?= [%|])")
    if number.sub("x", made) != number.sub("x", kept):
        return False
    return all(abs(float(a) - float(b)) <= 0.01 * max(1.0, float(b)) for a, b in zip(number.findall(made), number.findall(kept)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write the table into README.md")
    parser.add_argument("--check", action="store_true", help="fail if README.md has another table, beyond 0.01 or 1 %%")
    arguments = parser.parse_args()
    made, path = table(), HERE / "README.md"
    print(made, end="")
    before, _, rest = path.read_text(encoding="utf-8").partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    text = f"{before}<!-- table -->\n{made}<!-- end of table -->{after}"
    if arguments.update:
        path.write_text(text, encoding="utf-8")
    elif arguments.check and not alike(made, rest.partition("<!-- end of table -->")[0]):
        raise SystemExit("README.md has another table: run table.py --update")


if __name__ == "__main__":
    main()
