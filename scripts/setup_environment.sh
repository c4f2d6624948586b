#!/usr/bin/env bash
# Makes .venv: the pinned CPU environment and this project in it, editable. Touches nothing outside the checkout.
# PYTHON chooses the interpreter; pip's own variables and configuration files choose the package index.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python3}
venv=.venv

stop() { printf 'setup: %s\n' "$1" >&2; exit 1; }

command -v "$python" >/dev/null || stop "no $python found; install Python 3.11 or later, or set PYTHON"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old; Python 3.11 or later is needed (set PYTHON to choose another)"
"$python" -c 'import ensurepip, venv' 2>/dev/null ||
    stop "$python has no venv module; install it (Debian: apt-get install python3-venv)"

[ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
mkdir -p "$venv/wheels"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }

torch=$(grep '^torch==' requirements/cpu.txt)
if ! pip show torch >/dev/null 2>&1 && ! pip download -qq --no-deps --dest "$venv/wheels" "$torch" 2>"$venv/torch.log"; then
    tail -n 3 "$venv/torch.log" >&2
    stop "the configured package index has no $torch for $("$venv/bin/python" --version).
  PyTorch publishes its CPU builds on an index of its own: take its address from PyTorch's installation page
  (choose 'CPU') and set PIP_EXTRA_INDEX_URL to it, or put the wheel into a folder and set PIP_FIND_LINKS."
fi

echo "setup: installing the pinned environment into $venv (some minutes the first time)"
pip install -qq --no-deps --find-links "$venv/wheels" -r requirements/cpu.txt -r requirements/dev.txt -r requirements/docs.txt
pip install -qq --no-deps --no-build-isolation -e .
rm -rf "$venv/wheels" "$venv/torch.log"

command -v bwrap >/dev/null ||
    echo "setup: bubblewrap (bwrap) is not installed; the sandbox will use a weaker level and say which"
