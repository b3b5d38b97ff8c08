"""What tracers see of calls on a GPU.

Shapes and types are the C++ kernels' for meta tensors. But explicit masks and handles of indexes are tensors in host memory
beside queries on a device, which fake tensors refuse; no shape depends on them, so they are left out.
"""

from __future__ import annotations

from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

_OF_THE_HOST = {"mask_names": "", "masks": None, "index": None}


def _without_host_tensors(
    mode: FakeTensorMode, func: torch._ops.OpOverload, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> Any:
    names = [argument.name for argument in func._schema.arguments]
    given = {**dict(zip(names, args)), **(kwargs or {})}
    if isinstance(given["query"], torch.Tensor) and given["query"].device.type != "cpu":
        given.update(_OF_THE_HOST)
        positional = sum(not argument.kwarg_only for argument in func._schema.arguments)
        # Up to the last that is given: the others have their defaults.
        count = max(i for i, name in enumerate(names[:positional]) if name in given) + 1
        defaults = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
        args = tuple(given[name] if name in given else defaults[name] for name in names[:count])
        kwargs = {name: given[name] for name in names[positional:] if name in given}
    return mode.__torch_dispatch__(func, types, args, kwargs or {})


def _update_of_host_memory(
    mode: FakeTensorMode, func: torch._ops.OpOverload, types: Any, args: tuple[Any, ...], kwargs: dict[str, Any] | None
) -> Any:
    given = {**dict(zip(("index", "keys", "unchanged"), args)), **(kwargs or {})}
    if given["keys"].device.type != "cpu":
        with mode:
            given["keys"] = torch.empty(given["keys"].shape, dtype=given["keys"].dtype, device="cpu")
    return mode.__torch_dispatch__(func, types, (), given)


def register() -> None:
    for name in ("maskjit::attention", "maskjit::attention_results"):
        torch.library.register_torch_dispatch(name, FakeTensorMode, _without_host_tensors)
    torch.library.register_torch_dispatch("maskjit::update_index", FakeTensorMode, _update_of_host_memory)
