"""torch.ops.maskjit.* and the package over it, against float64."""

import io
import threading
import time
import unittest
import warnings

import torch

import maskjit
from maskjit import hub
from reference import MASKS, TOLERANCE, assert_close, operands, positions, reference

RECENT = "masker recent(n: int) = causal() & (sink(4) | local(n))"


EXPLICIT = "masker m(m: tensor<bit>[batch, num_heads, q_len, kv_len]) = sink(2) | explicit(m)"


def explicit_masks(q_len, kv_len, leading=(1, 1)):
    """Bits, weights, and weights as an index."""
    generator = torch.Generator().manual_seed(8)
    shape = (*leading, q_len, kv_len)
    active = torch.rand(shape, generator=generator) < 0.3
    weights = torch.where(active, torch.rand(shape, generator=generator).clamp(min=0.1), 0.0)
    weighted = maskjit.Mask.from_dense(weights)
    return maskjit.Mask.from_dense(active), weighted, weighted.index()


def recent(q_len, kv_len, n, q_offset=None):
    q, k = positions(q_len, kv_len, q_offset)
    return (k <= q) & ((k < 4) | (q - k < n))


class Results(unittest.TestCase):
    def test_types_and_layouts(self):
        attn = maskjit.compile(RECENT, n=9)
        for dtype, tolerance in TOLERANCE.items():
            for layout in ("heads first", "rows first", "padded", "one head for all", "columns apart"):
                with self.subTest(dtype=dtype, layout=layout):
                    tensors = operands(dtype=dtype, dim=40, dim_v=24)
                    if layout == "rows first":
                        tensors = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in tensors]
                    elif layout == "padded":
                        tensors = [torch.nn.functional.pad(t, (3, 5, 1, 1))[:, :, 1:-1, 3:-5] for t in tensors]
                    elif layout == "one head for all":
                        tensors = [t[:, :1].expand(-1, 2, -1, -1) for t in tensors]
                    elif layout == "columns apart":
                        tensors = [t.transpose(2, 3).contiguous().transpose(2, 3) for t in tensors]
                    want = reference(*tensors, mask=recent(50, 70, 9))["output"]
                    assert_close(self, attn(*tensors), want, tolerance)

    def test_no_copies_of_strided_operands(self):
        # [B, L, H, D] seen as [B, H, L, D], one batch for all.
        key = torch.randn(1, 8, 4, 16).expand(100, -1, -1, -1).transpose(1, 2)
        query = key[:, :, :1]
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
            maskjit.compile("causal")(query, key, key)
        called = {event.key for event in profile.key_averages()}
        self.assertIn("maskjit::attention", called)
        self.assertFalse([name for name in called if "copy" in name or "contiguous" in name or "clone" in name], called)

    def test_all_results(self):
        attn = maskjit.compile(RECENT, n=5)
        tensors = operands()
        names = ["weights", "output", "lse", "row_max", "numerator", "denominator"]
        for row_max_over_all in (False, True):
            want = reference(*tensors, mask=recent(50, 70, 5), row_max_over_all=row_max_over_all)
            got = attn.results(*tensors, names, row_max_over_all=row_max_over_all)
            for name, tensor in zip(names, got, strict=True):
                with self.subTest(result=name, row_max_over_all=row_max_over_all):
                    assert_close(self, tensor, want[name], 1e-5, name)

    def test_transposed(self):
        tensors = operands(dtype=torch.bfloat16)
        attn = maskjit.compile("causal")
        out = attn(*tensors, transposed=True)
        self.assertTrue(out.is_contiguous())
        self.assertEqual(out.shape, (2, 50, 4, 32))
        self.assertTrue(torch.equal(out.transpose(1, 2), attn(*tensors)))
        both = attn.results(*tensors, ["lse", "output"], transposed=True)[1]
        self.assertTrue(torch.equal(both.transpose(1, 2), attn.results(*tensors, ["lse", "output"])[1]))

    def test_attn_mask(self):
        tensors = operands()
        attn = maskjit.compile("causal")
        causal = recent(50, 70, 1000)
        generator = torch.Generator().manual_seed(1)
        for shape in ((2, 4, 50, 70), (1, 1, 50, 90), (2, 1, 1, 70), (50, 70), (70,)):
            added = torch.randn(shape, generator=generator)
            added[..., ::3] = -torch.inf
            for attn_mask in (added, added.bfloat16(), added > 0):
                with self.subTest(shape=shape, dtype=attn_mask.dtype):
                    want = reference(*tensors, mask=causal, attn_mask=attn_mask)["output"]
                    assert_close(self, attn(*tensors, attn_mask=attn_mask), want)

    def test_explicit_masks(self):
        tensors = operands()
        attn = maskjit.compile("masker m(m: tensor<bit>[batch, num_heads, q_len, kv_len]) = causal() & explicit(m)")
        dense = torch.rand(2, 4, 50, 70, generator=torch.Generator().manual_seed(2)) < 0.2
        want = reference(*tensors, mask=recent(50, 70, 1000) & dense)["output"]
        for given in (maskjit.Mask.from_dense(dense), maskjit.Mask.from_dense(dense).index(), dense, dense.half()):
            with self.subTest(given=type(given)):
                assert_close(self, attn(*tensors, m=given), want)
        with self.assertRaisesRegex(ValueError, r"'m' .*mask\[2, 4, 50, 69\].*kv_len is 70, not 69"):
            attn(*tensors, m=maskjit.Mask.full((2, 4, 50, 69)))

    def test_dropout(self):
        tensors = operands()
        attn = maskjit.compile("causal")
        names, causal = ("output", "weights", "lse"), recent(50, 70, 1000)
        want = reference(*tensors, mask=causal)
        dropout = maskjit.Dropout(0.4, seed=5)
        output, weights, lse = attn.results(*tensors, names, dropout=dropout)
        kept = weights > 0
        assert_close(self, weights, torch.where(kept, want["weights"] / 0.6, 0.0))
        assert_close(self, lse, want["lse"])
        assert_close(self, output, weights.double() @ tensors[2].double().repeat_interleave(2, 1))
        count = 2 * 4 * int(causal.sum())
        self.assertLess(abs(kept.sum().item() / count - 0.6), 4 * (0.6 * 0.4 / count) ** 0.5)
        self.assertTrue(torch.equal(attn(*tensors, dropout=dropout), output))
        for other in (maskjit.Dropout(0.4, seed=6), maskjit.Dropout(0.4, seed=5, offset=1), maskjit.Dropout(0.4)):
            self.assertFalse(torch.equal(attn(*tensors, dropout=other), output))
        clause = maskjit.compile("attention main { mask causal() dropout 0.4 }")
        assert_close(self, clause(*tensors), want["output"])
        self.assertTrue(torch.equal(clause(*tensors, dropout=maskjit.Dropout(seed=5)), output))
        with self.assertRaisesRegex(ValueError, "1.5"):
            attn(*tensors, dropout=maskjit.Dropout(1.5))

    def test_scale_and_offset(self):
        tensors = operands()
        attn = maskjit.compile(RECENT, n=7)
        want = reference(*tensors, mask=recent(50, 70, 7, 3), scale=0.5)["output"]
        assert_close(self, attn(*tensors, scale=0.5, q_offset=3), want)

    def test_rows_without_keys_and_empty_tensors(self):
        query, key, value = operands()
        out, lse = maskjit.compile("causal").results(query, key, value, q_offset=-10)
        self.assertTrue((out[:, :, :10] == 0).all() and (lse[:, :, :10] == -torch.inf).all())
        self.assertEqual(maskjit.compile("causal")(query[:, :, :0], key, value).shape, (2, 4, 0, 32))
        out, lse = maskjit.compile("causal").results(query, key[:, :, :0], value[:, :, :0])
        self.assertTrue((out == 0).all() and (lse == -torch.inf).all())

    def test_decoding(self):
        query, key, value = operands(q_len=1, kv_len=3000, dim=64)
        want = reference(query, key, value, mask=recent(1, 3000, 1000))["output"]
        assert_close(self, maskjit.compile(RECENT, n=1000)(query, key, value), want)

    def test_sdpa(self):
        query, key, value = operands(q_len=70)
        want = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
        assert_close(self, maskjit.compile("causal")(query, key, value), want)

    def test_merge_partials(self):
        query, key, value = operands()
        attn = maskjit.compile("causal")
        parts = [
            attn.results(query, key[:, :, a:b], value[:, :, a:b], q_offset=20 - a) for a, b in ((0, 30), (30, 31), (31, 70))
        ]
        output, lse = maskjit.merge_partials([p[0] for p in parts], [p[1] for p in parts])
        want = attn.results(query, key, value)
        assert_close(self, output, want[0].double())
        assert_close(self, lse, want[1].double())


class Specs(unittest.TestCase):
    def test_files_strings_expressions_and_names(self):
        tensors = operands()
        want = reference(*tensors, mask=recent(50, 70, 16))["output"]
        text = (MASKS / "streaming_llm.masker").read_text(encoding="utf-8")
        for attn in (
            maskjit.compile(MASKS / "streaming_llm.masker", window=16),
            maskjit.compile(str(MASKS / "streaming_llm.masker"), constants={"window": 16}),
            maskjit.compile(text, "streaming_llm", window=16),
            maskjit.compile("causal() & (sink(4) | local(16))"),
            maskjit.compile(RECENT, n=16),
        ):
            with self.subTest(spec=repr(attn)):
                assert_close(self, attn(*tensors), want)
        assert_close(self, maskjit.compile("local", n=3)(*tensors), reference(*tensors, mask=_local(3))["output"])
        share = maskjit.compile("local", n="10%")(*tensors)
        assert_close(self, share, reference(*tensors, mask=_local(7))["output"])

    def test_imports_are_relative_to_the_file(self):
        tensors = operands(q_len=70)
        q, k = positions(70, 70)
        start = (q - 6).clamp(0, 70 - 13)
        want = reference(*tensors, mask=(start <= k) & (k < start + 13))["output"]
        assert_close(self, maskjit.compile(MASKS / "natten_1d.masker")(*tensors), want)

    def test_parameters(self):
        attn = maskjit.compile(
            "attention main(runtime n: int, runtime cap: float = 2.0, t: tensor<i32>[batch], c: int = 3) {\n"
            "  mask local(n) & k < t[batch] + c\n  score softcap(s, cap)\n}",
            c=5,
        )
        self.assertEqual(
            [(p.name, p.type, p.binding_time, p.default) for p in attn.parameters],
            [("n", "int", "runtime", ""), ("cap", "float", "runtime", "2"), ("t", "i32[batch]", "tensor", "")],
        )
        tensors = operands()
        q, k = positions(50, 70)
        lengths = torch.tensor([40, 60], dtype=torch.int32)
        mask = (q - 9 < k) & (k <= q) & (k < lengths.view(2, 1, 1, 1) + 5)
        for cap in (2.0, 3):
            want = reference(*tensors, mask=mask, score=lambda s, cap=cap: cap * torch.tanh(s / cap))["output"]
            assert_close(self, attn(*tensors, n=9, cap=cap, t=lengths), want)
        assert_close(self, attn(*tensors, parameters={"n": 9, "t": lengths}, cap=3), want)

    def test_warnings(self):
        with self.assertWarnsRegex(UserWarning, "unused-name"):
            maskjit.compile("masker m(unused: int = 1) = causal()")


def _local(n):
    q, k = positions(50, 70)
    return (q - n < k) & (k <= q)


class Errors(unittest.TestCase):
    """One exception each, which names both sides."""

    def check(self, error, pattern, call):
        with self.assertRaisesRegex(error, pattern):
            call()

    def test_operands(self):
        query, key, value = operands()
        attn = maskjit.compile("causal")
        for error, pattern, call in (
            (ValueError, r"key f32\[2, 2, 70, 32\] and value f32\[2, 2, 60, 32\] differ in kv_len: 70 and 60",
             lambda: attn(query, key, value[:, :, :60])),
            (ValueError, r"4 query heads are no multiple of 3 key heads",
             lambda: attn(query, *[key[:, :1].expand(2, 3, 70, 32)] * 2)),
            (ValueError, r"query f32\[2, 4, 50, 32\] and key f16\[2, 2, 70, 32\] differ in element type",
             lambda: attn(query, key.half(), value.half())),
            (ValueError, r"query f64\[.*\] has element type f64; f32, f16 and bf16 are possible",
             lambda: attn(query.double(), key.double(), value.double())),
            (ValueError, r"query has type ComplexFloat", lambda: attn(query + 0j, key, value)),
            (ValueError, r"query is on cpu, but value is on meta", lambda: attn(query, key, value.to("meta"))),
            (ValueError, r"query f32\[4, 50, 32\] has 3 dimensions; 4 are needed", lambda: attn(query[0], key, value)),
            (ValueError, r"key is a Sparse tensor; strided ones are needed", lambda: attn(query, key.to_sparse(), value)),
            (ValueError, r"mask f32\[1, 3, 1, 70\] and query .* differ in num_heads: 3 and 4",
             lambda: attn(query, key, value, attn_mask=torch.zeros(3, 1, 70))),
            (ValueError, r"has 60 columns for 70 keys", lambda: attn(query, key, value, attn_mask=torch.zeros(50, 60))),
            (ValueError, r"there is no result 'logits'; output, lse", lambda: attn.results(query, key, value, ["logits"])),
            (ValueError, r"lse is asked for twice", lambda: attn.results(query, key, value, ["lse", "lse"])),
            (TypeError, r"results is the string 'lse'", lambda: attn.results(query, key, value, "lse")),
            (ValueError, r"1 partial outputs and 0 partial lse", lambda: maskjit.merge_partials([query], [])),
        ):
            with self.subTest(pattern=pattern):
                self.check(error, pattern, call)

    def test_types_of_arguments(self):
        query, key, value = operands()
        attn = maskjit.compile("causal")
        for pattern, call in (
            ("query is a ndarray; a torch.Tensor is needed", lambda: attn(query.numpy(), key, value)),
            ("value is a list; a torch.Tensor is needed", lambda: attn.results(query, key, [1])),
            ("attn_mask is a Mask; a torch.Tensor is needed, or a spec with explicit",
             lambda: attn(query, key, value, attn_mask=maskjit.Mask.full((1, 1, 50, 70)))),
            ("scale is a str; a number is needed", lambda: attn(query, key, value, scale="1")),
            ("q_offset is a float; an int is needed", lambda: attn(query, key, value, q_offset=1.5)),
            ("dropout is a float; a maskjit.Dropout is needed", lambda: attn(query, key, value, dropout=0.1)),
            ("sampling is a int; a maskjit.Sampling is needed", lambda: attn(query, key, value, sampling=3)),
            ("spec is a int; a mask expression, a program or the path", lambda: maskjit.compile(3)),
            ("spec is None; a mask expression", lambda: maskjit.compile(None)),
            ("a Mask is made by Mask.from_dense", lambda: maskjit.Mask(torch.ones(2, 2))),
            ("values is a list; a torch.Tensor is needed", lambda: maskjit.Mask.from_dense([[1]])),
            ("shape is 3; a sequence of ints is needed", lambda: maskjit.Mask.full(3)),
            ("a KeyIndex is made by Attention.key_index", lambda: maskjit.KeyIndex()),
            ("query is a list; a torch.Tensor", lambda: attn.key_index([1], key)),
        ):
            with self.subTest(pattern=pattern):
                self.check(TypeError, pattern, call)

    def test_parameters(self):
        tensors = operands()
        attn = maskjit.compile("masker m(runtime n: int, t: tensor<i32>[batch]) = local(n) & k < t[batch]")
        lengths = torch.tensor([3, 4], dtype=torch.int32)
        for error, pattern, given in (
            (ValueError, r"tensor 't' \(i32\[batch\]\) is missing", {"n": 3}),
            (ValueError, r"'n' \(int\) has no value", {"t": lengths}),
            (ValueError, r"tensor 't' is declared i32\[batch\], but i64\[2\] is given", {"n": 3, "t": lengths.long()}),
            (ValueError, r"batch is 2, not 3", {"n": 3, "t": torch.zeros(3, dtype=torch.int32)}),
            (ValueError, r"query is on cpu, but t is on meta", {"n": 3, "t": lengths.to("meta")}),
            (ValueError, r"no run-time parameter 'm'", {"m": 3, "t": lengths}),
            (ValueError, r"'n' is int, but 2.5 is given", {"n": 2.5, "t": lengths}),
            (TypeError, r"the parameter 'n' is a str; a tensor, a Mask or a number is needed", {"n": "3", "t": lengths}),
        ):
            with self.subTest(pattern=pattern):
                self.check(error, pattern, lambda: attn(*tensors, **given))

    def test_specs(self):
        for error, pattern, call in (
            (ValueError, r"'causl'(.|\n)*did you mean 'causal'", lambda: maskjit.compile("causl")),
            (ValueError, r"'caussal'", lambda: maskjit.compile("caussal() & local(3)")),
            (ValueError, r"'wndow'", lambda: maskjit.compile(MASKS / "streaming_llm.masker", wndow=3)),
            (ValueError, r"window", lambda: maskjit.compile(MASKS / "streaming_llm.masker", window="wide")),
            (TypeError, r"the constant 'window' is \[3\]", lambda: maskjit.compile(MASKS / "streaming_llm.masker", window=[3])),
            (FileNotFoundError, r"nowhere.masker", lambda: maskjit.compile("nowhere.masker")),
        ):
            with self.subTest(pattern=pattern):
                self.check(error, pattern, call)

    def test_gradients(self):
        query, key, value = operands()
        attn = maskjit.compile("masker m(t: tensor<f32>[head_dim]) = t[0] > 0 & causal()")
        table = torch.ones(32)
        wanted = torch.ones(32, requires_grad=True)
        for name, given in (
            ("query", (query.clone().requires_grad_(), key, value, None, table)),
            ("value", (query, key, value.clone().requires_grad_(), None, table)),
            ("attn_mask", (query, key, value, torch.zeros(70, requires_grad=True), table)),
            ("tensors", (query, key, value, None, wanted)),
        ):
            with self.subTest(wanted=name):
                call = lambda g=given: attn(*g[:3], attn_mask=g[3], t=g[4])
                self.check(NotImplementedError, f"{name} requires a gradient, but maskjit has no backward", call)
                with torch.no_grad():
                    call()


class Tracing(unittest.TestCase):
    def test_opcheck(self):
        query, key, value = operands(q_len=8, kv_len=12, dim=16)
        spec = ("masker m(runtime n: int, t: tensor<i32>[batch]) = local(n) & k < t[batch]", "", "", "")
        lengths = torch.tensor([9, 12], dtype=torch.int32)
        parameters = {"tensor_names": "t", "tensors": [lengths], "scalar_names": "n", "scalars": [5]}
        strided = tuple(t.transpose(1, 2).contiguous().transpose(1, 2) for t in (query, key, value))
        every = ["output", "lse", "row_max", "numerator", "denominator", "weights"]
        ops = torch.ops.maskjit
        for op, arguments, named in (
            (ops.attention.default, (query, key, value, "causal"), {}),
            (ops.attention.default, (*strided, *spec), {"transposed": True, "attn_mask": torch.zeros(12), **parameters}),
            (ops.attention_results.default, (query, key, value, *spec), {"results": every, **parameters}),
            (ops.attention.default, (query, key, value, "causal"), {"seed": 5, "offset": 2, "dropout": 0.3}),
            (ops.merge_partials.default, ([query, query], [query[..., 0].contiguous()] * 2), {}),
            *(
                (ops.attention.default, (query, key, value, EXPLICIT), {"mask_names": "m", "masks": list(mask._tensors)})
                for mask in (*explicit_masks(8, 12), maskjit.Mask.full((1, 1, 8, 12)), maskjit.Mask.empty((1, 1, 8, 12)))
            ),
        ):
            with self.subTest(op=str(op), named=named), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                torch.library.opcheck(op, arguments, named)

    def test_compile_with_explicit_masks(self):
        attn = maskjit.compile(EXPLICIT)

        def model(query, key, value, mask):
            output, lse = attn.results(query * 2, key, value, m=mask)
            return attn(output, key, value, m=mask) + lse.unsqueeze(-1)

        def held(query, key, value):
            return model(query, key, value, bits)

        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        for q_len, kv_len in ((50, 70), (33, 90), (50, 64)):
            tensors = operands(q_len=q_len, kv_len=kv_len)
            bits, weighted, index = explicit_masks(q_len, kv_len)
            dense = weighted.to_dense()
            for mask in (bits, weighted, index, maskjit.Mask.full((1, 1, q_len, kv_len)), dense > 0, dense, dense.bfloat16()):
                with self.subTest(q_len=q_len, kv_len=kv_len, mask=repr(mask)[:60]):
                    self.assertTrue(torch.equal(compiled(*tensors, mask), model(*tensors, mask)))
            # A mask that the function finds by itself.
            torch.compiler.reset()
            again = torch.compile(held, backend="aot_eager", fullgraph=True)
            self.assertTrue(torch.equal(again(*tensors), held(*tensors)))

    def test_compile_the_hub(self):
        tensors = operands()
        for mask in (None, *explicit_masks(50, 70, (2, 4))):
            function = lambda q, k, v: hub.get_masked_attention_output(None, q, k, v, None, 0.2, 0.0, mask, True)  # noqa: B023
            got = torch.compile(function, backend="aot_eager", fullgraph=True)(*tensors)
            for a, b in zip(got, function(*tensors), strict=True):
                self.assertTrue(torch.equal(a, b))

    def test_inductor(self):
        # The compiler that torch.compile takes by default, with operations before and after.
        attn = maskjit.compile(EXPLICIT)
        _, weighted, _ = explicit_masks(50, 70)
        tensors = operands()
        function = lambda q, k, v, m: attn(q.sin(), k, v * 2, m=m).relu()
        try:
            got = torch.compile(function, fullgraph=True)(*tensors, weighted)
        except torch._inductor.exc.InvalidCxxCompiler as error:
            self.skipTest(f"inductor needs a C++ compiler: {error}")
        assert_close(self, got, function(*tensors, weighted).double())

    def test_export_with_explicit_masks(self):
        attn = maskjit.compile(EXPLICIT)

        class Given(torch.nn.Module):
            def forward(self, query, key, value, mask):
                return attn(query, key, value, m=mask)

        class Held(torch.nn.Module):
            def __init__(self, mask):
                super().__init__()
                self.mask = mask

            def forward(self, query, key, value):
                return attn(query, key, value, m=self.mask)

        tensors = operands()
        for mask in explicit_masks(50, 70):
            want = attn(*tensors, m=mask)
            with self.subTest(mask=repr(mask)):
                program = torch.export.export(Given(), (*tensors, mask))
                self.assertTrue(torch.equal(program.module()(*tensors, mask), want))
                file = io.BytesIO()
                torch.export.save(torch.export.export(Held(mask), tensors), file)
                file.seek(0)
                self.assertTrue(torch.equal(torch.export.load(file).module()(*tensors), want))

    def test_masks_of_copied_tensors(self):
        # What tracers may do to a mask's tensors changes no result; tensors that are no mask's are an error.
        attn = maskjit.compile(EXPLICIT)
        tensors = operands()
        for mask in (*explicit_masks(50, 70), maskjit.Mask.empty((1, 1, 50, 70))):
            want = attn(*tensors, m=mask)
            copy = maskjit.Mask._with(mask.shape, [t.clone() for t in mask._tensors])
            self.assertTrue(torch.equal(attn(*tensors, m=copy), want))
            self.assertEqual(copy, mask)
        header, words, _, _ = explicit_masks(50, 70)[0]._tensors
        none = torch.empty(0)
        for given, pattern in (
            ([header.clone(), words[1:], none.long(), none], r"packed mask\[1, 1, 50, 70\] has 99 words; 50 rows of 2 are needed"),
            ([header.clone(), words, none, none], r"the details of a mask is Float\[0\] on cpu; Long"),
            ([header[:1].clone(), words, none.long(), none], r"the header of a mask has 1 numbers"),
            ([header.clone() + 7, words, none.long(), none], r"the header of a mask has 5 numbers; a representation \(0 to 3\)"),
            ([header.clone(), words.to("meta"), none.long(), none], r"places is on meta"),
            ([header, words], r"mask_names has 1 names for 2 tensors; each mask has 4"),
        ):
            with self.subTest(pattern=pattern), self.assertRaisesRegex((ValueError, NotImplementedError), pattern):
                torch.ops.maskjit.attention(*tensors, EXPLICIT, mask_names="m", masks=given)

    def test_compile_without_graph_breaks(self):
        packed = maskjit.compile(MASKS / "packed_documents.masker")
        sliding = maskjit.compile(MASKS / "sliding_window.masker")

        def model(query, key, value, window, document):
            query = query * 2
            output, lse = packed.results(query, key, value, document=document)
            return sliding(query, key, value, window=window, transposed=True).transpose(1, 2) + output + lse.unsqueeze(-1)

        compiled = torch.compile(model, backend="aot_eager", fullgraph=True, dynamic=True)
        document = (torch.arange(70, dtype=torch.int32) // 13).expand(2, 70).contiguous()
        for kv_len, window in ((70, 10), (61, 12), (33, 12)):
            query, key, value = operands(q_len=kv_len, kv_len=kv_len)
            given = (query, key, value, window, document[:, :kv_len])
            self.assertTrue(torch.equal(compiled(*given), model(*given)), kv_len)

    def test_export(self):
        class Model(torch.nn.Module):
            attn = maskjit.compile(RECENT, n=5)

            def forward(self, query, key, value):
                return self.attn(query, key, value)

        length = torch.export.Dim("length", min=2, max=4096)
        shapes = {name: {2: length} for name in ("query", "key", "value")}
        program = torch.export.export(Model(), operands(q_len=70), dynamic_shapes=shapes)
        other = operands(q_len=33, kv_len=33)
        self.assertTrue(torch.equal(program.module()(*other), Model()(*other)))

    def test_meta_tensors(self):
        query, key, value = (t.to("meta") for t in operands(dtype=torch.bfloat16))
        output, lse = maskjit.compile("causal").results(query, key, value)
        self.assertEqual((output.shape, output.dtype, output.device.type), ((2, 4, 50, 32), torch.bfloat16, "meta"))
        self.assertEqual((lse.shape, lse.dtype), ((2, 4, 50), torch.float32))
        with self.assertRaisesRegex(ValueError, r"query BFloat16\[2, 4, 50, 32\] on meta and key .* differ in head_dim"):
            maskjit.compile("causal")(query, key[..., :16], value)


class Threads(unittest.TestCase):
    def test_torchs_threads_are_used(self):
        # Work for several threads, and no new ones: kernels run on those that torch has already.
        query, key, value = operands(heads=8, kv_heads=8, q_len=512, kv_len=512, dim=64)
        attn = maskjit.compile("causal")
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(4)
            torch.ones(1 << 20).sum()  # starts torch's threads
            threads = _count_threads()
            self.assertGreaterEqual(threads, 4)
            want = attn(query, key, value)
            self.assertLessEqual(_count_threads(), threads)
            for count in (1, 3, 4):
                torch.set_num_threads(count)
                self.assertTrue(torch.equal(attn(query, key, value), want), count)
        finally:
            torch.set_num_threads(before)

    def test_one_thread_is_one_thread(self):
        # CPU time beyond that of the calling thread would be another thread's.
        query, key, value = operands(heads=8, kv_heads=8, q_len=1024, kv_len=1024, dim=64)
        attn = maskjit.compile("causal")
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            attn(query, key, value)
            process, thread = time.process_time(), time.thread_time()
            for _ in range(5):
                attn(query, key, value)
            process, thread = time.process_time() - process, time.thread_time() - thread
            self.assertLess(process, 1.1 * thread + 0.01)
        finally:
            torch.set_num_threads(before)

    def test_calls_from_several_threads(self):
        tensors = [operands(seed=i) for i in range(4)]
        specs = [maskjit.compile(RECENT, n=n) for n in (3, 5)]
        want = [[attn(*t) for t in tensors] for attn in specs]
        wrong = []

        def work(i):
            for _ in range(20):
                # The same texts as above: looked up, not compiled again.
                got = maskjit.compile(RECENT, n=(3, 5)[i % 2])(*tensors[i])
                if not torch.equal(got, want[i % 2][i]):
                    wrong.append(i)

        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])


def _count_threads():
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("Threads:"))


if __name__ == "__main__":
    unittest.main()
