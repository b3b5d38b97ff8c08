"""The machine: what it is, and its measured ceilings for a number of threads."""

from __future__ import annotations

import ctypes
import dataclasses
import pathlib
import platform
import statistics
import threading

import numpy

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

    def matrix(self, dtype: str) -> float:
        return self.median("bf16" if dtype == "bf16" else "f32")

    def to_json(self) -> dict:
        return {
            name: {"median": statistics.median(values), "lowest": min(values), "highest": max(values), "samples": len(values)}
            for name, values in self.samples.items()
        }


class Machine:
    def __init__(self, library: pathlib.Path) -> None:
        self._c = ctypes.CDLL(str(library))
        self._c.machine_bf16_unit.restype = ctypes.c_char_p
        for name in ("machine_fma_f32", "machine_matrix_bf16", "machine_copy", "machine_read"):
            getattr(self._c, name).restype = ctypes.c_double

    @property
    def bf16_unit(self) -> str:
        return self._c.machine_bf16_unit().decode()

    def sample(self, ceilings: Ceilings, seconds: float) -> None:
        """Measures every ceiling once more, on all of its threads at once."""
        each = ctypes.c_double(seconds)
        self._add(ceilings, "f32", lambda _: self._c.machine_fma_f32(each))
        self._add(ceilings, "bf16", lambda _: self._c.machine_matrix_bf16(each))
        buffers = [(numpy.ones(BUFFER_BYTES, numpy.uint8), numpy.ones(BUFFER_BYTES, numpy.uint8)) for _ in range(ceilings.threads)]
        pointers = [[ctypes.c_void_p(array.ctypes.data) for array in pair] for pair in buffers]
        size = ctypes.c_int64(BUFFER_BYTES)
        self._add(ceilings, "copy", lambda i: self._c.machine_copy(each, pointers[i][0], pointers[i][1], size))
        self._add(ceilings, "read", lambda i: self._c.machine_read(each, pointers[i][0], size))

    def _add(self, ceilings: Ceilings, name: str, rate) -> None:
        rates = [0.0] * ceilings.threads
        together = threading.Barrier(ceilings.threads)

        def work(i: int) -> None:
            together.wait()
            rates[i] = rate(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(ceilings.threads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if all(rates):
            ceilings.samples.setdefault(name, []).append(sum(rates))
