"""Landlock: access to the paths that are named and no others; no TCP, no signals or sockets outward."""

from __future__ import annotations

import os
import stat
import struct

from . import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every machine
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_FILE_RIGHTS_BY_VERSION = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 4: 0x7FFF}
_FILE_RIGHTS_NEWEST = 0xFFFF
_TCP_RIGHTS = 3
_SCOPES = 3  # abstract unix sockets and signals


def version() -> int:
    """The kernel's Landlock version; 0 where it has none."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(readable: list[str], listable: list[str], writable: list[str]) -> int:
    """Confine this process and all it forks for good; returns the version that was used."""
    abi = version()
    if not abi:
        raise OSError("this kernel has no Landlock, or it is not enabled")
    handled = _FILE_RIGHTS_BY_VERSION.get(abi, _FILE_RIGHTS_NEWEST)
    attributes = struct.pack("QQQ", handled, _TCP_RIGHTS if abi >= 4 else 0, _SCOPES if abi >= 6 else 0)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    ruleset = kernel.syscall(_CREATE_RULESET, attributes, size, 0)
    for path in readable:
        _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
    for path in listable:
        _allow(ruleset, path, _READ_DIR)
    for path in writable:
        _allow(ruleset, path, _READ_FILE | _WRITE_FILE)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return abi


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what does not exist needs no rule
    granted = rights if stat.S_ISDIR(os.fstat(beneath).st_mode) else rights & ~_READ_DIR
    kernel.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", granted, beneath), 0)
    os.close(beneath)
