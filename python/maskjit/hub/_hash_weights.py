"""Weights of HashAttention: for each layer the perceptrons that hash queries and keys.

    {layer: {"query_matrix": [M_1, ..., M_n], "query_bias": [b_1, ..., b_n], "key_matrix": [...], "key_bias": [...]}}

with M_i [heads, in, out] and b_i [heads, out]; the first `in` is the head dimension, the last `out` the number of bits. Files
of them are pickles, by `pickle.dump` or `torch.save`. They are read without running anything that they contain: a file that
asks for more than tensors and containers is refused.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

#: What pickled tensors and arrays are made of.
_ALLOWED = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
    ("_codecs", "encode"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.{module}", name)
      for core in ("core", "_core")
      for module, name in (("multiarray", "_reconstruct"), ("multiarray", "scalar"), ("numeric", "_frombuffer"))),
}  # fmt: skip
#: The first object of a file that torch.save wrote without a zip archive.
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

_USA_NAME = re.compile(r"(?:.*\.)?(\d+)\.learning_to_hash_transformation_([qk])\.(\d+)\.(\d+)\.(weight|bias)")


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return lambda data: torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}; tensors and containers are possible")
        return super().find_class(module, name)


def load_hash_weights(path: str | os.PathLike[str]) -> dict[Any, dict[str, list[Tensor]]]:
    """The weights in a file, also in one with the parameters of a USA checkpoint."""
    try:
        with open(path, "rb") as file:
            data = _read(file)
    except OSError:
        raise
    except Exception as error:  # whatever the bytes of a foreign file lead to
        raise ValueError(f"the hash weights of {os.fspath(path)} cannot be read: {error}") from error
    if not isinstance(data, Mapping):
        raise ValueError(f"the hash weights of {os.fspath(path)} are a {type(data).__name__}; a dict is needed")
    if any(isinstance(name, str) and _USA_NAME.fullmatch(name) for name in data):
        return from_usa_checkpoint(data)
    return dict(data)


def _read(file: io.BufferedReader) -> Any:
    if zipfile.is_zipfile(file):
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)
    file.seek(0)
    data = _Unpickler(file).load()
    if not (isinstance(data, int) and data == _LEGACY_MAGIC):
        return data
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


def from_usa_checkpoint(parameters: Mapping[str, Tensor]) -> dict[int, dict[str, list[Tensor]]]:
    """The weights from parameters that are named as in a USA checkpoint.

    "<layer>.learning_to_hash_transformation_<q | k>.<head>.<0, 2, 4, ...>.<weight | bias>": the linear layers of each head,
    with weights [out, in]; a bias may be missing. Parameters of other names are left aside.
    """
    found: dict[tuple[int, str, int, int], dict[str, Tensor]] = {}
    for name, parameter in parameters.items():
        match = _USA_NAME.fullmatch(name) if isinstance(name, str) else None
        if match:
            layer, side, head, place, kind = match.groups()
            found.setdefault((int(layer), side, int(head), int(place)), {})[kind] = parameter.detach()
    weights: dict[int, dict[str, list[Tensor]]] = {}
    for layer in sorted({at[0] for at in found}):
        weights[layer] = {}
        for side, name in (("q", "query"), ("k", "key")):
            heads = sorted({at[2] for at in found if at[:2] == (layer, side)})
            places = sorted({at[3] for at in found if at[:2] == (layer, side)})
            if heads != list(range(len(heads))) or not heads:
                raise ValueError(f"layer {layer} has the heads {heads} of learning_to_hash_transformation_{side}")
            matrices, biases = [], []
            for place in places:
                linear = [found.get((layer, side, head, place), {}) for head in heads]
                for head, given in zip(heads, linear, strict=True):
                    if "weight" not in given:
                        raise ValueError(
                            f"{layer}.learning_to_hash_transformation_{side}.{head}.{place}.weight is missing"
                        )
                matrices.append(torch.stack([given["weight"].mT for given in linear]))
                biases.append(
                    torch.stack([given.get("bias", given["weight"].new_zeros(given["weight"].shape[0])) for given in linear])
                )
            weights[layer][f"{name}_matrix"], weights[layer][f"{name}_bias"] = matrices, biases
    return weights


@dataclasses.dataclass(frozen=True)
class HashMlps:
    """The perceptrons of one layer, as hash_bits takes them."""

    query: Tensor  #: float32 [heads, parameters]: of each layer the matrix [in, out], then the bias [out]
    key: Tensor
    layers: int
    hidden: int
    bits: int


def hash_mlps(weights: Mapping[Any, Any], layer: Any, heads: int, head_dim: int) -> HashMlps:
    """The weights of a layer, checked against the queries. Raises ValueError."""
    if layer not in weights:
        raise ValueError(f"the hash weights have no layer {layer!r}; they have {_some(weights)}")
    of_layer, what = weights[layer], f"the hash weights of layer {layer!r}"
    if not isinstance(of_layer, Mapping):
        raise ValueError(f"{what} are a {type(of_layer).__name__}; a dict is needed")
    sides = {side: _layers(of_layer, side, what, heads, head_dim) for side in ("query", "key")}
    depths = {side: len(layers) for side, layers in sides.items()}
    bits = {side: layers[-1][0].shape[2] for side, layers in sides.items()}
    for name, of in (("layers", depths), ("bits", bits)):
        if of["query"] != of["key"]:
            raise ValueError(f"{what} have {of['query']} {name} for queries and {of['key']} for keys")
    # Narrower layers are filled up by zeros: every activation takes 0 to 0.
    hidden = max((matrix.shape[2] for layers in sides.values() for matrix, _ in layers[:-1]), default=1)
    return HashMlps(
        _flat(sides["query"], hidden), _flat(sides["key"], hidden), depths["query"], hidden, bits["query"]
    )


def _layers(
    weights: Mapping[str, Any], side: str, what: str, heads: int, head_dim: int
) -> list[tuple[Tensor, Tensor]]:
    lists = []
    for name in (f"{side}_matrix", f"{side}_bias"):
        given = weights.get(name)
        if not isinstance(given, Sequence) or not given:
            raise ValueError(f"{what} have no list {name!r}")
        lists.append([torch.as_tensor(value).detach().to("cpu", torch.float32) for value in given])
    matrices, biases = lists
    if len(matrices) != len(biases):
        raise ValueError(f"{what} have {len(matrices)} tensors in '{side}_matrix' and {len(biases)} in '{side}_bias'")
    width = head_dim
    for i, (matrix, bias) in enumerate(zip(matrices, biases, strict=True)):
        if matrix.dim() != 3 or tuple(matrix.shape[:2]) != (heads, width):
            raise ValueError(
                f"{what}: {side}_matrix[{i}] is {list(matrix.shape)}; [{heads}, {width}, any] is needed for {heads} query "
                f"heads of {head_dim} channels"
            )
        width = matrix.shape[2]
        if tuple(bias.shape) != (heads, width):
            raise ValueError(f"{what}: {side}_bias[{i}] is {list(bias.shape)}; [{heads}, {width}] is needed")
    return list(zip(matrices, biases, strict=True))


def _flat(layers: list[tuple[Tensor, Tensor]], hidden: int) -> Tensor:
    parts = []
    for i, (matrix, bias) in enumerate(layers):
        rows = 0 if i == 0 else hidden - matrix.shape[1]
        columns = 0 if i == len(layers) - 1 else hidden - matrix.shape[2]
        parts.append(torch.nn.functional.pad(matrix, (0, columns, 0, rows)).flatten(1))
        parts.append(torch.nn.functional.pad(bias, (0, columns)))
    return torch.cat(parts, 1).contiguous()


def _some(weights: Mapping[Any, Any]) -> str:
    names = [repr(name) for name in weights]
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") if names else "none"
