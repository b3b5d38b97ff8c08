"""maskjit.hub against the formulas of sparse-attention-hub (section 2 of its description), replayed in float64."""

import math
import unittest

import torch

from maskjit import Mask, hub
from reference import assert_close, operands, positions

SCALING = 0.2


def replay(query, key, value, attention_mask, mask=None, epsilon=0.0):
    """Denominator, numerator, output [B, Lq, H, Dv] and weights. mask: dense weights, or None for no mask.

    epsilon: what that code adds to the weights before it divides by them, 1e-6.
    """
    query, key, value = query.double(), key.double(), value.double()
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
    s = query @ key.transpose(-1, -2) * SCALING
    if attention_mask is not None:
        s = s + attention_mask[:, :, :, : key.shape[2]].double()
    e = torch.exp(s - s.amax(-1, keepdim=True))  # the maximum over all keys
    if mask is not None:
        mask = mask.double()
        e = torch.where(mask != 0, e / (mask + epsilon), 0.0)
    denominator, numerator = e.sum(-1, keepdim=True), e @ value
    return denominator, numerator, (numerator / denominator).transpose(1, 2), e / denominator


def random_mask(shape, weighted, seed=5):
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(shape, generator=generator) < 0.3
    active[..., 0] = True  # every row sees something
    weights = torch.rand(shape, generator=generator).clamp(min=0.05) if weighted else torch.ones(shape)
    return torch.where(active, weights, 0.0)


def causal_mask(query, key, columns=0, minimum=torch.finfo(torch.float32).min):
    """As transformers make it, with `columns` more than there are keys."""
    q, k = positions(query.shape[2], key.shape[2])
    mask = torch.where(k <= q, 0.0, minimum)
    return torch.nn.functional.pad(mask, (0, columns), value=minimum)[None, None]


class Functions(unittest.TestCase):
    def check(self, tensors, attention_mask, mask, want, tolerance=1e-5):
        query, key, value = tensors
        arguments = (attention_mask, SCALING, 0.0, mask)
        assert_close(self, hub.get_attention_denominator(None, query, key, *arguments), want[0], tolerance, "denominator")
        assert_close(self, hub.get_attention_numerator(None, query, key, value, *arguments), want[1], tolerance, "numerator")
        assert_close(self, hub.get_masked_attention_output(None, query, key, value, *arguments), want[2], tolerance, "output")
        output, weights = hub.get_masked_attention_output(
            None, query, key, value, *arguments, return_attention_weights=True, mode="sparse"
        )
        assert_close(self, output, want[2], tolerance, "output")
        assert_close(self, weights, want[3], tolerance, "weights")

    def test_without_a_mask(self):
        for kv_heads in (4, 2, 1):
            tensors = operands(kv_heads=kv_heads, dim_v=24)
            for attention_mask in (None, causal_mask(*tensors[:2]), causal_mask(*tensors[:2], columns=13)):
                with self.subTest(kv_heads=kv_heads):
                    self.check(tensors, attention_mask, None, replay(*tensors, attention_mask))

    def test_with_a_mask(self):
        tensors = operands(dim_v=24)
        attention_mask = causal_mask(*tensors[:2], columns=5)
        for weighted in (False, True):
            dense = random_mask((2, 4, 50, 70), weighted)
            want = replay(*tensors, attention_mask, dense)
            for mask in (Mask.from_dense(dense), Mask.from_dense(dense).index()):
                with self.subTest(weighted=weighted, representation=mask.representation):
                    self.check(tensors, attention_mask, mask, want)

    def test_full_mask_is_no_mask(self):
        tensors = operands()
        self.check(tensors, None, Mask.full((2, 4, 50, 70)), replay(*tensors, None))

    def test_key_value_groups(self):
        query, key, value = operands()
        self.assertEqual(hub.get_num_key_value_groups(query, key), 2)
        three = key[:, :1].expand(-1, 3, -1, -1)
        for call in (
            lambda: hub.get_num_key_value_groups(query, three),
            lambda: hub.get_attention_denominator(None, query, three, None, SCALING, 0.0),
            lambda: hub.get_masked_attention_output(None, query, three, three, None, SCALING, 0.0),
        ):
            with self.assertRaisesRegex(ValueError, r"num_attention_heads \(4\) must be divisible by num_key_value_heads \(3\)"):
                call()

    def test_errors(self):
        query, key, value = operands()
        with self.assertRaisesRegex(ValueError, r"\[2, 4, 50, 69\], but the queries and keys need \[2, 4, 50, 70\]"):
            hub.get_masked_attention_output(None, query, key, value, None, SCALING, 0.0, Mask.full((2, 4, 50, 69)))
        with self.assertRaisesRegex(TypeError, "is a Tensor; a maskjit.Mask is needed"):
            hub.get_masked_attention_output(None, query, key, value, None, SCALING, 0.0, torch.ones(2, 4, 50, 70))


class Dropout(unittest.TestCase):
    def test_only_in_training(self):
        tensors = operands()
        want = hub.get_masked_attention_output(None, *tensors, None, SCALING, 0.0)
        module = torch.nn.Linear(1, 1)
        for given in (None, False, module.eval()):
            self.assertTrue(torch.equal(hub.get_masked_attention_output(given, *tensors, None, SCALING, 0.5), want))
        for given in (True, module.train()):
            self.assertFalse(torch.equal(hub.get_masked_attention_output(given, *tensors, None, SCALING, 0.5), want))

    def test_before_normalisation(self):
        query, key, value = operands(q_len=40, kv_len=200)
        dense = random_mask((2, 4, 40, 200), weighted=True)
        mask, probability = Mask.from_dense(dense), 0.25
        arguments = (None, SCALING, probability, mask)
        torch.manual_seed(3)
        output, weights = hub.get_masked_attention_output(
            True, query, key, value, *arguments, return_attention_weights=True
        )
        # What stayed has the exponentials of before, over 1 - p; weights sum to 1 again.
        kept = weights > 0
        denominator, _, _, without = replay(query, key, value, None, dense)
        left = torch.where(kept, without * denominator / (1 - probability), 0.0)
        assert_close(self, weights, left / left.sum(-1, keepdim=True))
        assert_close(self, output, (weights.double() @ value.double().repeat_interleave(2, 1)).transpose(1, 2))
        share = (kept & (dense > 0)).sum().item() / (dense > 0).sum().item()
        spread = math.sqrt(probability * (1 - probability) / (dense > 0).sum().item())
        self.assertLess(abs(share - (1 - probability)), 4 * spread)
        # torch's seed repeats it, and the three functions drop the same.
        torch.manual_seed(3)
        self.assertTrue(torch.equal(hub.get_masked_attention_output(True, query, key, value, *arguments), output))
        torch.manual_seed(3)
        assert_close(self, hub.get_attention_denominator(True, query, key, *arguments), left.sum(-1, keepdim=True))


class NamedDifferences(unittest.TestCase):
    """Where semantics.md, section 5, decides otherwise than that code."""

    def test_inverse_weights_are_exact(self):
        tensors = operands()
        dense = random_mask((2, 4, 50, 70), weighted=True)
        dense[dense > 0] = torch.where(dense[dense > 0] < 0.5, 1e-4, 1.0)
        got = hub.get_attention_denominator(None, *tensors[:2], None, SCALING, 0.0, Mask.from_dense(dense))
        assert_close(self, got, replay(*tensors, None, dense)[0])
        theirs = replay(*tensors, None, dense, epsilon=1e-6)[0]
        self.assertGreater(((got - theirs) / got).abs().max().item(), 5e-3)

    def test_empty_mask_excludes_every_key(self):
        query, key, value = operands()
        empty = Mask.empty((2, 4, 50, 70))
        self.assertTrue((hub.get_masked_attention_output(None, query, key, value, None, SCALING, 0.0, empty) == 0).all())
        self.assertTrue((hub.get_attention_denominator(None, query, key, None, SCALING, 0.0, empty) == 0).all())

    def test_rows_without_keys_are_zero(self):
        tensors = operands()
        dense = random_mask((2, 4, 50, 70), weighted=False)
        dense[:, 1, 7] = 0
        got = hub.get_masked_attention_output(None, *tensors, None, SCALING, 0.0, Mask.from_dense(dense))
        self.assertTrue((got[:, 7, 1] == 0).all())
        self.assertFalse(got.isnan().any())

    def test_half_precision(self):
        for dtype, tolerance in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
            tensors = operands(dtype=dtype)
            dense = random_mask((2, 4, 50, 70), weighted=False)
            got = hub.get_masked_attention_output(
                None, *tensors, causal_mask(*tensors[:2]), SCALING, 0.0, Mask.from_dense(dense)
            )
            self.assertEqual(got.dtype, dtype)
            assert_close(self, got, replay(*tensors, causal_mask(*tensors[:2]), dense)[2], tolerance)

    def test_bool_additive_mask(self):
        tensors = operands()
        q, k = positions(50, 70)
        got = hub.get_masked_attention_output(None, *tensors, (k <= q)[None, None], SCALING, 0.0)
        assert_close(self, got, replay(*tensors, causal_mask(*tensors[:2], minimum=-math.inf))[2])


class ResearchAttention(unittest.TestCase):
    def check(self, maskers, active, tensors=None):
        tensors = tensors or operands(q_len=9, kv_len=70)
        attention_mask = causal_mask(*tensors[:2])
        attention = hub.create_from_config(hub.ResearchAttentionConfig(maskers))
        output, weights = attention.custom_attention(None, *tensors, attention_mask, SCALING, 0.0, {})
        dense = active.expand(2, 4, -1, -1).double()
        want = replay(*tensors, attention_mask, dense)
        assert_close(self, output, want[2])
        self.assertIsNone(weights)
        output, weights = attention.custom_attention(
            None, *tensors, attention_mask, SCALING, 0.0, {}, return_attention_weights=True, layer_idx=3
        )
        assert_close(self, output, want[2])
        assert_close(self, weights, want[3])

    def test_static_maskers(self):
        q, k = positions(9, 70)
        sink, local = (k < 4) & (q == q), (q - 16 < k) & (k <= q)
        sinks, locals_ = hub.SinkMaskerConfig(4), hub.LocalMaskerConfig(16)
        self.check([sinks, locals_], sink | local)
        self.check([locals_, sinks], sink | local)
        self.check([hub.SinkMaskerConfig(0.1), hub.LocalMaskerConfig(0.29)], (k < 7) | ((q - 20 < k) & (k <= q)))
        self.check([], torch.ones(9, 70, dtype=torch.bool))
        self.check([sinks, "strided(5)"], sink | ((q - k) % 5 == 0))

    def test_causal_masker_masks(self):
        q, k = positions(9, 70)
        tensors = operands(q_len=9, kv_len=70)
        output, _ = hub.ResearchAttention([hub.FixedMaskerConfig()]).custom_attention(None, *tensors, None, SCALING, 0.0, {})
        assert_close(self, output, replay(*tensors, None, (k <= q).double())[2])

    def test_local_windows_keep_what_others_chose(self):
        # Sinks in the future of the first query stay, in either order.
        q, k = positions(9, 9)
        tensors = operands(q_len=9, kv_len=9)
        want = replay(*tensors, None, ((k < 4) | ((q - 2 < k) & (k <= q))).double())[2]
        for maskers in ([hub.SinkMaskerConfig(4), hub.LocalMaskerConfig(2)], [hub.LocalMaskerConfig(2), hub.SinkMaskerConfig(4)]):
            output, _ = hub.ResearchAttention(maskers).custom_attention(None, *tensors, None, SCALING, 0.0, {})
            assert_close(self, output, want)

    def test_errors(self):
        random = hub.RandomSamplingMaskerConfig(0.1)
        for error, pattern, call in (
            (TypeError, "Expected ResearchAttentionConfig, got list", lambda: hub.create_from_config([])),
            (ValueError, "Only one sampling masker supported", lambda: hub.ResearchAttention([random, random])),
            (ValueError, "sink_size must be > 0, got 0", lambda: hub.ResearchAttention([hub.SinkMaskerConfig(0)])),
            (ValueError, "window_size must be > 0, got -0.5", lambda: hub.ResearchAttention([hub.LocalMaskerConfig(-0.5)])),
            (ValueError, "No masker class registered for config type: int", lambda: hub.ResearchAttention([3])),
            (ValueError, r"sampling_rate must be in range \(0, 1\], got 0",
             lambda: hub.ResearchAttention([hub.RandomSamplingMaskerConfig(0)])),
        ):
            with self.subTest(pattern=pattern), self.assertRaisesRegex(error, pattern):
                call()


if __name__ == "__main__":
    unittest.main()
