"""The machine: what it is, and its measured ceilings for a number of threads."""

from __future__ import annotations

import concurrent.futures
import ctypes
import dataclasses
import pathlib
import platform
import statistics
import threading

import torch

KINDS = ("f32", "bf16", "copy", "read")
LOOK_SECONDS = 1e-3
UNDISTURBED = 0.85
BUFFER_BYTES = 256 << 20  # a thread and direction; far more than any cache


def cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            return next(line.partition(":")[2].strip() for line in info if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """Those that matter to attention."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            flags = next(line for line in info if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return []
    wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8")
    return [flag for flag in wanted if flag in flags]


@dataclasses.dataclass
class Ceilings:
    """A second: FLOP of float32 and bfloat16, bytes. Each the median of `samples`, which keep how much it varied."""

    threads: int
    samples: dict[str, list[float]] = dataclasses.field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.samples[name]) if self.samples.get(name) else 0.0

    def to_json(self) -> dict:
        return {
            name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values), "samples": len(values)}
            for name, values in self.samples.items()
        }


class Machine:
    def __init__(self, library: pathlib.Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.machine_bf16_unit.restype = ctypes.c_char_p
        for name in ("machine_fma_f32", "machine_matrix_bf16", "machine_load", "machine_copy", "machine_read"):
            getattr(self._c, name).restype = ctypes.c_double
        self._pool = concurrent.futures.ThreadPoolExecutor()
        self._barriers: dict[int, threading.Barrier] = {}
        self._best_load: dict[int, float] = {}
        self._tensors: dict[int, list[torch.Tensor]] = {}

    @property
    def bf16_unit(self) -> str:
        return self._c.machine_bf16_unit().decode()

    def sample(self, ceilings: Ceilings, seconds: float) -> None:
        """Measures every ceiling once more."""
        for name in KINDS:
            if rate := self.rate(name, ceilings.threads, seconds):
                ceilings.samples.setdefault(name, []).append(rate)

    def rate(self, kind: str, threads: int, seconds: float) -> float:
        """What the calling thread and `threads` - 1 others do together in about `seconds` (or one pass over the buffers); 0 where the
        machine has no such unit. The calling thread takes part as it does in what is compared with this: another may run on a core
        whose neighbours do something else."""
        work = getattr(self, f"_{kind}")
        each = ctypes.c_double(seconds)
        others = [self._pool.submit(self._together, threads, work, i, each) for i in range(1, threads)]
        rates = [self._together(threads, work, 0, each), *(other.result() for other in others)]
        return sum(rates) if all(rates) else 0.0

    def look(self, kind: str, threads: int) -> tuple[float, bool]:
        """A rate, and whether the first-level caches, too, gave what they gave at best: other guests of the machine who share a core
        take from them first."""
        rate, load = self.rate(kind, threads, LOOK_SECONDS), self.rate("load", threads, LOOK_SECONDS)
        self._best_load[threads] = max(load, self._best_load.get(threads, 0.0))
        return rate, load >= UNDISTURBED * self._best_load[threads]

    def _together(self, threads: int, work, i: int, seconds: ctypes.c_double) -> float:
        if threads > 1:
            self._barriers.setdefault(threads, threading.Barrier(threads)).wait()
        return work(i, seconds)

    def _f32(self, _: int, seconds: ctypes.c_double) -> float:
        return self._c.machine_fma_f32(seconds)

    def _bf16(self, _: int, seconds: ctypes.c_double) -> float:
        return self._c.machine_matrix_bf16(seconds)

    def _load(self, _: int, seconds: ctypes.c_double) -> float:
        return self._c.machine_load(seconds)

    def _copy(self, i: int, seconds: ctypes.c_double) -> float:
        to, source = self._buffers(i)
        return self._c.machine_copy(seconds, to, source, ctypes.c_int64(BUFFER_BYTES))

    def _read(self, i: int, seconds: ctypes.c_double) -> float:
        return self._c.machine_read(seconds, self._buffers(i)[1], ctypes.c_int64(BUFFER_BYTES))

    def _buffers(self, i: int) -> list[ctypes.c_void_p]:
        # Memory of the same kind as that of the operands: large arrays of numpy lie in larger pages.
        if i not in self._tensors:
            self._tensors[i] = [torch.ones(BUFFER_BYTES, dtype=torch.uint8) for _ in range(2)]
        return [ctypes.c_void_p(tensor.data_ptr()) for tensor in self._tensors[i]]
