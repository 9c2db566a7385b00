"""What a guard says of itself, stored in its GGUF's own metadata under ``startrek_guard.*``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from guard.calibration import UNCALIBRATED, Calibration, Decision
from guard.labels import DEFAULT_LABELS, Labels
from guard.prompt import PROMPT_VERSION, PromptTemplate

KEY_PREFIX: Final = "startrek_guard."


class ManifestError(ValueError):
    """A GGUF whose metadata is not that of a guard this version can use."""


@dataclass(frozen=True, slots=True)
class GuardManifest:
    """The contract between a guard GGUF and whoever asks it.

    Attributes:
        name: of the guard, for people.
        topic: the topic in words, as refusals name it ("Star Trek").
        labels: label names by class id; each is one token of the GGUF's vocabulary.
        template: the marks around the text.
        calibration: temperature, threshold, uncertain band.
        base_model: what it was fine-tuned from.
        data_sha256: of the training data, empty where unknown.
        fold_margin_nats: the least distance, on real rows, between the lower label's logit and any other token's.
        accuracy: on the held-out rows named in the guard's report; None where not measured.
        prompt_version: see :data:`guard.prompt.PROMPT_VERSION`.
    """

    name: str
    topic: str
    template: PromptTemplate
    labels: Labels = DEFAULT_LABELS
    calibration: Calibration = UNCALIBRATED
    base_model: str = ""
    data_sha256: str = ""
    fold_margin_nats: float | None = None
    accuracy: float | None = None
    prompt_version: int = PROMPT_VERSION

    def to_metadata(self) -> dict[str, str | float | int]:
        """The metadata keys and values, without array values, which not every reader of GGUF shows."""
        values: dict[str, str | float | int | None] = {
            "name": self.name,
            "topic": self.topic,
            "label.0": self.labels.off_topic,
            "label.1": self.labels.on_topic,
            "prompt.version": self.prompt_version,
            "prompt.prefix": self.template.prefix,
            "prompt.turn": self.template.turn,
            "prompt.suffix": self.template.suffix,
            "calibration.temperature": self.calibration.temperature,
            "calibration.threshold": self.calibration.threshold,
            "calibration.uncertain_low": self.calibration.uncertain_low,
            "calibration.uncertain_high": self.calibration.uncertain_high,
            "calibration.uncertain_decision": str(self.calibration.uncertain_decision),
            "base_model": self.base_model,
            "data_sha256": self.data_sha256,
            "fold_margin_nats": self.fold_margin_nats,
            "accuracy": self.accuracy,
        }
        return {KEY_PREFIX + key: value for key, value in values.items() if value is not None}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str | float | int]) -> GuardManifest:
        """Read a manifest from GGUF metadata; values may be text, as llama.cpp gives them.

        Raises:
            ManifestError: if it is no guard's metadata, a key is missing or its value unusable, or the guard
                was made for another prompt version.
        """
        version = _text(metadata, "prompt.version")
        if version != str(PROMPT_VERSION):
            raise ManifestError(f"the guard was made for prompt version {version}, wanted {PROMPT_VERSION}")
        try:
            return _read(metadata)
        except ManifestError:
            raise
        except ValueError as error:
            raise ManifestError(f"unusable guard metadata: {error}") from error


def _read(metadata: Mapping[str, str | float | int]) -> GuardManifest:
    def number(key: str) -> float:
        return float(_text(metadata, key))

    def optional_number(key: str) -> float | None:
        return number(key) if KEY_PREFIX + key in metadata else None

    return GuardManifest(
        name=_text(metadata, "name"),
        topic=_text(metadata, "topic"),
        labels=Labels(_text(metadata, "label.0"), _text(metadata, "label.1")),
        template=PromptTemplate(
            prefix=_text(metadata, "prompt.prefix"),
            turn=_text(metadata, "prompt.turn"),
            suffix=_text(metadata, "prompt.suffix"),
        ),
        calibration=Calibration(
            temperature=number("calibration.temperature"),
            threshold=number("calibration.threshold"),
            uncertain_low=number("calibration.uncertain_low"),
            uncertain_high=number("calibration.uncertain_high"),
            uncertain_decision=Decision(_text(metadata, "calibration.uncertain_decision")),
        ),
        # An empty text is no entry: the usual writer of GGUF leaves such keys out.
        base_model=str(metadata.get(KEY_PREFIX + "base_model", "")),
        data_sha256=str(metadata.get(KEY_PREFIX + "data_sha256", "")),
        fold_margin_nats=optional_number("fold_margin_nats"),
        accuracy=optional_number("accuracy"),
    )


def _text(metadata: Mapping[str, str | float | int], key: str) -> str:
    value = metadata.get(KEY_PREFIX + key)
    if value is None:
        raise ManifestError(f"not a guard: its metadata has no {KEY_PREFIX + key!r}")
    return str(value)
