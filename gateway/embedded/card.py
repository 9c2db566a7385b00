"""How the embedded model introduces itself: its names, its file, its details."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Final

from gateway.embedded.errors import BadCallError, ModelNotFoundError
from gateway.embedded.fields import Fields
from gateway.embedded.model import ChatModel
from gateway.embedded.prompt import TEMPLATE
from gateway.embedded.weights import SHA256

MODEL_NAME: Final = "smollm2:135m"

_TAGS: Final = frozenset({"smollm2", "smollm2:latest", MODEL_NAME})
_NAMESPACES: Final = ("registry.ollama.ai/", "library/")

_NEVER: Final = "2318-01-01T00:00:00Z"
"""When the model is unloaded by itself. Ollama writes a year like this for "never"."""


def check_name(name: str) -> None:
    """Find the model by its name, case aside, as Ollama does.

    Raises:
        BadCallError: if there is no name.
        ModelNotFoundError: if it is another model's.
    """
    if not name:
        raise BadCallError("model is required")
    short = name.lower()
    for namespace in _NAMESPACES:
        short = short.removeprefix(namespace)
    if short not in _TAGS:
        raise ModelNotFoundError(name)


def named_model(body: Fields, *, old_key: str = "") -> str:
    """The model a body names, as it was written: answers repeat it.

    Args:
        body: the request's.
        old_key: a second key that an older client may use.

    Raises:
        BadCallError: if there is no name.
        ModelNotFoundError: if it is another model's.
    """
    name = body.text("model") or (body.text(old_key) if old_key else "")
    check_name(name)
    return name


def timestamp(moment_ns: int | None = None) -> str:
    """RFC 3339 in UTC with nanoseconds, as Go writes it.

    Args:
        moment_ns: nanoseconds since 1970; None: now.
    """
    seconds, rest = divmod(time.time_ns() if moment_ns is None else moment_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def _details(model: ChatModel) -> dict[str, object]:
    family = model.metadata.get("general.architecture", "llama")
    return {
        "parent_model": "",
        "format": "gguf",
        "family": family,
        "families": [family],
        "parameter_size": f"{model.parameters / 1e6:.2f}M",
        "quantization_level": "Q4_1",
    }


def _entry(model: ChatModel) -> dict[str, object]:
    size = model.weights.stat().st_size
    return {"name": MODEL_NAME, "model": MODEL_NAME, "size": size, "digest": SHA256, "details": _details(model)}


def tags(model: ChatModel) -> dict[str, object]:
    """The answer of ``/api/tags``: the models there are."""
    modified = timestamp(model.weights.stat().st_mtime_ns)
    return {"models": [{**_entry(model), "modified_at": modified, "capabilities": ["completion"]}]}


def running(model: ChatModel) -> dict[str, object]:
    """The answer of ``/api/ps``: the models in memory."""
    entry = {**_entry(model), "expires_at": _NEVER, "size_vram": 0, "context_length": model.context_tokens}
    return {"models": [entry] if model.loaded else []}


def show(model: ChatModel) -> dict[str, object]:
    """The answer of ``/api/show``: what is known of the model."""
    info = {key: _scalar(text) for key, text in model.metadata.items() if key != "tokenizer.chat_template"}
    return {
        "license": "Apache-2.0",
        "modelfile": f'FROM {MODEL_NAME}\nTEMPLATE """{TEMPLATE}"""\n',
        "parameters": 'stop                           "<|im_end|>"',
        "template": TEMPLATE,
        "details": _details(model),
        "model_info": {**info, "general.parameter_count": model.parameters},
        "capabilities": ["completion"],
        "modified_at": timestamp(model.weights.stat().st_mtime_ns),
    }


def _scalar(text: str) -> str | int | float | bool:
    """llama.cpp gives metadata as text; clients expect numbers where the file has numbers."""
    if text in {"true", "false"}:
        return text == "true"
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
