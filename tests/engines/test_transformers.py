"""The transformers engine in pytest's process: what it refuses before a process starts."""

from __future__ import annotations

import sys

import pytest

from pytest_llmeval.engines import EngineContext, create_engine
from pytest_llmeval.errors import ConfigurationError, MissingExtraError
from pytest_llmeval.schema import ModelSpec


def make(tmp_path, **table):
    spec = ModelSpec("m", "weights", kind="transformers", engine=table)
    return create_engine(spec, EngineContext(tmp_path / "engine.log", 60.0))


def test_mistakes_in_the_table_are_named(tmp_path):
    with pytest.raises(ConfigurationError) as error:
        make(tmp_path, batchsize=3, max_model_len=0)
    assert "engine.batchsize: unknown key; did you mean 'batch_size'?" in str(error.value)
    assert "engine.max_model_len: " in str(error.value)


@pytest.mark.parametrize("package", ["torch", "transformers"])
def test_a_missing_package_names_the_extra(tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtraError, match=rf"{package}.*pip install 'pytest-llmeval-bench\[transf"):
        make(tmp_path)
