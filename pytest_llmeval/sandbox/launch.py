"""How a zygote is started at each level: the command around the interpreter, and what it is told to do."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_llmeval.errors import SandboxFault
from pytest_llmeval.sandbox.interpreter import Interpreter
from pytest_llmeval.sandbox.isolation import Level
from pytest_llmeval.sandbox.limits import Limits

DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
FIRST_SPARE_UID, SPARE_UIDS = 61_000, 4_000
# Warm for every sample. Each module makes every fork dearer, so only what programs import all the time.
PRELOAD = (
    "math", "re", "itertools", "collections", "functools", "heapq", "bisect", "random", "string", "copy",
    "typing", "operator", "datetime",
)  # fmt: skip
CHECKER_PRELOAD = ("math", "typing", "random", "copy", "string")

_spare = itertools.count(os.getpid() * 16)


@dataclass(frozen=True, slots=True)
class Launch:
    """What stands before the interpreter on the command line, and what the zygote is told."""

    command: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)


def launches(level: Level, interpreter: Interpreter, limits: Limits, work: str) -> Iterator[Launch]:
    """The ways to start at `level`, best first; SandboxFault where this machine offers none."""
    root = os.geteuid() == 0
    uid = FIRST_SPARE_UID + next(_spare) % SPARE_UIDS if root else None
    config: dict[str, Any] = {
        "level": level.value,
        "uid": uid,
        "keep_search": False,
        "site": list(interpreter.site),
        "tmp_bytes": limits.tmp_bytes,
        "work": "/",
    }
    match level:
        case Level.NAMESPACES:
            config["site"] = [f"/run/site/{index}" for index, _ in enumerate(interpreter.site)]
            for proc in (("--proc", "/proc"), ("--bind", "/proc", "/proc")):
                yield Launch(tuple(_bubblewrap(interpreter, root, proc)), config)
        case Level.LANDLOCK:
            hidden = root and not interpreter.readable_by_others()
            paths = {
                "readable": [*interpreter.readable(), *DEVICES],
                "listable": [str(interpreter.stdlib)],
                "writable": ["/dev/null"],
            }
            yield Launch(config=config | paths | {"keep_search": hidden})
        case Level.SECCOMP:
            yield Launch(config=config | {"uid": uid if interpreter.readable_by_others() else None})
        case Level.RLIMITS:
            yield Launch(config=config | {"uid": None, "work": work})


def _bubblewrap(interpreter: Interpreter, root: bool, proc: tuple[str, ...]) -> list[str]:
    program = shutil.which("bwrap")
    if program is None:
        raise SandboxFault("bubblewrap (bwrap) is not installed")
    shown = [(str(path), str(path)) for path in interpreter.files() if path.exists()]
    shown += [(path, f"/run/site/{index}") for index, path in enumerate(interpreter.site)]
    command = [
        program, "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try",
        "--as-pid-1", "--die-with-parent", "--new-session",
    ]  # fmt: skip
    if root:
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        command += ["--unshare-user"]
    # Parents that bwrap makes on its own are closed to the user id that samples get.
    parents = {parent for _, target in shown for parent in Path(target).parents} | {
        Path("/dev"),
        Path("/run"),
    }
    for parent in sorted(parents - {Path("/")}):
        if not any(str(parent).startswith(f"{target}/") or str(parent) == target for _, target in shown):
            command += ["--dir", str(parent)]
    for source, target in sorted(shown, key=lambda pair: pair[1]):
        if Path(source).is_symlink() and source == target:
            command += ["--symlink", str(Path(source).readlink()), target]
        else:
            command += ["--ro-bind", source, target]
    for packages in interpreter.packages():
        command += ["--tmpfs", str(packages), "--remount-ro", str(packages)]
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    return [*command, *proc, "--dir", "/tmp", "--remount-ro", "/", "--chdir", "/", "--"]
