"""Maskers, one after the other -> a program of the language."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from torch import Tensor

from maskjit.hub._configs import AdaptiveSamplingMaskerConfig, LocalMaskerConfig, MaskerConfig, SinkMaskerConfig
from maskjit.hub._stages import Problem, Stage, keys_of, size_text


@dataclasses.dataclass(frozen=True)
class Program:
    text: str
    tensors: Mapping[str, Tensor]
    #: Of what it draws; None: from torch's generator.
    seed: int | None

    def digest(self) -> str:
        """Equal for programs whose indexes of the same keys are."""
        digest = hashlib.sha256(repr((self.text, self.seed)).encode())
        for name in sorted(self.tensors):
            digest.update(self.tensors[name].cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def program_of(maskers: Sequence[MaskerConfig | str], problem: Problem, limited: bool) -> Program:
    """limited: adaptive sampling keeps to its range (see `leaves_range`)."""
    stages = [_stage(masker, problem, str(i)) for i, masker in enumerate(maskers)]
    used = [stage for stage in stages if stage is not None]
    mask = " then ".join(stage.text for stage in used) or "full()"
    declarations = [f"{name}: {of}" for stage in used for name, of in stage.types.items()]
    text = f"attention hub({', '.join(declarations)}) {{ mask {mask} }}"
    if limited:
        limit = _limit(maskers, stages)
        text = (
            "masker before_last(n: int) = k < kv_len - n\n"
            f"attention hub({', '.join(declarations)}) {{ mask ({limit}) & ({mask}) }}"
        )
    tensors = {name: tensor for stage in used for name, tensor in stage.tensors.items()}
    seeds = [stage.seed for stage in used if stage.seed is not None]
    return Program(text, tensors, seeds[0] if seeds else None)


def leaves_range(maskers: Sequence[MaskerConfig | str], kv_len: int) -> bool:
    """Adaptive sampling must be kept from keys that its offsets exclude.

    Not so if earlier maskers choose those keys anyway, as in every recipe: then they are no candidates. A limit of the
    language holds for all stages, so that beside other selectors it cannot be said: NotImplementedError.
    """
    for i, masker in enumerate(maskers):
        if not isinstance(masker, AdaptiveSamplingMaskerConfig) or masker.base_rate_sampling == 0:
            continue
        sinks = [keys_of(m.sink_size, kv_len) for m in maskers[:i] if isinstance(m, SinkMaskerConfig)]
        windows = [keys_of(m.window_size, kv_len) for m in maskers[:i] if isinstance(m, LocalMaskerConfig)]
        first, last = keys_of(masker.init_offset, kv_len), keys_of(masker.local_offset, kv_len)
        if max(sinks, default=0) >= first and max(windows, default=0) >= last:
            continue
        others = [m for m in maskers if m is not masker]
        if any(isinstance(m, str) or not m.is_static for m in others):
            raise NotImplementedError(
                f"AdaptiveSamplingMaskerConfig excludes the first {first} and the last {last} of {kv_len} keys, of which "
                f"sink maskers before it choose {max(sinks, default=0)} and local ones {max(windows, default=0)}: beside "
                "other selectors, they must choose all of them"
            )
        return True
    return False


def _limit(maskers: Sequence[MaskerConfig | str], stages: Sequence[Stage | None]) -> str:
    static = [stage.text for masker, stage in zip(maskers, stages, strict=True) if not masker.is_sampling]
    (adaptive,) = (masker for masker in maskers if masker.is_sampling)
    within = f"!sink({size_text(adaptive.init_offset)}) & before_last({size_text(adaptive.local_offset)})"
    return " | ".join([*static, f"({within})"])


def _stage(masker: MaskerConfig | str, problem: Problem, name: str) -> Stage | None:
    return Stage(f"({masker})") if isinstance(masker, str) else masker.stage(problem, name)
