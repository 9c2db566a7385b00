"""What a guard says of itself, there and back."""

from __future__ import annotations

import pytest

from guard.calibration import Calibration, Decision
from guard.labels import Labels
from guard.manifest import GuardManifest, ManifestError
from guard.prompt import PromptTemplate

FULL = GuardManifest(
    name="startrek-guard",
    topic="Star Trek",
    template=PromptTemplate("<bos>", "<start_of_turn>", "<end_of_turn>"),
    labels=Labels("off", "on"),
    calibration=Calibration(1.5, 0.4, 0.35, 0.45, Decision.FLAG),
    base_model="gemma",
    data_sha256="0" * 64,
    fold_margin_nats=25.5,
    accuracy=0.97,
)
SPARSE = GuardManifest(name="a", topic="b", template=PromptTemplate("<s>", "<s>", "</s>"))


@pytest.mark.parametrize("manifest", [FULL, SPARSE])
def test_a_manifest_comes_back_from_its_metadata(manifest: GuardManifest) -> None:
    """Optional values or none."""
    assert GuardManifest.from_metadata(manifest.to_metadata()) == manifest


def test_a_manifest_comes_back_from_text() -> None:
    """llama.cpp gives every value as text."""
    text = {key: str(value) for key, value in FULL.to_metadata().items()}
    assert GuardManifest.from_metadata(text) == FULL


def test_empty_texts_may_be_missing() -> None:
    """The usual writer of GGUF leaves keys with an empty text out."""
    written = {key: value for key, value in SPARSE.to_metadata().items() if value != ""}
    assert GuardManifest.from_metadata(written) == SPARSE


@pytest.mark.parametrize("key", ["name", "label.0", "prompt.prefix", "prompt.version", "calibration.threshold"])
def test_a_missing_key_is_named(key: str) -> None:
    """The sentence says which."""
    metadata = FULL.to_metadata()
    del metadata[f"startrek_guard.{key}"]
    with pytest.raises(ManifestError, match=rf"has no 'startrek_guard\.{key}'"):
        GuardManifest.from_metadata(metadata)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("calibration.temperature", "hot"),
        ("calibration.uncertain_decision", "maybe"),
        ("label.0", "on"),
        ("label.1", ""),
    ],
)
def test_an_unusable_value_is_refused(key: str, value: str) -> None:
    """Not read as something near it."""
    with pytest.raises(ManifestError, match="unusable guard metadata"):
        GuardManifest.from_metadata({**FULL.to_metadata(), f"startrek_guard.{key}": value})


def test_another_prompt_version_is_refused() -> None:
    """A guard trained on other texts would answer, but not well."""
    with pytest.raises(ManifestError, match="made for prompt version 2, wanted 1"):
        GuardManifest.from_metadata({**FULL.to_metadata(), "startrek_guard.prompt.version": 2})


def test_values_are_scalars() -> None:
    """Not every reader of GGUF shows arrays."""
    assert all(isinstance(value, str | float | int) for value in FULL.to_metadata().values())
