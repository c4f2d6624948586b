"""The connection to a Ray cluster: found, or started here and ended with the run."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from pytest_llmeval.devices import Device
from pytest_llmeval.errors import ConfigurationError, LLMEvalError
from pytest_llmeval.extensions import require
from pytest_llmeval.ray_cluster.nodes import Node, only_node, refuse_strangers, visit

AUTO = "auto"
OPTION = "--llmeval-ray"
REACHED_WITHIN_S = 10.0
# Verdicts and batches of programs are small; Ray would take 30 % of the memory.
OBJECT_STORE_BYTES = 128 << 20
# What Ray's own `ray start` notes for `auto`; RAY_TMPDIR moves it.
NOTED_ADDRESS = "ray/ray_current_cluster"


class Cluster:
    """One connection, in a thread of its own that lives as long as it does.

    The thread matters: the kernel ends a cluster that was started here with the thread that started it, and
    so with pytest, however that ends. Outside the main thread Ray also leaves the handling of SIGTERM alone.
    """

    def __init__(self, address: str, cores: int) -> None:
        """`cores` are what a cluster that is started here declares to have; `auto` starts one where none is found."""
        self._wanted = address
        self._cores = cores
        self._lock = threading.Lock()
        self._opened: Future[None] | None = None
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self.nodes: tuple[Node, ...] = ()
        self.address = ""
        self.started_here = False
        self.scratch: str | None = None  # a folder that is removed with a cluster that was started here

    def open(self) -> None:
        """Connect, or start; again, it does nothing.

        Raises:
            MissingExtraError: ray is not installed.
            ConfigurationError: nothing answers at the address, or what answers there does not fit this installation.
        """
        with self._lock:
            if self._opened is None:
                self._opened = Future()
                self._thread = threading.Thread(target=self._hold, name="llmeval-ray", daemon=True)
                self._thread.start()
        self._opened.result()

    @property
    def is_open(self) -> bool:
        return self._opened is not None and self._opened.done() and self._opened.exception() is None

    def close(self) -> None:
        """Disconnect; what was started here is ended, and its folder removed. May be called again."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join()

    @property
    def gpus(self) -> tuple[Device, ...]:
        """Those that the nodes declare to Ray, as their drivers name them."""
        return tuple(gpu for n in self.nodes if n.facts for gpu in n.facts.gpus[: int(n.gpu_count)])

    def describe(self) -> dict[str, Any]:
        """For the manifest."""
        import ray

        nodes = [node.describe() for node in self.nodes]
        return {
            "address": self.address,
            "started_here": self.started_here,
            "ray": ray.__version__,
            "nodes": nodes,
        }

    def _hold(self) -> None:
        assert self._opened is not None
        with contextlib.ExitStack() as at_the_end:
            try:
                self._begin(at_the_end)
            except BaseException as error:
                self._opened.set_exception(error)
                return
            self._opened.set_result(None)
            self._closing.wait()

    def _begin(self, at_the_end: contextlib.ExitStack) -> None:
        require("ray", "ray", who=OPTION)
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # read while Ray is imported
        import ray

        at_the_end.enter_context(_errors_only())
        if ray.is_initialized():  # a connection of the project's own: used, and left as it is
            self.address = ray.get_runtime_context().gcs_address
        elif (address := found(self._wanted, os.environ)) is not None:
            self.address = address
            connect(address)
            at_the_end.callback(ray.shutdown)
        else:
            self.started_here = True
            self.scratch = scratch_folder(at_the_end)
            self.address = start(self._cores, at_the_end)
        self.nodes = only_node() if self.started_here else visit()
        refuse_strangers(self.nodes)


def found(wanted: str, environ: Mapping[str, str]) -> str | None:
    """The address to connect to; None where `auto` finds no cluster.

    `auto` means RAY_ADDRESS, or the cluster that `ray start` left running on this machine. Clusters that other
    programs started for themselves, runs of ours among them, are theirs.
    """
    if wanted != AUTO:
        return wanted
    if given := environ.get("RAY_ADDRESS", ""):
        return given if given not in (AUTO, "local") else None
    note = Path(environ.get("RAY_TMPDIR") or "/tmp") / NOTED_ADDRESS
    try:
        address = note.read_text().strip()
    except OSError:
        return None
    return address if _answers(address) else None


def connect(address: str) -> None:
    """Connect to a cluster that runs already.

    Raises:
        ConfigurationError: it cannot be reached, or does not fit.
    """
    import ray

    if not _answers(address):
        raise ConfigurationError(
            f"{OPTION}={address}: nothing answers there. Give HOST:PORT of a running cluster's head node (`ray status` "
            f"names it; usually port 6379), or {OPTION}=auto for one of this machine."
        )
    try:
        ray.init(address, **_quiet())
    except Exception as error:  # Ray raises whatever its parts raise
        raise refusal(address, error) from error


def start(cores: int, at_the_end: contextlib.ExitStack) -> str:
    """Start a cluster on this machine, for this process alone; its address.

    Its ports listen on every interface, as Ray's do: a token that only its own processes know keeps others out.
    Its folder is in the system's temporary one, because the paths of its sockets must be short.
    """
    import ray

    folder = tempfile.mkdtemp(prefix="llmeval-ray-", dir=_short_temporary_folder())
    at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
    # Ray would make a token in $HOME; its workers would run at the lowest priority, which is for foreign guests.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_worker_niceness", "0")
    try:
        context = ray.init(
            address="local",
            num_cpus=cores,
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=folder,
            **_quiet(),
        )
    except Exception as error:
        raise ConfigurationError(f"{OPTION}: no cluster could be started here: {_told(error)}") from error
    at_the_end.callback(ray.shutdown)
    return str(context.address_info["gcs_address"])


def scratch_folder(at_the_end: contextlib.ExitStack) -> str:
    """A new folder, removed at the end. Others may pass through it: what is in it says who may read it."""
    folder = tempfile.mkdtemp(prefix="llmeval-actors-")
    at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
    Path(folder).chmod(0o711)
    return folder


@contextlib.contextmanager
def _errors_only() -> Iterator[None]:
    """What Ray tells everybody who starts it is no news in the middle of a test run."""
    logger = logging.getLogger("ray")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _quiet() -> dict[str, Any]:
    return {"log_to_driver": False, "configure_logging": False, "namespace": None}


def _short_temporary_folder() -> str:
    """The system's, unless it is so deep that a socket's path in it would pass the kernel's 107 bytes."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 24 else "/tmp"


def _answers(address: str) -> bool:
    """True where something listens at HOST:PORT: Ray itself would try for a minute."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), REACHED_WITHIN_S):
            return True
    except (OSError, ValueError):
        return False


def refusal(address: str, error: Exception) -> LLMEvalError:
    """What a cluster's refusal means, and what to do."""
    text = _told(error)
    if "version mismatch" in text.lower():
        advice = "Install the cluster's versions of Ray and Python here, or run from one of its nodes."
    elif "auth" in text.lower():
        advice = "Set RAY_AUTH_TOKEN (or RAY_AUTH_TOKEN_PATH) to the cluster's token."
    else:
        advice = "Is it the address of a head node, and does `ray status` answer on this machine?"
    return ConfigurationError(f"{OPTION}={address}: the cluster refuses this run: {text}. {advice}")


def _told(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")[:600]
