"""The maskers' configs: their parameters, with that code's checks, and the stages of the language that they stand for.

`search_space` is for that code's tuning tools and has no effect.
"""

from __future__ import annotations

import dataclasses
import functools
import numbers
import os
from typing import Any, ClassVar

from maskjit.hub._channels import channel_table, load_sorted_channels
from maskjit.hub._hash_weights import hash_mlps, load_hash_weights
from maskjit.hub._stages import Problem, Stage, check_int, check_range, check_size, size_text


def _search_space() -> Any:
    return dataclasses.field(default_factory=dict, repr=False, compare=False)


class MaskerConfig:
    """One masker. Configs are immutable; what is wrong with one is a ValueError."""

    #: A call must name the layer (layer_idx), or give sparse_meta_data and name it.
    needs_layer: ClassVar[bool] = False
    needs_meta_data: ClassVar[bool] = False
    #: Selects by position alone.
    is_static: ClassVar[bool] = False
    is_sampling: ClassVar[bool] = False
    #: Ranks by per-key data.
    indexes_keys: ClassVar[bool] = False

    def load(self) -> None:
        """Reads files, checks what is checked only when the masker is made."""

    def stage(self, problem: Problem, name: str) -> Stage | None:
        """`name` makes names of parameters that no other stage has. None: it selects nothing."""
        raise NotImplementedError


@dataclasses.dataclass(frozen=True)
class SinkMaskerConfig(MaskerConfig):
    """The first sink_size keys; a float is a share of the keys."""

    sink_size: int | float
    search_space: dict[str, Any] = _search_space()
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_size("sink_size", self.sink_size)

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage(f"sink({size_text(self.sink_size)})")


@dataclasses.dataclass(frozen=True)
class LocalMaskerConfig(MaskerConfig):
    """The last window_size keys up to the query's own position; a float is a share of the keys."""

    window_size: int | float
    search_space: dict[str, Any] = _search_space()
    is_static: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_size("window_size", self.window_size)

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage(f"local({size_text(self.window_size)})")


@dataclasses.dataclass(frozen=True)
class FixedMaskerConfig(MaskerConfig):
    """That code's causal masker."""

    search_space: dict[str, Any] = _search_space()
    is_static: ClassVar[bool] = True

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage("causal()")


@dataclasses.dataclass(frozen=True)
class _TopKConfig(MaskerConfig):
    heavy_size: int | float

    def __post_init__(self) -> None:
        check_size("heavy_size", self.heavy_size)

    def _top_k(self, by: str) -> str:
        return f"top_k({size_text(self.heavy_size)}{f', by = {by}' if by else ''})"


@dataclasses.dataclass(frozen=True)
class OracleTopKConfig(_TopKConfig):
    """The heavy_size keys of the largest logits; a float is a share of the keys."""

    search_space: dict[str, Any] = _search_space()

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage(self._top_k(""))


@dataclasses.dataclass(frozen=True)
class OracleTopPMaskerConfig(MaskerConfig):
    """The best keys until their share of the softmax exceeds top_p."""

    top_p: float
    search_space: dict[str, Any] = _search_space()

    def __post_init__(self) -> None:
        check_range("top_p", self.top_p, "[0, 1]")

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage(f"top_p({float(self.top_p)!r})")


@dataclasses.dataclass(frozen=True)
class HashAttentionTopKMaskerConfig(_TopKConfig):
    """The heavy_size keys whose hash agrees best with the query's: signs of a perceptron's outputs.

    The perceptrons' sizes are those of the weights, {layer: {"query_matrix": [...], ...}} or a file of them (see
    `load_hash_weights`); hat_bits, hat_mlp_layers and hat_mlp_hidden_size have no effect, as in that code.
    """

    hat_bits: int
    hat_mlp_layers: int
    hat_mlp_hidden_size: int
    hat_mlp_activation: str
    hat_weights: dict[Any, dict[str, Any]] | None = dataclasses.field(default=None, repr=False, compare=False)
    hat_weight_file: str | os.PathLike[str] | None = None
    search_space: dict[str, Any] = _search_space()
    indexes_keys: ClassVar[bool] = True
    needs_layer: ClassVar[bool] = True
    needs_meta_data: ClassVar[bool] = True

    _ACTIVATIONS: ClassVar[tuple[str, ...]] = ("relu", "silu", "gelu", "tanh")

    def load(self) -> None:
        if self.hat_weights is not None and self.hat_weight_file is not None:
            raise ValueError("Only one of hat_weights or hat_weight_file should be provided")
        if self.hat_weights is None and self.hat_weight_file is None:
            raise ValueError("Either hat_weights or hat_weight_file must be provided")
        _ = self._weights

    @functools.cached_property
    def _weights(self) -> dict[Any, dict[str, Any]]:
        return load_hash_weights(self.hat_weight_file) if self.hat_weights is None else self.hat_weights

    def stage(self, problem: Problem, name: str) -> Stage:
        if self.hat_mlp_activation not in self._ACTIVATIONS:
            raise ValueError(f"Unsupported activation function: {self.hat_mlp_activation}")
        mlps = hash_mlps(self._weights, problem.layer_idx, problem.heads, problem.head_dim)
        by = (
            f"hash_bits(query_{name}, key_{name}, layers = {mlps.layers}, hidden = {mlps.hidden}, bits = {mlps.bits}, "
            f"activation = {self.hat_mlp_activation})"
        )
        of = f"tensor<f32>[num_heads, {mlps.query.shape[1]}]"
        return Stage(
            self._top_k(by),
            {f"query_{name}": of, f"key_{name}": of},
            {f"query_{name}": mlps.query, f"key_{name}": mlps.key},
        )


@dataclasses.dataclass(frozen=True)
class DoubleSparsityTopKMaskerConfig(_TopKConfig):
    """The heavy_size keys of the largest products over the head_dim // group_factor channels that matter most.

    sorted_channel_file: see `load_sorted_channels`; channel_selection names the member: "q_proj", "k_proj" or "qk_proj".
    """

    sorted_channel_file: str | os.PathLike[str]
    group_factor: int = 16
    label_bits: int = 4
    channel_selection: str = "qk_proj"
    search_space: dict[str, Any] = _search_space()
    indexes_keys: ClassVar[bool] = True
    needs_layer: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("group_factor", self.group_factor)
        if not self.group_factor > 0:
            raise ValueError(f"group_factor must be > 0, got {self.group_factor}")
        _check_label_bits(self.label_bits)
        if not os.path.exists(self.sorted_channel_file):
            raise ValueError(f"sorted_channel_file does not exist: {self.sorted_channel_file}")

    def load(self) -> None:
        _ = self._sorted_channels

    @functools.cached_property
    def _sorted_channels(self) -> dict[str, list[list[int]]]:
        return load_sorted_channels(self.sorted_channel_file)

    def stage(self, problem: Problem, name: str) -> Stage:
        count = problem.head_dim // self.group_factor
        if count == 0:
            raise ValueError(f"group_factor is {self.group_factor}: no channel is left of head_dim {problem.head_dim}")
        table = channel_table(
            self._sorted_channels, problem.layer_idx, self.channel_selection, count, problem.heads, problem.head_dim
        )
        return Stage(
            self._top_k(f"channels(table_{name}, bits = {int(self.label_bits)})"),
            {f"table_{name}": f"tensor<i32>[num_heads, {count}]"},
            {f"table_{name}": table},
        )


@dataclasses.dataclass(frozen=True)
class PQCacheConfig(_TopKConfig):
    """The heavy_size keys of the largest products after product quantisation of the keys.

    Groups of pq_sub_dim channels, each coded by the nearest of 2^pq_bits centroids.
    """

    pq_sub_dim: int
    pq_bits: int
    indexes_keys: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_int("pq_sub_dim", self.pq_sub_dim)
        check_int("pq_bits", self.pq_bits)

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage(self._top_k(f"pq_codes(sub_dims = {int(self.pq_sub_dim)}, bits = {int(self.pq_bits)})"))


@dataclasses.dataclass(frozen=True)
class QuestTopKMaskerConfig(_TopKConfig):
    """The pages of page_size keys with the largest upper bounds of a product: max(3, heavy_size // page_size) of them."""

    page_size: int
    label_bits: int = 16
    search_space: dict[str, Any] = _search_space()
    indexes_keys: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (isinstance(self.page_size, numbers.Real) and int(self.page_size) > 0):
            raise ValueError("page_size must be greater than 0")
        _check_label_bits(self.label_bits)

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage(self._top_k(f"page_bound({int(self.page_size)}, bits = {int(self.label_bits)})"))


@dataclasses.dataclass(frozen=True)
class RandomSamplingMaskerConfig(MaskerConfig):
    """Every key with probability sampling_rate, which is its weight."""

    sampling_rate: float
    search_space: dict[str, Any] = _search_space()
    is_sampling: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_range("sampling_rate", self.sampling_rate, "(0, 1]")

    def stage(self, problem: Problem, name: str) -> Stage:
        return Stage(f"random({float(self.sampling_rate)!r})")


@dataclasses.dataclass(frozen=True)
class AdaptiveSamplingMaskerConfig(MaskerConfig):
    """vAttention: as many keys of each row as keep the relative error of its denominator below epsilon with probability
    1 - delta, judged by a base sample.

    base_rate_sampling: a number of keys, or as a float a share of the candidates; 0 turns the masker off. Candidates are
    the keys from init_offset on, without the last local_offset (each a number of keys, or as a float a share of them).
    """

    base_rate_sampling: int | float
    epsilon: float
    delta: float
    init_offset: int | float
    local_offset: int | float
    search_space: dict[str, Any] = _search_space()
    is_sampling: ClassVar[bool] = True

    def __post_init__(self) -> None:
        _check_share("base_rate_sampling", self.base_rate_sampling, "[0, 1)")
        for name in ("epsilon", "delta"):
            value = getattr(self, name)
            if not (isinstance(value, numbers.Real) and 0 < value < 1):
                raise ValueError(f"{name} must be in (0, 1), got {value}")
        _check_share("init_offset", self.init_offset, "[0, 1]")
        _check_share("local_offset", self.local_offset, "[0, 1]")

    def stage(self, problem: Problem, name: str) -> Stage | None:
        base = self.base_rate_sampling
        if base == 0:
            return None
        text = str(max(2, int(base))) if isinstance(base, numbers.Integral) else repr(float(base))
        return Stage(f"adaptive(base = {text}, epsilon = {float(self.epsilon)!r}, delta = {float(self.delta)!r})")


@dataclasses.dataclass(frozen=True)
class MagicPigConfig(MaskerConfig):
    """The keys that share one of lsh_l codes of lsh_k random projections with the query; the weight is the probability of
    that. How codes are packed changes nothing here. Layer i draws its projections with seed + i."""

    lsh_l: int
    lsh_k: int
    center: bool = True
    packing: str = "int64"
    seed: int = 42
    search_space: dict[str, Any] = _search_space()
    indexes_keys: ClassVar[bool] = True
    needs_layer: ClassVar[bool] = True
    needs_meta_data: ClassVar[bool] = True
    is_sampling: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("lsh_l", "lsh_k"):
            value = getattr(self, name)
            check_int(name, value)
            if not value > 0:
                raise ValueError(f"{name} must be positive, got {value}")
        if self.packing not in ("int64", "float32"):
            raise ValueError(f"packing must be 'int64' or 'float32', got {self.packing}")
        if self.packing == "int64" and self.lsh_k > 64:
            raise ValueError(f"For 'int64' packing, lsh_k must be <= 64, but got {self.lsh_k}")
        if self.seed is None:
            raise ValueError("seed cannot be None")
        check_int("seed", self.seed)

    def stage(self, problem: Problem, name: str) -> Stage:
        if not isinstance(problem.layer_idx, numbers.Integral):
            raise ValueError(f"layer_idx is {problem.layer_idx!r}; an int is needed, which is added to the seed")
        centre = "true" if self.center else "false"
        return Stage(
            f"magic_pig(tables = {int(self.lsh_l)}, bits = {int(self.lsh_k)}, centre = {centre})",
            seed=int(self.seed) + int(problem.layer_idx),
        )


def _check_label_bits(bits: int) -> None:
    check_int("label_bits", bits)
    if not 0 < bits <= 16:
        raise ValueError(f"label_bits must be in range (0, 16], got {bits}")


def _check_share(name: str, value: int | float, interval: str) -> None:
    """A number of keys, or as a float a share of them."""
    if isinstance(value, numbers.Integral):
        if value < 0:
            raise ValueError(f"{name} must be non-negative if int, got {value}")
    elif isinstance(value, numbers.Real):
        if not (0 <= value < 1 or (value == 1 and interval.endswith("]"))):
            raise ValueError(f"{name} must be in {interval} if float, got {value}")
    else:
        raise ValueError(f"{name} must be int or float, got {type(value)}")
