"""Attention written out in float64, and what all tests here need."""

import math
import pathlib

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
MASKS = ROOT / "examples" / "masks"

# What a result may be off by, relative to 1 or its size: rounding of the type.
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def operands(batch=2, heads=4, kv_heads=2, q_len=50, kv_len=70, dim=32, dim_v=None, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    return (
        normal(batch, heads, q_len, dim),
        normal(batch, kv_heads, kv_len, dim),
        normal(batch, kv_heads, kv_len, dim_v or dim),
    )


def reference(query, key, value, mask=None, attn_mask=None, scale=None, score=None, row_max_over_all=False):
    """All results of semantics.md, section 1, as a dictionary of float64 tensors.

    mask: bool, broadcasts to [B, Hq, Lq, Lk]; score: logits [B, Hq, Lq, Lk] -> logits.
    """
    query, key, value = query.double(), key.double(), value.double()
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    s = query @ key.transpose(-1, -2) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if score is not None:
        s = score(s)
    allowed = torch.ones(s.shape, dtype=torch.bool)
    if attn_mask is not None:
        attn_mask = attn_mask[..., : s.shape[-1]]
        if attn_mask.dtype == torch.bool:
            allowed = allowed & attn_mask
        else:
            s = s + attn_mask.double()
            allowed = allowed & (s != -math.inf)
    active = allowed if mask is None else allowed & mask
    s_active = s.masked_fill(~active, -math.inf)
    row_max = (s.masked_fill(~allowed, -math.inf) if row_max_over_all else s_active).amax(-1)
    e = torch.where(active, torch.exp(s - row_max.unsqueeze(-1).clamp(min=-1e300)), 0.0)
    denominator = e.sum(-1)
    numerator = e @ value
    safe = torch.where(denominator > 0, denominator, 1.0).unsqueeze(-1)
    return {
        "output": numerator / safe,
        "lse": torch.logsumexp(s_active, -1),
        "row_max": row_max,
        "numerator": numerator,
        "denominator": denominator,
        "weights": e / safe,
    }


def positions(q_len, kv_len, q_offset=None):
    """q [Lq, 1] and k [Lk]: absolute positions."""
    offset = kv_len - q_len if q_offset is None else q_offset
    return torch.arange(q_len).unsqueeze(-1) + offset, torch.arange(kv_len)


def assert_close(test, got, want, tolerance=1e-5, what=""):
    test.assertEqual(got.shape, want.shape, what)
    same_infinity = torch.isinf(want) & (got.double() == want)
    error = torch.where(same_infinity, 0.0, (got.double() - want).abs() / want.abs().clamp(min=1))
    test.assertFalse(error.isnan().any(), f"{what}: not a number")
    test.assertLessEqual(error.max().item() if error.numel() else 0.0, tolerance, what)
