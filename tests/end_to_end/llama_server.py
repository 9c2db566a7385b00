"""A real llama-server (from xllamacpp) with the embedded chat model, in a process of its own.

Prints its address when it listens, and serves until its standard input is closed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60


@contextmanager
def llama_server() -> Iterator[str]:
    """Runs this file; gives the server's address."""
    with Popen([sys.executable, "-m", "tests.end_to_end.llama_server"], cwd=ROOT, stdin=PIPE, stdout=PIPE) as process:
        try:
            assert process.stdout is not None
            # The server's own log goes to standard error.
            address = process.stdout.readline().decode().strip()
            assert address, "the server did not start"
            yield address
            process.communicate(timeout=STOP_SECONDS)
        finally:
            process.kill()


def main() -> None:
    """Serve."""
    import xllamacpp  # noqa: PLC0415 -- loads llama.cpp, which only this process should

    from gateway.embedded.weights import find_weights  # noqa: PLC0415

    params = xllamacpp.CommonParams()
    params.model.path = str(find_weights())
    params.model_alias = {"smollm2"}
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_ctx = 1024
    params.n_parallel = 1
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = 1
    params.warmup = False
    params.endpoint_props = True
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
