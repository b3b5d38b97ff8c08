"""1,000 random cases of each deterministic masker of sparse-attention-hub: on the entries that a causal additive mask allows, maskjit
selects the same keys as that code's formulas (its description, sections 4.1 to 4.9, replayed here in float64), and the outputs agree
within 1e-4.

Rows whose choice hangs on scores that nearly tie are left out. So are two shortcuts of that code that keep everything where its own
band or budget does not: local windows with Lk <= window + Lq, channels with Lk - Lq <= budget.
"""

import math
import os
import random
import unittest

import torch

import maskjit

CASES = int(os.environ.get("MASKJIT_REPLAY_CASES", "1000"))
HEAD_DIM, PAGES, CHANNELS = 16, (4, 16), 5
SHARES = (0.05, 0.29, 0.57)
MINIMUM = torch.finfo(torch.float32).min


class Case:
    """Random operands and a causal additive mask, as transformers makes it or with -inf."""

    def __init__(self, seed):
        self.choose = random.Random(seed)
        generator = torch.Generator().manual_seed(seed)
        batch, kv_heads, group = self.choose.choice((1, 2)), self.choose.choice((1, 2)), self.choose.choice((1, 2, 3))
        self.q_len = self.choose.choice((1, 1, 2, 5, 17))
        self.kv_len = self.q_len + self.choose.randint(12, 90)
        self.query = torch.randn(batch, kv_heads * group, self.q_len, HEAD_DIM, generator=generator)
        self.key = torch.randn(batch, kv_heads, self.kv_len, HEAD_DIM, generator=generator)
        self.value = torch.randn(batch, kv_heads, self.kv_len, HEAD_DIM, generator=generator)
        q = torch.arange(self.kv_len - self.q_len, self.kv_len)[:, None]
        k = torch.arange(self.kv_len)
        self.allowed = k <= q
        lowest = self.choose.choice((-math.inf, MINIMUM))
        self.additive = torch.where(self.allowed, 0.0, lowest)[None, None]
        self.repeated = self.key.double().repeat_interleave(group, 1)
        self.products = self.query.double() @ self.repeated.transpose(-1, -2)
        self.offset = k - q  # key relative to the query's own position

    def size(self, most):
        """A budget of that code, int or float, and what it counts for."""
        if self.choose.random() < 0.3:
            share = self.choose.choice(SHARES)
            if 1 <= int(share * self.kv_len) <= most:
                return share, int(share * self.kv_len)
        count = self.choose.randint(1, most)
        return count, count

    def previous(self):
        """Sinks and a window, or nothing: the program's text, its numbers, and the mask P."""
        if self.choose.random() < 0.3:
            return "", {}, torch.zeros_like(self.allowed)
        sinks, window = self.choose.randint(1, 4), self.choose.randint(1, 8)
        mask = (torch.arange(self.kv_len) < sinks) | ((-window < self.offset) & (self.offset <= 0))
        return "sink(sinks) then local(window) then ", {"sinks": sinks, "window": window}, mask


def top_k(scores, count):
    """The `count` highest of each row, and which rows have no near tie there."""
    ordered = scores.sort(-1, descending=True).values
    chosen = torch.zeros_like(scores, dtype=torch.bool).scatter_(-1, scores.topk(count, -1).indices, True)
    if count >= scores.shape[-1]:
        return chosen, torch.ones_like(scores[..., :1], dtype=torch.bool)
    last, following = ordered[..., count - 1 : count], ordered[..., count : count + 1]
    # Rows that run out of candidates take forbidden or active keys: no difference to what is compared.
    apart = (last - following > 1e-5 * (1 + last.abs())) | (last < -1e30)
    return chosen, apart


def quantised(x, bits):
    """Asymmetric min-max quantisation along the last dimension."""
    if bits == 16:
        return x
    lowest, highest = x.amin(-1, keepdim=True), x.amax(-1, keepdim=True)
    span = torch.where(highest == lowest, 1.0, highest - lowest)
    scale = (2**bits - 1) / span
    return ((x - lowest) * scale).round().clamp(0, 2**bits - 1) / scale + lowest


class Replay(unittest.TestCase):
    compiled = {}

    def attention(self, mask, names, share, tensors=""):
        """Run-time numbers, so that few kernels serve all cases; a share of the keys is a constant."""
        declared = [f"runtime {name}: int" for name in names if name != "n"]
        declared += ["n: int" if share is not None else "runtime n: int"] if "n" in names else []
        declared += [tensors] if tensors else []
        program = f"attention main({', '.join(declared)}) {{ mask {mask} }}" if declared else f"attention main {{ mask {mask} }}"
        if (program, share) not in self.compiled:
            constants = {} if share is None else {"n": f"{share:.0%}"}
            self.compiled[program, share] = maskjit.compile(program, **constants)
        return self.compiled[program, share]

    def check(self, case, attn, numbers, want, sure=None):
        output, weights = attn.results(
            case.query, case.key, case.value, ("output", "weights"), attn_mask=case.additive, parameters=numbers
        )
        sure = torch.ones_like(want[..., :1], dtype=torch.bool) if sure is None else sure
        got = weights > 0
        compared = case.allowed & sure.expand_as(got)
        wrong = (got != want) & compared
        self.assertFalse(wrong.any(), f"keys {wrong.nonzero()[:5].tolist()} of {list(got.shape)}, {numbers}")
        logits = case.products * HEAD_DIM**-0.5
        e = torch.where(want & case.allowed, torch.exp(logits - logits.amax(-1, keepdim=True)), 0.0)
        dense = e @ case.value.double().repeat_interleave(e.shape[1] // case.value.shape[1], 1)
        expected = torch.where(e.sum(-1, keepdim=True) > 0, dense / e.sum(-1, keepdim=True), 0.0)
        off = ((output.double() - expected).abs() / (1 + expected.abs()))[sure.expand_as(e)[..., 0]]
        self.assertLess(off.max().item() if off.numel() else 0.0, 1e-4)
        return compared.any().item()

    def replay(self, one):
        compared = 0
        for seed in range(CASES):
            with self.subTest(seed=seed):
                compared += bool(one(Case(seed)))
        self.assertGreater(compared, 0.8 * CASES, "too few cases without ties")

    def test_sink(self):
        def one(case):
            size, count = case.size(case.kv_len - 1)
            want = (torch.arange(case.kv_len) < count).expand(case.products.shape)
            share = size if isinstance(size, float) else None
            attn = self.attention("sink(n)", ["n"], share)
            return self.check(case, attn, {} if share else {"n": count}, want)

        self.replay(one)

    def test_local(self):
        def one(case):
            size, count = case.size(max(1, case.kv_len - case.q_len - 1))
            if case.kv_len <= count + case.q_len:
                return True
            want = ((-count < case.offset) & (case.offset <= 0)).expand(case.products.shape)
            share = size if isinstance(size, float) else None
            attn = self.attention("local(n)", ["n"], share)
            return self.check(case, attn, {} if share else {"n": count}, want)

        self.replay(one)

    def test_top_k(self):
        def one(case):
            stages, numbers, before = case.previous()
            size, count = case.size(case.kv_len - 1)
            scores = (case.products + case.additive.double()).masked_fill(before, MINIMUM)
            chosen, sure = top_k(scores, count)
            share = size if isinstance(size, float) else None
            attn = self.attention(f"{stages}top_k(n)", [*numbers, "n"], share)
            return self.check(case, attn, numbers if share else {**numbers, "n": count}, before | chosen, sure)

        self.replay(one)

    def test_top_p(self):
        attn = {
            stages: maskjit.compile(f"attention main({names}runtime p: float) {{ mask {stages}top_p(p) }}")
            for stages, names in (("", ""), ("sink(sinks) then local(window) then ", "runtime sinks: int, runtime window: int, "))
        }

        def one(case):
            stages, numbers, before = case.previous()
            p = case.choose.choice((0.0, 0.3, 0.6, 0.85, 0.99))
            scores = (case.products * HEAD_DIM**-0.5 + case.additive.double()).masked_fill(before, MINIMUM)
            x = torch.exp(scores - scores.amax(-1, keepdim=True))
            ordered = x.sort(-1, descending=True).values
            share = ordered.cumsum(-1) / ordered.sum(-1, keepdim=True)
            first = (share > p).int().argmax(-1, keepdim=True)
            chosen = x >= ordered.gather(-1, first)
            # Rows without a candidate, and those whose threshold hangs on a rounding.
            exists = (case.allowed & ~before).any(-1, keepdim=True)
            sure = exists & ((share - p).abs().amin(-1, keepdim=True) > 1e-5)
            return self.check(case, attn[stages], {**numbers, "p": p}, before | chosen, sure)

        self.replay(one)

    def test_page_bound(self):
        attn = {
            (page, bits): maskjit.compile(f"attention main(runtime n: int) {{ mask top_k(n, by = page_bound({page}, bits = {bits})) }}")
            for page in PAGES
            for bits in (16, 4)
        }

        def one(case):
            page, bits = case.choose.choice(PAGES), case.choose.choice((16, 16, 4))
            count = case.choose.randint(1, case.kv_len - 1)
            pages = [case.repeated[:, :, i : i + page] for i in range(0, case.kv_len, page)]
            lowest = quantised(torch.stack([p.amin(2) for p in pages], 2), bits)
            highest = quantised(torch.stack([p.amax(2) for p in pages], 2), bits)
            query = case.query.double().unsqueeze(3)
            scores = torch.maximum(query * lowest.unsqueeze(2), query * highest.unsqueeze(2)).sum(-1)
            valid = torch.stack([case.allowed[:, i : i + page].any(-1) for i in range(0, case.kv_len, page)], -1)
            scores = torch.where(valid, scores, MINIMUM)
            chosen, sure = top_k(scores, min(len(pages), max(3, count // page)))
            want = chosen.repeat_interleave(page, -1)[..., : case.kv_len]
            # Codes of the bounds are found in float32: a half may round otherwise.
            return self.check(case, attn[page, bits], {"n": count}, want & case.allowed, sure if bits == 16 else sure & self.stable(case, pages, bits))

        self.replay(one)

    def stable(self, case, pages, bits):
        codes = []
        for bound in (torch.stack([p.amin(2) for p in pages], 2), torch.stack([p.amax(2) for p in pages], 2)):
            lowest, highest = bound.amin(-1, keepdim=True), bound.amax(-1, keepdim=True)
            codes.append((bound - lowest) * (2**bits - 1) / (highest - lowest))
        halves = torch.stack([(code - code.floor() - 0.5).abs().amin((-1, -2)) for code in codes]).amin(0)
        return (halves > 1e-5)[:, :, None, None].expand(-1, -1, case.q_len, 1)

    def test_channels(self):
        declared = f"table: tensor<i32>[num_heads, {CHANNELS}]"

        def one(case):
            stages, numbers, before = case.previous()
            count = case.choose.randint(1, case.kv_len - case.q_len - 1)
            heads = case.query.shape[1]
            table = torch.stack([torch.tensor(case.choose.sample(range(HEAD_DIM), CHANNELS)) for _ in range(heads)])
            pick = table[None, :, None]
            query = case.query.double().gather(-1, pick.expand(case.query.shape[0], -1, case.q_len, -1))
            key = case.repeated.gather(-1, pick.expand(case.query.shape[0], -1, case.kv_len, -1))
            scores = query @ key.transpose(-1, -2) / math.sqrt(CHANNELS) + case.additive.double()
            chosen, sure = top_k(scores.masked_fill(before, -math.inf).clamp(min=MINIMUM), count)
            attn = self.attention(f"{stages}top_k(n, by = channels(table))", [*numbers, "n"], None, declared)
            return self.check(case, attn, {**numbers, "n": count, "table": table.int()}, before | chosen, sure)

        self.replay(one)


if __name__ == "__main__":
    unittest.main()
