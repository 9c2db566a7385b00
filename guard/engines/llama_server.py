"""A guard served by llama.cpp's own server (API: llama.cpp/tools/server/README.md)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from guard.calibration import LabelLogits
from guard.engines.base import EngineAnswerError, EngineTimeoutError, EngineUnavailableError
from guard.engines.json_client import DEFAULT_LIMITS, JsonClient, RefusedError, ServerLimits, map_bounded
from guard.engines.listed_tokens import LISTED, check_probe, label_logits, read_list
from guard.engines.probes import CONTEXT_TOKENS, PROBES
from guard.manifest import GuardManifest

_POLL_S: Final = 0.25
"""Between two questions whether a server that is loading its model is ready."""

_LEAST_PROBABILITY: Final = 1e-30
"""Old servers tell probabilities, of which a very small one is written as 0."""

PARAMETERS: Final = {
    "n_predict": 1,
    "n_probs": LISTED,
    # Greedy. Old servers compute the listed probabilities after sampling, which 0 makes one-hot; less than 0 means
    # greedy, too, with probabilities by plain softmax. To new servers, which list them before sampling, it is 0.
    "temperature": -1,
    "cache_prompt": False,
    "stream": False,
}


class LlamaServerEngine:
    """A guard model in llama-server (see :class:`guard.engines.base.Engine`).

    Args:
        url: of the server, such as ``http://127.0.0.1:8080``.
        manifest: of the guard; the server does not show its model's metadata.
        api_key: where the server wants one.
        limits: how long and how often it is asked.
    """

    name = "llama-server"
    max_batch_prompts = 16
    max_batch_bytes = CONTEXT_TOKENS

    def __init__(
        self,
        url: str,
        manifest: GuardManifest,
        *,
        api_key: str | None = None,
        limits: ServerLimits = DEFAULT_LIMITS,
    ) -> None:
        self._client = JsonClient(url, {"Authorization": f"Bearer {api_key}"} if api_key else None)
        self._manifest = manifest
        self._limits = limits
        self._places = asyncio.Semaphore(limits.concurrency)
        self._fingerprint = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the manifest and of what the server says of its model, which has no hash of the file.

        Raises:
            EngineUnavailableError: if the engine was not started.
        """
        if not self._fingerprint:
            raise EngineUnavailableError("the guard was not started")
        return self._fingerprint

    async def start(self) -> GuardManifest:
        """Wait for the server to be ready, check that its model answers with the guard's labels.

        Raises:
            EngineUnavailableError: if the server can't be reached or refuses.
            EngineTimeoutError: if it is not ready in time.
            EngineAnswerError: if its model is not this guard.
        """
        await self._wait_until_ready()
        for text in PROBES:
            prompt = self._manifest.template.render([text])
            check_probe(await self._listed(prompt, self._limits.start_timeout_s), self._manifest.labels, prompt)
        models = await self._client.request("GET", "/v1/models", self._limits.start_timeout_s)
        self._fingerprint = _digest(self._manifest, models.get("data"))
        return self._manifest

    async def score(self, prompts: Sequence[str]) -> list[LabelLogits]:
        """Log-probabilities of the labels for rendered prompts, in their order.

        Raises:
            EngineUnavailableError: if the engine was not started, or the server can't be reached or refuses.
            EngineTimeoutError: if a prompt is not answered in time.
            EngineAnswerError: if an answer does not say how likely the labels are.
        """
        if not self._fingerprint:
            raise EngineUnavailableError("the guard was not started")

        async def ask(prompt: str) -> LabelLogits:
            return label_logits(await self._listed(prompt, self._limits.timeout_s), self._manifest.labels)

        return await map_bounded(ask, prompts, self._places)

    async def aclose(self) -> None:
        """Close the connections; twice does no harm."""
        await self._client.aclose()

    async def _wait_until_ready(self) -> None:
        """While it loads its model, the server answers ``/health`` with 503."""
        try:
            async with asyncio.timeout(self._limits.start_timeout_s):
                while not await self._ready():  # noqa: ASYNC110 - a server has no event to wait for
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            seconds = self._limits.start_timeout_s
            raise EngineTimeoutError(f"{self._client.url} was not ready within {seconds:g} s") from error

    async def _ready(self) -> bool:
        try:
            await self._client.request("GET", "/health", self._limits.start_timeout_s)
        except RefusedError as error:
            if error.status == httpx.codes.SERVICE_UNAVAILABLE:
                return False
            raise
        return True

    async def _listed(self, prompt: str, timeout_s: float) -> dict[str, float]:
        """The likeliest first tokens of the answer to a rendered prompt, and their log-probabilities."""
        answer = await self._client.request("POST", "/completion", timeout_s, {**PARAMETERS, "prompt": prompt})
        if answer.get("truncated"):
            # What was left out could be any part of the text, or the mark before it.
            raise EngineAnswerError(f"{self._client.url} read a prompt of {len(prompt)} characters in part only")
        probabilities = answer.get("completion_probabilities")
        first = probabilities[0] if isinstance(probabilities, list) and probabilities else None
        if not isinstance(first, Mapping):
            raise EngineAnswerError(f"{self._client.url} returned no 'completion_probabilities'")
        if "top_logprobs" in first:
            return read_list(first["top_logprobs"], "token", "logprob")
        # Until the end of 2024.
        listed = read_list(first.get("probs"), "tok_str", "prob")
        return {text: math.log(max(probability, _LEAST_PROBABILITY)) for text, probability in listed.items()}


def _digest(manifest: GuardManifest, models: Any) -> str:  # noqa: ANN401 - JSON from outside
    entries = [(entry.get("id"), entry.get("meta")) for entry in models or () if isinstance(entry, Mapping)]
    text = json.dumps([manifest.to_metadata(), entries], sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
