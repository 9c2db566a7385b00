"""A tiny guard, and the servers that serve it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guard.engines.llama_cpp import LlamaCppEngine
from tests import tiny

SERVE = """
import sys, xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path = sys.argv[1]
parameters.port = 0
parameters.n_ctx = 4096
parameters.n_gpu_layers = 0
parameters.cpuparams.n_threads = 1
parameters.verbosity = -1
server = xllamacpp.Server(parameters)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
"""llama.cpp's own server, in a process of its own: two copies of llama.cpp in one would share symbols."""


@pytest.fixture(scope="session")
def guard_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny guard's GGUF."""
    return tiny.write_guard(tmp_path_factory.mktemp("guard") / "tiny.gguf")


@pytest.fixture(scope="session")
def reference(guard_file: Path) -> Iterator[LlamaCppEngine]:
    """The tiny guard in this process, whose numbers the others are compared with."""
    engine = LlamaCppEngine(guard_file, threads=1)
    engine.start_sync()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def llama_server_url(guard_file: Path) -> Iterator[str]:
    """A real llama-server with the tiny guard."""
    command = [sys.executable, "-c", SERVE, str(guard_file)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        yield url
        process.kill()
