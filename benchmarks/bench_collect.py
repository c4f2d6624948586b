"""What collecting costs: our 656 items against 656 trivial parametrised ones, interleaved, with ratios.

python benchmarks/bench_collect.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
OURS = ["suites", "-m", "coding", "--deselect", "codestral_22b", "--collect-only", "-q"]
TRIVIAL = ["-p", "no:llmeval_bench", "--collect-only", "-q"]
TRIVIAL_SUITE = """
import pytest

@pytest.mark.parametrize("number", range(656))
def test_nothing(number):
    pass
"""


def seconds(arguments: list[str], folder: Path) -> float:
    """Wall seconds of one pytest; raises where it does not collect 656 items."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "pytest", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    elapsed = time.perf_counter() - started
    if "656" not in done.stdout.splitlines()[-1]:
        raise RuntimeError(f"not 656 items: {done.stdout.splitlines()[-1]}")
    return elapsed


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    with tempfile.TemporaryDirectory() as name:
        trivial = Path(name)
        (trivial / "test_trivial.py").write_text(TRIVIAL_SUITE)
        pairs = [(seconds(OURS, REPOSITORY), seconds(TRIVIAL, trivial)) for _ in range(rounds)]
    print("| round | ours, s | trivial, s | ratio |\n| ---: | ---: | ---: | ---: |")
    for number, (ours, plain) in enumerate(pairs, 1):
        print(f"| {number} | {ours:.2f} | {plain:.2f} | {ours / plain:.2f} |")
    print(f"\nmedian ratio: {statistics.median(ours / plain for ours, plain in pairs):.2f}")


if __name__ == "__main__":
    main()
