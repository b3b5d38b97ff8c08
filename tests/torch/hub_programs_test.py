"""Both languages make one program of the same maskers: hub_programs.txt has them, for 4 heads of 16 channels, 40 keys, layer 1.
The cases are written out twice, here and in hub_configs_test.cpp."""

import json
import pathlib
import sys
import tempfile
import unittest

import torch

from maskjit import hub

EXPECTED = pathlib.Path(__file__).with_name("hub_programs.txt")
HEADS, HEAD_DIM, KEYS, LAYER = 4, 16, 40, 1


def hash_weights():
    """{1: ...}: 16 -> 8 -> 6 for queries, 16 -> 5 -> 6 for keys."""
    layers = {}
    for side, hidden in (("query", 8), ("key", 5)):
        layers[f"{side}_matrix"] = [torch.zeros(HEADS, HEAD_DIM, hidden), torch.zeros(HEADS, hidden, 6)]
        layers[f"{side}_bias"] = [torch.zeros(HEADS, hidden), torch.zeros(HEADS, 6)]
    return {LAYER: layers}


def cases(channel_file):
    sink, local = hub.SinkMaskerConfig, hub.LocalMaskerConfig
    return {
        "none": [],
        "streaming": [sink(128), local(0.1)],
        "shares": [sink(0.00188), local(0.145), hub.OracleTopKConfig(2e-7), hub.OracleTopKConfig(1.0)],
        "expression": [hub.FixedMaskerConfig(), "strided(8)", hub.OracleTopKConfig(5)],
        "top_p": [hub.OracleTopPMaskerConfig(0.9), hub.OracleTopPMaskerConfig(1.0), hub.OracleTopPMaskerConfig(0.00005)],
        "hash": [sink(4), hub.HashAttentionTopKMaskerConfig(0.25, 6, 2, 8, "silu", hat_weights=hash_weights())],
        "channels": [local(4), hub.DoubleSparsityTopKMaskerConfig(8, channel_file, 4, 2, "q_proj")],
        "pq": [hub.PQCacheConfig(0.2, 4, 3)],
        "quest": [sink(2), hub.QuestTopKMaskerConfig(12, 4), hub.QuestTopKMaskerConfig(12, 8, 6)],
        "random": [sink(2), hub.RandomSamplingMaskerConfig(0.02)],
        "adaptive": [sink(2), local(3), hub.AdaptiveSamplingMaskerConfig(0.05, 0.1, 0.2, 2, 3)],
        "adaptive keys": [sink(2), local(3), hub.OracleTopKConfig(4), hub.AdaptiveSamplingMaskerConfig(1, 0.25, 0.5, 0, 0)],
        "adaptive range": [sink(2), hub.AdaptiveSamplingMaskerConfig(5, 0.1, 0.2, 0.1, 6)],
        "adaptive off": [sink(2), hub.AdaptiveSamplingMaskerConfig(0, 0.1, 0.2, 9, 9)],
        "magic": [hub.MagicPigConfig(9, 7)],
        "magic plain": [sink(2), hub.MagicPigConfig(9, 7, False, "float32", 3)],
    }


def programs():
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "channels.json"
        path.write_text(json.dumps({"model.layers.1.self_attn.q_proj": [list(range(HEAD_DIM))] * HEADS}))
        for name, maskers in cases(path).items():
            attention = hub.create_from_config(hub.ResearchAttentionConfig(maskers))
            text = attention.program(HEADS, HEAD_DIM, KEYS, LAYER).text
            lines.append(f"{name}: {text!r}\n".replace("'", ""))
    return "".join(lines)


class Programs(unittest.TestCase):
    maxDiff = None

    def test_programs(self):
        self.assertEqual(programs(), EXPECTED.read_text())


if __name__ == "__main__":
    if "--write" in sys.argv:
        EXPECTED.write_text(programs())
    else:
        unittest.main()
