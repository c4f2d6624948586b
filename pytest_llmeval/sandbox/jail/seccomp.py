"""Seccomp filters in two layers: one for the zygote and all it forks, a short one for each sample.

The long filter is inherited free of charge; the short one denies what the zygote itself still needs.
Numbers are those of x86_64 and aarch64. The aarch64 column follows the kernel's generic table and has
never run: the self-test decides there too.
"""

from __future__ import annotations

import errno
import os
import struct

# name: (x86_64, aarch64); None where that machine has no such call
NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # network: socketpair stays, and reaches nobody as long as sendto names nobody
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "accept4": (288, 242),
    "bind": (49, 200), "listen": (50, 201),
    # other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "pidfd_open": (434, 434),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "migrate_pages": (256, 238),
    "move_pages": (279, 239), "sched_setparam": (142, 118), "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "sched_setaffinity": (203, 122), "inotify_init": (253, None), "inotify_init1": (294, 26),
    # name spaces, mounts, the machine
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142),
    "sethostname": (170, 161), "setdomainname": (171, 162), "init_module": (175, 105),
    "delete_module": (176, 106), "finit_module": (313, 273), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "acct": (163, 89), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "quotactl": (179, 60), "syslog": (103, 116),
    "iopl": (172, None), "ioperm": (173, None), "vhangup": (153, 58),
    # kernel interfaces with a history
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "add_key": (248, 217),
    "request_key": (249, 218), "keyctl": (250, 219), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "io_setup": (206, 0),
    "fanotify_init": (300, 262), "personality": (135, 92), "modify_ldt": (154, None),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "seccomp": (317, 277),
    # memory that RLIMIT_AS does not count
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "shmat": (30, 196),
    "shmctl": (31, 195), "semget": (64, 190), "semop": (65, 193), "semctl": (66, 191),
    "semtimedop": (220, 192), "msgget": (68, 186), "msgsnd": (69, 189), "msgrcv": (70, 188),
    "msgctl": (71, 187), "mq_open": (240, 180),
    # who one is
    "setuid": (105, 146), "setgid": (106, 144), "setreuid": (113, 145), "setregid": (114, 143),
    "setgroups": (116, 159), "setresuid": (117, 147), "setresgid": (119, 149), "setfsuid": (122, 151),
    "setfsgid": (123, 152), "capset": (126, 91),
    # calls that depend on their arguments, or that only the sample filter denies
    "clone": (56, 220), "clone3": (435, 435), "prlimit64": (302, 261), "fork": (57, None),
    "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129),
    "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240), "pidfd_send_signal": (424, 424), "open": (2, None),
    "openat": (257, 56), "openat2": (437, 437), "ioctl": (16, 29),
    "fcntl": (72, 25), "prctl": (157, 167), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "sendto": (44, 206), "socketpair": (53, 199),
    # changes to files that Landlock does not govern, or not at every version
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, None), "lchown": (94, None), "fchown": (93, 55), "fchownat": (260, 54),
    "utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88),
    "setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "fremovexattr": (199, 16), "setxattrat": (463, 463),
    "removexattrat": (466, 466), "file_setattr": (469, 469), "truncate": (76, 45),
    # changes to directories, which Landlock governs and level B- must deny by call
    "creat": (85, None), "unlink": (87, None), "unlinkat": (263, 35), "rename": (82, None),
    "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, None), "mkdirat": (258, 34),
    "rmdir": (84, None), "link": (86, None), "linkat": (265, 37), "symlink": (88, None),
    "symlinkat": (266, 36), "mknod": (133, None), "mknodat": (259, 33), "mq_unlink": (241, 181),
}  # fmt: skip

ALWAYS_DENIED = tuple(NUMBERS)[: tuple(NUMBERS).index("clone")]
METADATA = tuple(NUMBERS)[tuple(NUMBERS).index("chmod") : tuple(NUMBERS).index("creat")]
DIRECTORIES = tuple(NUMBERS)[tuple(NUMBERS).index("creat") :]
CREATES_PROCESSES = ("fork", "vfork", "execve", "execveat")
# A channel whose end lies in itself stays open behind its sample, and whoever writes to it waits for ever.
PASSES_DESCRIPTORS = ("sendmsg", "sendmmsg")
SIGNALS = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal")
ZYGOTE_NEEDS = {
    "A": ("mount", "umount2", "unshare", "setns", "capset", "pidfd_open", "sched_setaffinity"),
    "B": ("pidfd_open", "sched_setaffinity"),
    "B-": ("pidfd_open", "sched_setaffinity"),
}

_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _AND, _JUMP, _EQUAL, _GREATER_EQUAL, _ANY_BIT, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _MACHINE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ALLOW, _KILL_PROCESS = 0x7FFF0000, 0x80000000
_EPERM, _ENOSYS = 0x50000 | errno.EPERM, 0x50000 | errno.ENOSYS
_X32_CALLS = 0x40000000
_NEW_NAMESPACES, _CLONE_THREAD = 0x7E020000, 0x10000
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0x400000  # __O_TMPFILE
# TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_HARMLESS_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# The kernel signals whom these name on behalf of whoever asked: F_SETOWN F_SETSIG F_SETOWN_EX F_SETLEASE F_NOTIFY,
# and the same by FIOSETOWN SIOCSPGRP FIOASYNC.
_SIGNALLING_FCNTLS = (8, 10, 15, 1024, 1026)
_SIGNALLING_IOCTLS = (0x8901, 0x8902, 0x5452)
_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG
_AF_UNIX = 1
_OWN_PID = 0x5EC0DE  # stands for the sample's pid until `for_pid` puts it in


def number(name: str) -> int:
    """The number of a call that every machine has."""
    found = NUMBERS[name][_MACHINES[os.uname().machine][0]]
    assert found is not None
    return found


class _Assembler:
    """Classic BPF, one instruction after the other; jumps count forward from the next one."""

    def __init__(self, machine: str) -> None:
        self.column, self.audit = _MACHINES[machine]
        self.code: list[bytes] = []

    def emit(self, operation: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        self.code.append(struct.pack("HBBI", operation, if_true, if_false, value))

    def number(self, name: str) -> int | None:
        return NUMBERS[name][self.column]

    def deny(self, names: tuple[str, ...]) -> None:
        """EPERM for each of `names`: a chain of comparisons with one shared way out."""
        numbers = [number for name in names if (number := self.number(name)) is not None]
        for index, number in enumerate(numbers):
            self.emit(_EQUAL, number, len(numbers) - index, 0)
        self.emit(_JUMP, 1)
        self.emit(_RETURN, _EPERM)

    def on(self, name: str, body: list[tuple[int, int, int, int]]) -> None:
        """Run `body`, which ends in a return, where the call is `name`."""
        number = self.number(name)
        if number is None:
            return
        self.emit(_EQUAL, number, 0, len(body))
        for instruction in body:
            self.emit(*instruction)

    def joined(self) -> bytes:
        self.emit(_RETURN, _ALLOW)
        return b"".join(self.code)


def _argument(index: int) -> tuple[int, int, int, int]:
    return (_LOAD, _FIRST_ARGUMENT_AT + 8 * index, 0, 0)


def _return(value: int) -> tuple[int, int, int, int]:
    return (_RETURN, value, 0, 0)


def zygote_filter(level: str, machine: str) -> bytes:
    """What nobody in this jail ever needs, and what the zygote's level does not govern otherwise."""
    assembler = _Assembler(machine)
    assembler.emit(_LOAD, _MACHINE_AT)
    assembler.emit(_EQUAL, assembler.audit, 1, 0)
    assembler.emit(_RETURN, _KILL_PROCESS)
    assembler.emit(_LOAD, _NUMBER_AT)
    if machine == "x86_64":
        assembler.emit(_GREATER_EQUAL, _X32_CALLS, 0, 1)
        assembler.emit(_RETURN, _KILL_PROCESS)
    denied = tuple(name for name in ALWAYS_DENIED if name not in ZYGOTE_NEEDS[level])
    assembler.deny(denied + (METADATA if level != "A" else ()) + (DIRECTORIES if level == "B-" else ()))
    assembler.on("clone3", [_return(_ENOSYS)])  # glibc falls back to clone, whose flags a filter can read
    only_itself = [_argument(0), (_EQUAL, 0, 1, 0), _return(_EPERM), _return(_ALLOW)]
    assembler.on("prlimit64", only_itself)
    assembler.on("fcntl", _unless(1, _SIGNALLING_FCNTLS))
    _deny_addressees(assembler)
    if level == "A":
        assembler.on("ioctl", _unless(1, _SIGNALLING_IOCTLS))
    else:
        assembler.on("ioctl", _if(1, _HARMLESS_IOCTLS))  # others change a file's flags
        _deny_writes(assembler, _WRITES if level == "B-" else None)
    return assembler.joined()


def _deny_addressees(assembler: _Assembler) -> None:
    """A pair of datagram sockets could write to any socket whose name it knows."""
    upper_half = (_LOAD, _argument(4)[1] + 4, 0, 0)
    no_address = [_argument(4), (_EQUAL, 0, 0, 2), upper_half, (_EQUAL, 0, 1, 0)]
    assembler.on("sendto", [*no_address, _return(_EPERM), _return(_ALLOW)])
    assembler.on("socketpair", _if(0, (_AF_UNIX,)))


def _unless(index: int, refused: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Allow the call unless its argument is one of `refused`."""
    compared = [(_EQUAL, value, len(refused) - n, 0) for n, value in enumerate(refused)]
    return [_argument(index), *compared, _return(_ALLOW), _return(_EPERM)]


def _if(index: int, allowed: tuple[int, ...]) -> list[tuple[int, int, int, int]]:
    """Allow the call only if its argument is one of `allowed`."""
    compared = [(_EQUAL, value, len(allowed) - n, 0) for n, value in enumerate(allowed)]
    return [_argument(index), *compared, _return(_EPERM), _return(_ALLOW)]


def _deny_writes(assembler: _Assembler, flags: int | None) -> None:
    """Deny opening a file with any of `flags`; None: what Landlock before its version 3 does not see, an open that
    truncates without writing, or that neither reads nor writes.
    """
    assembler.on("openat2", [_return(_ENOSYS)])  # its flags are behind a pointer
    unseen = (os.O_TRUNC, os.O_ACCMODE, os.O_ACCMODE | os.O_TRUNC)
    for name, flags_at in (("open", 1), ("openat", 2)):
        if flags is not None:
            body = [_argument(flags_at), (_ANY_BIT, flags, 0, 1), _return(_EPERM), _return(_ALLOW)]
        else:
            load, *compared = _unless(flags_at, unseen)
            body = [load, (_AND, os.O_ACCMODE | os.O_TRUNC, 0, 0), *compared]
        assembler.on(name, body)


def sample_filter(level: str, machine: str, allow_processes: bool) -> bytes:
    """What one sample may not do beyond the zygote's filter; `for_pid` completes it below level A."""
    assembler = _Assembler(machine)
    assembler.emit(_LOAD, _NUMBER_AT)
    denied = ZYGOTE_NEEDS[level] + PASSES_DESCRIPTORS
    assembler.deny(denied + (() if allow_processes else CREATES_PROCESSES))
    no_namespaces = [_argument(0), (_ANY_BIT, _NEW_NAMESPACES, 1, 0)]
    if allow_processes:
        assembler.on("clone", [*no_namespaces, _return(_ALLOW), _return(_EPERM)])
    else:
        threads_only = [(_ANY_BIT, _CLONE_THREAD, 1, 0), _return(_EPERM), _return(_ALLOW)]
        assembler.on("clone", [_argument(0), (_ANY_BIT, _NEW_NAMESPACES, 1, 0), *threads_only])
    if level != "A":  # no pid namespace of its own: signals to itself only, and it ends with its zygote
        assembler.on("prctl", _unless(0, (_DEATH_SIGNAL,)))
        for name in SIGNALS:
            itself = [_argument(0), (_EQUAL, _OWN_PID, 1, 0), _return(_EPERM), _return(_ALLOW)]
            assembler.on(name, itself if name in ("kill", "tgkill") else [_return(_EPERM)])
    return assembler.joined()


def for_pid(code: bytes, pid: int) -> bytes:
    """The sample filter with the sample's own pid in it."""
    return code.replace(struct.pack("I", _OWN_PID), struct.pack("I", pid))
