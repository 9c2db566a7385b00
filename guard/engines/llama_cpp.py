"""The guard inside this process, computed by llama.cpp; the one module of guard that binds it."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar

from guard.calibration import LabelLogits
from guard.engines.base import SHORT_PROMPT_BYTES, EngineUnavailableError, GuardFileError
from guard.engines.cores import usable_cores
from guard.engines.fingerprint import file_fingerprint
from guard.engines.loaded_guard import LoadedGuard
from guard.engines.probes import CONTEXT_TOKENS
from guard.manifest import GuardManifest

SPINS: Final = 1000
"""How often a thread that is done looks whether the others are, before it sleeps. llama.cpp's threads wait for each
other some hundred times a prompt, and by default (billions) keep the core that the other one needs when anything else
runs, such as the chat model. Measured on 2 cores, a prompt of 8 tokens, p50 and p90: idle, 10.2 and 10.6 ms by
default, 11.8 and 15.1 with 1,000; beside two busy processes, 60 to 136 and 204 to 2,160 ms by default, 23 to 36 and
28 to 40 with 1,000."""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class _Call:
    """Prompts that a caller waits for; run by the thread that owns the context."""

    def __init__(self, prompts: Sequence[str]) -> None:
        self.prompts = prompts
        self.short = all(len(prompt.encode()) <= SHORT_PROMPT_BYTES for prompt in prompts)
        self.answer: Future[list[LabelLogits]] = Future()
        self.abandoned = False

    def run(self, compute: Callable[[], list[LabelLogits]]) -> None:
        """Answer, unless nobody waits any more; once only."""
        if not self.answer.set_running_or_notify_cancel():
            return
        try:
            self.answer.set_result(compute())
        except Exception as error:  # noqa: BLE001 -- the caller's
            self.answer.set_exception(error)


class LlamaCppEngine:
    """A guard GGUF computed on this machine's cores (see :class:`guard.engines.base.Engine`).

    One thread owns llama.cpp's context; callers queue for it, but those with short prompts get in between the slices of
    long ones. A caller that is cancelled before its turn costs nothing; one that is cancelled later, the rest of its
    call.

    Args:
        path: of the guard's GGUF.
        threads: that compute; None for as many as there are usable physical cores.
        max_batch_prompts: that are computed together.
    """

    name = "llama.cpp"

    def __init__(self, path: Path, *, threads: int | None = None, max_batch_prompts: int = 16) -> None:
        self.path = path
        self.max_batch_prompts = max_batch_prompts
        self.max_batch_bytes = CONTEXT_TOKENS
        self._threads = threads or usable_cores()
        self._owner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="guard")
        self._short: deque[_Call] = deque()
        self._guard: LoadedGuard | None = None
        self._fingerprint = ""
        self._closed = False

    @property
    def fingerprint(self) -> str:
        """``sha256:...`` of the guard's file.

        Raises:
            EngineUnavailableError: if the engine was not started.
        """
        if not self._fingerprint:
            raise EngineUnavailableError("the guard was not started")
        return self._fingerprint

    async def start(self) -> GuardManifest:
        """Load the guard, check that it answers with its labels, warm it up.

        Raises:
            GuardFileError: if the file is missing, damaged or no guard.
            EngineAnswerError: if the model does not answer with its labels.
        """
        # Hashing and loading both wait for the disk and let go of Python's lock, so they go on side by side.
        hashing = asyncio.create_task(asyncio.to_thread(_fingerprint, self.path))
        try:
            manifest = await asyncio.wrap_future(self._submit(self._load))
            self._fingerprint = await hashing
        except BaseException:
            hashing.cancel()
            await asyncio.gather(hashing, return_exceptions=True)
            raise
        return manifest

    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """Logits for rendered prompts, in their order; more than fit one batch are computed in several.

        Raises:
            EngineUnavailableError: if the engine was not started or is closed.
            EngineAnswerError: if a prompt is longer than a batch, or llama.cpp fails.
        """
        call = self._call(prompts)
        try:
            return await asyncio.wrap_future(call.answer)
        except asyncio.CancelledError:
            call.abandoned = True
            raise

    async def aclose(self) -> None:
        """Free the model and end its thread, after the batch or slice that is being computed; twice does no harm."""
        self._closed = True
        await asyncio.to_thread(self.close)

    def start_sync(self) -> GuardManifest:
        """See :meth:`start`, for programs without an event loop."""
        self._fingerprint = _fingerprint(self.path)
        return self._submit(self._load).result()

    def score_sync(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """See :meth:`score`, for programs without an event loop."""
        return self._call(prompts).answer.result()

    def close(self) -> None:
        """See :meth:`aclose`, for programs without an event loop."""
        self._closed = True
        with suppress(RuntimeError):  # its thread has ended: it was closed before
            self._owner.submit(self._free)
        self._owner.shutdown(wait=True)

    def _submit(
        self, work: Callable[_Arguments, _Result], *arguments: _Arguments.args, **options: _Arguments.kwargs
    ) -> Future[_Result]:
        """Queue ``work`` for the thread that owns the context.

        Raises:
            EngineUnavailableError: if that thread has ended; the future raises it too.
        """

        def turn() -> _Result:
            if self._closed:
                raise EngineUnavailableError("the guard was closed")
            return work(*arguments, **options)

        try:
            return self._owner.submit(turn)
        except RuntimeError as error:
            raise EngineUnavailableError("the guard was closed") from error

    def _load(self) -> GuardManifest:
        self._free()
        self._guard = LoadedGuard(_library(), self.path, self._threads, self.max_batch_prompts)
        return self._guard.manifest

    def _call(self, prompts: Sequence[str]) -> _Call:
        call = _Call(prompts)
        if call.short:
            self._short.append(call)
        try:
            self._owner.submit(self._serve, call)
        except RuntimeError as error:
            raise EngineUnavailableError("the guard was closed") from error
        return call

    def _serve(self, call: _Call) -> None:
        if call.short:
            self._serve_short()
        else:
            call.run(lambda: self._loaded().score_giving_way(call.prompts, partial(self._give_way, call)))

    def _give_way(self, call: _Call, room_tokens: int) -> None:
        if self._closed:
            raise EngineUnavailableError("the guard was closed")
        if call.abandoned:
            raise EngineUnavailableError("nobody waits for this any more")
        self._serve_short(room_tokens)

    def _serve_short(self, room_tokens: int = CONTEXT_TOKENS) -> None:
        """Answer the short calls that wait now; those that come meanwhile wait for one slice again."""
        for _ in range(len(self._short)):
            call = self._short.popleft()
            call.run(partial(self._score_short, call.prompts, room_tokens))

    def _score_short(self, prompts: Sequence[str], room_tokens: int) -> list[LabelLogits]:
        return self._loaded().score(prompts, room_tokens)

    def _loaded(self) -> LoadedGuard:
        if self._closed:
            raise EngineUnavailableError("the guard was closed")
        if self._guard is None:
            raise EngineUnavailableError("the guard was not started")
        return self._guard

    def _free(self) -> None:
        if self._guard is not None:
            self._guard.close()
        self._guard = None


def _library() -> Any:  # noqa: ANN401 - an untyped C binding
    """The module ``llama_cpp``, whose threads give way to others soon."""
    if "OMP_WAIT_POLICY" not in os.environ:
        # Read by libgomp when it is loaded; whoever sets one of the two knows better.
        os.environ.setdefault("GOMP_SPINCOUNT", str(SPINS))
    import llama_cpp  # noqa: PLC0415 - loads a large shared library, only where this engine is used

    return llama_cpp


def _fingerprint(path: Path) -> str:
    try:
        return file_fingerprint(path)
    except OSError as error:
        raise GuardFileError(f"can't read the guard's file {path}: {error}") from error
