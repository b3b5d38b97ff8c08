"""Selectors from Python: what they select against the formulas of semantics.md in float64, sampling, indexes, tracing; and the
maskers of sparse-attention-hub on the entries that a causal additive mask allows."""

import json
import math
import pathlib
import tempfile
import unittest

import torch

import maskjit
from maskjit import hub
from reference import assert_close, operands, positions, reference

SCALING = 0.2


def logits(query, key, scale=SCALING):
    key = key.double().repeat_interleave(query.shape[1] // key.shape[1], 1)
    return query.double() @ key.mT * scale


def causal(q_len, kv_len):
    q, k = positions(q_len, kv_len)
    return k <= q


def additive(mask):
    return torch.where(mask, 0.0, -math.inf)[None, None]


def top_k(score, count, candidates):
    """bool: the `count` best candidates of each row."""
    score = score.masked_fill(~candidates, -math.inf)
    chosen = score.topk(min(count, score.shape[-1]), -1).indices
    return torch.zeros_like(candidates.expand(score.shape)).scatter(-1, chosen, True) & candidates


def top_p(score, share, candidates):
    u = torch.exp(score.masked_fill(~candidates, -math.inf) - score.masked_fill(~candidates, -math.inf).amax(-1, True))
    ordered = u.sort(-1, descending=True).values
    cumulated = ordered.cumsum(-1)
    last = (cumulated / cumulated[..., -1:] > share).to(torch.int8).argmax(-1, True)
    return (u >= ordered.gather(-1, last)) & candidates


class Selection(unittest.TestCase):
    def check(self, spec, active, tensors, tolerance=1e-5, **named):
        attn = maskjit.compile(spec)
        output, weights = attn.results(*tensors, ["output", "weights"], scale=SCALING, **named)
        want = reference(*tensors, mask=active, scale=SCALING)
        assert_close(self, weights, want["weights"], tolerance, spec)
        assert_close(self, output, want["output"], tolerance, spec)
        self.assertTrue(torch.equal(attn(*tensors, scale=SCALING, **named), output))

    def test_top_k_and_top_p(self):
        for q_len, kv_len in ((50, 70), (1, 300)):
            tensors = operands(q_len=q_len, kv_len=kv_len, dim=32)
            s, allowed = logits(*tensors[:2]), causal(q_len, kv_len)
            q, k = positions(q_len, kv_len)
            static = ((k < 4) | (q - k < 8)) & allowed
            self.check("causal() & top_k(9)", top_k(s, 9, allowed), tensors)
            self.check("causal() & top_p(0.7)", top_p(s, 0.7, allowed), tensors)
            sequence = static | top_k(s, 9, allowed & ~static)
            self.check("causal() & (sink(4) then local(8) then top_k(9))", sequence, tensors)

    def test_run_time_budgets(self):
        tensors = operands(q_len=20, kv_len=90)
        attn = maskjit.compile("masker m(runtime n: int) = causal() & (sink(2) then top_k(n))")
        s, allowed = logits(*tensors[:2]), causal(20, 90)
        sinks = (positions(20, 90)[1] < 2) & allowed
        for count in (1, 5, 200):
            want = reference(*tensors, mask=sinks | top_k(s, count, allowed & ~sinks), scale=SCALING)["output"]
            assert_close(self, attn(*tensors, scale=SCALING, n=count), want)

    def test_sampling(self):
        tensors = operands(heads=8, kv_heads=8, q_len=64, kv_len=256)
        attn = maskjit.compile("sink(4) then random(0.3)")

        def weights(sampling=None):
            return attn.results(*tensors, ["weights"], sampling=sampling)[0]

        first = weights(maskjit.Sampling(seed=5))
        self.assertTrue(torch.equal(weights(maskjit.Sampling(seed=5)), first))
        self.assertTrue(torch.equal(weights(), weights(maskjit.Sampling(seed=0))))
        for other in (maskjit.Sampling(seed=6), maskjit.Sampling(seed=5, offset=1), maskjit.Sampling()):
            self.assertFalse(torch.equal(weights(other), first))
        torch.manual_seed(3)
        drawn = weights(maskjit.Sampling())
        torch.manual_seed(3)
        self.assertTrue(torch.equal(weights(maskjit.Sampling()), drawn))
        kept = first[..., 4:] > 0
        self.assertLess(abs(kept.double().mean().item() - 0.3), 4 * math.sqrt(0.3 * 0.7 / kept.numel()))

    def test_errors(self):
        query, key, value = operands()
        paged = maskjit.compile("causal() & top_k(8, by = page_bound(16))")
        index = paged.key_index(query, key)
        for error, pattern, call in (
            (TypeError, "index is a Tensor; a maskjit.KeyIndex is needed", lambda: paged(query, key, value, index=key)),
            (ValueError, "the index has 70 keys, but key .* has 60: call update", lambda: paged(query, key[:, :, :60], value[:, :, :60], index=index)),
            (ValueError, "there is nothing to index", lambda: maskjit.compile("causal").key_index(query, key)),
            (ValueError, "has no part for", lambda: maskjit.compile("top_k(8, by = page_bound(32))")(query, key, value, index=index)),
            (ValueError, r"index is Float\[2, 4, 50, 32\] on cpu; the handle", lambda: torch.ops.maskjit.attention(query, key, value, "causal", index=query)),
            (ValueError, "there is no index 12345 in this process", lambda: torch.ops.maskjit.attention(query, key, value, "causal", index=torch.tensor([12345, 0]))),
            (ValueError, "this index is of", lambda: index.update(key[..., :16])),
            (TypeError, "the parameter 'n' is a int; an index takes tensors", lambda: paged.key_index(query, key, n=3)),
        ):
            with self.subTest(pattern=pattern), self.assertRaisesRegex(error, pattern):
                call()


class Indexes(unittest.TestCase):
    SPECS = (
        "causal() & (sink(2) then top_k(24, by = page_bound(8)))",
        "causal() & (sink(2) then top_k(24, by = pq_codes(sub_dims = 4, bits = 4)))",
        "causal() & (sink(2) then magic_pig(tables = 6, bits = 4))",
    )

    def test_calls_with_an_index_are_those_without(self):
        for spec in self.SPECS:
            attn = maskjit.compile(spec)
            query, key, value = operands(q_len=3, kv_len=300)
            with self.subTest(spec=spec):
                index = attn.key_index(query, key[:, :, :100], seed=9)
                for kv_len in (100, 101, 180, 300, 150):
                    keys, values = key[:, :, :kv_len], value[:, :, :kv_len]
                    index.update(keys)
                    self.assertEqual(len(index), kv_len)
                    want = attn(query, keys, values, sampling=maskjit.Sampling(seed=9))
                    got = attn(query, keys, values, index=index, sampling=maskjit.Sampling(seed=9))
                    self.assertTrue(torch.equal(got, want), kv_len)
                    again = attn.key_index(query, keys, seed=9)
                    self.assertTrue(torch.equal(attn(query, keys, values, index=again, sampling=maskjit.Sampling(seed=9)), want))

    def test_other_keys(self):
        attn = maskjit.compile(self.SPECS[0])
        query, key, value = operands(q_len=3, kv_len=64)
        index = attn.key_index(query, key)
        other = torch.randn_like(key)
        with self.assertRaises(ValueError):
            index.update(other)
        self.assertTrue(torch.equal(attn(query, key, value, index=index), attn(query, key, value)))
        index.update(other, unchanged=0)
        self.assertTrue(torch.equal(attn(query, other, value, index=index), attn(query, other, value)))

    def test_files(self):
        attn = maskjit.compile(self.SPECS[1])
        query, key, value = operands(q_len=3, kv_len=64)
        index = attn.key_index(query, key, seed=4)
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "layer.index"
            index.save(path)
            loaded = maskjit.KeyIndex.load(path)
            self.assertEqual((len(loaded), loaded.seed, loaded.nbytes), (64, 4, index.nbytes))
            self.assertEqual(repr(loaded), repr(index))
            self.assertTrue(torch.equal(attn(query, key, value, index=loaded), attn(query, key, value, index=index)))
            path.write_bytes(path.read_bytes()[:-5])
            with self.assertRaises((ValueError, RuntimeError)):
                maskjit.KeyIndex.load(path)

    def test_handles_keep_the_index_and_its_copies_name_it(self):
        attn = maskjit.compile(self.SPECS[0])
        query, key, value = operands(q_len=3, kv_len=64)
        handle = attn.key_index(query, key)._handle
        call = lambda index: torch.ops.maskjit.attention(query, key, value, self.SPECS[0], index=index)
        want = attn(query, key, value)
        self.assertTrue(torch.equal(call(handle), want))
        copy = handle.clone()
        self.assertTrue(torch.equal(call(copy), want))
        del handle
        with self.assertRaisesRegex(ValueError, "there is no index"):
            call(copy)

    def test_copies_of_handles_do_not_outlive_an_update(self):
        # A program that reads an index after it was updated, but with the handle of before, gets an error, not other keys.
        attn = maskjit.compile(self.SPECS[0])
        query, key, value = operands(q_len=3, kv_len=64)
        index = attn.key_index(query, key)
        copy = index._handle.clone()
        index.update(key)
        with self.assertRaisesRegex(ValueError, "was updated since: update it before the calls"):
            torch.ops.maskjit.attention(query, key, value, self.SPECS[0], index=copy)
        self.assertTrue(torch.equal(attn(query, key, value, index=index), attn(query, key, value)))
        self.assertTrue(torch.equal(attn(query, key, value, index=copy_of(index)), attn(query, key, value)))

    def test_tracing(self):
        attn = maskjit.compile(self.SPECS[0])
        query, key, value = operands(q_len=3, kv_len=300)

        def step(query, key, value, new_key, new_value, index):
            key, value = torch.cat([key, new_key], 2), torch.cat([value, new_value], 2)
            index.update(key)
            return attn(query * 2, key, value, index=index), key, value

        for backend in ("aot_eager", "inductor"):
            compiled = torch.compile(step, backend=backend, fullgraph=True)
            got = want = (None, key, value)
            indexes = [attn.key_index(query, key) for _ in range(2)]
            for i in range(3):
                new = operands(q_len=3, kv_len=1 + i % 2, seed=i)[1:]
                got = compiled(query, *got[1:], *new, indexes[0])
                want = step(query, *want[1:], *new, indexes[1])
                assert_close(self, got[0], want[0].double())
                self.assertEqual(len(indexes[0]), got[1].shape[2])
        index = attn.key_index(query, key)
        arguments = (query, key, value, self.SPECS[0])
        torch.library.opcheck(torch.ops.maskjit.attention.default, arguments, {"index": index._handle})
        # Each run of an update changes the handle: the checks that compare several runs are not for it.
        for unchanged in (None, 0, 7):
            checks = ("test_schema", "test_autograd_registration", "test_faketensor")
            torch.library.opcheck(torch.ops.maskjit.update_index.default, (index._handle, key, unchanged), test_utils=checks)


def copy_of(index):
    """The same index by a copy of its handle, as tracers make them."""
    copy = maskjit.KeyIndex._of(index._held)
    copy._handle = index._handle.clone()
    return copy


class Hub(unittest.TestCase):
    """Deterministic maskers select the keys of that code's formulas, among those that the additive mask allows."""

    def check(self, maskers, want, tensors, allowed, layer_idx=0):
        attention = hub.create_from_config(hub.ResearchAttentionConfig(maskers))
        expected = reference(*tensors, mask=want & allowed, scale=SCALING)
        meta_data = {}
        for _ in range(2):  # the second time with what the first one kept
            output, weights = attention.custom_attention(
                None, *tensors, additive(allowed), SCALING, 0.0, meta_data, True, layer_idx=layer_idx
            )
            assert_close(self, weights, expected["weights"])
            assert_close(self, output, expected["output"].transpose(1, 2))
        output, _ = attention.custom_attention(None, *tensors, additive(allowed), SCALING, 0.0, {}, layer_idx=layer_idx)
        assert_close(self, output, expected["output"].transpose(1, 2))

    def problems(self):
        for seed, (q_len, kv_len) in enumerate(((50, 70), (1, 130), (7, 200))):
            tensors = operands(q_len=q_len, kv_len=kv_len, seed=seed)
            allowed = causal(q_len, kv_len)
            q, k = positions(q_len, kv_len)
            yield tensors, allowed, ((k < 4) | ((q - 16 < k) & (k <= q))) & allowed

    def test_oracles(self):
        static_maskers = [hub.SinkMaskerConfig(4), hub.LocalMaskerConfig(16)]
        for tensors, allowed, static in self.problems():
            s = logits(*tensors[:2])
            left = allowed & ~static
            count = int(0.1 * tensors[1].shape[2])
            self.check([*static_maskers, hub.OracleTopKConfig(9)], static | top_k(s, 9, left), tensors, allowed)
            self.check([*static_maskers, hub.OracleTopKConfig(0.1)], static | top_k(s, count, left), tensors, allowed)
            self.check([hub.OracleTopPMaskerConfig(0.8)], top_p(s, 0.8, allowed), tensors, allowed)

    def test_quest(self):
        for tensors, allowed, _ in self.problems():
            query, key, _ = tensors
            kv_len, page = key.shape[2], 8
            repeated = key.double().repeat_interleave(2, 1)
            pages = repeated.split(page, 2)
            low = torch.stack([p.amin(2) for p in pages], 2)
            high = torch.stack([p.amax(2) for p in pages], 2)
            bound = torch.maximum(query.double().unsqueeze(3) * low.unsqueeze(2), query.double().unsqueeze(3) * high.unsqueeze(2)).sum(-1)
            has_candidate = torch.stack([part.any(-1) for part in allowed.split(page, -1)], -1)
            best = top_k(bound, max(3, 40 // page), has_candidate.expand(bound.shape))
            tokens = best.repeat_interleave(page, -1)[..., :kv_len]
            self.check([hub.QuestTopKMaskerConfig(40, page)], tokens, tensors, allowed)

    def test_double_sparsity(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "channels.json"
            generator = torch.Generator().manual_seed(1)
            lists = [torch.randperm(32, generator=generator).tolist() for _ in range(4)]
            path.write_text(json.dumps({"model.layers.3.self_attn.q_proj": lists}), encoding="utf-8")
            for bits in (16, 4):
                masker = hub.DoubleSparsityTopKMaskerConfig(9, path, group_factor=4, label_bits=bits, channel_selection="q_proj")
                for tensors, allowed, _ in self.problems():
                    query, key = tensors[0].double(), tensors[1].double().repeat_interleave(2, 1)
                    heavy = torch.tensor([channels[:8] for channels in lists]).view(1, 4, 1, 8)

                    def chosen(x, heavy=heavy, bits=bits):
                        return quantised(x.gather(-1, heavy.expand(*x.shape[:3], -1)), bits)

                    self.check([masker], top_k(chosen(query) @ chosen(key).mT, 9, allowed), tensors, allowed, layer_idx=3)

    def test_hash_attention(self):
        # Scores tie often: the lower key wins, which a tiny slope says here.
        from hub_maskers_test import hash_config, mlp_weights

        weights = {5: mlp_weights(widths=(24, 24, 40))}
        for activation, function in (
            ("relu", torch.relu), ("silu", torch.nn.functional.silu), ("gelu", torch.nn.functional.gelu), ("tanh", torch.tanh),
        ):  # fmt: skip
            masker = hash_config(heavy_size=9, hat_weights=weights, hat_mlp_activation=activation)
            for tensors, allowed, _ in self.problems():
                signs = []
                for side, x in (("query", tensors[0].double()), ("key", tensors[1].double().repeat_interleave(2, 1))):
                    for i in range(3):
                        x = x @ weights[5][f"{side}_matrix"][i].double() + weights[5][f"{side}_bias"][i].double().unsqueeze(1)
                        x = function(x) if i < 2 else torch.where(x > 0, 1.0, -1.0).double()
                    signs.append(x)
                score = signs[0] @ signs[1].mT - 1e-4 * torch.arange(tensors[1].shape[2])
                self.check([masker], top_k(score, 9, allowed), tensors, allowed, layer_idx=5)

    def test_sampling_maskers(self):
        tensors = operands(heads=8, kv_heads=4, q_len=40, kv_len=400)
        allowed = causal(40, 400)
        static_maskers = [hub.SinkMaskerConfig(16), hub.LocalMaskerConfig(16)]
        dense = reference(*tensors, mask=allowed, scale=SCALING)["output"].transpose(1, 2)
        for masker in (
            hub.RandomSamplingMaskerConfig(0.3),
            hub.AdaptiveSamplingMaskerConfig(0.1, 0.1, 0.1, 16, 16),
            hub.MagicPigConfig(lsh_l=20, lsh_k=2),
        ):
            attention = hub.ResearchAttention([*static_maskers, masker])
            call = lambda attention=attention, layer=0: attention.custom_attention(
                None, *tensors, additive(allowed), SCALING, 0.0, {}, layer_idx=layer
            )[0]
            with self.subTest(masker=masker):
                torch.manual_seed(1)
                first = call()
                torch.manual_seed(1)
                self.assertTrue(torch.equal(call(), first))
                if isinstance(masker, hub.MagicPigConfig):
                    self.assertTrue(torch.equal(call(), first))  # of its own seed
                    self.assertFalse(torch.equal(call(layer=1), first))
                else:
                    self.assertFalse(torch.equal(call(), first))
                # An estimate of dense attention: unbiased, so that the mean of several is nearer.
                several = torch.stack([call(layer=i).double() for i in range(16)])
                one, mean = (several[0] - dense).norm(), (several.mean(0) - dense).norm()
                self.assertLess(mean, 0.5 * one)

    def test_kept_indexes_follow_the_keys(self):
        attention = hub.ResearchAttention([hub.SinkMaskerConfig(4), hub.QuestTopKMaskerConfig(32, 8)])
        query, key, value = operands(q_len=1, kv_len=300)
        meta_data = {}
        for kv_len in (200, 201, 240, 300, 120):
            keys, values = key[:, :, :kv_len], value[:, :, :kv_len]
            got, _ = attention.custom_attention(None, query, keys, values, None, SCALING, 0.0, meta_data, layer_idx=0)
            want, _ = attention.custom_attention(None, query, keys, values, None, SCALING, 0.0, None)
            self.assertTrue(torch.equal(got, want))
        other = torch.randn_like(key)
        got, _ = attention.custom_attention(None, query, other, value, None, SCALING, 0.0, meta_data, layer_idx=0)
        want, _ = attention.custom_attention(None, query, other, value, None, SCALING, 0.0, None)
        self.assertTrue(torch.equal(got, want))


def quantised(x, bits):
    """Asymmetric min-max quantisation of each vector, and back."""
    if bits == 16:
        return x
    low, high = x.amin(-1, True), x.amax(-1, True)
    scale = (2**bits - 1) / torch.where(high == low, 1.0, high - low)
    return ((x - low) * scale).round().clamp(0, 2**bits - 1) / scale + low


if __name__ == "__main__":
    unittest.main()
