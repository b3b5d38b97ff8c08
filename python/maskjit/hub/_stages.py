"""What a masker is in the language: a stage of a sequence, with the tensors that it reads."""

from __future__ import annotations

import dataclasses
import decimal
import math
import numbers
from collections.abc import Mapping
from typing import Any

from torch import Tensor


@dataclasses.dataclass(frozen=True)
class Problem:
    """What a stage may depend on beside its config."""

    heads: int
    head_dim: int
    layer_idx: Any


@dataclasses.dataclass(frozen=True)
class Stage:
    #: "top_k(10%, by = channels(table0, bits = 4))"
    text: str
    #: name -> its type in the language: "tensor<i32>[num_heads, 8]"
    types: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tensors: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    #: Of what it draws; None: from torch's generator.
    seed: int | None = None


def size_text(size: int | float) -> str:
    """Keys, or for a float a share of them, as the language writes it."""
    if isinstance(size, numbers.Integral):
        return str(int(size))
    percent = decimal.Decimal(repr(float(size))) * 100  # exact: the language takes the number nearest to a percentage
    text = f"{percent:f}"
    return f"{text.rstrip('0').rstrip('.') if '.' in text else text}%"


def keys_of(size: int | float, kv_len: int) -> int:
    """How many of kv_len keys a size stands for."""
    return int(size) if isinstance(size, numbers.Integral) else int(float(size) * kv_len)


def check_size(name: str, size: int | float) -> None:
    _check_number(name, size)
    if not size > 0:
        raise ValueError(f"{name} must be > 0, got {size}")
    if math.isinf(size):
        raise ValueError(f"{name} must be finite, got {size}")


def check_range(name: str, value: float, interval: str) -> None:
    """interval: "[0, 1]", "(0, 1)", ..."""
    _check_number(name, value)
    low, high = (float(end) for end in interval[1:-1].split(","))
    above = value > low if interval[0] == "(" else value >= low
    below = value < high if interval[-1] == ")" else value <= high
    if not (above and below):
        raise ValueError(f"{name} must be in range {interval}, got {value}")


def check_int(name: str, value: int) -> None:
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be int, got {type(value).__name__}")


def _check_number(name: str, value: int | float) -> None:
    if not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be int or float, got {type(value).__name__}")
