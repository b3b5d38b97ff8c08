"""Masked attention over a given mask: denominator, numerator, output."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from maskjit._attention import Dropout, compile
from maskjit._mask import Mask

_EVERY_KEY = compile("full()")
_MASKED = compile("masker hub(m: tensor<bit>[batch, num_heads, q_len, kv_len]) = explicit(m)")


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


def _results(module, queries, keys, values, attention_mask, scaling, dropout, mask, results) -> tuple[Tensor, ...]:
    get_num_key_value_groups(queries, keys)
    attn, given = _EVERY_KEY, None
    if mask is not None:
        wanted = (*queries.shape[:3], keys.shape[2])
        if not isinstance(mask, Mask):
            raise TypeError(f"sparse_attention_mask is a {type(mask).__name__}; a maskjit.Mask is needed")
        if mask.shape != wanted:
            raise ValueError(f"the mask has shape {list(mask.shape)}, but the queries and keys need {list(wanted)}")
        attn, given = _MASKED, {"m": mask}
    return attn.results(
        queries,
        keys,
        values,
        results,
        attn_mask=attention_mask,
        scale=scaling,
        transposed=True,
        row_max_over_all="numerator" in results or "denominator" in results,
        dropout=dropout_of(module, dropout),
        parameters=given,
    )


def dropout_of(module: nn.Module | bool | None, dropout: float) -> Dropout | None:
    """Applied before normalisation, as that code does; seeds come from torch's generator."""
    training = module if isinstance(module, bool) else bool(getattr(module, "training", False))
    return Dropout(dropout, renormalise=True) if training and dropout > 0 else None
