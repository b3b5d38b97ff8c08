"""The Python programs of the documents run, each document's one after the other as one session."""

import re
import unittest

from reference import ROOT


class Documents(unittest.TestCase):
    def test_python_blocks(self):
        found = 0
        for name in ("README.md", "python/README.md", "docs/torch.md"):
            text = (ROOT / name).read_text(encoding="utf-8")
            session = {"__name__": "document"}
            for block in re.finditer(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
                found += 1
                line = text[: block.start()].count("\n") + 1
                with self.subTest(document=name, line=line):
                    exec(compile("\n" * line + block.group(1), name, "exec"), session)
        self.assertGreater(found, 2)


if __name__ == "__main__":
    unittest.main()
