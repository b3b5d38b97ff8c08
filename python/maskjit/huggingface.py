"""maskjit as the attention of Hugging Face transformers' models.

    maskjit.huggingface.register("streaming", maskjit.compile("causal() & (sink(4) | local(1024))"))
    model.set_attn_implementation("streaming")

The spec takes the place of the model's own mask (causal, bidirectional, sliding window); padding is kept. No mask of size
queries x keys is made.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface

from maskjit._attention import Attention, Dropout

# What some models hand to their attention function and a spec would have to say.
_IN_THE_SPEC = ("softcap", "s_aux", "position_bias", "head_mask")


def register(name: str, attn: Attention, **parameters: Tensor | bool | int | float) -> None:
    """Makes `attn` the attention implementation `name`, for `set_attn_implementation` and `attn_implementation=`.

    Args:
        name: not that of an implementation of transformers ("eager", "sdpa", ...).
        attn: the spec, of all layers that use this name.
        parameters: its run-time parameters and tensors.
    """

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
        output = attn(
            query,
            key,
            value,
            attn_mask=attention_mask,
            scale=scaling,
            transposed=True,
            dropout=Dropout(dropout) if dropout > 0 else None,
            parameters=parameters or None,
        )
        return output, None

    AttentionInterface.register(name, forward)
    AttentionMaskInterface.register(name, padding_mask)


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
