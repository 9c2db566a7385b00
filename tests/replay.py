"""Model servers replayed over a real socket, in the exact shapes of their documentation."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send

from guard.calibration import LabelLogits
from guard.labels import DEFAULT_LABELS
from guard.manifest import GuardManifest

Answer = Callable[[Any], Awaitable[Any]]
"""From a request's JSON to the answer's; a :class:`Response` is sent as it is."""

Score = Callable[[str], Awaitable[LabelLogits]]

FILLERS: Final = tuple(f"filler{number}" for number in range(18))


@dataclass
class ReplayedServer:
    """Answers JSON by method and path.

    Attributes:
        answers: by ``"METHOD /path"``.
        requests: method and path, headers and JSON of every request, in order.
        running: requests that are being answered.
        most: that ever were at a time.
        delay_s: before each answer.
    """

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, Mapping[str, str], Any]] = field(default_factory=list)
    running: int = 0
    most: int = 0
    delay_s: float = 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request, or the start and end of the server."""
        if scope["type"] == "lifespan":
            for moment in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{moment}.complete"})
            return
        request = Request(scope, receive)
        body = await request.json() if await request.body() else None
        self.requests.append((f"{request.method} {request.url.path}", request.headers, body))
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.delay_s)
            await (await self._respond(request, body))(scope, receive, send)
        finally:
            self.running -= 1

    async def _respond(self, request: Request, body: Any) -> Response:
        answer = self.answers.get(f"{request.method} {request.url.path}")
        if answer is None:
            return JSONResponse({"error": "not found"}, 404)
        content = await answer(body)
        return content if isinstance(content, Response) else JSONResponse(content)

    def sent(self, route: str) -> list[Any]:
        """The JSON of every request to a route."""
        return [body for where, _headers, body in self.requests if where == route]


def always(content: Any) -> Answer:
    """The same answer to everything."""

    async def answer(_body: Any) -> Any:
        return content

    return answer


def likeliest(logits: LabelLogits) -> list[tuple[str, float]]:
    """Twenty tokens and their log-probabilities, the labels in front, as a folded guard gives them."""
    values = dict(zip(DEFAULT_LABELS.ordered, (logits.off_topic, logits.on_topic), strict=True))
    total = math.log(sum(math.exp(value) for value in values.values()))
    labels = sorted(((text, value - total) for text, value in values.items()), key=lambda entry: -entry[1])
    return [*labels, *((text, labels[-1][1] - 20.0 - index) for index, text in enumerate(FILLERS))]


def ollama_entry(text: str, logprob: float) -> dict[str, Any]:
    """A token as Ollama lists it."""
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def ollama_generated(model: str, listed: list[tuple[str, float]]) -> dict[str, Any]:
    """The answer of ``/api/generate`` to a raw request for one token, in the order of Ollama's keys."""
    text, logprob = listed[0]
    return {
        "model": model,
        "created_at": "2026-08-21T18:48:22.123456789Z",
        "response": text,
        "done": True,
        "done_reason": "length",
        "total_duration": 9_100_000,
        "load_duration": 1_200_000,
        "prompt_eval_count": 7,
        "prompt_eval_duration": 6_400_000,
        "eval_count": 1,
        "eval_duration": 1_000,
        "logprobs": [{**ollama_entry(text, logprob), "top_logprobs": [ollama_entry(*entry) for entry in listed]}],
    }


@dataclass
class ReplayedOllama(ReplayedServer):
    """An Ollama that holds one guard.

    Attributes:
        manifest: of the guard.
        score: the numbers that it answers.
        model: its name.
        version: of the server; old ones return no log-probabilities.
        digest: of the model.
    """

    manifest: GuardManifest | None = None
    score: Score | None = None
    model: str = "startrek-guard:latest"
    version: str = "0.33.0"
    digest: str = "c0ffee" + "0" * 58

    def __post_init__(self) -> None:
        self.answers |= {
            "GET /api/version": self._version,
            "GET /api/tags": self._tags,
            "POST /api/show": self._show,
            "POST /api/generate": self._generate,
        }

    async def _version(self, _body: Any) -> Any:
        return {"version": self.version}

    async def _tags(self, _body: Any) -> Any:
        details = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"]}
        return {
            "models": [
                {"name": "other:latest", "model": "other:latest", "size": 1, "digest": "f" * 64, "details": details},
                {"name": self.model, "model": self.model, "size": 2, "digest": self.digest, "details": details},
            ]
        }

    async def _show(self, body: Any) -> Any:
        if body["model"] not in (self.model, self.model.removesuffix(":latest")):
            return JSONResponse({"error": f"model '{body['model']}' not found"}, 404)
        metadata = {} if self.manifest is None else self.manifest.to_metadata()
        # Arrays are not shown unless asked for.
        information = {"general.architecture": "llama", "tokenizer.ggml.tokens": None, **metadata}
        return {"modelfile": "", "details": {}, "model_info": information, "capabilities": ["completion"]}

    async def _generate(self, body: Any) -> Any:
        if body["top_logprobs"] > 20:
            return JSONResponse({"error": "top_logprobs must be between 0 and 20"}, 400)
        assert self.score is not None
        answer = ollama_generated(body["model"], likeliest(await self.score(body["prompt"])))
        if self.version < "0.12.11":
            del answer["logprobs"]
        return answer
