"""Runs an executor where this script takes away first what containers take away, or everything.

Usage: poorer.py {container|nothing|no bwrap|as it is} LEVEL; prints the level that was reached, or the refusal.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox import Executor, Limits
from pytest_llmeval.sandbox.jail import kernel, seccomp
from pytest_llmeval.schema import Problem, Program

EPERM, ENOSYS, ALLOW = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS, 0x7FFF0000
DENIED = (
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsmount",
)
# What an ordinary container leaves of root: no SYS_ADMIN, SYS_PTRACE, NET_ADMIN, …
KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31)
NEW_NAMESPACES = 0x7E020000
NO_LANDLOCK = (444, 445, 446)


def without(nothing: bool) -> bytes:
    """A filter as container engines install it; with `nothing`, also without Landlock and further filters."""
    code = [struct.pack("HBBI", 0x20, 0, 0, 0)]

    def on(number: int, *body: tuple[int, int, int, int]) -> None:
        code.append(struct.pack("HBBI", 0x15, 0, len(body), number))
        code.extend(struct.pack("HBBI", operation, t, f, value) for operation, value, t, f in body)

    for name in DENIED:
        on(seccomp.NUMBERS[name][0] or 0, (0x06, EPERM, 0, 0))
    on(435, (0x06, ENOSYS, 0, 0))
    on(56, (0x20, 16, 0, 0), (0x45, NEW_NAMESPACES, 0, 1), (0x06, EPERM, 0, 0), (0x06, ALLOW, 0, 0))
    if nothing:
        for number in (*NO_LANDLOCK, 317):
            on(number, (0x06, ENOSYS, 0, 0))
        on(157, (0x20, 16, 0, 0), (0x15, 22, 0, 1), (0x06, EPERM, 0, 0), (0x06, ALLOW, 0, 0))
    code.append(struct.pack("HBBI", 0x06, 0, 0, ALLOW))
    return b"".join(code)


def main() -> None:
    """Get poorer, then start."""
    if sys.argv[1] == "no bwrap":
        os.environ["PATH"] = "/nowhere"
    elif sys.argv[1] != "as it is":
        lose()
    judge()


def lose() -> None:
    """What a container lacks, for good."""
    if os.geteuid() == 0:
        for capability in range(41):
            if capability not in KEPT_CAPABILITIES:
                kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
        kernel.set_capabilities(sum(1 << capability for capability in KEPT_CAPABILITIES))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.Filter(without(nothing=sys.argv[1] == "nothing")).install()


def judge() -> None:
    """Start, judge one program, and say how."""
    executor = Executor(sys.argv[2], workers=1, limits=Limits())
    try:
        executor.start()
    except SandboxFault as refusal:
        sys.stdout.write(f"refused: {refusal}\n")
        return
    task = Problem("t", "t", "def f(x):\n", "f", "def check(c):\n    assert c(3) == 9\n", "")
    verdict = executor.submit(Program("def f(x): return x * x", "t"), task).result()
    isolation = executor.isolation
    sys.stdout.write(
        f"{isolation.level} {verdict.outcome} missing={isolation.missing} by {isolation.means}\n"
    )
    executor.close()


if __name__ == "__main__":
    main()
