"""Attention masks as small programs, compiled to kernels while you wait.

    import maskjit, torch

    attn = maskjit.compile("causal() & (sink(4) | local(1024))")
    out = attn(query, key, value)   # [batch, heads, length, head dimension]

The operators are ``torch.ops.maskjit.*``; this package gives them names and types. torch.compile and torch.export trace
through both.
"""

from maskjit._attention import Attention, Dropout, Parameter, Sampling, compile, merge_partials
from maskjit._index import KeyIndex
from maskjit._library import LIBRARY_PATH, __version__
from maskjit._mask import Mask

__all__ = [
    "LIBRARY_PATH",
    "Attention",
    "Dropout",
    "KeyIndex",
    "Mask",
    "Parameter",
    "Sampling",
    "__version__",
    "compile",
    "merge_partials",
]
