"""Specs from Python: text or files -> callable attentions."""

from __future__ import annotations

import dataclasses
import numbers
import os
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor

import maskjit._library  # noqa: F401  (registers the operators)
from maskjit._index import KeyIndex, _KeyIndex
from maskjit._mask import Mask

_attention = torch.ops.maskjit.attention.default
_attention_results = torch.ops.maskjit.attention_results.default
_merge_partials = torch.ops.maskjit.merge_partials.default
_parameters = torch.ops.maskjit.parameters.default
_warnings = torch.ops.maskjit.warnings.default

_DECLARATION = re.compile(r"^[ \t]*(import|masker|score|attention)\s", re.MULTILINE)

Constant: TypeAlias = bool | int | float | str
Argument: TypeAlias = Tensor | Mask | bool | int | float
_NUMBERS = (bool, int, float, torch.SymInt, torch.SymFloat, torch.SymBool)


@dataclasses.dataclass(frozen=True)
class Parameter:
    """What a spec still needs at each call: a run-time number or a tensor."""

    name: str
    #: "int", "float", "bool", or for a tensor its element type and dimensions: "i32[batch, kv_len]"
    type: str
    #: "runtime" or "tensor"
    binding_time: str
    #: As text; empty if a value must be given.
    default: str


@dataclasses.dataclass(frozen=True)
class Dropout:
    """Dropout of attention weights, for training.

    Which weights are dropped follows from seed, offset and the place of the weight alone, not from tile sizes or threads.
    Calls with one seed draw independent numbers if their offsets differ.
    """

    #: [0, 1); default: the spec's dropout clause, else 0.
    probability: float | None = None
    #: Default: drawn from torch's generator at each call.
    seed: int | None = None
    offset: int = 0
    #: False: weights are normalised first, as in eager attention. True: what is left is normalised. Default: as the clause
    #: says, else False.
    renormalise: bool | None = None

    def _arguments(self) -> tuple[int, int, float | None, bool | None]:
        seed = _random_seed() if self.seed is None else self.seed
        return seed, self.offset, self.probability, self.renormalise


@dataclasses.dataclass(frozen=True)
class Sampling:
    """The random numbers of selectors that draw keys (random, adaptive, magic_pig).

    Which keys are drawn follows from seed, offset and the place of the entry (batch, head, query row, key) alone. Calls with
    one seed draw independently if their offsets differ: steps of decoding, say.
    """

    #: Default: drawn from torch's generator at each call.
    seed: int | None = None
    offset: int = 0

    def _arguments(self) -> tuple[int, int]:
        return _random_seed() if self.seed is None else self.seed, self.offset


class Attention:
    """A compiled spec. Kernels are made when a kind of problem (types, head dimensions) is first met, and kept.

    Calls may come from several threads. Numbers given at a call never compile anything anew.
    """

    def __init__(self, program: str, entry: str, constants: str, path: str) -> None:
        self._spec = (program, entry, constants, path)
        texts = _parameters(*self._spec)
        #: The parameters that calls take beside query, key and value.
        self.parameters: tuple[Parameter, ...] = tuple(
            Parameter(*texts[i : i + 4]) for i in range(0, len(texts), 4)
        )

    def __repr__(self) -> str:
        program, entry, constants, path = self._spec
        what = path or (program if "\n" not in program else program.strip().split("\n", 1)[0] + " ...")
        given = "".join(f", {text}" for text in (entry, constants) if text)
        return f"maskjit.Attention({what}{given})"

    def __call__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        *,
        attn_mask: Tensor | None = None,
        scale: float | None = None,
        q_offset: int | None = None,
        transposed: bool = False,
        dropout: Dropout | None = None,
        sampling: Sampling | None = None,
        index: KeyIndex | None = None,
        parameters: Mapping[str, Argument] | None = None,
        **named: Argument,
    ) -> Tensor:
        """Attention of every query over the keys that the spec lets it see.

        Args:
            query: [B, Hq, Lq, D], float32, float16 or bfloat16. Any strides; only where the last dimension has another
                stride than 1 (of any operand) a copy is made.
            key: [B, Hkv, Lk, D] of the same type. Query head h uses key head h // (Hq // Hkv).
            value: [B, Hkv, Lk, Dv] of the same type.
            attn_mask: added to the logits, or bool (True takes part); [B | 1, Hq | 1, Lq | 1, >= Lk], read on its first
                Lk columns; leading dimensions may be left out.
            scale: of the logits; default 1 / sqrt(D).
            q_offset: position of query row 0 among the keys; default Lk - Lq, which aligns the last ones.
            transposed: the result is [B, Lq, Hq, Dv], as eager attention in transformers returns it.
            dropout: given in training; without it nothing is dropped.
            sampling: of selectors that draw; default: the same numbers, of seed 0, at each call.
            index: of `key`, for selectors that rank by per-key data (see `key_index`); default: made for this call, which
                reads every key.
            parameters, named: the spec's run-time parameters, tensors and explicit masks, by name.

        Returns:
            [B, Hq, Lq, Dv] of the type of the query; 0 in rows that see no key.

        Raises:
            ValueError: a wrong shape, type, device or parameter; the message names both sides.
            NotImplementedError: a gradient is wanted, or no kernel can do what is asked.
        """
        more: tuple[object, ...] = ()
        if named or parameters is not None or dropout is not None or sampling is not None or index is not None:
            more = (*_by_kind(parameters, named), *_training_and_drawing(dropout, sampling, index))
        try:
            return _attention(query, key, value, *self._spec, attn_mask, scale, q_offset, transposed, *more)
        except RuntimeError:
            _check_types(query, key, value, attn_mask, scale, q_offset)
            raise

    def results(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        results: Sequence[str] = ("output", "lse"),
        *,
        attn_mask: Tensor | None = None,
        scale: float | None = None,
        q_offset: int | None = None,
        transposed: bool = False,
        dropout: Dropout | None = None,
        sampling: Sampling | None = None,
        index: KeyIndex | None = None,
        row_max_over_all: bool = False,
        parameters: Mapping[str, Argument] | None = None,
        **named: Argument,
    ) -> tuple[Tensor, ...]:
        """As a call, with other results than the output, in the order in which they are named.

        | name          | type and shape |                                                                              |
        |---------------|----------------|------------------------------------------------------------------------------|
        | `output`      | as a call's    | numerator / denominator                                                      |
        | `lse`         | f32 [B, Hq, Lq] | natural logarithm of the sum of exp(logit) over the active keys; -inf without |
        | `row_max`     | f32 [B, Hq, Lq] | m, the largest active logit                                                  |
        | `denominator` | f32 [B, Hq, Lq] | sum of exp(logit - m)                                                        |
        | `numerator`   | f32 [B, Hq, Lq, Dv] | sum of exp(logit - m) value                                              |
        | `weights`     | f32 [B, Hq, Lq, Lk] | the attention weights; the only result of that size                      |

        `row_max_over_all`: m is the largest logit over all keys that `attn_mask` allows, active or not.
        """
        if isinstance(results, str):
            raise TypeError(f"results is the string {results!r}; a sequence of names is needed: ({results!r},)")
        more = (*_by_kind(parameters, named), *_training_and_drawing(dropout, sampling, index))
        asked = {"results": list(results), "row_max_over_all": row_max_over_all}
        try:
            got = _attention_results(
                query, key, value, *self._spec, attn_mask, scale, q_offset, transposed, *more, **asked
            )
        except RuntimeError:
            _check_types(query, key, value, attn_mask, scale, q_offset)
            raise
        return tuple(got)

    def key_index(
        self,
        query: Tensor,
        key: Tensor,
        *,
        seed: int = 0,
        parameters: Mapping[str, Tensor] | None = None,
        **named: Tensor,
    ) -> KeyIndex:
        """An index of `key` for the selectors of the spec, to be given to calls and updated as keys are appended.

        Args:
            query: [B, Hq, any, D]: its type and number of heads matter.
            key: [B, Hkv, Lk, D].
            seed: of projections (magic_pig) and first centroids (pq_codes).
            parameters, named: the tensors that scorers read (channels' table, hash_bits' perceptrons).
        """
        _check_types(query, key)
        tensors = dict(named if parameters is None else {**parameters, **named})
        for name, tensor in tensors.items():
            if not isinstance(tensor, Tensor):
                raise TypeError(f"the parameter {name!r} is a {type(tensor).__name__}; an index takes tensors")
        return KeyIndex._of(_KeyIndex.make(*self._spec, query, key, ",".join(tensors), list(tensors.values()), seed))


def compile(
    spec: str | os.PathLike[str],
    /,
    entry: str = "",
    *,
    constants: Mapping[str, Constant] | None = None,
    **named: Constant,
) -> Attention:
    """Compiles a mask or a whole attention.

    Args:
        spec: one of
            a file: a path, or a string that ends in ".masker";
            a program: a string with declarations (masker, score, attention);
            a mask expression: "causal() & (sink(4) | local(1024))";
            the name of a standard masker: "causal".
        entry: the attention or masker of a file or program to take; not needed if there is only one attention or masker.
        constants, named: values of its parameters that are not run-time ones: numbers, bools, or "10%" for a share of the keys.

    Returns:
        The callable `Attention`.

    Raises:
        ValueError: what is wrong with the text, with the place; OSError: the file cannot be read.
        What is merely suspicious is a UserWarning.

    >>> attn = compile("masker recent(n: int) = causal() & (sink(4) | local(n))", n=256)
    >>> attn(torch.zeros(1, 8, 512, 64), torch.zeros(1, 2, 512, 64), torch.zeros(1, 2, 512, 64)).shape
    torch.Size([1, 8, 512, 64])
    """
    if not isinstance(spec, (str, os.PathLike)):
        raise TypeError(f"spec is {_article(spec)}; a mask expression, a program or the path of a file is needed")
    given = {**(constants or {}), **named}
    texts = ", ".join(f"{name}={_constant(name, value)}" for name, value in given.items())
    if isinstance(spec, str) and (_DECLARATION.search(spec) or not spec.endswith(".masker")):
        program, path = spec, ""
    else:
        path = os.path.abspath(spec)
        with open(path, encoding="utf-8") as file:
            program = file.read()
    suspicious = _warnings(program, entry, texts, path)
    if suspicious:
        warnings.warn(suspicious.rstrip(), stacklevel=2)
    return Attention(program, entry, texts, path)


def merge_partials(outputs: Sequence[Tensor], lses: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Results over disjoint keys -> the result over all of them, exactly.

    Args:
        outputs: each [..., L, Dv], of one type.
        lses: each float32 [..., L], as `Attention.results` gives them.

    Returns:
        The output and the lse over the union of the keys.
    """
    return _merge_partials(list(outputs), list(lses))


def _constant(name: str, value: Constant) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return repr(float(value))
    if isinstance(value, str) and "," not in value:
        return value
    raise TypeError(f"the constant {name!r} is {value!r}; a number, a bool or a string like '10%' is needed")


def _random_seed() -> int:
    return int(torch.empty((), dtype=torch.int64).random_())


def _training_and_drawing(
    dropout: Dropout | None, sampling: Sampling | None, index: KeyIndex | None
) -> tuple[int | float | bool | Tensor | None, ...]:
    """The operators' arguments seed, offset, dropout, renormalise, sampling_seed, sampling_offset, index; or the first ones."""
    if dropout is None and sampling is None and index is None:
        return ()
    for name, value, wanted in (("dropout", dropout, Dropout), ("sampling", sampling, Sampling), ("index", index, KeyIndex)):
        if value is not None and not isinstance(value, wanted):
            raise TypeError(f"{name} is {_article(value)}; a maskjit.{wanted.__name__} is needed")
    return (
        *((None, 0, None, None) if dropout is None else dropout._arguments()),
        *((0, 0) if sampling is None else sampling._arguments()),
        None if index is None else index._handle,
    )


def _check_types(
    query: object,
    key: object,
    value: object = None,
    attn_mask: object = None,
    scale: object = None,
    q_offset: object = None,
) -> None:
    """Called where a call failed: what torch says of arguments of a wrong type is long and shows their content."""
    for name, tensor in (("query", query), ("key", key), ("value", value), ("attn_mask", attn_mask)):
        if tensor is not None and not isinstance(tensor, Tensor):
            hint = ", or a spec with explicit(m) that takes the Mask as m" if isinstance(tensor, Mask) else ""
            raise TypeError(f"{name} is {_article(tensor)}; a torch.Tensor is needed{hint}")
    if scale is not None and not isinstance(scale, _NUMBERS):
        raise TypeError(f"scale is {_article(scale)}; a number is needed")
    if q_offset is not None and not isinstance(q_offset, (int, torch.SymInt)):
        raise TypeError(f"q_offset is {_article(q_offset)}; an int is needed")


def _article(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"


def _by_kind(parameters: Mapping[str, object] | None, named: Mapping[str, object]) -> tuple[str | list | None, ...]:
    """The operators' arguments tensor_names, tensors, scalar_names, scalars, mask_names, masks."""
    if not named and not parameters:
        return "", None, "", None, "", None
    tensors: dict[str, Tensor] = {}
    scalars: dict[str, bool | int | float] = {}
    masks: dict[str, Mask] = {}
    for name, value in (named if parameters is None else {**parameters, **named}).items():
        if isinstance(value, Tensor):
            tensors[name] = value
        elif isinstance(value, _NUMBERS):
            scalars[name] = value
        elif isinstance(value, Mask):
            masks[name] = value
        else:
            raise TypeError(f"the parameter {name!r} is a {type(value).__name__}; a tensor, a Mask or a number is needed")
    # None instead of empty lists: exported programs cannot be saved with those.
    return (
        ",".join(tensors),
        list(tensors.values()) or None,
        ",".join(scalars),
        list(scalars.values()) or None,
        ",".join(masks),
        [tensor for mask in masks.values() for tensor in mask._tensors] or None,
    )
