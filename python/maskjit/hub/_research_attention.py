"""Attention over the keys that a sequence of maskers selects."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from maskjit._attention import Attention, Sampling, compile
from maskjit._index import KeyIndex
from maskjit.hub import _configs
from maskjit.hub._configs import MaskerConfig
from maskjit.hub._functions import dropout_of, get_num_key_value_groups
from maskjit.hub._program import Program, leaves_range, program_of
from maskjit.hub._stages import Problem

_REGISTERED = (
    _configs.LocalMaskerConfig,
    _configs.SinkMaskerConfig,
    _configs.FixedMaskerConfig,
    _configs.OracleTopKConfig,
    _configs.OracleTopPMaskerConfig,
    _configs.HashAttentionTopKMaskerConfig,
    _configs.DoubleSparsityTopKMaskerConfig,
    _configs.PQCacheConfig,
    _configs.QuestTopKMaskerConfig,
    _configs.RandomSamplingMaskerConfig,
    _configs.AdaptiveSamplingMaskerConfig,
    _configs.MagicPigConfig,
)


@dataclasses.dataclass(frozen=True)
class ResearchAttentionConfig:
    """Maskers, applied one after the other. A string is a mask expression of the language: "strided(8)"."""

    masker_configs: Sequence[MaskerConfig | str]


class ResearchAttention:
    """Attention over the keys that a sequence of maskers selects. All of them become one kernel: no mask is built.

    Programs are made at the first call with a layer, number of heads and head dimension, and kept.
    """

    def __init__(self, maskers: Sequence[MaskerConfig | str]) -> None:
        for masker in maskers:
            if not isinstance(masker, str) and type(masker) not in _REGISTERED:
                raise ValueError(f"No masker class registered for config type: {type(masker).__name__}")
        sampling = [masker for masker in maskers if not isinstance(masker, str) and masker.is_sampling]
        if len(sampling) > 1:
            raise ValueError(
                "Only one sampling masker supported for efficiency; consider implementing all sampling logic in one masker"
                f": {sampling}"
            )
        self.maskers = tuple(maskers)
        self._configs = [masker for masker in maskers if not isinstance(masker, str)]
        for masker in self._configs:
            masker.load()
        for text in maskers:
            if isinstance(text, str):
                compile(f"attention hub {{ mask {text} }}")  # what is wrong with it is said here
        self._made: dict[tuple[Any, ...], tuple[Program, Attention, str]] = {}
        self._making = threading.Lock()

    @classmethod
    def create_from_config(cls, config: ResearchAttentionConfig) -> ResearchAttention:
        if not isinstance(config, ResearchAttentionConfig):
            raise TypeError(f"Expected ResearchAttentionConfig, got {type(config).__name__}")
        return cls(config.masker_configs)

    def program(self, heads: int, head_dim: int, kv_len: int, layer_idx: Any = None) -> Program:
        """What is compiled for `heads` query heads of `head_dim` channels, kv_len keys and a layer."""
        return program_of(self.maskers, Problem(heads, head_dim, layer_idx), leaves_range(self.maskers, kv_len))

    def custom_attention(
        self,
        module: nn.Module | bool | None,
        queries: Tensor,
        keys: Tensor,
        values: Tensor,
        attention_mask: Tensor | None,
        scaling: float,
        dropout: float,
        sparse_meta_data: dict | None = None,
        return_attention_weights: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """Output [B, Lq, H, Dv], and if asked for the weights, float32 [B, H, Lq, Lk].

        Shapes as in get_attention_denominator. `layer_idx` names the layer. What maskers know of a layer's keys is kept in
        `sparse_meta_data` and extended as keys are appended; without one or without a layer it is made at each call.
        """
        get_num_key_value_groups(queries, keys)
        for masker in self._configs:
            if masker.needs_meta_data and sparse_meta_data is None:
                raise ValueError("sparse_meta_data cannot be None")
            if masker.needs_layer and "layer_idx" not in kwargs:
                raise ValueError("layer_idx must be provided in kwargs")
        program, attn, digest = self._compiled(queries, keys.shape[2], kwargs.get("layer_idx"))
        got = attn.results(
            queries,
            keys,
            values,
            ("output", "weights") if return_attention_weights else ("output",),
            attn_mask=attention_mask,
            scale=scaling,
            transposed=True,
            dropout=dropout_of(module, dropout),
            sampling=self._sampling(program),
            index=self._index(program, attn, digest, queries, keys, sparse_meta_data, kwargs.get("layer_idx")),
            parameters=program.tensors,
        )
        return got[0], got[1] if return_attention_weights else None

    def _sampling(self, program: Program) -> Sampling | None:
        return Sampling(program.seed) if any(masker.is_sampling for masker in self._configs) else None

    def _index(
        self,
        program: Program,
        attn: Attention,
        digest: str,
        queries: Tensor,
        keys: Tensor,
        meta_data: dict | None,
        layer_idx: Any,
    ) -> KeyIndex | None:
        if meta_data is None or layer_idx is None or not any(masker.indexes_keys for masker in self._configs):
            return None
        kept = meta_data.setdefault("maskjit_index", {})
        index = kept.get((digest, layer_idx))
        if index is not None:
            try:
                index.update(keys)
                return index
            except ValueError:  # other keys than before: another sequence
                pass
        index = attn.key_index(queries, keys, seed=program.seed or 0, parameters=program.tensors)
        kept[digest, layer_idx] = index
        return index

    def _compiled(self, queries: Tensor, kv_len: int, layer_idx: Any) -> tuple[Program, Attention, str]:
        # Of layers, only where it matters; of the number of keys, what the program depends on.
        layer = layer_idx if any(masker.needs_layer for masker in self._configs) else None
        heads, head_dim, device = queries.shape[1], queries.shape[3], queries.device
        key = (heads, head_dim, layer, leaves_range(self.maskers, kv_len), device)
        made = self._made.get(key)
        if made is None:
            with self._making:
                program = self.program(heads, head_dim, kv_len, layer)
                digest = program.digest()
                there = {name: tensor.to(device) for name, tensor in program.tensors.items()}
                program = dataclasses.replace(program, tensors=there)
                made = self._made.setdefault(key, (program, compile(program.text), digest))
        return made


def create_from_config(config: ResearchAttentionConfig) -> ResearchAttention:
    return ResearchAttention.create_from_config(config)
