"""CUDA tensors. cuda_test.py LIBRARY: on the fake driver, whose kernels run on the emulator (tests/torch/fake_cuda); without
an argument on the GPU, skipped where torch has none."""

import contextlib
import sys
import unittest

import torch

import maskjit
from maskjit import hub
from reference import TOLERANCE, assert_close, operands, positions, reference

CUDA = torch.device("cuda:0")
RECENT = "masker recent(runtime n: int) = causal() & (sink(4) | local(n))"
EXPLICIT = "masker m(m: tensor<bit>[batch, num_heads, q_len, kv_len]) = sink(2) | explicit(m)"
DOCUMENTS = "masker m(document: tensor<i32>[batch, kv_len]) = causal() & document[batch, q] == document[batch, k]"


class FakeGpu:
    devices = 2

    def __init__(self, library):
        torch.ops.load_library(library)
        torch.cuda._lazy_init = lambda: None  # there is nothing to start
        self.ops = torch.ops.fake_cuda

    @contextlib.contextmanager
    def stream(self):
        """Another than the default one is the current one inside."""
        before = self.ops.exchange_stream(0, self.ops.new_stream(0))
        try:
            yield
        finally:
            self.ops.exchange_stream(0, before)

    def synchronize(self):
        pass

    @contextlib.contextmanager
    def capture(self, replays):
        """Of what is done inside; what it appends to `replays` does it again."""
        with self.stream():
            self.ops.begin_capture(0)
            try:
                yield
            finally:
                graph = self.ops.end_capture(0)
        replays.append(lambda: self.ops.replay(0, graph))


class Gpu:
    def __init__(self):
        self.devices = torch.cuda.device_count()

    def stream(self):
        return torch.cuda.stream(torch.cuda.Stream())

    def synchronize(self):
        torch.cuda.synchronize()

    @contextlib.contextmanager
    def capture(self, replays):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            yield
        replays.append(graph.replay)


def there(*tensors, device=CUDA):
    """On the device, with their strides."""
    moved = []
    for tensor in tensors:
        copy = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=device)
        copy.copy_(tensor)
        moved.append(copy)
    return moved


def recent(q_len, kv_len, n):
    q, k = positions(q_len, kv_len)
    return (k <= q) & ((k < 4) | (q - k < n))


class Results(unittest.TestCase):
    def test_types_and_layouts(self):
        attn = maskjit.compile(RECENT)
        for dtype, tolerance in TOLERANCE.items():
            for layout in ("heads first", "rows first", "columns apart"):
                with self.subTest(dtype=dtype, layout=layout):
                    tensors = operands(q_len=20, kv_len=40, dtype=dtype)
                    if layout == "rows first":
                        tensors = [t.transpose(1, 2).contiguous().transpose(1, 2) for t in tensors]
                    elif layout == "columns apart":
                        tensors = [t.transpose(2, 3).contiguous().transpose(2, 3) for t in tensors]
                    out = attn(*there(*tensors), n=9)
                    self.assertEqual((out.device, out.dtype, out.is_contiguous()), (CUDA, dtype, True))
                    assert_close(self, out.cpu(), reference(*tensors, mask=recent(20, 40, 9))["output"], tolerance)

    def test_every_result(self):
        tensors = operands(q_len=20, kv_len=40, dim_v=16)
        want = reference(*tensors, mask=recent(20, 40, 9))
        got = maskjit.compile(RECENT).results(*there(*tensors), list(want), n=9)
        for name, tensor in zip(want, got):
            self.assertEqual(tensor.device, CUDA)
            assert_close(self, tensor.cpu(), want[name], what=name)

    def test_decoding(self):
        attn = maskjit.compile("causal")
        for heads, kv_heads in ((4, 4), (8, 2)):
            tensors = operands(batch=1, heads=heads, kv_heads=kv_heads, q_len=1, kv_len=300, dtype=torch.float16)
            out = attn(*there(*tensors), transposed=True)
            assert_close(self, out.cpu().transpose(1, 2), reference(*tensors)["output"], 2e-3)

    def test_masks_and_tensors(self):
        tensors = operands(batch=1, q_len=20, kv_len=40)
        on_gpu = there(*tensors)
        allowed = torch.rand(20, 40) < 0.7
        additive = torch.randn(1, 4, 20, 40)
        for given in (allowed, additive):
            out = maskjit.compile("causal")(*on_gpu, attn_mask=there(given)[0])
            want = reference(*tensors, mask=recent(20, 40, 1000), attn_mask=given)["output"]
            assert_close(self, out.cpu(), want)
        document = (torch.arange(40, dtype=torch.int32) // 15)[None]
        q, k = positions(20, 40)
        out = maskjit.compile(DOCUMENTS)(*on_gpu, document=there(document)[0])
        want = reference(*tensors, mask=(k <= q) & (document[0][q] == document[0][k]))["output"]
        assert_close(self, out.cpu(), want)

    def test_explicit_masks(self):
        tensors = operands(batch=1, q_len=20, kv_len=40)
        on_gpu = there(*tensors)
        chosen = torch.rand(1, 4, 20, 40) < 0.3
        _, k = positions(20, 40)
        want = reference(*tensors, mask=(k < 2) | chosen)["output"]
        attn = maskjit.compile(EXPLICIT)
        columns = chosen.float().topk(5).indices
        for mask in (maskjit.Mask.from_dense(chosen), maskjit.Mask.from_dense(there(chosen)[0]), there(chosen)[0]):
            assert_close(self, attn(*on_gpu, m=mask).cpu(), want, what=repr(type(mask)))
        self.assertEqual(
            maskjit.Mask.from_row_indices((1, 4, 20, 40), there(columns)[0]),
            maskjit.Mask.from_row_indices((1, 4, 20, 40), columns),
        )
        weights = torch.randn(1, 4, 20, 40)
        applied = maskjit.Mask.from_dense(chosen).apply(there(weights)[0])
        self.assertEqual(applied.device, CUDA)
        self.assertTrue(torch.equal(applied.cpu(), weights * chosen))

    def test_dropout_drops_what_it_drops_on_the_cpu(self):
        tensors = operands(batch=1, q_len=20, kv_len=40)
        attn, dropout = maskjit.compile("causal"), maskjit.Dropout(0.4, seed=7, offset=3)
        assert_close(self, attn(*there(*tensors), dropout=dropout).cpu(), attn(*tensors, dropout=dropout).double())

    def test_rows_without_keys_and_empty_tensors(self):
        query, key, value = operands(batch=1, q_len=5, kv_len=0)
        out, lse = maskjit.compile("full()").results(*there(query, key, value), ["output", "lse"])
        self.assertTrue((out.cpu() == 0).all() and (lse.cpu() == -torch.inf).all())
        self.assertEqual(maskjit.compile("causal")(*there(query[:, :, :0], key, value)).shape, (1, 4, 0, 32))

    def test_parts_are_merged(self):
        tensors = operands(batch=1, q_len=20, kv_len=40)
        query, key, value = there(*tensors)
        attn = maskjit.compile("causal")
        parts = [
            attn.results(query, key[:, :, a:b], value[:, :, a:b], q_offset=20 - a) for a, b in ((0, 30), (30, 40))
        ]
        out, lse = maskjit.merge_partials([part[0] for part in parts], [part[1] for part in parts])
        want = reference(*tensors, mask=recent(20, 40, 1000))
        self.assertEqual((out.device, lse.device), (CUDA, CUDA))
        assert_close(self, out.cpu(), want["output"])
        assert_close(self, lse.cpu(), want["lse"])
        empty = torch.full((1, 4, 20), -torch.inf, device=CUDA)
        undefined = torch.full((1, 4, 20, 32), torch.nan, device=CUDA)
        assert_close(self, maskjit.merge_partials([out, undefined], [lse, empty])[0].cpu(), want["output"])
        with self.assertRaisesRegex(ValueError, r"partial lse 0 .*\[1, 4, 19\] on cuda:0 does not fit output"):
            maskjit.merge_partials([out], [lse[..., 1:]])

    def test_hub(self):
        query, key, value = tensors = operands(batch=1, q_len=20, kv_len=40)
        on_gpu = there(*tensors)
        causal = torch.zeros(1, 1, 20, 40).masked_fill(~recent(20, 40, 1000), -torch.inf)
        (causal_there,) = there(causal)
        chosen = maskjit.Mask.from_dense(torch.rand(1, 4, 20, 40) < 0.3)
        for function, operands_of in (
            (hub.get_attention_denominator, lambda q, k, v: (q, k)),
            (hub.get_attention_numerator, lambda q, k, v: (q, k, v)),
            (hub.get_masked_attention_output, lambda q, k, v: (q, k, v)),
        ):
            got = function(False, *operands_of(*on_gpu), causal_there, 0.2, 0.0, chosen)
            want = function(False, *operands_of(*tensors), causal, 0.2, 0.0, chosen)
            assert_close(self, got.cpu(), want.double(), what=function.__name__)
        streaming = hub.create_from_config(
            hub.ResearchAttentionConfig([hub.SinkMaskerConfig(4), hub.LocalMaskerConfig(0.2)])
        )
        got, weights = streaming.custom_attention(None, *on_gpu, causal_there, 0.2, 0.0, {}, return_attention_weights=True)
        want = streaming.custom_attention(None, *tensors, causal, 0.2, 0.0, {}, return_attention_weights=True)
        assert_close(self, got.cpu(), want[0].double())
        assert_close(self, weights.cpu(), want[1].double())

    def test_selectors_are_as_on_the_cpu(self):
        query, key, value = tensors = operands(batch=1, q_len=1, kv_len=60)
        on_gpu = there(*tensors)
        table = torch.arange(8, dtype=torch.int32).repeat(4, 1)
        channels = "attention main(t: tensor<i32>[num_heads, 8]) { mask sink(4) then top_k(8, by = channels(t)) }"
        for text, given, indexed in (
            ("sink(4) then top_k(8)", {}, False),
            ("sink(4) then top_k(16, by = page_bound(8))", {}, True),
            (channels, {"t": table}, True),
            ("sink(4) then random(0.3)", {"sampling": maskjit.Sampling(seed=3, offset=1)}, False),
        ):
            with self.subTest(text=text):
                attn = maskjit.compile(text)
                moved = {name: there(t)[0] if isinstance(t, torch.Tensor) else t for name, t in given.items()}
                want = attn(*tensors, **given).double()
                assert_close(self, attn(*on_gpu, **moved).cpu(), want)
                if not indexed:
                    continue
                first = on_gpu[1][:, :, :50]
                index = attn.key_index(on_gpu[0], first, **moved)
                index.update(on_gpu[1])
                self.assertEqual(len(index), 60)
                assert_close(self, attn(*on_gpu, index=index, **moved).cpu(), want)

    def test_selectors_of_the_hub(self):
        tensors = operands(batch=1, q_len=1, kv_len=60)
        on_gpu = there(*tensors)
        quest = hub.create_from_config(
            hub.ResearchAttentionConfig([hub.SinkMaskerConfig(4), hub.QuestTopKMaskerConfig(16, 8)])
        )
        meta_data = {}
        for _ in range(2):
            got = quest.custom_attention(None, *on_gpu, None, 0.2, 0.0, meta_data, layer_idx=0)[0]
            want = quest.custom_attention(None, *tensors, None, 0.2, 0.0, {}, layer_idx=0)[0]
            assert_close(self, got.cpu(), want.double())
        self.assertEqual(len(meta_data["maskjit_index"]), 1)


class Placement(unittest.TestCase):
    def test_the_tensors_device_counts(self):
        if GPU.devices < 2:
            self.skipTest("one device")
        tensors = operands(batch=1, q_len=20, kv_len=40)
        out = maskjit.compile("causal")(*there(*tensors, device="cuda:1"))
        self.assertEqual(out.device, torch.device("cuda:1"))
        assert_close(self, out.cpu(), reference(*tensors, mask=recent(20, 40, 1000))["output"])
        first, second = there(*tensors), there(*tensors, device="cuda:1")
        with self.assertRaisesRegex(ValueError, "query is on cuda:0, but value is on cuda:1"):
            maskjit.compile("causal")(*first[:2], second[2])

    def test_mixed_devices_are_refused(self):
        query, key, value = operands(batch=1, q_len=20, kv_len=40)
        on_gpu = there(query, key, value)
        causal = maskjit.compile("causal")
        for text, call in (
            ("query is on cuda:0, but key is on cpu", lambda: causal(on_gpu[0], key, value)),
            ("query is on cpu, but value is on cuda:0", lambda: causal(query, key, on_gpu[2])),
            ("query is on cuda:0, but attn_mask is on cpu", lambda: causal(*on_gpu, attn_mask=torch.ones(40) > 0)),
            (
                "query is on cuda:0, but document is on cpu",
                lambda: maskjit.compile(DOCUMENTS)(*on_gpu, document=torch.zeros(1, 40, dtype=torch.int32)),
            ),
            (
                "the first partial output is on cuda:0, but a partial lse is on cpu",
                lambda: maskjit.merge_partials([on_gpu[0]], [query[..., 0]]),
            ),
        ):
            with self.subTest(text), self.assertRaisesRegex(ValueError, text):
                call()

    def test_gradients_are_refused(self):
        query, key, value = there(*operands(batch=1, q_len=20, kv_len=40))
        with self.assertRaisesRegex(NotImplementedError, "query requires a gradient"):
            maskjit.compile("causal")(query.requires_grad_(), key, value)


class Streams(unittest.TestCase):
    def test_work_goes_to_the_current_stream(self):
        tensors = operands(batch=1, q_len=20, kv_len=40)
        on_gpu, attn = there(*tensors), maskjit.compile("causal")
        GPU.synchronize()
        with GPU.stream():
            on_host = attn(*on_gpu).cpu()
        assert_close(self, on_host, reference(*tensors, mask=recent(20, 40, 1000))["output"])

    def test_calls_are_captured_in_graphs(self):
        attn = maskjit.compile(RECENT)
        for q_len, kv_len in ((20, 40), (1, 1500)):  # the latter splits the keys
            with self.subTest(q_len=q_len):
                query, key, value = operands(batch=1, heads=2, kv_heads=1, q_len=q_len, kv_len=kv_len)
                on_gpu = there(query, key, value)
                attn(*on_gpu, n=9)  # compiles
                GPU.synchronize()
                replays = []
                with GPU.capture(replays):
                    out = attn(*on_gpu, n=9)
                for seed in (1, 2):
                    fresh = torch.randn(query.shape, generator=torch.Generator().manual_seed(seed))
                    on_gpu[0].copy_(fresh)
                    replays[0]()
                    GPU.synchronize()
                    want = reference(fresh, key, value, mask=recent(q_len, kv_len, 9))["output"]
                    assert_close(self, out.cpu(), want)

    def test_captures_refuse_what_the_host_reads(self):
        on_gpu = there(*operands(batch=1, q_len=20, kv_len=40))
        (document,) = there(torch.zeros(1, 40, dtype=torch.int32))
        documents, explicit = maskjit.compile(DOCUMENTS), maskjit.compile(EXPLICIT)
        mask = maskjit.Mask.from_dense(torch.rand(1, 4, 20, 40) < 0.3)
        documents(*on_gpu, document=document), explicit(*on_gpu, m=mask)
        GPU.synchronize()
        with GPU.capture([]):
            with self.assertRaisesRegex(NotImplementedError, "the host reads 'document' at each call"):
                documents(*on_gpu, document=document)
            with self.assertRaisesRegex(NotImplementedError, "the host reads 'm' at each call"):
                explicit(*on_gpu, m=mask)
        documents(*on_gpu, document=document)  # the capture is not broken

    def test_calls_neither_wait_nor_allocate(self):
        if not isinstance(GPU, FakeGpu):
            self.skipTest("what the driver was asked for is known of the fake one")
        attn, on_gpu = maskjit.compile("causal"), there(*operands(batch=1, q_len=20, kv_len=40))
        attn(*on_gpu)
        before = GPU.ops.live("allocations")
        GPU.ops.take_calls()
        out = attn(*on_gpu)
        calls = [name for name in GPU.ops.take_calls() if not name.startswith("cuCtx")]
        # The one allocation is the backend's, for the output.
        self.assertEqual(calls, ["cuMemAllocFromPoolAsync", "cuLaunchKernel"])
        del out
        self.assertEqual(GPU.ops.live("allocations"), before)


class Tracing(unittest.TestCase):
    def test_opcheck(self):
        query, key, value = there(*operands(batch=1, q_len=8, kv_len=12, dim=16))
        mask = maskjit.Mask.from_dense(torch.rand(1, 4, 8, 12) < 0.5)
        given = {"mask_names": "m", "masks": list(mask._tensors)}
        ops = torch.ops.maskjit
        for op, text, named in (
            (ops.attention.default, "causal", {}),
            (ops.attention.default, EXPLICIT, given),
            (ops.attention_results.default, EXPLICIT, {**given, "results": ["lse", "output"]}),
        ):
            with self.subTest(op=str(op), named=list(named)):
                torch.library.opcheck(op, (query, key, value, text), named)

    def test_compile(self):
        on_gpu = there(*operands(batch=1, q_len=20, kv_len=40))
        attn, explicit = maskjit.compile(RECENT), maskjit.compile(EXPLICIT)
        mask = maskjit.Mask.from_dense(torch.rand(1, 4, 20, 40) < 0.5)

        def model(query, key, value, m):
            return explicit(attn(query * 2, key, value, n=7), key, value, m=m)

        compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
        self.assertTrue(torch.equal(compiled(*on_gpu, mask).cpu(), model(*on_gpu, mask).cpu()))

    def test_compile_with_an_index(self):
        query, key, value = there(*operands(batch=1, q_len=1, kv_len=60))
        attn = maskjit.compile("sink(4) then top_k(16, by = page_bound(8))")
        index = attn.key_index(query, key[:, :, :40])

        def step(query, key, value):
            index.update(key)
            return attn(query, key, value, index=index)

        compiled = torch.compile(step, backend="aot_eager", fullgraph=True)
        self.assertTrue(torch.equal(compiled(query, key, value).cpu(), attn(query, key, value).cpu()))


class OnAGpu(unittest.TestCase):
    def test_sdpa(self):
        if isinstance(GPU, FakeGpu):
            self.skipTest("of a GPU")
        attn = maskjit.compile("causal")
        # Of a row's length: late rows are averages of many values and small.
        for dtype, tolerance in ((torch.float16, 2e-3), (torch.bfloat16, 2e-2)):
            for heads, kv_heads, q_len, kv_len, dim in ((8, 8, 1024, 1024, 128), (16, 4, 777, 777, 64), (32, 8, 1, 5000, 128)):
                with self.subTest(dtype=dtype, q_len=q_len):
                    query = torch.randn(2, heads, q_len, dim, dtype=dtype, device=CUDA)
                    key, value = torch.randn(2, 2, kv_heads, kv_len, dim, dtype=dtype, device=CUDA)
                    want = torch.nn.functional.scaled_dot_product_attention(
                        query, key, value, is_causal=q_len > 1, enable_gqa=True
                    )
                    error = (attn(query, key, value).float() - want.float()).norm(dim=-1) / want.float().norm(dim=-1)
                    self.assertLess(error.max().item(), tolerance)


if __name__ == "__main__":
    arguments = [a for a in sys.argv[1:] if a.endswith(".so")]
    sys.argv = [a for a in sys.argv if a not in arguments]
    if not arguments and not torch.cuda.is_available():
        print("skipped: torch has no GPU here")
        sys.exit(77)
    GPU = FakeGpu(arguments[0]) if arguments else Gpu()
    unittest.main()
