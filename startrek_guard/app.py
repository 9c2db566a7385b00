"""Puts the commands together, and tells known errors in one sentence."""

from __future__ import annotations

import faulthandler
import sys
from importlib.metadata import version
from typing import Annotated, Final

import typer
from rich.markup import escape

from startrek_guard import export, model, train
from startrek_guard.classify import classify
from startrek_guard.consoles import err, out
from startrek_guard.serve import serve

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Keep a self-hosted chatbot on topic: a small guard in front of Ollama or llama-server, on the CPU.",
)
app.command()(serve)
app.command()(classify)
app.add_typer(model.app, name="model")
app.add_typer(train.app, name="train")
app.add_typer(export.app, name="export")


_EXTRAS: Final = {
    **dict.fromkeys(("gguf", "huggingface_hub", "numpy", "safetensors", "tokenizers", "typing_extensions"), "embedded"),
    **dict.fromkeys(("accelerate", "matplotlib", "peft", "sklearn", "torch", "transformers"), "train"),
}
"""Which extra brings a library that a plain install, which serves a given GGUF, goes without."""


def main() -> None:
    """Run the command line; known errors are one sentence and exit status 1."""
    # Should a library crash, this says where; it tells no values, so no prompts.
    faulthandler.enable()
    try:
        app()
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        advice = escape(f"pip install 'startrek-guard[{extra}]'")
        err.print(f"[red]error:[/red] this needs {error.name}: {advice}")
        sys.exit(1)
    except _known_errors() as error:
        err.print(f"[red]error:[/red] {escape(str(error))}")
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _version(
    show: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if show:
        out.print(version("startrek-guard"))
        raise typer.Exit


def _known_errors() -> tuple[type[Exception], ...]:
    """Errors that are told in one sentence; only of parts that were imported, so that none is imported for this."""
    names = {
        "guard.engines.base": "EngineError",
        "guard.manifest": "ManifestError",
        "gateway.settings": "SettingsError",
        "gateway.embedded.errors": "EmbeddedError",
        "export.errors": "ExportError",
        "train.errors": "TrainError",
    }
    found = [getattr(sys.modules[module], name) for module, name in names.items() if module in sys.modules]
    return (*found, OSError)
