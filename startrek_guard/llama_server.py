"""llama.cpp's own server with one model, from xllamacpp, in a process of its own.

Two copies of llama.cpp in one process would share symbols, so that nothing but this module's own process loads it.
As a program it prints its address when it listens, and serves until its standard input is closed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Final

from guard.engines.base import EngineUnavailableError
from guard.engines.cores import usable_cores
from guard.engines.probes import CONTEXT_TOKENS

_LIBRARY: Final = "xllamacpp"
_STOP_SECONDS: Final = 60
_SHOWN_BYTES: Final = 500


def check_installed() -> None:
    """Do nothing where there is a server to start.

    Raises:
        EngineUnavailableError: if there is none.
    """
    if find_spec(_LIBRARY) is None:
        raise EngineUnavailableError(f"llama-server needs {_LIBRARY}, which is not installed: pip install {_LIBRARY}")


@contextmanager
def llama_server(model: Path) -> Iterator[str]:
    """A server with a GGUF, for the length of the block; gives its address.

    Raises:
        EngineUnavailableError: if it is not installed or does not start.
    """
    check_installed()
    command = [sys.executable, "-m", "startrek_guard.llama_server", str(model)]
    with tempfile.TemporaryFile() as log, Popen(command, stdin=PIPE, stdout=PIPE, stderr=log) as process:  # noqa: S603
        try:
            address = b"" if process.stdout is None else process.stdout.readline().strip()
            if not address:
                log.seek(0)
                end = log.read()[-_SHOWN_BYTES:].decode(errors="replace").strip()
                raise EngineUnavailableError(f"llama-server did not start with {model}: {end or 'it gave no reason'}")
            yield address.decode()
            process.communicate(timeout=_STOP_SECONDS)
        finally:
            process.kill()


def main() -> None:
    """Serve the GGUF that the command line names."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = sys.argv[1]
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = 1
    parameters.n_gpu_layers = 0
    parameters.cpuparams.n_threads = usable_cores()
    parameters.verbosity = -1
    server = xllamacpp.Server(parameters)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
