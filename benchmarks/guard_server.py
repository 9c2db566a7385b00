"""llama.cpp's own server, from xllamacpp, with a guard's GGUF: ``python -m benchmarks.guard_server GUARD``."""

from __future__ import annotations

import sys
from typing import Final

from benchmarks.listening import announce
from guard.engines.cores import usable_cores
from guard.engines.probes import CONTEXT_TOKENS

SLOTS: Final = 16


def main() -> None:
    """Serve."""
    import xllamacpp  # noqa: PLC0415 - loads another llama.cpp, which only this process should

    params = xllamacpp.CommonParams()
    params.model.path = sys.argv[1]
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = usable_cores()
    # As the engine has it: requests that wait are computed together, and share one cache.
    params.n_parallel = SLOTS
    params.kv_unified = True
    params.swa_full = True
    params.n_ctx = params.n_batch = CONTEXT_TOKENS
    # Remembering prompts for later ones is no use here, and costs time.
    params.cache_prompt = False
    params.cache_ram_mib = 0
    params.cache_idle_slots = False
    # It writes a dozen lines a request by default, which takes time, too.
    params.verbosity = 1
    server = xllamacpp.Server(params)
    announce(f"{server.listening_address}/completion")


if __name__ == "__main__":
    main()
