"""The few Linux calls that the standard library lacks. Each raises OSError where the kernel refuses."""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from typing import Any

CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 1 << 14, 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_SETGID, CAP_SETUID = 6, 7

_CAPABILITY_VERSION_3 = 0x20080522
POLL_WITHOUT_PIDFD_MS = 20.0  # how often to look where `exit_event` has no descriptor

_libc = ctypes.CDLL(None, use_errno=True)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_char_p))


def _checked(result: int, call: str) -> int:
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{call}: {os.strerror(error)}")
    return result


def prctl(option: int, value: int, pointer: int = 0) -> int:
    """prctl(2) with its unused arguments zero."""
    arguments = [ctypes.c_ulong(number) for number in (option, value, pointer, 0, 0)]
    return _checked(_libc.prctl(*arguments), f"prctl({option})")


def unshare(flags: int) -> None:
    """Move this process (for a pid namespace: its next child) into new namespaces."""
    _checked(_libc.unshare(flags), f"unshare({flags:#x})")


def map_user(uid: int, gid: int) -> None:
    """In a user namespace that was just made: we are there who we were outside, and nobody else exists."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def setns(fd: int, flags: int) -> None:
    """Let the next child be born in the namespace behind `fd`."""
    _checked(_libc.setns(fd, flags), "setns")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2)."""
    encoded = (source.encode(), target.encode(), kind.encode() if kind else None)
    _checked(_libc.mount(*encoded, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def detach(target: str) -> None:
    """Take a mount out of sight; it is gone with its last user."""
    _checked(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def set_capabilities(kept: int) -> None:
    """Hold exactly the capabilities of the bit mask `kept` (below 32), none inheritable."""
    _checked(_libc.capset(_HEADER, struct.pack("6I", kept, kept, 0, 0, 0, 0)), "capset")


def limit_capabilities(lost: int) -> None:
    """Nothing that is run from here on can get the capability; one that this kernel does not know is none."""
    try:
        prctl(PR_CAPBSET_DROP, lost)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


_HEADER = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
_NO_CAPABILITIES = bytes(24)
_capset: Any = getattr(_libc, "capset", None)  # Linux alone has them; elsewhere there is only level C
_prctl: Any = getattr(_libc, "prctl", None)


def drop_capabilities() -> None:
    """Hold none. Like `Filter`, prepared before the fork: a sample copies every page that it writes."""
    if _capset(_HEADER, _NO_CAPABILITIES) < 0:
        raise OSError(ctypes.get_errno(), "capset")


class Filter:
    """A seccomp program, ready to bind a process and its children for good."""

    def __init__(self, code: bytes) -> None:
        self._program = _FilterProgram(len(code) // 8, code)
        numbers = (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(self._program), 0, 0)
        self._arguments = tuple(ctypes.c_ulong(number) for number in numbers)

    def install(self) -> None:
        if _prctl(*self._arguments) < 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_SECCOMP)")


def syscall(number: int, *arguments: object) -> int:
    """Any call by its number."""
    return _checked(_libc.syscall(number, *arguments), f"syscall {number}")


def exit_event(pid: int) -> int | None:
    """A descriptor that polls readable once `pid` ended; None where the system has no such thing."""
    return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
