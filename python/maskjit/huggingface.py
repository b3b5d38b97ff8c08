"""maskjit as the attention of Hugging Face transformers' models.

    maskjit.huggingface.register("streaming", maskjit.compile("causal() & (sink(4) | local(1024))"))
    model.set_attn_implementation("streaming")

The spec takes the place of the model's own mask (causal, bidirectional, sliding window); padding is kept. No mask of size
queries x keys is made.

Selectors that rank keys by data about them (page_bound, channels, hash_bits, pq_codes, magic_pig) need an index, which a
call makes of all keys. Generation keeps one for each layer, and appends to it, if its kv cache is an `IndexedCache`:

    model.generate(tokens, past_key_values=maskjit.huggingface.IndexedCache())
"""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicCache, DynamicLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from maskjit._attention import Attention, Dropout, Sampling
from maskjit._index import KeyIndex

# What some models hand to their attention function and a spec would have to say.
_IN_THE_SPEC = ("softcap", "s_aux", "position_bias", "head_mask")


def register(
    name: str, attn: Attention, *, sampling: Sampling | None = None, **parameters: Tensor | bool | int | float
) -> None:
    """Makes `attn` the attention implementation `name`, for `set_attn_implementation` and `attn_implementation=`.

    Args:
        name: not that of an implementation of transformers ("eager", "sdpa", ...).
        attn: the spec, of all layers that use this name.
        sampling: of selectors that draw. Layer i draws with seed + i, and with offset + the number of keys before the
            queries: layers and steps draw independently, and a run that is repeated draws the same. Default: seed 0. With
            seed None each call takes one from torch's generator. Projections and first centroids of indexes have the
            layer's seed.
        parameters: its run-time parameters and tensors.
    """
    if not isinstance(attn, Attention):
        raise TypeError(f"attn is a {type(attn).__name__}; what maskjit.compile gives is needed")
    known = ALL_ATTENTION_FUNCTIONS.get(name)
    if name == "eager" or (known is not None and getattr(known, "__module__", None) != __name__):
        raise ValueError(f"{name!r} is an implementation of transformers: every model that uses it would change")
    if sampling is not None and not isinstance(sampling, Sampling):
        raise TypeError(f"sampling is a {type(sampling).__name__}; a maskjit.Sampling is needed")
    sampling = sampling or Sampling(seed=0)
    use = _Use(attn, parameters)

    def forward(
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        dropout: float = 0.0,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        """[B, H, L, D] of query, key and value -> [B, L, Hq, Dv]; no weights."""
        for argument in _IN_THE_SPEC:
            if kwargs.get(argument) is not None:
                raise NotImplementedError(f"{type(module).__name__} gives {argument}: the spec must have that as a score")
        layer = getattr(module, "layer_idx", None) or 0
        drawn = dataclasses.replace(
            sampling,
            seed=None if sampling.seed is None else sampling.seed + layer,
            offset=sampling.offset + key.shape[2] - query.shape[2],
        )
        kept = _layer_of(key)
        output = attn(
            query,
            key,
            value,
            attn_mask=attention_mask,
            scale=scaling,
            transposed=True,
            dropout=Dropout(dropout) if dropout > 0 else None,
            sampling=drawn,
            index=None if kept is None else kept.index(use, query, key, drawn.seed or 0),
            parameters=parameters or None,
        )
        return output, None

    AttentionInterface.register(name, forward)
    AttentionMaskInterface.register(name, padding_mask)


@dataclasses.dataclass(frozen=True, eq=False)
class _Use:
    """What a name stands for. Two uses of a spec, with other tables say, have an index each."""

    attn: Attention
    parameters: dict[str, Tensor | bool | int | float]


class IndexedCache(DynamicCache):
    """A kv cache that grows, and keeps indexes of its keys: what a spec's selectors know of them follows the keys.

    What is appended is indexed; what is cropped is taken back; other changes (beams that are reordered, repeated batches, a
    reset) make the index anew at the next call. Indexes are not copied or pickled with the cache, but made anew.
    """

    def __init__(self) -> None:
        Cache.__init__(self, layer_class_to_replicate=IndexedLayer)


class IndexedLayer(DynamicLayer):
    """One layer of an `IndexedCache`."""

    _layer_type = None  # no other cache shall use it

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._indexes = _Indexes()

    def index(self, use: _Use, query: Tensor, key: Tensor, seed: int) -> KeyIndex | None:
        """Of `key`, all keys of this layer; None if the spec has none."""
        return self._indexes.find(use, query, key, seed)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        keys, values = super().update(key_states, value_states, *args, **kwargs)
        # Attention functions see the tensor, not the cache.
        keys._maskjit_layer = weakref.ref(self)  # type: ignore[attr-defined]
        return keys, values

    def crop(self, tokens_to_remove: int) -> None:
        super().crop(tokens_to_remove)
        self._indexes.keep(self.get_seq_length())

    def reset(self) -> None:
        super().reset()
        self._indexes.clear()

    def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
        super().reorder_cache(beam_idx)
        self._indexes.clear()

    def batch_repeat_interleave(self, repeats: int) -> None:
        super().batch_repeat_interleave(repeats)
        self._indexes.clear()

    def batch_select_indices(self, indices: Tensor) -> None:
        super().batch_select_indices(indices)
        self._indexes.clear()


class _Indexes:
    """By use of a spec: the index, and how many of its keys are still the first ones of the layer."""

    def __init__(self) -> None:
        self._kept: dict[_Use, tuple[KeyIndex, int]] = {}
        self._without: set[_Use] = set()

    def find(self, use: _Use, query: Tensor, key: Tensor, seed: int) -> KeyIndex | None:
        if use in self._without:
            return None
        kept = self._kept.get(use)
        if kept is None:
            tensors = {name: value for name, value in use.parameters.items() if isinstance(value, Tensor)}
            try:
                index = use.attn.key_index(query, key, seed=seed, parameters=tensors)
            except (ValueError, NotImplementedError):  # a spec without one; what else is wrong the call says
                self._without.add(use)
                return None
        else:
            index, unchanged = kept
            index.update(key, unchanged)
        self._kept[use] = (index, key.shape[2])
        return index

    def keep(self, keys: int) -> None:
        self._kept = {use: (index, min(unchanged, keys)) for use, (index, unchanged) in self._kept.items()}

    def clear(self) -> None:
        self._kept = {}

    def __reduce__(self) -> tuple[type[_Indexes], tuple[()]]:
        return _Indexes, ()


def _layer_of(key: Tensor) -> IndexedLayer | None:
    """The layer of an IndexedCache whose keys these are."""
    reference = getattr(key, "_maskjit_layer", None)
    layer = None if reference is None else reference()
    return layer if layer is not None and layer.keys is key else None


def padding_mask(
    batch_size: int, q_length: int, kv_length: int, attention_mask: Tensor | None = None, **kwargs: Any
) -> Tensor | None:
    """The model's padding, [B, positions], as a bool mask [B, 1, 1, kv_length]; None if nothing is padded."""
    if attention_mask is None:
        return None
    attention_mask = attention_mask[:, -kv_length:].bool()
    if attention_mask.shape[1] < kv_length:
        raise NotImplementedError(
            f"the kv cache has {kv_length} places for {attention_mask.shape[1]} positions: static caches are not "
            "supported, use the dynamic one"
        )
    return None if attention_mask.all() else attention_mask[:, None, None, :]
