"""Indexes of keys: what selectors need in order to rank keys without reading them."""

from __future__ import annotations

import errno
import os
from typing import Any

import torch
from torch import Tensor

import maskjit._library  # noqa: F401  (registers the class)

_KeyIndex = torch.classes.maskjit.KeyIndex
_update = torch.ops.maskjit.update_index.default


class KeyIndex:
    """Per-key data of a spec's selectors (page bounds, channels, codes) over the keys of one layer, [B, Hkv, n, D].

        attn = maskjit.compile("sink(4) then local(64) then top_k(256, by = page_bound(16))")
        index = attn.key_index(query, key)
        out = attn(query, key, value, index=index)
        index.update(longer_key)            # after keys were appended

    However keys arrive, the index is bit for bit the one that is made of all of them at once. `Attention.key_index` makes
    it; torch.compile traces through updates and the calls after them. It is kept in host memory; keys on a GPU are copied
    there by each update.
    """

    _held: Any
    _handle: Tensor

    def __init__(self, *arguments: object, **named: object) -> None:
        raise TypeError("a KeyIndex is made by Attention.key_index, or loaded by KeyIndex.load")

    @classmethod
    def _of(cls, held: Any) -> KeyIndex:
        index = object.__new__(cls)
        index._held, index._handle = held, held.handle()
        return index

    def update(self, keys: Tensor, unchanged: int | None = None) -> None:
        """Makes this the index of `keys`, and costs as much as what is new among them.

        Args:
            keys: [B, Hkv, n, D], all keys: those that are here already come first. Fewer than before roll the index back.
            unchanged: how many of the first keys are those of the update before; default: all that both have. A sample of
                them is compared.

        Raises:
            ValueError: keys of another type or shape, or other ones than before where they should be unchanged.
        """
        if not isinstance(keys, Tensor):
            raise TypeError(f"keys are a {type(keys).__name__}; a torch.Tensor is needed")
        _update(self._handle, keys, unchanged)

    def __len__(self) -> int:
        """Keys a head."""
        return self._held.size()

    @property
    def seed(self) -> int:
        """Of projections and first centroids."""
        return self._held.seed()

    @property
    def nbytes(self) -> int:
        """Memory."""
        return self._held.bytes()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file that holds the whole index, with a checksum."""
        self._held.save(os.fspath(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> KeyIndex:
        """What `save` wrote. Damaged and foreign files are errors."""
        if not os.path.exists(path):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
        return cls._of(_KeyIndex.load(os.fspath(path)))

    def __repr__(self) -> str:
        return f"maskjit.KeyIndex({self._held.describe()})"
