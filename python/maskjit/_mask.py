"""Explicit masks: which entries take part, and with which probability they were kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

import maskjit._library  # noqa: F401  (registers the class)

_Mask = torch.classes.maskjit.Mask
#: What a mask is to the operators; runtime/torch/mask.h says what they hold.
_TENSORS = ("header", "places", "details", "weights")


class Mask:
    """An explicit mask, usually [B, Hq, Lq, Lk]: each entry is inactive (0) or active with a weight in (0, 1], the
    probability with which it was kept. Attention divides the exponentials by the weights.

    Masks are made by the class methods and do not change. Entries are stored as bits, or as the sorted columns of each
    row; weights only where some are not 1. A mask without active entries is "empty", one with all of them and no weight
    but 1 is "full", however it was made. In attention an empty mask excludes every key.

    torch.compile and torch.export trace through attention with a mask, which is a few tensors to them; masks themselves
    are made outside of what is traced.
    """

    #: [..., columns]
    shape: torch.Size

    def __init__(self, *arguments: object, **named: object) -> None:
        raise TypeError("a Mask is made by Mask.from_dense, from_indices, from_row_indices, empty or full")

    @classmethod
    def _with(cls, shape: Sequence[int], tensors: Sequence[Tensor]) -> Mask:
        """The tensors are those that the operators take."""
        mask = object.__new__(cls)
        mask.shape = torch.Size(shape)
        mask._tensors = tuple(tensors)
        return mask

    @classmethod
    def _of(cls, held: Any) -> Mask:
        return cls._with(held.shape(), held.tensors())

    @property
    def _held(self) -> Any:
        # The first tensor keeps it, unless the tensors are copies.
        return _Mask.from_tensors(list(self._tensors))

    @classmethod
    def empty(cls, shape: Sequence[int]) -> Mask:
        return cls._of(_Mask.empty(_extents(shape)))

    @classmethod
    def full(cls, shape: Sequence[int]) -> Mask:
        return cls._of(_Mask.full(_extents(shape)))

    @classmethod
    def from_dense(cls, values: Tensor) -> Mask:
        """values: bool, or weights in [0, 1] of a floating type; any strides."""
        _check_tensors(values=values)
        return cls._of(_Mask.from_dense(values))

    @classmethod
    def from_indices(
        cls, shape: Sequence[int], indices: Tensor, row_pointers: Tensor, weights: Tensor | None = None
    ) -> Mask:
        """Compressed sparse rows.

        Args:
            shape: of the mask; its last dimension counts the columns.
            indices: int32 or int64 [n], flat positions in the whole mask (row * columns + column), row after row.
                Positions given several times get the sum of their weights, at most 1.
            row_pointers: int32 or int64 [rows + 1], where the rows begin in `indices`.
            weights: [n]; default 1.
        """
        _check_tensors(indices=indices, row_pointers=row_pointers, weights=weights)
        return cls._of(_Mask.from_indices(_extents(shape), indices, row_pointers, weights))

    @classmethod
    def from_row_indices(
        cls, shape: Sequence[int], columns: Tensor, weights: Tensor | None = None, padding: bool = False
    ) -> Mask:
        """columns: int32 or int64 [*shape[:-1], n], the active columns of each row; with `padding` negative ones are not
        there, without they are an error. weights: of the same shape; default 1."""
        _check_tensors(columns=columns, weights=weights)
        return cls._of(_Mask.from_row_indices(_extents(shape), columns, weights, padding))

    @property
    def representation(self) -> str:
        """"empty", "full", "dense" or "index"."""
        return self._held.representation()

    @property
    def is_weighted(self) -> bool:
        """Some active entry has another weight than 1."""
        return self._held.is_weighted()

    @property
    def active(self) -> int:
        """How many entries are active."""
        return self._held.active()

    @property
    def density(self) -> float:
        """The share of active entries; 0 for a mask without entries."""
        return self._held.density()

    def dense(self) -> Mask:
        """The same mask stored as bits (unless it is empty or full)."""
        return Mask._of(self._held.dense())

    def index(self) -> Mask:
        """The same mask stored as columns of rows (unless it is empty or full)."""
        return Mask._of(self._held.index())

    def to_dense(self, dtype: torch.dtype = torch.float32) -> Tensor:
        """The weights, 0 where inactive; with torch.bool, what is active. Of the mask's shape."""
        return self._held.to_dense(dtype)

    def to_index(self) -> tuple[Tensor, Tensor, Tensor]:
        """indices int64 [n] ascending, row_pointers int64 [rows + 1] and weights float32 [n], as from_indices takes them."""
        return self._held.to_index()

    def merge(self, other: Mask) -> Mask:
        """The weights add up, at most 1; of masks without weights, the union. Also `a | b`."""
        if not isinstance(other, Mask):
            raise TypeError(f"a Mask can be merged with another, not with a {type(other).__name__}")
        return Mask._of(self._held.merge(other._held))

    def __or__(self, other: Mask) -> Mask:
        return self.merge(other) if isinstance(other, Mask) else NotImplemented

    def apply(self, values: Tensor) -> Tensor:
        """values * weight. Of the mask's shape."""
        _check_tensors(values=values)
        return self._held.apply(values, False)

    def apply_inverse(self, values: Tensor) -> Tensor:
        """values / weight where active, 0 elsewhere. Of the mask's shape."""
        _check_tensors(values=values)
        return self._held.apply(values, True)

    def __eq__(self, other: object) -> bool:
        """Of the same shape, with the same active entries and weights, however stored."""
        return self._held.equals(other._held) if isinstance(other, Mask) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"maskjit.Mask({self._held.describe()})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _copied, (self._tensors,)


def _extents(shape: Sequence[int]) -> list[int]:
    if isinstance(shape, Sequence) and all(isinstance(extent, int) for extent in shape):
        return list(shape)
    raise TypeError(f"shape is {shape!r}; a sequence of ints is needed: [batch, heads, queries, keys]")


def _check_tensors(**given: object) -> None:
    for name, value in given.items():
        if not isinstance(value, Tensor) and not (value is None and name == "weights"):
            raise TypeError(f"{name} is a {type(value).__name__}; a torch.Tensor is needed")


def _copied(tensors: Sequence[Tensor]) -> Mask:
    return Mask._of(_Mask.from_tensors(list(tensors)))


# Tracers see the tensors; programs that torch.export saves name the class.
_pytree.register_pytree_node(
    Mask,
    lambda mask: (list(mask._tensors), tuple(mask.shape)),
    lambda tensors, shape: Mask._with(shape, tensors),
    serialized_type_name="maskjit.Mask",
    flatten_with_keys_fn=lambda mask: (
        [(_pytree.MappingKey(name), tensor) for name, tensor in zip(_TENSORS, mask._tensors, strict=True)],
        tuple(mask.shape),
    ),
    to_dumpable_context=list,
    from_dumpable_context=tuple,
)
