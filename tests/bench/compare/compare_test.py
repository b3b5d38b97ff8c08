"""The verdicts of ./dev bench compare on two builds whose times are given."""

import contextlib
import importlib.util
import io
import pathlib
import sys
import unittest
from unittest import mock

_SPEC = importlib.util.spec_from_file_location("compare", pathlib.Path(__file__).with_name("__main__.py"))
compare = sys.modules["compare"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(compare)


class Compare(unittest.TestCase):
    def run_with(self, before, now, *arguments):
        """Exit status and output, for milliseconds one a run, the last for ever; None: the build cannot run the case."""
        times = {"before": list(before), "now": list(now)}

        def measure(program, case):
            return times[program].pop(0) if len(times[program]) > 1 else times[program][0]

        command = ["compare", "--only", "decode f32", *arguments, "--programs", "before", "now"]
        output = io.StringIO()
        with mock.patch.object(compare, "measure", measure), mock.patch.object(sys, "argv", command):
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                try:
                    status = compare.main()
                except SystemExit as stop:
                    status = stop.code
        return status, output.getvalue()

    def test_equal(self):
        status, output = self.run_with([2.0], [2.1])
        self.assertEqual(status, 0, output)
        self.assertIn("nothing is over 10 % slower", output)
        self.assertNotIn("once more", output)

    def test_slower(self):
        status, output = self.run_with([2.0], [2.3])
        self.assertEqual(status, 1)
        self.assertIn("1.150", output)
        self.assertIn("over 10 % slower: decode f32", output)

    def test_limit(self):
        self.assertEqual(self.run_with([2.0], [2.3], "--limit", "20")[0], 0)
        self.assertEqual(self.run_with([2.0], [2.1], "--limit", "2")[0], 1)

    def test_faster(self):
        self.assertEqual(self.run_with([2.0], [1.0])[0], 0)

    def test_outliers_do_not_count(self):
        self.assertEqual(self.run_with([2.0], [9.0, 9.0, 9.0, 2.0])[0], 0)

    def test_confirmation(self):
        # Slow for the first measurement only.
        status, output = self.run_with([2.0], [3.0] * 7 + [2.0])
        self.assertEqual(status, 0, output)
        self.assertIn("once more, for longer", output)

    def test_both_builds_run_in_turns(self):
        order = []
        with mock.patch.object(compare, "measure", lambda program, case: order.append(program) or 1.0):
            compare.race(["a", "b"], compare.CASES[0], 3)
        self.assertEqual(order, ["a", "b", "b", "a", "a", "b"])

    def test_cases_that_a_commit_does_not_know(self):
        status, output = self.run_with([None], [9.0])
        self.assertEqual(status, 0, output)
        self.assertIn("left out", output)
        status, _ = self.run_with([2.0], [None])
        self.assertRegex(status, "decode f32: now bench full .* failed")

    def test_errors(self):
        for arguments, status, message in (
            (["--only", "nothing"], 2, "no case has a name with 'nothing'; there are: dense f32 D64"),
            (["HEAD"], 2, "a COMMIT is needed, or --programs"),
            (["--rounds", "0"], 2, "--rounds must be at least 1"),
        ):
            got, output = self.run_with([2.0], [2.0], *arguments)
            self.assertEqual(got, status)
            self.assertIn(message, output)
        with mock.patch.object(sys, "argv", ["compare", "no-such-commit"]), self.assertRaises(SystemExit) as stop:
            compare.main()
        self.assertIn("there is no commit no-such-commit", stop.exception.code)


if __name__ == "__main__":
    unittest.main()
