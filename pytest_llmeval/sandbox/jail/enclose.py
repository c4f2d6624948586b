"""Level A without bubblewrap: new namespaces and a root of our own, then the zygote in place of this program.

It runs once per zygote, before anything hostile exists: as root without a user namespace, because samples are
to become another user; as anybody else inside one.
"""

from __future__ import annotations

import os
import signal
import struct
from typing import Any

from . import kernel, seccomp

OLD, NEW = "/old", "/new"
_RECURSIVE = 0x8000
_AT_FDCWD = -100
_KEPT_BY_ROOT = (kernel.CAP_SETGID, kernel.CAP_SETUID)
_LAST_CAPABILITY = 40
_READ_ONLY, _NO_SETUID, _NO_DEVICES = 1, 2, 4  # MOUNT_ATTR_*


def main(config: dict[str, Any]) -> None:
    """Enclose this process as `config` says and run its "command"; OSError where the kernel refuses."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    root = os.geteuid() == 0
    _unshare(root)
    child = os.fork()
    if child:
        os.closerange(0, 4096)  # the end of the socket says that everyone is dead: not as long as we held it
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    _change_root(config)
    for capability in range(_LAST_CAPABILITY + 1):
        if not (root and capability in _KEPT_BY_ROOT):
            kernel.limit_capabilities(capability)
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    os.execv(config["command"][0], config["command"])


def _unshare(root: bool) -> None:
    uid, gid = os.geteuid(), os.getegid()
    spaces = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC
    kernel.unshare(spaces | kernel.CLONE_NEWUTS | (0 if root else kernel.CLONE_NEWUSER))
    if not root:
        kernel.map_user(uid, gid)


def _change_root(config: dict[str, Any]) -> None:
    """Leave this machine's files behind, but for what `config` shows, which can be read only."""
    os.umask(0o022)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("root", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=755")
    os.mkdir("/tmp" + OLD)
    os.mkdir("/tmp" + NEW)
    _pivot("/tmp", "/tmp" + OLD)
    os.chdir("/")
    kernel.mount(NEW, NEW, None, kernel.MS_BIND)
    for source, target in config["shown"]:
        _show(source, target, _READ_ONLY | _NO_SETUID | _NO_DEVICES)
    for points_to, target in config["links"]:
        os.makedirs(os.path.dirname(NEW + target), exist_ok=True)
        os.symlink(points_to, NEW + target)
    for device in config["devices"]:
        _show(device, device, _READ_ONLY | _NO_SETUID)
    for directory in config["hidden"]:
        kernel.mount("none", NEW + directory, "tmpfs", kernel.MS_RDONLY, "size=4k,nr_inodes=2,mode=755")
    for directory in ("/proc", "/tmp"):
        os.mkdir(NEW + directory)
    _show_processes()
    _restrict(NEW, _READ_ONLY | _NO_SETUID | _NO_DEVICES, recursive=False)
    kernel.detach(OLD)
    os.chdir(NEW)
    _pivot(".", ".")  # the root before is now stacked on the new one
    kernel.detach(".")
    os.chdir("/")


def _show(source: str, target: str, attributes: int) -> None:
    """Mount a file or a directory tree of the old root, with nothing but these attributes' rights."""
    if os.path.isdir(OLD + source):
        os.makedirs(NEW + target, exist_ok=True)
    elif not os.path.exists(NEW + target):
        os.makedirs(os.path.dirname(NEW + target), exist_ok=True)
        os.close(os.open(NEW + target, os.O_CREAT | os.O_WRONLY))
    kernel.mount(OLD + source, NEW + target, None, kernel.MS_BIND | kernel.MS_REC)
    _restrict(NEW + target, attributes, recursive=True)


def _show_processes() -> None:
    """Those of our own namespace; containers that mask theirs allow only what they have themselves.

    Nobody but the zygote sees them: it covers /proc before the first sample.
    """
    try:
        kernel.mount("proc", NEW + "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    except OSError:
        kernel.mount(OLD + "/proc", NEW + "/proc", None, kernel.MS_BIND | kernel.MS_REC)


def _restrict(path: str, attributes: int, recursive: bool) -> None:
    """mount_setattr(2): unlike a remount it reaches the mounts below, and keeps what they forbid already."""
    arguments = struct.pack("4Q", attributes, 0, 0, 0)
    flags = _RECURSIVE if recursive else 0
    number = seccomp.number("mount_setattr")
    kernel.syscall(number, _AT_FDCWD, path.encode(), flags, arguments, len(arguments))


def _pivot(new_root: str, put_old: str) -> None:
    kernel.syscall(seccomp.number("pivot_root"), new_root.encode(), put_old.encode())
