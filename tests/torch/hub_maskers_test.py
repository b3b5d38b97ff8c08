"""The masker configs of sparse-attention-hub: their checks, the programs that they stand for, and the files that they read."""

import io
import json
import os
import pathlib
import pickle
import tempfile
import unittest

import torch

from maskjit import hub
from reference import operands


def mlp_weights(heads=4, head_dim=32, widths=(24, 16), seed=3):
    """One layer in that code's format."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for side in ("query", "key"):
        weights[f"{side}_matrix"], weights[f"{side}_bias"], width = [], [], head_dim
        for out in widths:
            weights[f"{side}_matrix"].append(torch.randn(heads, width, out, generator=generator))
            weights[f"{side}_bias"].append(torch.randn(heads, out, generator=generator))
            width = out
    return weights


def hash_config(**given):
    arguments = {"heavy_size": 0.1, "hat_bits": 32, "hat_mlp_layers": 3, "hat_mlp_hidden_size": 128, "hat_mlp_activation": "silu"}
    return hub.HashAttentionTopKMaskerConfig(**{**arguments, **given})


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, text, name="channels.json"):
        path = self.folder / name
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        return path


class Checks(Folder):
    def test_configs(self):
        channels = self.write({})
        adaptive = {"base_rate_sampling": 0.1, "epsilon": 0.25, "delta": 0.25, "init_offset": 128, "local_offset": 128}
        for make, message in (
            (lambda: hub.SinkMaskerConfig(0), "sink_size must be > 0, got 0"),
            (lambda: hub.SinkMaskerConfig(float("nan")), "sink_size must be > 0, got nan"),
            (lambda: hub.LocalMaskerConfig(-0.5), "window_size must be > 0, got -0.5"),
            (lambda: hub.OracleTopKConfig(0.0), "heavy_size must be > 0, got 0.0"),
            (lambda: hub.OracleTopPMaskerConfig(1.5), "top_p must be in range [0, 1], got 1.5"),
            (lambda: hub.OracleTopPMaskerConfig(float("nan")), "top_p must be in range [0, 1], got nan"),
            (lambda: hub.RandomSamplingMaskerConfig(0), "sampling_rate must be in range (0, 1], got 0"),
            (lambda: hub.RandomSamplingMaskerConfig(1.01), "sampling_rate must be in range (0, 1], got 1.01"),
            (lambda: hash_config(heavy_size=-1), "heavy_size must be > 0, got -1"),
            (lambda: hub.DoubleSparsityTopKMaskerConfig(0, channels), "heavy_size must be > 0, got 0"),
            (lambda: hub.DoubleSparsityTopKMaskerConfig(8, "nowhere.json"), "sorted_channel_file does not exist: nowhere.json"),
            (lambda: hub.DoubleSparsityTopKMaskerConfig(8, channels, group_factor=0), "group_factor must be > 0, got 0"),
            (lambda: hub.DoubleSparsityTopKMaskerConfig(8, channels, label_bits=17), "label_bits must be in range (0, 16], got 17"),
            (lambda: hub.DoubleSparsityTopKMaskerConfig(8, channels, label_bits=0), "label_bits must be in range (0, 16], got 0"),
            (lambda: hub.PQCacheConfig(0, 8, 8), "heavy_size must be > 0, got 0"),
            (lambda: hub.QuestTopKMaskerConfig(8, 0), "page_size must be greater than 0"),
            (lambda: hub.QuestTopKMaskerConfig(8, 0.5), "page_size must be greater than 0"),
            (lambda: hub.QuestTopKMaskerConfig(8, 16, label_bits=20), "label_bits must be in range (0, 16], got 20"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "base_rate_sampling": 1.0}),
             "base_rate_sampling must be in [0, 1) if float, got 1.0"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "base_rate_sampling": -1}),
             "base_rate_sampling must be non-negative if int, got -1"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "base_rate_sampling": "1"}),
             "base_rate_sampling must be int or float, got <class 'str'>"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "epsilon": 0}), "epsilon must be in (0, 1), got 0"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "delta": 1.0}), "delta must be in (0, 1), got 1.0"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "init_offset": 1.5}),
             "init_offset must be in [0, 1] if float, got 1.5"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "local_offset": -3}),
             "local_offset must be non-negative if int, got -3"),
            (lambda: hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "local_offset": None}),
             "local_offset must be int or float, got <class 'NoneType'>"),
            (lambda: hub.MagicPigConfig(0, 8), "lsh_l must be positive, got 0"),
            (lambda: hub.MagicPigConfig(8, -1), "lsh_k must be positive, got -1"),
            (lambda: hub.MagicPigConfig(8, 8, packing="int8"), "packing must be 'int64' or 'float32', got int8"),
            (lambda: hub.MagicPigConfig(8, 65), "For 'int64' packing, lsh_k must be <= 64, but got 65"),
            (lambda: hub.MagicPigConfig(8, 8, seed=None), "seed cannot be None"),
        ):
            with self.subTest(message=message), self.assertRaises(ValueError) as raised:
                make()
            self.assertEqual(str(raised.exception), message)
        self.assertEqual(hub.AdaptiveSamplingMaskerConfig(**{**adaptive, "init_offset": 1.0}).init_offset, 1.0)
        for make in (lambda: hub.SinkMaskerConfig("4"), lambda: hub.PQCacheConfig(8, 2.5, 8), lambda: hub.MagicPigConfig(8.0, 8)):
            with self.assertRaisesRegex(TypeError, "must be int"):
                make()

    def test_lists(self):
        sampling = (hub.RandomSamplingMaskerConfig(0.1), hub.MagicPigConfig(8, 8))
        for maskers, message in (
            (sampling, "Only one sampling masker supported for efficiency; consider implementing all sampling logic in one masker"),
            ([hub.ResearchAttentionConfig([])], "No masker class registered for config type: ResearchAttentionConfig"),
            ([hub.MaskerConfig()], "No masker class registered for config type: MaskerConfig"),
            ([hash_config()], "Either hat_weights or hat_weight_file must be provided"),
            ([hash_config(hat_weights={}, hat_weight_file="x")], "Only one of hat_weights or hat_weight_file should be provided"),
        ):
            with self.subTest(message=message), self.assertRaises(ValueError) as raised:
                hub.ResearchAttention(maskers)
            self.assertTrue(str(raised.exception).startswith(message), raised.exception)

    def test_other_weights_have_an_index_of_their_own(self):
        tensors = operands(batch=1, q_len=3, kv_len=60)
        kept = {}
        for seed in (3, 4):
            weights = {0: mlp_weights(seed=seed)}
            attention = hub.ResearchAttention([hash_config(heavy_size=9, hat_weights=weights)])
            with_kept, fresh = (
                attention.custom_attention(None, *tensors, None, 0.2, 0.0, meta_data, layer_idx=0)[0]
                for meta_data in (kept, {})
            )
            self.assertTrue(torch.equal(with_kept, fresh))
        self.assertEqual(len(kept["maskjit_index"]), 2)

    def test_calls(self):
        tensors = operands()
        double_sparsity = hub.DoubleSparsityTopKMaskerConfig(8, self.write({}))
        hash_attention = hash_config(hat_weights={0: mlp_weights()})
        for masker, meta_data, named, message in (
            (hash_attention, None, {"layer_idx": 0}, "sparse_meta_data cannot be None"),
            (hash_attention, {}, {}, "layer_idx must be provided in kwargs"),
            (hub.MagicPigConfig(8, 8), None, {"layer_idx": 0}, "sparse_meta_data cannot be None"),
            (hub.MagicPigConfig(8, 8), {}, {}, "layer_idx must be provided in kwargs"),
            (double_sparsity, None, {}, "layer_idx must be provided in kwargs"),
            (hash_config(hat_weights={0: mlp_weights()}, hat_mlp_activation="elu"), {}, {"layer_idx": 0},
             "Unsupported activation function: elu"),
        ):
            attention = hub.ResearchAttention([masker])
            with self.subTest(message=message), self.assertRaises(ValueError) as raised:
                attention.custom_attention(None, *tensors, None, 0.2, 0.0, meta_data, **named)
            self.assertEqual(str(raised.exception), message)


class Programs(Folder):
    def test_each(self):
        channels = {f"model.layers.{layer}.self_attn.q_proj": [[3 * layer + i, 7, 1] for i in range(4)] for layer in range(2)}
        path = self.write(channels)
        for maskers, expected in (
            ([], "full()"),
            ([hub.FixedMaskerConfig(), "strided(8)"], "causal() then (strided(8))"),
            ([hub.SinkMaskerConfig(128), hub.LocalMaskerConfig(0.1)], "sink(128) then local(10%)"),
            ([hub.SinkMaskerConfig(0.145), hub.OracleTopKConfig(0.29)], "sink(14.5%) then top_k(29%)"),
            ([hub.OracleTopPMaskerConfig(0.85)], "top_p(0.85)"),
            ([hub.QuestTopKMaskerConfig(0.128, 16)], "top_k(12.8%, by = page_bound(16, bits = 16))"),
            ([hub.QuestTopKMaskerConfig(1024, 16.9, label_bits=4)], "top_k(1024, by = page_bound(16, bits = 4))"),
            ([hub.PQCacheConfig(256, 8, 6)], "top_k(256, by = pq_codes(sub_dims = 8, bits = 6))"),
            ([hub.RandomSamplingMaskerConfig(0.1)], "random(0.1)"),
            ([hub.MagicPigConfig(75, 8, center=False)], "magic_pig(tables = 75, bits = 8, centre = false)"),
            ([hub.DoubleSparsityTopKMaskerConfig(0.1, path, group_factor=16, label_bits=8, channel_selection="q_proj")],
             "top_k(10%, by = channels(table_0, bits = 8))"),
        ):
            program = hub.ResearchAttention(maskers).program(4, 32, 1000, 0).text
            with self.subTest(expected=expected):
                self.assertEqual(program.partition("{ mask ")[2].removesuffix(" }"), expected)

    def test_adaptive(self):
        def config(**given):
            arguments = {"base_rate_sampling": 0.05, "epsilon": 0.25, "delta": 0.1, "init_offset": 128, "local_offset": 64}
            return hub.AdaptiveSamplingMaskerConfig(**{**arguments, **given})

        sampled = "adaptive(base = 0.05, epsilon = 0.25, delta = 0.1)"
        sink, local, top = hub.SinkMaskerConfig(128), hub.LocalMaskerConfig(64), hub.OracleTopKConfig(10)
        for maskers, expected in (
            ([sink, local, config()], f"sink(128) then local(64) then {sampled}"),
            ([sink, local, top, config()], f"sink(128) then local(64) then top_k(10) then {sampled}"),
            ([hub.SinkMaskerConfig(0.2), local, top, config()], f"sink(20%) then local(64) then top_k(10) then {sampled}"),
            ([top, config(init_offset=0, local_offset=0.0)], f"top_k(10) then {sampled}"),
            ([sink, config(base_rate_sampling=0)], "sink(128)"),
            ([config(base_rate_sampling=0.0)], "full()"),
            ([sink, local, config(base_rate_sampling=1)], f"sink(128) then local(64) then {sampled.replace('0.05', '2')}"),
            ([config()], f"((!sink(128) & before_last(64))) & ({sampled})"),
            ([sink, config(init_offset=0.1)], f"(sink(128) | (!sink(10%) & before_last(64))) & (sink(128) then {sampled})"),
        ):
            program = hub.ResearchAttention(maskers).program(4, 32, 1000).text
            with self.subTest(expected=expected):
                self.assertEqual(program.partition("{ mask ")[2].removesuffix(" }"), expected)
        with self.assertRaisesRegex(NotImplementedError, "the first 128 and the last 64 of 1000 keys.* choose 100 and local ones 64"):
            hub.ResearchAttention([hub.SinkMaskerConfig(0.1), local, top, config()]).program(4, 32, 1000)

    def test_channel_tables_are_the_layers_own(self):
        path = self.write({f"model.layers.{layer}.self_attn.qk_proj": [[layer, i, 31, 5] for i in range(4)] for layer in (0, 7)})
        attention = hub.ResearchAttention([hub.SinkMaskerConfig(4), hub.DoubleSparsityTopKMaskerConfig(8, path)])
        for layer in (0, 7):
            program = attention.program(4, 32, 100, layer)
            self.assertEqual(program.tensors["table_1"].dtype, torch.int32)
            self.assertEqual(program.tensors["table_1"].tolist(), [[layer, i] for i in range(4)])
            self.assertIn("table_1: tensor<i32>[num_heads, 2]", program.text)
        for arguments, message in (
            ((4, 32, 100, 3), "No sorted channels found for model.layers.3.self_attn.qk_proj"),
            ((8, 32, 100, 0), "previous_dense_mask and scores must have the same shape. Check the channel selection."),
            ((4, 8, 100, 0), "group_factor is 16: no channel is left of head_dim 8"),
            ((4, 16, 100, 7), None),
            ((4, 96, 100, 0), r"qk_proj[0] has 4 channels; head_dim // group_factor = 6 are needed"),
        ):
            with self.subTest(message=message):
                if message is None:
                    attention.program(*arguments)
                    continue
                with self.assertRaises(ValueError) as raised:
                    attention.program(*arguments)
                self.assertIn(message, str(raised.exception))

    def test_hash_weights_are_the_layers_own(self):
        weights = {layer: mlp_weights(seed=layer) for layer in (0, 1)}
        attention = hub.ResearchAttention([hash_config(hat_weights=weights)])
        for layer in (0, 1):
            program = attention.program(4, 32, 100, layer)
            for side in ("query", "key"):
                want = torch.cat(
                    [part.flatten(1) for pair in zip(weights[layer][f"{side}_matrix"], weights[layer][f"{side}_bias"], strict=True)
                     for part in pair], 1)
                self.assertTrue(torch.equal(program.tensors[f"{side}_0"], want))
        self.assertIn("layers = 2, hidden = 24, bits = 16, activation = silu", program.text)

    def test_narrow_hidden_layers_are_filled_up(self):
        # Zeros change no output, whatever the activation.
        weights = mlp_weights(widths=(8, 24, 6))
        program = hub.ResearchAttention([hash_config(hat_weights={0: weights})]).program(4, 32, 100, 0)
        self.assertIn("layers = 3, hidden = 24, bits = 6", program.text)
        x = torch.randn(4, 5, 32, generator=torch.Generator().manual_seed(1))
        for side in ("query", "key"):
            want, got, flat, width = x, x, program.tensors[f"{side}_0"], 32
            for i, out in enumerate((24, 24, 6)):
                matrix, flat = flat[:, : width * out].view(4, width, out), flat[:, width * out :]
                bias, flat, width = flat[:, :out], flat[:, out:], out
                got = got @ matrix + bias.unsqueeze(1)
                want = want @ weights[f"{side}_matrix"][i] + weights[f"{side}_bias"][i].unsqueeze(1)
                if i < 2:
                    got, want = torch.nn.functional.gelu(got), torch.nn.functional.gelu(want)
            self.assertEqual(flat.numel(), 0)
            torch.testing.assert_close(got, want)


class ChannelFiles(Folder):
    def test_errors(self):
        key = "model.layers.0.self_attn.q_proj"
        for text, message in (
            ("[1]", "Channel file must contain a JSON object"),
            ("{", "Invalid JSON in channel file: "),
            ({key: 3}, f"Channel data for {key} must be a list"),
            ({key: [[1], 2]}, f"Channel data for {key}[1] must be a list"),
            ({key: [[1], [2, 0.5]]}, f"Channel indices for {key}[1] must be integers"),
            ({key: [[True]]}, f"Channel indices for {key}[0] must be integers"),
        ):
            with self.subTest(message=message), self.assertRaises(ValueError) as raised:
                hub.ResearchAttention([hub.DoubleSparsityTopKMaskerConfig(8, self.write(text))])
            self.assertTrue(str(raised.exception).startswith(message), raised.exception)
        with self.assertRaisesRegex(ValueError, "Channel file not found: nowhere.json"):
            hub.load_sorted_channels("nowhere.json")

    def test_content(self):
        key = "model.layers.0.self_attn.qk_proj"
        for data, arguments, message in (
            ({key: []}, (4, 32, 9, 0), f"Empty channel data for {key}"),
            ({key: [[0, 32]] * 4}, (4, 32, 9, 0), f"{key}[0] has channel 32, but the heads have 32 channels"),
            ({key: [[0, -1]] * 4}, (4, 32, 9, 0), f"{key}[0] has channel -1, but the heads have 32 channels"),
        ):
            attention = hub.ResearchAttention([hub.DoubleSparsityTopKMaskerConfig(8, self.write(data))])
            with self.subTest(message=message), self.assertRaises(ValueError) as raised:
                attention.program(*arguments)
            self.assertEqual(str(raised.exception), message)


class HashWeightFiles(Folder):
    def assert_same(self, got, want):
        self.assertEqual(list(got), list(want))
        for layer in want:
            for name, tensors in want[layer].items():
                for a, b in zip(got[layer][name], tensors, strict=True):
                    self.assertTrue(torch.equal(torch.as_tensor(a), torch.as_tensor(b)))

    def test_formats(self):
        weights = {layer: mlp_weights(seed=layer) for layer in (0, 5)}
        arrays = {layer: {name: [t.numpy() for t in tensors] for name, tensors in of.items()} for layer, of in weights.items()}
        parameters = {layer: {name: [torch.nn.Parameter(t) for t in tensors] for name, tensors in of.items()}
                      for layer, of in weights.items()}
        path = self.folder / "weights"
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            for data in (weights, arrays, parameters):
                with self.subTest(protocol=protocol), open(path, "wb") as file:
                    pickle.dump(data, file, protocol=protocol)
                self.assert_same(hub.load_hash_weights(path), weights)
        for zipped in (True, False):
            with self.subTest(zipped=zipped):
                torch.save(weights, path, _use_new_zipfile_serialization=zipped)
                self.assert_same(hub.load_hash_weights(path), weights)
        program = hub.ResearchAttention([hash_config(hat_weight_file=path)]).program(4, 32, 100, 5)
        self.assertIn("hash_bits(query_0, key_0", program.text)

    def test_usa_checkpoints(self):
        want = mlp_weights(heads=2, widths=(24, 16))
        want["key_bias"][0] = torch.zeros(2, 24)
        checkpoint = {"3.other.weight": torch.ones(1)}
        for side in ("query", "key"):
            for head in range(2):
                for i, (matrix, bias) in enumerate(zip(want[f"{side}_matrix"], want[f"{side}_bias"], strict=True)):
                    name = f"3.learning_to_hash_transformation_{side[0]}.{head}.{2 * i}"
                    checkpoint[f"{name}.weight"] = matrix[head].mT.contiguous()
                    if not (side == "key" and i == 0):
                        checkpoint[f"{name}.bias"] = bias[head]
        self.assert_same(hub.from_usa_checkpoint(checkpoint), {3: want})
        path = self.folder / "usa"
        torch.save(checkpoint, path)
        self.assert_same(hub.load_hash_weights(path), {3: want})
        del checkpoint["3.learning_to_hash_transformation_q.1.2.weight"]
        with self.assertRaisesRegex(ValueError, "3.learning_to_hash_transformation_q.1.2.weight is missing"):
            hub.from_usa_checkpoint(checkpoint)

    def test_files_run_nothing(self):
        marker = self.folder / "ran"

        class Hostile:
            def __reduce__(self):
                return os.system, (f"touch {marker}",)

        path = self.folder / "weights"
        with open(path, "wb") as file:
            pickle.dump({0: Hostile()}, file)
        with self.assertRaisesRegex(ValueError, r"cannot be read: it asks for \w+.system; tensors and containers are possible"):
            hub.load_hash_weights(path)
        for zipped in (True, False):
            torch.save({0: Hostile()}, path, _use_new_zipfile_serialization=zipped)
            with self.assertRaisesRegex(ValueError, "cannot be read"):
                hub.load_hash_weights(path)
        # A storage whose bytes are hostile in turn.
        inner = io.BytesIO()
        torch.save(Hostile(), inner, _use_new_zipfile_serialization=False)

        class Storage:
            def __reduce__(self):
                return torch.storage._load_from_bytes, (inner.getvalue(),)

        with open(path, "wb") as file:
            pickle.dump({0: Storage()}, file)
        with self.assertRaisesRegex(ValueError, "cannot be read"):
            hub.load_hash_weights(path)
        self.assertFalse(marker.exists())
        for content in (b"", b"\x80", b"text", bytes(range(256)), pickle.dumps([1, 2])):
            path.write_bytes(content)
            with self.subTest(content=content[:8]), self.assertRaisesRegex(ValueError, "the hash weights of"):
                hub.load_hash_weights(path)
        with self.assertRaises(FileNotFoundError):
            hub.load_hash_weights(self.folder / "nowhere")

    def test_content(self):
        good = mlp_weights()

        def changed(**given):
            return {0: {**good, **given}}

        for weights, arguments, message in (
            ({}, (4, 32, 9, 0), "the hash weights have no layer 0; they have none"),
            (changed(), (4, 32, 9, 2), "the hash weights have no layer 2; they have 0"),
            ({0: 3}, (4, 32, 9, 0), "the hash weights of layer 0 are a int; a dict is needed"),
            (changed(query_bias=[]), (4, 32, 9, 0), "have no list 'query_bias'"),
            (changed(key_bias=good["key_bias"][:1]), (4, 32, 9, 0), "have 2 tensors in 'key_matrix' and 1 in 'key_bias'"),
            (changed(), (8, 32, 9, 0), "query_matrix[0] is [4, 32, 24]; [8, 32, any] is needed for 8 query heads of 32 channels"),
            (changed(), (4, 64, 9, 0), "query_matrix[0] is [4, 32, 24]; [4, 64, any] is needed"),
            (changed(query_matrix=[good["query_matrix"][0]] * 2), (4, 32, 9, 0),
             "query_matrix[1] is [4, 32, 24]; [4, 24, any] is needed"),
            (changed(key_bias=[b[:, :-1] for b in good["key_bias"]]), (4, 32, 9, 0), "key_bias[0] is [4, 23]; [4, 24] is needed"),
            ({0: {**good, **{n: t for n, t in mlp_weights(widths=(24, 8)).items() if "key" in n}}}, (4, 32, 9, 0),
             "have 16 bits for queries and 8 for keys"),
            ({0: {**good, **{n: t for n, t in mlp_weights(widths=(16,)).items() if "key" in n}}}, (4, 32, 9, 0),
             "have 2 layers for queries and 1 for keys"),
        ):
            attention = hub.ResearchAttention([hash_config(hat_weights=weights)])
            with self.subTest(message=message), self.assertRaises(ValueError) as raised:
                attention.program(*arguments)
            self.assertIn(message, str(raised.exception))


if __name__ == "__main__":
    unittest.main()
