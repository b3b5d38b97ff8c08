"""The functions of xAlg-ai/sparse-attention-hub's masked attention and its ResearchAttention, on maskjit's kernels.

Parameters come in that code's order: the module (or the training flag itself) first, then queries, keys, values, the
additive mask, scaling, dropout, and the sparse mask. Numerator and denominator are relative to the row maximum over all
keys that the additive mask allows, as there, so that they agree with that code's separately.

What is different, on purpose (design: semantics, section 5): inverse weights are exact (that code adds 1e-6); a mask
without active entries excludes every key instead of none, and a row without keys gives 0 instead of NaN; a bool additive
mask means that True takes part; float16 works with any mask; causal maskers mask; local windows keep what others chose;
weights are float32. Nothing of size queries x keys is built unless weights are asked for.
"""

from __future__ import annotations

import dataclasses
import decimal
import functools
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from maskjit._attention import Attention, Dropout, compile
from maskjit._mask import Mask


def get_num_key_value_groups(queries: Tensor, keys: Tensor) -> int:
    """Query heads for each key head. queries [B, H, Lq, D], keys [B, Hkv, Lk, D]."""
    heads, kv_heads = queries.shape[1], keys.shape[1]
    if kv_heads == 0 or heads % kv_heads != 0:
        raise ValueError(
            f"num_attention_heads ({heads}) must be divisible by num_key_value_heads ({kv_heads}): "
            f"queries {list(queries.shape)}, keys {list(keys.shape)}"
        )
    return heads // kv_heads


def get_attention_denominator(
    module: nn.Module | bool | None,
    queries: Tensor,
    keys: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float,
    sparse_attention_mask: Mask | None = None,
    **kwargs: Any,
) -> Tensor:
    """[B, H, Lq, 1] of the queries' type: sum over the active keys of exp(logit - row maximum) / weight.

    queries [B, H, Lq, D]; keys [B, Hkv, Lk, D]; attention_mask [B | 1, H | 1, Lq | 1, >= Lk] or None; sparse_attention_mask
    [B, H, Lq, Lk], None: every key.
    """
    (denominator,) = _results(
        module, queries, keys, keys[..., :1], attention_mask, scaling, dropout, sparse_attention_mask, ("denominator",)
    )
    return denominator.unsqueeze(-1).to(queries.dtype)


def get_attention_numerator(
    module: nn.Module | bool | None,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float,
    sparse_attention_mask: Mask | None = None,
    **kwargs: Any,
) -> Tensor:
    """[B, H, Lq, Dv] of the queries' type: the same sum of those terms times the values [B, Hkv, Lk, Dv]."""
    (numerator,) = _results(
        module, queries, keys, values, attention_mask, scaling, dropout, sparse_attention_mask, ("numerator",)
    )
    return numerator.to(queries.dtype)


def get_masked_attention_output(
    module: nn.Module | bool | None,
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    attention_mask: Tensor | None,
    scaling: float,
    dropout: float,
    sparse_attention_mask: Mask | None = None,
    return_attention_weights: bool = False,
    **kwargs: Any,
) -> Tensor | tuple[Tensor, Tensor]:
    """[B, Lq, H, Dv]: numerator / denominator; with return_attention_weights also the weights, float32 [B, H, Lq, Lk]."""
    results = ("output", "weights") if return_attention_weights else ("output",)
    got = _results(module, queries, keys, values, attention_mask, scaling, dropout, sparse_attention_mask, results)
    return got if return_attention_weights else got[0]


@dataclasses.dataclass(frozen=True)
class SinkMaskerConfig:
    """The first sink_size keys; a float is a share of the keys."""

    sink_size: int | float

    def stage(self) -> str:
        return f"sink({_size('sink_size', self.sink_size)})"


@dataclasses.dataclass(frozen=True)
class LocalMaskerConfig:
    """The last window_size keys up to the query's own position; a float is a share of the keys."""

    window_size: int | float

    def stage(self) -> str:
        return f"local({_size('window_size', self.window_size)})"


@dataclasses.dataclass(frozen=True)
class FixedMaskerConfig:
    """That code's causal masker."""

    def stage(self) -> str:
        return "causal()"


@dataclasses.dataclass(frozen=True)
class OracleTopKConfig:
    """The heavy_size keys of the largest logits; a float is a share of the keys."""

    heavy_size: int | float

    def stage(self) -> str:
        return f"top_k({_size('heavy_size', self.heavy_size)})"


@dataclasses.dataclass(frozen=True)
class OracleTopPMaskerConfig:
    """The best keys until their share of the softmax exceeds top_p."""

    top_p: float

    def stage(self) -> str:
        return f"top_p({_within('top_p', self.top_p, 0, 1)})"


@dataclasses.dataclass(frozen=True)
class RandomSamplingMaskerConfig:
    """Every key with probability sampling_rate."""

    sampling_rate: float

    def stage(self) -> str:
        if self.sampling_rate == 0:
            raise ValueError(f"sampling_rate must be in range (0, 1], got {self.sampling_rate}")
        return f"random({_within('sampling_rate', self.sampling_rate, 0, 1)})"


MaskerConfig = (
    SinkMaskerConfig
    | LocalMaskerConfig
    | FixedMaskerConfig
    | OracleTopKConfig
    | OracleTopPMaskerConfig
    | RandomSamplingMaskerConfig
)
_STATIC = (SinkMaskerConfig, LocalMaskerConfig, FixedMaskerConfig, str)
_SAMPLING = (RandomSamplingMaskerConfig,)


@dataclasses.dataclass(frozen=True)
class ResearchAttentionConfig:
    """Maskers, applied one after the other. A string is a mask expression of the language: "strided(8)"."""

    masker_configs: Sequence[MaskerConfig | str]


class ResearchAttention:
    """Attention over the keys that a sequence of maskers selects. All of them become one kernel: no mask is built."""

    def __init__(self, maskers: Sequence[MaskerConfig | str]) -> None:
        sampling = [masker for masker in maskers if isinstance(masker, _SAMPLING)]
        if len(sampling) > 1:
            raise ValueError(
                "Only one sampling masker supported for efficiency; consider implementing all sampling logic in one "
                f"masker: {sampling}"
            )
        self.maskers = tuple(maskers)
        stages = [f"({masker})" if isinstance(masker, str) else _stage(masker) for masker in maskers]
        join = " | " if all(isinstance(masker, _STATIC) for masker in maskers) else " then "
        #: The mask as an expression of the language; without maskers every key takes part.
        self.spec = join.join(stages) or "full()"
        self._attn = _compiled(self.spec, "")  # what is wrong with it is said here

    @classmethod
    def create_from_config(cls, config: ResearchAttentionConfig) -> ResearchAttention:
        if not isinstance(config, ResearchAttentionConfig):
            raise TypeError(f"Expected ResearchAttentionConfig, got {type(config).__name__}")
        return cls(config.masker_configs)

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

        Shapes as in get_attention_denominator. `sparse_meta_data` is not needed: maskers keep nothing between calls.
        """
        get_num_key_value_groups(queries, keys)
        got = self._attn.results(
            queries,
            keys,
            values,
            ("output", "weights") if return_attention_weights else ("output",),
            attn_mask=attention_mask,
            scale=scaling,
            transposed=True,
            dropout=_dropout(module, dropout),
        )
        return got[0], got[1] if return_attention_weights else None


def create_from_config(config: ResearchAttentionConfig) -> ResearchAttention:
    return ResearchAttention.create_from_config(config)


@functools.cache
def _compiled(mask: str, parameter: str) -> Attention:
    return compile(f"attention hub({parameter}) {{ mask {mask} }}")


def _results(module, queries, keys, values, attention_mask, scaling, dropout, mask, results) -> tuple[Tensor, ...]:
    get_num_key_value_groups(queries, keys)
    given: dict[str, Any] = {}
    if mask is None:
        attn = _compiled("full()", "")
    else:
        wanted = (*queries.shape[:3], keys.shape[2])
        if not isinstance(mask, Mask):
            raise TypeError(f"sparse_attention_mask is a {type(mask).__name__}; a maskjit.Mask is needed")
        if mask.shape != wanted:
            raise ValueError(f"the mask has shape {list(mask.shape)}, but the queries and keys need {list(wanted)}")
        given["m"] = mask
        attn = _compiled("explicit(m)", "m: tensor<bit>[batch, num_heads, q_len, kv_len]")
    return attn.results(
        queries,
        keys,
        values,
        results,
        attn_mask=attention_mask,
        scale=scaling,
        transposed=True,
        row_max_over_all="numerator" in results or "denominator" in results,
        dropout=_dropout(module, dropout),
        parameters=given,
    )


def _dropout(module: nn.Module | bool | None, dropout: float) -> Dropout | None:
    """Applied before normalisation, as that code does; seeds come from torch's generator."""
    training = module if isinstance(module, bool) else bool(getattr(module, "training", False))
    return Dropout(dropout, renormalise=True) if training and dropout > 0 else None


def _stage(masker: MaskerConfig) -> str:
    if not isinstance(masker, MaskerConfig):
        raise ValueError(f"No masker class registered for config type: {type(masker).__name__}")
    return masker.stage()


def _size(name: str, size: int | float) -> str:
    """Keys, or for a float a share of them, as the language writes it."""
    if not size > 0:
        raise ValueError(f"{name} must be > 0, got {size}")
    if isinstance(size, int):
        return str(size)
    return f"{decimal.Decimal(repr(size)) * 100:f}%"


def _within(name: str, value: float, low: float, high: float) -> str:
    if not low <= value <= high:
        raise ValueError(f"{name} must be in range [{low}, {high}], got {value}")
    return repr(float(value))
