#!/usr/bin/env python3
"""A Llama with grouped heads and random weights: maskjit in place of its attention.

    PYTHONPATH=build/release/python python3 examples/transformers/llama.py [--table LENGTH ...]

1. The spec "causal" gives the logits and the greedy tokens of eager attention, with and without padding.
2. StreamingLLM: with a kv cache that keeps everything, and with one that keeps sinks and window only, the logits are
   those of eager attention with the dense mask of the same pattern.
3. --table: time and memory of a prefill, compared with eager attention and SDPA.
"""

import argparse
import ctypes
import time

import torch
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM

import maskjit
import maskjit.huggingface
from sink_cache import SinkCache

SINKS, WINDOW = 4, 32


def make_model(layers=3, hidden=256):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=8,
        num_key_value_heads=2,
        max_position_embeddings=1 << 16,
        initializer_range=0.1,
    )
    return LlamaForCausalLM(config).eval()


def logits(model, implementation, tokens, **inputs):
    model.set_attn_implementation(implementation)
    return model(input_ids=tokens, **inputs).logits


def compare(what, got, want, tolerance=1e-4):
    error = ((got - want).abs().max() / want.abs().max()).item()
    print(f"  {what}: largest difference {error:.1e} of the largest logit")
    if not error < tolerance:
        raise SystemExit(f"{what}: {error} is more than {tolerance}")


def dense_equals_eager(model):
    print("causal")
    tokens = torch.randint(0, 1000, (2, 150))
    compare("logits", logits(model, "maskjit", tokens), logits(model, "eager", tokens))

    padding = torch.ones_like(tokens)
    padding[0, :40] = 0
    got, want = (logits(model, name, tokens, attention_mask=padding) for name in ("maskjit", "eager"))
    compare("logits, one sequence padded", got[padding.bool()], want[padding.bool()])

    generated = []
    for name in ("maskjit", "eager"):
        model.set_attn_implementation(name)
        generated.append(model.generate(tokens, attention_mask=padding, max_new_tokens=30, do_sample=False, pad_token_id=0))
    same = torch.equal(*generated)
    print(f"  30 greedy tokens of both sequences, with the kv cache: {'equal' if same else 'different'}")
    if not same:
        raise SystemExit("the greedy tokens differ")


def streaming(model):
    print(f"StreamingLLM: {SINKS} sinks and a window of {WINDOW}")
    tokens = torch.randint(0, 1000, (1, 200))
    length, prompt = tokens.shape[1], 120
    q, k = torch.arange(length).unsqueeze(1), torch.arange(length)
    seen = (k <= q) & ((k < SINKS) | (q - k < WINDOW))
    mask = torch.zeros(1, 1, length, length).masked_fill(~seen, torch.finfo(torch.float32).min)
    want = logits(model, "eager", tokens, attention_mask=mask)
    compare("whole text at once", logits(model, "streaming", tokens), want)
    layers = model.config.num_hidden_layers
    for what, cache in (
        ("token by token, all keys kept", DynamicCache()),
        ("token by token, only sinks and window kept", SinkCache(layers, SINKS, WINDOW)),
    ):
        got = [logits(model, "streaming", tokens[:, :prompt], past_key_values=cache)]
        got += [logits(model, "streaming", tokens[:, i : i + 1], past_key_values=cache) for i in range(prompt, length)]
        compare(what, torch.cat(got, 1), want)
    whole = 2 * layers * 2 * length * (model.config.hidden_size // 8) * 4
    print(f"  the second cache has {cache.nbytes()} bytes, now and later; all {length} keys and values have {whole}")


def peak_memory(call):
    """Seconds, and by how much the process grew at most, in bytes (Linux)."""

    def field(name):
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith(name))

    ctypes.CDLL(None).malloc_trim(0)  # what was freed goes back
    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
        reset.write("5")  # the peak is now what is resident
    before, started = field("VmRSS"), time.perf_counter()
    call()
    return time.perf_counter() - started, field("VmHWM") - before


def table(model, lengths):
    print(f"prefill of one sequence, {torch.get_num_threads()} threads: seconds and memory (best of 3)")
    names = ("eager", "sdpa", "maskjit", "streaming")
    print("  tokens " + "".join(f"{name:>22}" for name in names))
    for length in lengths:
        tokens = torch.randint(0, 1000, (1, length))
        cells = []
        for name in names:
            model.set_attn_implementation(name)
            call = lambda: model(input_ids=tokens, logits_to_keep=1, use_cache=False)
            call()
            seconds, growth = map(min, zip(*(peak_memory(call) for _ in range(3))))
            cells.append(f"{seconds:11.3f} s {growth / 2**20:5.0f} MiB")
        print(f"  {length:6} " + "".join(f"{cell:>22}" for cell in cells), flush=True)


@torch.inference_mode()
def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", type=int, nargs="*", default=[], metavar="LENGTH")
    arguments = parser.parse_args()
    spec = "causal() & (sink(%d) | local(%d))"
    maskjit.huggingface.register("maskjit", maskjit.compile("causal"))
    maskjit.huggingface.register("streaming", maskjit.compile(spec % (SINKS, WINDOW)))
    model = make_model()
    dense_equals_eager(model)
    streaming(model)
    if arguments.table:
        maskjit.huggingface.register("streaming", maskjit.compile(spec % (SINKS, 1024)))
        table(make_model(layers=4, hidden=512), arguments.table)


if __name__ == "__main__":
    main()
