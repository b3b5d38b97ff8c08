"""The surface of xAlg-ai/sparse-attention-hub's masked attention and its ResearchAttention, on maskjit's kernels.

Parameters come in that code's order: the module (or the training flag itself) first, then queries, keys, values, the
additive mask, scaling, dropout, and the sparse mask. Numerator and denominator are relative to the row maximum over all
keys that the additive mask allows, as there, so that they agree with that code's separately.

What is different, on purpose (design: semantics, section 5): inverse weights are exact (that code adds 1e-6); a mask
without active entries excludes every key instead of none, and a row without keys gives 0 instead of NaN; a bool additive
mask means that True takes part; float16 works with any mask; causal maskers mask; local windows keep what others chose;
keys that are chosen already, or that the additive mask forbids, take nothing of a budget; sampling draws every key
independently, with the probability that is its weight; product quantisation is there; channels and hash weights are those
of the layer; what is known of the keys is never stale; weights are float32. Nothing of size queries x keys is built unless
weights are asked for.
"""

from maskjit.hub._channels import load_sorted_channels
from maskjit.hub._configs import (
    AdaptiveSamplingMaskerConfig,
    DoubleSparsityTopKMaskerConfig,
    FixedMaskerConfig,
    HashAttentionTopKMaskerConfig,
    LocalMaskerConfig,
    MagicPigConfig,
    MaskerConfig,
    OracleTopKConfig,
    OracleTopPMaskerConfig,
    PQCacheConfig,
    QuestTopKMaskerConfig,
    RandomSamplingMaskerConfig,
    SinkMaskerConfig,
)
from maskjit.hub._functions import (
    get_attention_denominator,
    get_attention_numerator,
    get_masked_attention_output,
    get_num_key_value_groups,
)
from maskjit.hub._hash_weights import from_usa_checkpoint, load_hash_weights
from maskjit.hub._research_attention import ResearchAttention, ResearchAttentionConfig, create_from_config

__all__ = [
    "AdaptiveSamplingMaskerConfig",
    "DoubleSparsityTopKMaskerConfig",
    "FixedMaskerConfig",
    "HashAttentionTopKMaskerConfig",
    "LocalMaskerConfig",
    "MagicPigConfig",
    "MaskerConfig",
    "OracleTopKConfig",
    "OracleTopPMaskerConfig",
    "PQCacheConfig",
    "QuestTopKMaskerConfig",
    "RandomSamplingMaskerConfig",
    "ResearchAttention",
    "ResearchAttentionConfig",
    "SinkMaskerConfig",
    "create_from_config",
    "from_usa_checkpoint",
    "get_attention_denominator",
    "get_attention_numerator",
    "get_masked_attention_output",
    "get_num_key_value_groups",
    "load_hash_weights",
    "load_sorted_channels",
]
