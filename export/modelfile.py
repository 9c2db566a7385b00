"""Render the Ollama Modelfile of a guard from the same source as its GGUF (syntax: ollama/docs/modelfile)."""

from __future__ import annotations

from typing import Final

from guard.manifest import GuardManifest
from guard.prompt import MAX_PROMPT_BYTES

CONTEXT_TOKENS: Final = 4096
"""``num_ctx``: more than any rendered prompt has tokens, and constant, since another value reloads the model."""


def render_modelfile(manifest: GuardManifest, gguf: str, licence: str, *, name: str, path: str) -> str:
    """The Modelfile.

    Args:
        manifest: of the guard.
        gguf: its file, as ``FROM`` names it.
        licence: of its weights.
        name: that Ollama gives it.
        path: of the Modelfile, for the command that creates it.

    Raises:
        ValueError: if a value has three quotes, which a Modelfile can't hold.
    """
    if CONTEXT_TOKENS < MAX_PROMPT_BYTES:
        raise ValueError(f"a context of {CONTEXT_TOKENS} tokens may not hold a prompt of {MAX_PROMPT_BYTES} bytes")
    template = f"{manifest.template.prefix}{{{{ .Prompt }}}}{manifest.template.suffix}"
    for text in (template, licence, gguf):
        if '"""' in text:
            raise ValueError(f"a Modelfile can't hold three quotes: {text[:60]!r}")
    return f'''# {manifest.name}: answers {manifest.labels.on_topic} or {manifest.labels.off_topic}, with one token.
# Rendered by `startrek-guard export modelfile`; changes here are lost.
#   ollama create {name} -f {path}
#   ollama run {name} "a prompt"
FROM {gguf}
TEMPLATE """{template}"""
PARAMETER num_predict 1
PARAMETER temperature 0
PARAMETER num_ctx {CONTEXT_TOKENS}
PARAMETER seed 0
LICENSE """{licence}"""
'''
