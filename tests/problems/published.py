"""Small files in the layouts in which problem sets are published, made here: no published data is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOUBLE = {
    "task_id": "HumanEval/0",
    "prompt": 'def double(x):\n    """ Twice x. """\n',
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "contract": '\n    assert isinstance(x, int), "invalid inputs" # $_CONTRACT_$\n',
    "base_input": [[1], [2]],
    "plus_input": [[n] for n in range(3, 40)] + [[10**4000]],
    "atol": 0,
}
ROOT = {
    "task_id": "HumanEval/32",
    "prompt": "import math\n\n\ndef poly(xs: list, x: float):\n    return sum([c * math.pow(x, i) for i, c in "
    'enumerate(xs)])\n\n\ndef find_zero(xs: list):\n    """ A zero of the polynomial. """\n',
    "entry_point": "find_zero",
    "canonical_solution": "    low, high = -1000.0, 1000.0\n    for _ in range(200):\n        mid = (low + high) / 2\n"
    "        if poly(xs, mid) * poly(xs, high) <= 0:\n            low = mid\n        else:\n            high = mid\n"
    "    return low\n",
    "contract": "",
    "base_input": [[[1, 2]]],
    "plus_input": [[[-6, 11, -6, 1]], [[3, -1]]],
    "atol": 0.0001,
}
SIMILAR = {
    "task_id": "Mbpp/2",
    "prompt": '"""\nWrite a function to find the shared elements.\nassert set(similar_elements((3, 4),(4, 5))) == '
    'set((4,))\n"""\n',
    "entry_point": "similar_elements",
    "canonical_solution": "\ndef similar_elements(a, b):\n  return tuple(set(a) & set(b))\n",
    "contract": "",
    "assertion": "",
    "base_input": [[[3, 4], [4, 5]]],
    "plus_input": {},
    "atol": 0,
}
MATCHES = {
    "task_id": "Mbpp/787",
    "prompt": '"""\nWrite a function that matches a string that has an a followed by three b.\n"""\n',
    "entry_point": "text_match_three",
    "canonical_solution": "\nimport re\ndef text_match_three(text):\n  return re.search('ab{3}', text)\n",
    "contract": "",
    "assertion": "",
    "base_input": [["abbb"], ["a"]],
    "plus_input": [["abb"], ["xxabbbyy"]],
    "atol": 0,
}
SUMS = {
    "task_id": "Mbpp/126",
    "prompt": '"""\nWrite a python function to find the sum of common divisors of two numbers.\n"""\n',
    "entry_point": "sum",
    "canonical_solution": "\nimport math\ndef sum(a, b):\n  total = 0\n  for i in range(1, math.gcd(a, b) + 1):\n"
    "    if a % i == 0 and b % i == 0:\n      total += i\n  return total\n",
    "contract": "",
    "assertion": "",
    "base_input": [[10, 15], [100, 150]],
    "plus_input": [[4, 6]],
    "atol": 0,
}
# The hub's layout of two of them; numbers as ids and Python as data are as published.
HUB_TEST = """\
import numpy as np
from math import inf

def is_floats(x) -> bool:
    return isinstance(x, float)

def assertion(out, exp, atol):
    assert out == exp

inputs = {inputs}
results = {results}
for i, (inp, exp) in enumerate(zip(inputs, results)):
    assertion({entry_point}(*inp), exp, 0)
"""
HUB_SIMILAR = {
    "task_id": 2,
    "code": SIMILAR["canonical_solution"],
    "prompt": "Write a function to find the shared elements. https://example.org/similar",
    "source_file": "notebook",
    "test_imports": [],
    "test_list": ["assert set(similar_elements((3, 4),(4, 5))) == set((4,))"],
    "test": HUB_TEST.format(
        inputs="[[(3, 4), (4, 5)], [(), ()], [(inf,), (inf, 1)]]",
        results="[(4,), (), (inf,)]",
        entry_point="similar_elements",
    ),
}
HUB_DOUBLE = {
    "task_id": "HumanEval/0",
    "prompt": DOUBLE["prompt"],
    "canonical_solution": DOUBLE["canonical_solution"],
    "entry_point": "double",
    "test": "import numpy as np\n\ndef assertion(out, exp, atol):\n    assert out == exp\n\n\ndef ref_func(x):\n"
    "    return 2 * x\n\ndef check(candidate):\n    inputs = [[1], [2], [3]]\n"
    "    for i, inp in enumerate(inputs):\n        assertion(candidate(*inp), ref_func(*inp), 0)\n",
}
SANITIZED = {
    "source_file": "notebook",
    "task_id": 56,
    "prompt": "Write a python function to check if a number is one less than twice its reverse.",
    "code": "def rev(num):\n    return int(str(num)[::-1])\ndef check(n):\n    return (2 * rev(n) == n + 1)",
    "test_imports": [],
    "test_list": ["assert check(70) == False", "assert check(23) == False", "assert check(73) == True"],
}
SIZES = {
    "source_file": "notebook",
    "task_id": 596,
    "prompt": "Write a function to find the size in bytes of a tuple.",
    "code": "import sys \ndef tuple_size(values):\n  return sys.getsizeof(values)",
    "test_imports": ["import math"],
    "test_list": [
        "assert tuple_size((1, 2)) == sys.getsizeof((1, 2))",
        "assert math.isclose(tuple_size(()), 40)",
    ],
}


def written(path: Path, *rows: dict[str, Any]) -> Path:
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
