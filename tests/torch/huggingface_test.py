"""maskjit.huggingface: indexes that follow a kv cache, and what selectors draw, on a Llama with random weights."""

import copy
import io
import sys
import unittest

import torch

try:
    import transformers
except ImportError:
    print("skipped: no transformers")
    sys.exit(77)

import maskjit
from maskjit import huggingface

LAYERS, HEADS, KV_HEADS, HEAD_DIM = 2, 4, 2, 16
PAGES = "causal() & (sink(2) then local(6) then top_k(12, by = page_bound(4)))"
CODES = "causal() & (sink(2) then top_k(12, by = pq_codes(sub_dims = 4, bits = 3)))"
DRAWN = "causal() & (sink(2) then local(6) then random(0.4))"
CHANNELS = """attention main(table: tensor<i32>[num_heads, 4]) {
    mask causal() & (local(6) then top_k(8, by = channels(table)))
}"""


def make_model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=200,
        hidden_size=HEADS * HEAD_DIM,
        intermediate_size=64,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        initializer_range=0.2,
    )
    return transformers.LlamaForCausalLM(config).eval()


def generate(model, tokens, cache=None, **options):
    return model.generate(
        tokens,
        attention_mask=torch.ones_like(tokens),
        max_new_tokens=8,
        do_sample=False,
        pad_token_id=0,
        past_key_values=cache,
        output_scores=True,
        return_dict_in_generate=True,
        **options,
    )


class Counted:
    """Counts the indexes that are made and updated."""

    def __enter__(self):
        self.made = self.updated = 0
        self._make, self._update = maskjit.Attention.key_index, maskjit.KeyIndex.update

        def make(attention, *args, **named):
            self.made += 1
            return self._make(attention, *args, **named)

        def update(index, *args):
            self.updated += 1
            return self._update(index, *args)

        maskjit.Attention.key_index, maskjit.KeyIndex.update = make, update
        return self

    def __exit__(self, *exception):
        maskjit.Attention.key_index, maskjit.KeyIndex.update = self._make, self._update


class Indexes(unittest.TestCase):
    def setUp(self):
        self.enterContext(torch.inference_mode())
        self.model = make_model()
        self.tokens = torch.randint(1, 200, (2, 40), generator=torch.Generator().manual_seed(3))

    def use(self, spec, **parameters):
        huggingface.register("tested", maskjit.compile(spec), **parameters)
        self.model.set_attn_implementation("tested")

    def same(self, one, other):
        self.assertTrue(torch.equal(one.sequences, other.sequences))
        for a, b in zip(one.scores, other.scores, strict=True):
            self.assertTrue(torch.equal(a, b))

    def test_generation_with_an_index_is_that_without(self):
        table = torch.arange(4, dtype=torch.int32).expand(HEADS, 4).contiguous()
        for spec, parameters in ((PAGES, {}), (CODES, {}), (CHANNELS, {"table": table})):
            with self.subTest(spec=spec):
                self.use(spec, **parameters)
                want = generate(self.model, self.tokens)
                with Counted() as counted:
                    got = generate(self.model, self.tokens, huggingface.IndexedCache())
                self.assertEqual((counted.made, counted.updated), (LAYERS, LAYERS * 7))
                self.same(got, want)

    def test_a_spec_without_per_key_data_has_no_index(self):
        self.use("causal() & (sink(2) then top_k(8))")
        want = generate(self.model, self.tokens)
        with Counted() as counted:
            self.same(generate(self.model, self.tokens, huggingface.IndexedCache()), want)
        self.assertEqual((counted.made, counted.updated), (LAYERS, 0))  # asked for once a layer

    def test_other_parameters_have_an_index_of_their_own(self):
        attn = maskjit.compile(CHANNELS)
        logits = []
        for cache in (huggingface.IndexedCache(), transformers.DynamicCache()):
            for step in range(3):
                table = torch.arange(step, step + 4, dtype=torch.int32).expand(HEADS, 4).contiguous()
                huggingface.register("tested", attn, table=table)
                self.model.set_attn_implementation("tested")
                fresh = self.tokens[:, :-2] if step == 0 else self.tokens[:, -3 + step][:, None]
                logits.append(self.model(fresh, past_key_values=cache).logits)
        for indexed, without in zip(logits[:3], logits[3:]):
            self.assertTrue(torch.equal(indexed, without))

    def test_each_cache_has_its_own(self):
        self.use(PAGES)
        # The same first 39 tokens, and others.
        texts = [self.tokens, self.tokens.clone(), torch.flip(self.tokens, [1])]
        texts[1][:, -1] = 7
        caches = [huggingface.IndexedCache() for _ in texts]
        logits = [[] for _ in texts]
        for step in range(6):
            for text, cache, into in zip(texts, caches, logits):
                fresh = text if step == 0 else text[:, step : step + 1]
                into.append(self.model(input_ids=fresh, past_key_values=cache).logits[:, -1])
        for text, got in zip(texts, logits):
            cache = transformers.DynamicCache()
            for step in range(6):
                fresh = text if step == 0 else text[:, step : step + 1]
                want = self.model(input_ids=fresh, past_key_values=cache).logits[:, -1]
                self.assertTrue(torch.equal(got[step], want))

    def test_caches_that_are_changed(self):
        self.use(PAGES)

        def run(cache):
            """Logits after each change."""
            logits = []

            def step(tokens):
                logits.append(self.model(input_ids=tokens, past_key_values=cache).logits[:, -1])

            step(self.tokens)
            step(self.tokens[:, :1])
            cache.crop(-9)
            step(self.tokens[:, 5:8])
            cache.crop(-2)
            cache.crop(-3)
            step(self.tokens[:, 20:40])
            cache.reorder_cache(torch.tensor([1, 0]))
            step(self.tokens[:, 1:2])
            other = copy.deepcopy(cache)
            step(self.tokens[:, 2:3])
            logits.append(self.model(input_ids=self.tokens[:, 3:4], past_key_values=other).logits[:, -1])
            cache.batch_select_indices(torch.tensor([1]))
            step(self.tokens[:1, 4:5])
            cache.batch_repeat_interleave(2)
            step(self.tokens[:, 5:6])
            cache.reset()
            step(self.tokens[:, :15])
            return logits

        for got, want in zip(run(huggingface.IndexedCache()), run(transformers.DynamicCache()), strict=True):
            self.assertTrue(torch.equal(got, want))

    def test_beams(self):
        self.use(PAGES)
        want = generate(self.model, self.tokens, num_beams=3)
        self.same(generate(self.model, self.tokens, huggingface.IndexedCache(), num_beams=3), want)

    def test_other_caches_stay_what_they_are(self):
        self.assertNotIsInstance(transformers.DynamicCache(config=self.model.config).layers[0], huggingface.IndexedLayer)

    def test_saved_caches_make_indexes_anew(self):
        self.use(PAGES)
        cache = huggingface.IndexedCache()
        self.model(input_ids=self.tokens, past_key_values=cache)
        file = io.BytesIO()
        for layer in cache.layers:
            torch.save(layer._indexes, file)
        file.seek(0)
        self.assertEqual(torch.load(file, weights_only=False)._kept, {})


class Sampled(unittest.TestCase):
    def setUp(self):
        self.enterContext(torch.inference_mode())
        self.model = make_model()
        self.tokens = torch.randint(1, 200, (1, 60), generator=torch.Generator().manual_seed(3))

    def run_with(self, sampling):
        huggingface.register("tested", maskjit.compile(DRAWN), sampling=sampling)
        self.model.set_attn_implementation("tested")
        return torch.cat(generate(self.model, self.tokens).scores)

    def test_runs_repeat_and_seeds_differ(self):
        first = self.run_with(maskjit.Sampling(seed=5))
        self.assertTrue(torch.equal(first, self.run_with(maskjit.Sampling(seed=5))))
        self.assertTrue(torch.equal(self.run_with(None), self.run_with(maskjit.Sampling(seed=0))))
        for other in (maskjit.Sampling(seed=6), maskjit.Sampling(seed=5, offset=1), maskjit.Sampling()):
            self.assertFalse(torch.equal(first, self.run_with(other)))
        torch.manual_seed(1)
        drawn = self.run_with(maskjit.Sampling())
        torch.manual_seed(1)
        self.assertTrue(torch.equal(drawn, self.run_with(maskjit.Sampling())))

    def test_the_same_sequence_with_an_indexed_cache(self):
        first = self.run_with(maskjit.Sampling(seed=5))
        self.assertTrue(torch.equal(torch.cat(generate(self.model, self.tokens, huggingface.IndexedCache()).scores), first))

    def test_layers_and_steps_draw_independently(self):
        seen = []

        class Recorded(maskjit.Attention):
            def __call__(self, *args, sampling, **named):
                seen.append((sampling.seed, sampling.offset))
                return super().__call__(*args, sampling=sampling, **named)

        attn = maskjit.compile(DRAWN)
        huggingface.register("tested", Recorded(*attn._spec), sampling=maskjit.Sampling(seed=5, offset=100))
        self.model.set_attn_implementation("tested")
        generate(self.model, self.tokens)
        offsets = [0, *range(60, 67)]
        self.assertEqual(seen, [(5 + layer, 100 + past) for past in offsets for layer in range(LAYERS)])

    def test_wrong_arguments(self):
        causal = maskjit.compile("causal")
        for name in ("sdpa", "eager", "flex_attention"):
            with self.assertRaisesRegex(ValueError, f"'{name}' is an implementation of transformers"):
                huggingface.register(name, causal)
        with self.assertRaisesRegex(TypeError, "attn is a str; what maskjit.compile gives is needed"):
            huggingface.register("tested", "causal")

    def test_wrong_sampling(self):
        with self.assertRaisesRegex(TypeError, "sampling is a int; a maskjit.Sampling is needed"):
            huggingface.register("tested", maskjit.compile(DRAWN), sampling=5)


if __name__ == "__main__":
    unittest.main()
