"""How a zygote shuts itself in, and what each sample gives up beyond that.

Like all of the jail it does without pathlib, dataclasses and shutil: their imports make every fork dearer.
"""

from __future__ import annotations

import os
import resource
import signal
from typing import Any, NoReturn

from . import kernel, landlock, seccomp

TMP = "/tmp"
NOT_DUMPABLE, DUMPABLE = 0, 1


class Jail:
    """What `enter` set up and samples rely on."""

    def __init__(self, level: str, bounds_threads: bool) -> None:
        """`bounds_threads`: the user id is ours alone, so a limit on its tasks means this sample's."""
        self.level = level
        self.bounds_threads = bounds_threads
        self.tmp_bytes = 0
        self.own_pid_namespace = -1
        self.tmp_untouched: tuple[int, ...] = ()
        self._filters: dict[bool, kernel.Filter] = {}
        self._template = b""

    def prepare_filters(self, machine: str) -> None:
        """Make ready what each sample installs: below level A it holds the sample's own pid."""
        codes = {allow: seccomp.sample_filter(self.level, machine, allow) for allow in (False, True)}
        self._template = codes[False]
        self._filters = {allow: kernel.Filter(code) for allow, code in codes.items()}

    def filter(self, processes: int) -> kernel.Filter:
        """What this sample installs."""
        if self.level == "A":
            return self._filters[processes > 0]
        return kernel.Filter(seccomp.for_pid(self._template, os.getpid()))


def enter(config: dict[str, Any]) -> Jail:
    """Shut this process in at the level of `config`; returns in a new process at level A."""
    level, uid = config["level"], config["uid"]
    machine = os.uname().machine
    jail = Jail(level, bounds_threads=level == "A" or uid is not None)
    if level != "C":  # there the end of the control socket must do: it leaves time to clean up
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if uid is not None:
        become(uid, keep_search=config["keep_search"])
    if level == "A":
        _enter_namespaces(jail, config["tmp_bytes"])
    else:
        os.chdir(config["work"])
    if level == "C":
        return jail
    if uid is None and level != "A":
        kernel.drop_capabilities()
    if level == "B":
        landlock.restrict(config["readable"], config["listable"], config["writable"])
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    kernel.Filter(seccomp.zygote_filter(level, machine)).install()
    jail.prepare_filters(machine)
    kernel.prctl(kernel.PR_SET_DUMPABLE, NOT_DUMPABLE)
    return jail


class Cores:
    """The cores that this process and its next children run on."""

    def __init__(self) -> None:
        self._all = list(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._kept_to: list[int] = []

    def keep_to(self, cores: list[int]) -> None:
        """Only these; an empty list: all that there are."""
        if cores != self._kept_to:
            os.sched_setaffinity(0, cores or self._all)
            self._kept_to = cores


def kernel_rule(option: int, value: int, level: str) -> None:
    """A prctl that level C, which promises nothing, can do without."""
    try:
        kernel.prctl(option, value)
    except (OSError, AttributeError):
        if level != "C":
            raise


def become(uid: int, keep_search: bool) -> None:
    """Give up root for a user id that owns nothing.

    `keep_search` keeps the right to look through directories that only root may enter, for an interpreter
    that lives in one; Landlock, which this level adds, still names every file that can be read.
    """
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    if keep_search:
        kernel.prctl(kernel.PR_SET_KEEPCAPS, 1)
    os.setresuid(uid, uid, uid)
    if keep_search:
        _keep_search()
    else:
        kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_DUMPABLE, DUMPABLE)  # /proc/self must be ours for a moment longer
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # changing user cleared it


def _keep_search() -> None:
    """Of the two rights that look into closed directories the lesser one; containers often have the other."""
    try:
        kernel.set_capabilities(1 << kernel.CAP_DAC_READ_SEARCH)
    except OSError:
        kernel.set_capabilities(1 << kernel.CAP_DAC_OVERRIDE)


def _enter_namespaces(jail: Jail, tmp_bytes: int) -> None:
    """Become process 1 of a pid namespace that our own user namespace owns, with an empty /proc and /tmp."""
    uid, gid = os.getuid(), os.getgid()
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
    kernel.map_user(uid, gid)
    child = os.fork()
    if child:
        os.closerange(0, 4096)
        os.waitpid(child, 0)
        os._exit(0)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    hidden = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    kernel.mount("none", "/proc", "tmpfs", hidden, "size=4k,nr_inodes=2,mode=555")
    jail.tmp_bytes = tmp_bytes
    _mount_tmp(jail)
    jail.own_pid_namespace = os.pidfd_open(os.getpid())


# ---------------------------------------------------------------- the sample's own directory


def _mount_tmp(jail: Jail) -> None:
    options = f"size={jail.tmp_bytes},nr_inodes=2048,mode=700"
    kernel.mount("tmp", TMP, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    os.chdir(TMP)
    jail.tmp_untouched = _tmp_state()


def _tmp_state() -> tuple[int, ...]:
    """Changes with anything a sample leaves in /tmp: an entry, a byte, or the directory's own attributes."""
    directory, space = os.stat(TMP), os.statvfs(TMP)
    try:
        attributes = len(os.listxattr(TMP))
    except OSError:  # this kernel's tmpfs has none
        attributes = 0
    return (directory.st_ctime_ns, directory.st_mode, space.f_bfree, space.f_ffree, attributes)


def clean(jail: Jail, work: str) -> None:
    """Leave the next sample nothing of this one's files; a mount costs more than a sample, so only then."""
    if jail.level == "A" and _tmp_state() != jail.tmp_untouched:
        os.chdir("/")
        kernel.detach(TMP)
        _mount_tmp(jail)
    elif jail.level == "C":
        _empty(work)


def leave(jail: Jail, work: str) -> NoReturn:
    """End this process; at level C its directory goes too, which nobody else may be left to remove."""
    try:
        if jail.level == "C":
            _empty(work)
            os.rmdir(work)
    finally:
        os._exit(0)


def _empty(directory: str) -> None:
    for entry in os.scandir(directory):
        if entry.is_dir(follow_symlinks=False):
            from shutil import rmtree

            os.chmod(entry.path, 0o700)
            rmtree(entry.path, ignore_errors=True)
        else:
            os.unlink(entry.path)


# ---------------------------------------------------------------- each sample


def enter_sample(jail: Jail, limits: dict[str, Any]) -> None:
    """The last steps before hostile code runs in this process."""
    if jail.level == "C":
        os.setsid()  # so that it can be killed with its group
    if jail.level != "A":  # where no pid namespace ends with the zygote
        kernel_rule(kernel.PR_SET_PDEATHSIG, signal.SIGKILL, jail.level)
    bounds = [
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_MEMLOCK, 0),
    ]
    if jail.bounds_threads:
        bounds.append((resource.RLIMIT_NPROC, limits["threads"] + limits["processes"]))
    for kind, bound in bounds:
        resource.setrlimit(kind, (bound, bound))
    # At the first a signal that says why, at the second the end of whoever ignored it.
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 1))
    if jail.level == "A":
        kernel.drop_capabilities()
    if jail.level != "C":
        jail.filter(limits["processes"]).install()
