"""A guard served by Ollama (API: https://github.com/ollama/ollama/blob/main/docs/api.md)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from guard.calibration import LabelLogits
from guard.engines.base import EngineAnswerError, EngineUnavailableError
from guard.engines.json_client import DEFAULT_LIMITS, JsonClient, ServerLimits, map_bounded
from guard.engines.listed_tokens import LISTED, check_probe, label_logits, read_list
from guard.engines.probes import CONTEXT_TOKENS, PROBES
from guard.manifest import KEY_PREFIX, GuardManifest, ManifestError

MIN_VERSION: Final = "0.12.11"
"""The first Ollama that returns log-probabilities; older ones ignore the request for them."""

OPTIONS: Final = {"num_predict": 1, "temperature": 0, "seed": 0, "num_ctx": CONTEXT_TOKENS}
"""The same for every request: Ollama loads the model anew when ``num_ctx`` changes."""

DIGEST_CHECK_S: Final = 10.0
"""How often it is looked up whether the name still means the model that was checked at start. A look-up lists the
server's models, which takes it some milliseconds."""


class OllamaEngine:
    """A guard model in Ollama (see :class:`guard.engines.base.Engine`).

    Prompts are sent raw: the template is ours, and Ollama's choice of one depends on its version.

    Args:
        url: of the server, such as ``http://127.0.0.1:11434``.
        model: its name there.
        manifest: of the guard; None to read it from the model, which ``/api/show`` shows.
        limits: how long and how often it is asked.
        digest_check_s: how long a look at the model's digest holds.
    """

    name = "ollama"
    max_batch_prompts = 16
    max_batch_bytes = CONTEXT_TOKENS

    def __init__(
        self,
        url: str,
        model: str,
        manifest: GuardManifest | None = None,
        *,
        limits: ServerLimits = DEFAULT_LIMITS,
        digest_check_s: float = DIGEST_CHECK_S,
    ) -> None:
        self.model = model
        self._client = JsonClient(url)
        self._manifest = manifest
        self._limits = limits
        self._digest_check_s = digest_check_s
        self._places = asyncio.Semaphore(limits.concurrency)
        self._version = "of an unknown version"
        self._digest = ""
        self._checked_at = 0.0

    @property
    def fingerprint(self) -> str:
        """Digest of the model, as Ollama names it.

        Raises:
            EngineUnavailableError: if the engine was not started.
        """
        if not self._digest:
            raise EngineUnavailableError("the guard was not started")
        return self._digest

    async def start(self) -> GuardManifest:
        """Reach the server, read the guard's manifest, pin its digest, check that it answers with its labels.

        Raises:
            EngineUnavailableError: if the server can't be reached or has no such model.
            EngineTimeoutError: if it does not answer in time.
            EngineAnswerError: if the model is no guard, or the server is too old.
        """
        version = await self._client.request("GET", "/api/version", self._limits.start_timeout_s)
        self._version = str(version.get("version", self._version))
        if self._manifest is None:
            self._manifest = await self._read_manifest()
        digest = await self._find_digest(self._limits.start_timeout_s)
        for text in PROBES:
            prompt = self._manifest.template.render([text])
            check_probe(await self._listed(prompt, self._limits.start_timeout_s), self._manifest.labels, prompt)
        self._digest, self._checked_at = digest, time.monotonic()
        return self._manifest

    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """Log-probabilities of the labels for rendered prompts, in their order.

        Raises:
            EngineUnavailableError: if the engine was not started, the server can't be reached, or the model's
                name means another model than at start.
            EngineTimeoutError: if a prompt is not answered in time.
            EngineAnswerError: if an answer does not say how likely the labels are.
        """
        if self._manifest is None or not self._digest:
            raise EngineUnavailableError("the guard was not started")
        labels = self._manifest.labels

        async def ask(prompt: str) -> LabelLogits:
            return label_logits(await self._listed(prompt, self._limits.timeout_s), labels)

        answers = await map_bounded(ask, prompts, self._places)
        # Looked up after the answers, since what gave them is the question.
        if time.monotonic() - self._checked_at >= self._digest_check_s:
            await self._check_digest()
        return answers

    async def aclose(self) -> None:
        """Close the connections; twice does no harm. The model stays loaded: other programs may use it."""
        await self._client.aclose()

    async def _listed(self, prompt: str, timeout_s: float) -> dict[str, float]:
        """The likeliest first tokens of the answer to a rendered prompt, and their log-probabilities."""
        body = {
            "model": self.model,
            "prompt": prompt,
            "raw": True,
            "stream": False,
            "options": OPTIONS,
            "logprobs": True,
            "top_logprobs": LISTED,
            "keep_alive": -1,
            # A prompt that does not fit is an error, not a part of it.
            "truncate": False,
            "shift": False,
        }
        answer = await self._client.request("POST", "/api/generate", timeout_s, body)
        logprobs = answer.get("logprobs")
        if not isinstance(logprobs, list) or not logprobs or not isinstance(logprobs[0], Mapping):
            raise EngineAnswerError(
                f"Ollama {self._version} at {self._client.url} returned no logprobs, wanted {MIN_VERSION} or newer"
            )
        return read_list(logprobs[0].get("top_logprobs"), "token", "logprob")

    async def _read_manifest(self) -> GuardManifest:
        shown = await self._client.request("POST", "/api/show", self._limits.start_timeout_s, {"model": self.model})
        information = shown.get("model_info")
        if not isinstance(information, Mapping):
            raise EngineAnswerError(f"Ollama {self._version} shows no 'model_info' of {self.model!r}")
        try:
            return GuardManifest.from_metadata(_scalars(information))
        except ManifestError as error:
            raise EngineAnswerError(f"the model {self.model!r} of {self._client.url}: {error}") from error

    async def _find_digest(self, timeout_s: float) -> str:
        tags = await self._client.request("GET", "/api/tags", timeout_s)
        names = {self.model, f"{self.model}:latest"}
        models = tags.get("models")
        for entry in models if isinstance(models, list) else ():
            if isinstance(entry, Mapping) and not names.isdisjoint((entry.get("name"), entry.get("model"))):
                return str(entry.get("digest", ""))
        raise EngineUnavailableError(f"{self._client.url} has no model {self.model!r}, or does not list it")

    async def _check_digest(self) -> None:
        digest = await self._find_digest(self._limits.timeout_s)
        if digest != self._digest:
            raise EngineUnavailableError(
                f"the model {self.model!r} of {self._client.url} is {digest[:12]} now, wanted {self._digest[:12]}, "
                "which was checked at start: start the gateway again to use the new one"
            )
        self._checked_at = time.monotonic()


def _scalars(information: Mapping[str, Any]) -> dict[str, str | float | int]:
    """The guard's own keys; the others may be arrays."""
    return {
        key: value
        for key, value in information.items()
        if key.startswith(KEY_PREFIX) and isinstance(value, str | int | float)
    }
