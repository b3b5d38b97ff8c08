"""Loads libmaskjit_torch.so, which registers the operators torch.ops.maskjit.*."""

import os
import pathlib

import torch

from maskjit import _fakes

__version__ = "0.1.0"

_beside = pathlib.Path(__file__).parent / "lib" / "libmaskjit_torch.so"
#: The library: beside this package, or what the environment variable MASKJIT_TORCH_LIBRARY names.
LIBRARY_PATH = pathlib.Path(os.environ.get("MASKJIT_TORCH_LIBRARY") or _beside)


def _release(version: str) -> str:
    return version.split("+")[0]


def _load() -> None:
    if not LIBRARY_PATH.is_file():
        raise ImportError(
            f"maskjit's library {LIBRARY_PATH} does not exist: build the project and import maskjit from the build "
            "folder's python/, or set MASKJIT_TORCH_LIBRARY"
        )
    if LIBRARY_PATH == _beside:
        from maskjit._build import TORCH_VERSION

        if _release(torch.__version__) != TORCH_VERSION:
            raise ImportError(
                f"{LIBRARY_PATH} is built against torch {TORCH_VERSION}, but this Python has torch {torch.__version__}: "
                "build runtime/torch against that one"
            )
    torch.ops.load_library(LIBRARY_PATH)
    _fakes.register()


_load()
