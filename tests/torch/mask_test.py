"""maskjit.Mask against dense tensors. The algebra itself is tested in C++ (tests/runtime/mask)."""

import copy
import gc
import pickle
import unittest

import torch
from torch.utils import _pytree as pytree

from maskjit import Mask

SHAPE = (2, 3, 5, 70)


def random_weights(seed, density=0.3, weighted=True):
    generator = torch.Generator().manual_seed(seed)
    active = torch.rand(SHAPE, generator=generator) < density
    weights = torch.rand(SHAPE, generator=generator).clamp(min=0.05) if weighted else torch.ones(SHAPE)
    return torch.where(active, weights, 0.0)


class Masks(unittest.TestCase):
    def assert_dense(self, mask, want):
        self.assertTrue(torch.equal(mask.to_dense(), want))
        self.assertTrue(torch.equal(mask.to_dense(torch.bool), want > 0))
        self.assertEqual((mask.shape, mask.active), (want.shape, int((want > 0).sum())))
        self.assertAlmostEqual(mask.density, (want > 0).float().mean().item(), places=6)

    def test_empty_and_full(self):
        for mask, name, value in ((Mask.empty(SHAPE), "empty", 0.0), (Mask.full(SHAPE), "full", 1.0)):
            self.assertEqual((mask.representation, mask.is_weighted), (name, False))
            self.assert_dense(mask, torch.full(SHAPE, value))
        self.assertEqual(Mask.from_dense(torch.ones(SHAPE, dtype=torch.bool)), Mask.full(SHAPE))
        self.assertEqual(Mask.from_dense(torch.zeros(SHAPE)).representation, "empty")

    def test_conversions(self):
        for weighted in (False, True):
            want = random_weights(1, weighted=weighted)
            dense = Mask.from_dense(want)
            strided = Mask.from_dense(want.transpose(1, 2).contiguous().transpose(1, 2))
            self.assertEqual((dense.representation, dense.is_weighted), ("dense", weighted))
            indices, row_pointers, weights = dense.to_index()
            index = Mask.from_indices(SHAPE, indices, row_pointers, weights if weighted else None)
            self.assertEqual(index.representation, "index")
            for mask in (dense, strided, index, index.dense(), dense.index()):
                self.assert_dense(mask, want)
                self.assertEqual(mask, dense)
            self.assertTrue(torch.equal(indices, want.flatten().nonzero().flatten()))
            self.assertTrue(torch.equal(weights, want.flatten()[indices]))

    def test_row_indices(self):
        columns = torch.randint(0, 70, (*SHAPE[:-1], 4), generator=torch.Generator().manual_seed(2))
        want = torch.zeros(SHAPE).scatter(-1, columns, 1.0)
        self.assert_dense(Mask.from_row_indices(SHAPE, columns), want)
        columns[..., 1] = -1
        want = torch.zeros(SHAPE).scatter(-1, columns[..., [0, 2, 3]], 1.0)
        self.assert_dense(Mask.from_row_indices(SHAPE, columns.int(), padding=True), want)

    def test_merge_and_apply(self):
        a, b = random_weights(3), random_weights(4)
        merged = Mask.from_dense(a) | Mask.from_dense(b).index()
        torch.testing.assert_close(merged.to_dense(), (a + b).clamp(max=1), rtol=0, atol=1e-6)
        values = torch.randn(SHAPE)
        mask = Mask.from_dense(a)
        torch.testing.assert_close(mask.apply(values), values * a)
        torch.testing.assert_close(mask.apply_inverse(values), torch.where(a > 0, values / a, 0.0))

    def test_errors(self):
        mask = Mask.full(SHAPE)
        for pattern, call in (
            (r"2", lambda: Mask.from_dense(torch.full((3, 4), 2.0))),
            (r"3, 4", lambda: mask.merge(Mask.full((3, 4)))),
            (r"3, 4", lambda: mask.apply(torch.ones(3, 4))),
            (r"70", lambda: Mask.from_row_indices(SHAPE, torch.full((*SHAPE[:-1], 1), 70))),
            (r"-1", lambda: Mask.from_row_indices(SHAPE, torch.full((*SHAPE[:-1], 1), -1))),
            (r"row_pointers", lambda: Mask.from_indices((2, 3), torch.tensor([0]), torch.tensor([0, 1]))),
        ):
            with self.subTest(pattern=pattern), self.assertRaisesRegex((ValueError, RuntimeError), pattern):
                call()
        with self.assertRaisesRegex(TypeError, "not with a Tensor"):
            mask.merge(torch.ones(3))

    def test_copies(self):
        for mask in (Mask.empty(SHAPE), Mask.full(SHAPE), Mask.from_dense(random_weights(5)), Mask.from_dense(random_weights(6)).index()):
            for other in (copy.deepcopy(mask), pickle.loads(pickle.dumps(mask))):
                self.assertEqual((other, other.representation, other.shape), (mask, mask.representation, mask.shape))
                self.assertNotEqual(other._tensors[0].data_ptr(), mask._tensors[0].data_ptr())
            leaves, spec = pytree.tree_flatten({"m": mask})
            self.assertTrue(all(isinstance(leaf, torch.Tensor) for leaf in leaves))
            self.assertEqual(pytree.tree_unflatten(leaves, spec)["m"], mask)

    def test_tensors_outlive_the_mask(self):
        tensors = Mask.from_dense(random_weights(7))._tensors
        want = [t.clone() for t in tensors]
        gc.collect()
        for tensor, before in zip(tensors, want, strict=True):
            self.assertTrue(torch.equal(tensor, before))

    def test_repr(self):
        self.assertIn("210 of 2100 active", repr(Mask.from_dense(torch.arange(2100).view(SHAPE) % 10 == 0)))


if __name__ == "__main__":
    unittest.main()
