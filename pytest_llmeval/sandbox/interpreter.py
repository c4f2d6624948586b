"""The Python that runs samples: which one, what it may import, and the files that takes."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pytest_llmeval.errors import SandboxFault

_DESCRIBE = """\
import json, os, platform, sys
print(json.dumps([getattr(sys, "_base_executable", sys.executable), os.path.dirname(os.__file__),
                  sys.base_prefix, platform.python_implementation(), platform.python_version()]))
"""
_PACKAGES = ("site-packages", "dist-packages")
_SYSTEM = ("/lib", "/lib64", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime")


@dataclass(frozen=True, slots=True)
class Interpreter:
    """An installed Python without its packages, and the package directories declared for samples."""

    executable: str
    stdlib: Path
    prefix: Path
    version: str
    site: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.version}, standard library" + (
            f" and {', '.join(self.site)}" if self.site else " only"
        )

    def packages(self) -> list[Path]:
        """Installed packages that no sample may find."""
        installed = [self.stdlib / name for name in _PACKAGES]
        for name in _PACKAGES:
            installed += Path("/usr/lib").glob(f"python3*/{name}")
        return sorted({path for path in installed if path.is_dir()})

    def files(self) -> list[Path]:
        """What to show samples where directories are mounted: whole trees, packages not yet hidden."""
        shown = [Path(path) for path in (self.executable, "/usr/lib", *_SYSTEM)]
        return [*shown, self.stdlib, *self._libraries()]

    def readable(self) -> list[str]:
        """What samples may read where paths are granted one by one: nothing that holds packages."""
        granted = [Path(self.executable), *map(Path, _SYSTEM[1:]), *_without_pythons(Path("/usr/lib"))]
        granted += _without_pythons(Path("/lib")) if not Path("/lib").is_symlink() else []
        granted += [entry for entry in self.stdlib.iterdir() if entry.name not in _PACKAGES]
        granted += [*self._libraries(), *map(Path, self.site)]
        return [str(path) for path in granted if path.exists()]

    def readable_by_others(self) -> bool:
        """True where a user who owns nothing can import the standard library."""
        parts = [self.stdlib, *self.stdlib.parents]
        return all(path.stat().st_mode & 0o005 == 0o005 for path in parts)

    def _libraries(self) -> Iterator[Path]:
        return _without_pythons(self.prefix / "lib") if self.prefix != Path("/usr") else iter(())


def _without_pythons(directory: Path) -> Iterator[Path]:
    if directory.is_dir():
        for entry in directory.iterdir():
            if not entry.name.startswith(("python", "pypy")):
                yield entry


def describe(python: str, site: Iterable[str] = ()) -> Interpreter:
    """Ask `python` where it lives; SandboxFault where it does not run."""
    try:
        answer = subprocess.run(
            [python, "-I", "-S", "-c", _DESCRIBE], capture_output=True, text=True, timeout=120, check=True
        )
        executable, stdlib, prefix, implementation, version = json.loads(answer.stdout)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise SandboxFault(f"the sandbox's interpreter {python} does not run: {error}") from error
    return Interpreter(
        executable=str(Path(executable).resolve()),
        stdlib=Path(stdlib).resolve(),
        prefix=Path(prefix).resolve(),
        version=f"{implementation} {version}",
        site=tuple(str(Path(path).resolve()) for path in site),
    )
