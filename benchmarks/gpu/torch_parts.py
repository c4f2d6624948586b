"""The parts that compute in torch, in a process of their own: its device memory is free again when engines load."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE)]

import torch  # noqa: E402  (the checkout need not be installed)
from loads import Loads, Sizes  # noqa: E402
from page import Page, shown  # noqa: E402
from sampling import first_gpu, sampler_part  # noqa: E402

from pytest_llmeval.telemetry.roofline import Bandwidth, bandwidth_of, shape_of  # noqa: E402

BYTES_PER_WEIGHT = 2  # bfloat16
READ_S = 1.0  # for each model: tens to hundreds of readings of all its weights


def limits_part(page: Page, loads: Loads) -> None:
    page.say("## Single-stream limit by memory bandwidth")
    bandwidth = device_bandwidth()
    by = f"{bandwidth.bytes_s / 1e9:,.0f} GB/s ({bandwidth.source})" if bandwidth else "not available"
    page.say(f"Memory bandwidth: {by}. Weights in bfloat16, no context, batch of one.")

    def rows() -> Iterator[list[str]]:
        for path in sorted((HERE / "configs").glob("*.json")):
            shape = shape_of(json.loads(path.read_text()))
            assert shape is not None
            read = shape.active * BYTES_PER_WEIGHT
            done = loads.read_weights(read if loads.device == "cuda" else 1 << 22, READ_S)
            limit = bandwidth.bytes_s / read if bandwidth else None
            yield [
                path.stem,
                shown(shape.parameters / 1e9, "B", 2),
                shown(read / 1e9, "GB", 2),
                shown(limit, "tok/s", 0),
                shown(done.rate / read, "tok/s", 0),
                shown(100 * done.rate / bandwidth.bytes_s if bandwidth else None, "%", 0),
            ]

    headings = ("model", "parameters", "read per token", "limit", "measured by reading", "of the bandwidth")
    page.table("limits", headings, rows())


def device_bandwidth() -> Bandwidth | None:
    gpu = first_gpu()
    return bandwidth_of(gpu.facts.name, gpu.facts.bandwidth_bytes_s) if gpu else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--parts", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rehearse", action="store_true")
    arguments = parser.parse_args()
    page = Page(out=arguments.out)
    loads = Loads("cpu", Sizes.rehearsal()) if arguments.rehearse else Loads("cuda", Sizes.real())
    page.say(f"torch {torch.__version__}, process {os.getpid()}.")
    parts = {
        "sampler": lambda folder: sampler_part(page, loads, folder),
        "limits": lambda _: limits_part(page, loads),
    }
    with tempfile.TemporaryDirectory() as folder:
        for name in arguments.parts.split(","):
            parts[name](Path(folder))
            page.save()


if __name__ == "__main__":
    main()
