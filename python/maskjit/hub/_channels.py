"""Channel files of double sparsity: which channels of each head matter most.

A JSON object with a member "model.layers.<layer>.self_attn.<q_proj | k_proj | qk_proj>" for each layer: for each head a list
of channels, the most important first.
"""

from __future__ import annotations

import json
import os
from typing import Any

import torch
from torch import Tensor


def load_sorted_channels(path: str | os.PathLike[str]) -> dict[str, list[list[int]]]:
    """The file's members. Raises ValueError with what is wrong with it."""
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except FileNotFoundError as error:
        raise ValueError(f"Channel file not found: {path}") from error
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"Invalid JSON in channel file: {error}") from error
    if not isinstance(data, dict):
        raise ValueError("Channel file must contain a JSON object")
    for key, heads in data.items():
        _check_heads(key, heads)
    return data


def _check_heads(key: str, heads: Any) -> None:
    if not isinstance(heads, list):
        raise ValueError(f"Channel data for {key} must be a list")
    for i, channels in enumerate(heads):
        if not isinstance(channels, list):
            raise ValueError(f"Channel data for {key}[{i}] must be a list")
        if not all(type(channel) is int for channel in channels):
            raise ValueError(f"Channel indices for {key}[{i}] must be integers")


def channel_table(
    sorted_channels: dict[str, list[list[int]]], layer: object, selection: str, count: int, heads: int, head_dim: int
) -> Tensor:
    """int32 [heads, count]: the first `count` channels of each head of the layer."""
    key = f"model.layers.{layer}.self_attn.{selection}"
    if key not in sorted_channels:
        raise ValueError(f"No sorted channels found for {key}")
    lists = sorted_channels[key]
    if not lists:
        raise ValueError(f"Empty channel data for {key}")
    if len(lists) != heads:
        raise ValueError(
            "previous_dense_mask and scores must have the same shape. Check the channel selection. "
            f"({key} has {len(lists)} heads, the queries have {heads})"
        )
    for i, channels in enumerate(lists):
        if len(channels) < count:
            raise ValueError(f"{key}[{i}] has {len(channels)} channels; head_dim // group_factor = {count} are needed")
        wrong = [channel for channel in channels[:count] if not 0 <= channel < head_dim]
        if wrong:
            raise ValueError(f"{key}[{i}] has channel {wrong[0]}, but the heads have {head_dim} channels")
    return torch.tensor([channels[:count] for channels in lists], dtype=torch.int32)
