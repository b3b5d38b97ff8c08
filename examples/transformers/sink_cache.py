"""The kv cache of StreamingLLM: the first few keys and the most recent ones, however long the text."""

import torch
from transformers.cache_utils import Cache, DynamicLayer


class SinkLayer(DynamicLayer):
    """Keeps `sinks` + `window` keys. Keys have the positions that they had when they were added.

    What it drops no later query would see under the mask causal() & (sink(sinks) | local(window)); and on what it keeps
    that mask means the same, because the last query is aligned with the last key.
    """

    def __init__(self, sinks: int, window: int) -> None:
        super().__init__()
        self.sinks, self.window, self.seen = sinks, window, 0

    def update(self, key_states, value_states, *args, **kwargs):
        keys, values = super().update(key_states, value_states, *args, **kwargs)
        self.seen += key_states.shape[-2]
        self.keys, self.values = self._kept(keys), self._kept(values)
        return keys, values  # these queries see what was there before them

    def _kept(self, states):
        if states.shape[-2] <= self.sinks + self.window:
            return states
        return torch.cat([states[..., : self.sinks, :], states[..., -self.window :, :]], dim=-2)

    def get_seq_length(self) -> int:
        """How many positions there were: the next one's number."""
        return self.seen

    def get_mask_sizes(self, query_length):
        kept = self.keys.shape[-2] if self.is_initialized else 0
        return kept + query_length, 0


class SinkCache(Cache):
    def __init__(self, layers: int, sinks: int, window: int) -> None:
        super().__init__(layers=[SinkLayer(sinks, window) for _ in range(layers)])

    def nbytes(self) -> int:
        return sum(layer.keys.nbytes + layer.values.nbytes for layer in self.layers)
