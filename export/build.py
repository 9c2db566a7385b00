"""Build a guard GGUF from an adapter folder, once: what is built is cached by what it is made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open

from export.architectures import by_gguf_name
from export.bases import PACKAGED_BASES, PackagedBase, materialise, packaged_base, size_bytes
from export.checkpoint import Checkpoint, FirstLayers, KeptVocabulary, MetadataValue, Tensor
from export.errors import CheckpointError
from export.fold import Folded, Head, margin_summary
from export.gguf_checkpoint import GgufCheckpoint
from export.gguf_file import write_f16
from export.hf_checkpoint import HfCheckpoint, open_checkpoint
from export.keep_list import read_keep_list
from export.lora import ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapted, LoraAdapter
from export.quantise import DEFAULT_QUANTISATION, check_kind, quantise
from export.rounding import Rounded
from export.token_proof import prove_guard_vocabulary
from guard.calibration import Calibration, Decision
from guard.labels import Labels
from guard.manifest import GuardManifest
from guard.prompt import PromptTemplate

GUARD_FILE: Final = "guard.json"
FOLD_FILE: Final = "fold.safetensors"

BUILD_VERSION: Final = 2
"""Raised when the same adapter gives another GGUF than before, so that cached ones are not used."""

Progress = Callable[[str, float], None]
"""Called with what is being done and how much of it is done, 0 to 1."""


def _silent(_stage: str, _share: float) -> None:
    """No progress is shown."""


@dataclass(frozen=True)
class AdapterFolder:
    """A trained guard as it is stored: PEFT's two files, ``guard.json``, ``fold.safetensors``, a keep-list.

    One whose adapter is merged into its base already has no files of PEFT's: the base has the head.

    Attributes:
        path: the folder.
        guard: content of ``guard.json``.
    """

    path: Path
    guard: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> AdapterFolder:
        """Read the folder's ``guard.json``.

        Raises:
            CheckpointError: if it is missing or unusable.
        """
        file = path / GUARD_FILE
        try:
            guard = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise CheckpointError(f"no trained guard in {path}: can't read {file.name}: {error}") from error
        if not isinstance(guard, dict) or "base" not in guard:
            raise CheckpointError(f"{file} does not describe a guard: it names no base")
        return cls(path, guard)

    @property
    def layers(self) -> int | None:
        """How many layers of the base the adapter was trained on; None for all."""
        layers = self.guard["base"].get("layers")
        return None if layers is None else int(layers)

    @property
    def merged(self) -> bool:
        """Whether the base is the whole classifier, its adapter merged and its head in it."""
        return bool(self.guard["base"].get("merged"))

    @property
    def keep_list(self) -> Path | None:
        """The keep-list of its vocabulary; None for all tokens."""
        name = self.guard["base"].get("vocabulary")
        return None if name is None else self.path / name

    @property
    def rounding(self) -> str | None:
        """The quantisation that the base was rounded to before training; None for none."""
        kind = self.guard["base"].get("rounding")
        return None if kind is None else str(kind)

    @property
    def packaged_base(self) -> PackagedBase | None:
        """The base that comes as a package, if it is one."""
        name = self.guard["base"].get("package")
        return None if name is None else packaged_base(name)

    def manifest(self, fold_margin_nats: float | None = None) -> GuardManifest:
        """The manifest that goes into the GGUF.

        Raises:
            CheckpointError: if ``guard.json`` lacks a value or has an unusable one.
        """
        guard = self.guard
        try:
            calibration = guard["calibration"]
            return GuardManifest(
                name=guard["name"],
                topic=guard["topic"],
                labels=Labels(*guard["labels"]),
                template=PromptTemplate(
                    prefix=guard["prompt"]["prefix"], turn=guard["prompt"]["turn"], suffix=guard["prompt"]["suffix"]
                ),
                prompt_version=guard["prompt"]["version"],
                calibration=Calibration(
                    temperature=float(calibration["temperature"]),
                    threshold=float(calibration["threshold"]),
                    uncertain_low=float(calibration["uncertain_low"]),
                    uncertain_high=float(calibration["uncertain_high"]),
                    uncertain_decision=Decision(calibration["uncertain_decision"]),
                ),
                base_model=_base_title(guard["base"]),
                data_sha256=guard["data_sha256"],
                accuracy=guard["accuracy"],
                fold_margin_nats=fold_margin_nats,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{self.path / GUARD_FILE} does not describe a guard: {error!r}") from error

    def hidden_states(self) -> tuple[Tensor, Tensor]:
        """Of validation rows: the mean final hidden state, shape (hidden,), and a sample, shape (prompts, hidden).

        Raises:
            CheckpointError: if the file is missing or lacks either.
        """
        path = self.path / FOLD_FILE
        try:
            with safe_open(path, framework="np") as file:
                mean, sample = (file.get_tensor(name) for name in ("mean_hidden", "sample_hidden"))
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"can't read {path}: {error}") from error
        return np.asarray(mean, dtype=np.float32), np.asarray(sample, dtype=np.float32)

    def sha256(self) -> str:
        """Over every file that decides the GGUF."""
        digest = hashlib.sha256()
        adapter_files = () if self.merged else (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
        for name in (GUARD_FILE, *adapter_files, FOLD_FILE):
            digest.update(_bytes(self.path / name))
        if self.keep_list is not None:
            digest.update(_bytes(self.keep_list))
        return digest.hexdigest()


def open_base(
    adapter: AdapterFolder, cache: Path, base_path: Path | None = None, progress: Progress = _silent
) -> Checkpoint:
    """The checkpoint that an adapter was trained on, its layers and vocabulary cut.

    Args:
        adapter: the trained guard.
        cache: where joined bases are kept.
        base_path: a GGUF file or Hugging Face folder in place of the base that the adapter names.
        progress: told of the joining.

    Raises:
        CheckpointError: if the base is missing or is not what the adapter was trained on.
    """
    checkpoint = open_base_weights(adapter.guard["base"], cache, base_path, progress)
    return cut(checkpoint, adapter.layers, adapter.keep_list, adapter.rounding)


def open_base_weights(
    base: Mapping[str, Any], cache: Path, base_path: Path | None = None, progress: Progress = _silent
) -> Checkpoint:
    """The whole base that a description names by ``package``, ``folder``, or ``hub`` and its ``revision``.

    Raises:
        CheckpointError: if it is missing or unreadable.
    """
    if base_path is None and base.get("folder") is not None:
        base_path = Path(base["folder"])
    if base_path is None and base.get("package") is not None:
        packaged = packaged_base(base["package"])
        size = size_bytes(packaged)
        base_path = materialise(packaged, cache / "bases", lambda done: progress("joining the base", done / size))
    if base_path is not None and base_path.suffix == ".gguf":
        progress("reading the base", 0.0)
        return GgufCheckpoint(base_path)
    return open_checkpoint(str(base_path)) if base_path else open_checkpoint(str(base.get("hub")), base.get("revision"))


def cut(checkpoint: Checkpoint, layers: int | None, keep_list: Path | None, rounding: str | None = None) -> Checkpoint:
    """The checkpoint with its first layers and kept tokens only, its layers rounded."""
    if layers is not None:
        checkpoint = FirstLayers(checkpoint, layers)
    if keep_list is not None:
        checkpoint = KeptVocabulary(checkpoint, read_keep_list(keep_list))
    if rounding is not None:
        checkpoint = Rounded(checkpoint, rounding)
    return checkpoint


def fold_adapter(adapter: AdapterFolder, base: Checkpoint) -> tuple[Folded, GuardManifest]:
    """Merge an adapter into its base and fold its head.

    Raises:
        ExportError: if they do not fit each other, or on real rows another token comes near a label.
    """
    weight, model = merge_adapter(adapter, base)
    mean, sample = adapter.hidden_states()
    head = Head(weight, mean)
    manifest = adapter.manifest(fold_margin_nats=round(margin_summary(head, sample)["least_nats"], 2))
    return Folded(model, head, manifest.labels, manifest.template), manifest


def merge_adapter(adapter: AdapterFolder, base: Checkpoint) -> tuple[Tensor, Checkpoint]:
    """The classification head, shape (2, hidden), and the model under it.

    Raises:
        CheckpointError: if adapter and base do not fit each other, or neither has a head.
    """
    if not adapter.merged:
        return apply_lora(adapter.path, base)
    # A base that is read from a GGUF file or cut is another class: those have no head.
    head = base.head if isinstance(base, HfCheckpoint) else None
    if head is None:
        raise CheckpointError(
            f"{adapter.path / GUARD_FILE} says that its base is the whole classifier, but the base "
            f"{base.general.get('name')!r} has no classification head; wanted a Hugging Face folder, not cut"
        )
    return head, base


def apply_lora(folder: Path, base: Checkpoint) -> tuple[Tensor, Checkpoint]:
    """A PEFT folder's head, shape (2, hidden), and its base with the deltas merged into it.

    Raises:
        CheckpointError: if the adapter is unusable, has no head or does not fit the base.
    """
    architecture = by_gguf_name(base.architecture)
    hyperparameters = base.hyperparameters
    layers = int(hyperparameters["block_count"])
    lora = LoraAdapter(folder, lambda module: architecture.tensor_name(module, layers))
    if lora.head is None:
        raise CheckpointError(f"the adapter in {folder} has no classification head (score.weight)")
    return lora.head, Adapted(base, lora, lambda name, tensor: architecture.permute_rows(name, tensor, hyperparameters))


def guard_metadata(
    manifest: GuardManifest, checkpoint: Checkpoint, licence: Mapping[str, str]
) -> dict[str, MetadataValue]:
    """The keys that make a GGUF a guard: ``startrek_guard.*``, ``general.*`` and the prompt as chat template."""
    parameters = sum(int(np.prod(shape)) for shape in checkpoint.shapes().values())
    general: dict[str, MetadataValue] = {
        "name": manifest.name,
        "basename": manifest.name,
        "finetune": "topic-guard",
        "version": f"v{version('startrek-guard')}",
        "size_label": size_label(parameters),
        "tags": ["text-classification", "moderation", "topic-guard", manifest.topic.lower().replace(" ", "-")],
        "base_model.count": 1,
        "base_model.0.name": manifest.base_model,
        **licence,
    }
    keys: dict[str, MetadataValue] = {f"general.{key}": value for key, value in general.items()}
    return {**keys, **manifest.to_metadata(), "tokenizer.chat_template": chat_template(manifest.template)}


def chat_template(template: PromptTemplate) -> str:
    """The prompt as a Jinja chat template, for engines that render conversations themselves."""
    turn = f"{{%- if not loop.first -%}}{{{{- {template.turn!r} -}}}}{{%- endif -%}}{{{{- message['content'] -}}}}"
    turns = f"{{%- for message in messages -%}}{turn}{{%- endfor -%}}"
    return f"{{{{- {template.prefix!r} -}}}}{turns}{{{{- {template.suffix!r} -}}}}"


def size_label(parameters: int) -> str:
    """Parameters as GGUF's naming convention writes them: ``81M``, ``8.2B``."""
    if parameters >= 1e9:
        return f"{parameters / 1e9:.1f}B"
    return f"{parameters / 1e6:.0f}M" if parameters >= 1e6 else f"{max(1, parameters // 1000)}K"


def file_name(manifest: GuardManifest, checkpoint: Checkpoint, kind: str) -> str:
    """By GGUF's convention: ``<BaseName>-<SizeLabel>-<FineTune>-<Version>-<Encoding>.gguf``."""
    metadata = guard_metadata(manifest, checkpoint, {})
    parts = [metadata[f"general.{key}"] for key in ("basename", "size_label", "finetune", "version")]
    return "-".join([*map(str, parts), kind]) + ".gguf"


def build_guard(
    adapter: AdapterFolder,
    cache: Path,
    kind: str = DEFAULT_QUANTISATION,
    *,
    base_path: Path | None = None,
    progress: Progress = _silent,
) -> Path:
    """The guard GGUF of an adapter: from the cache, or built into it.

    Args:
        adapter: the trained guard.
        cache: the cache folder.
        kind: quantisation, see :data:`export.quantise.FILE_TYPES`.
        base_path: see :func:`open_base`.
        progress: told of the stages.

    Raises:
        ExportError: if it can't be built; nothing half-made is left behind.
    """
    check_kind(kind)
    folder = cache / "guards" / f"{_key(adapter, base_path)}-{kind}"
    if built := next(iter(sorted(folder.glob("*.gguf"))), None):
        return built
    folded, manifest = fold_adapter(adapter, open_base(adapter, cache, base_path, progress))
    manifest = manifest_of(manifest, kind)
    target = folder / file_name(manifest, folded, kind)
    write_guard(folded, manifest, target, kind, licence=_licence(adapter), progress=progress)
    return target


def manifest_of(manifest: GuardManifest, kind: str) -> GuardManifest:
    """The manifest of one quantisation: only the default one's file was evaluated, so no other one has its accuracy."""
    return manifest if kind == DEFAULT_QUANTISATION else replace(manifest, accuracy=None)


def write_guard(  # noqa: PLR0913 - a stage takes what it needs by name
    folded: Folded,
    manifest: GuardManifest,
    target: Path,
    kind: str,
    *,
    licence: Mapping[str, str],
    progress: Progress = _silent,
) -> None:
    """Write a folded guard to ``target``, through an F16 file beside it that is removed again.

    Raises:
        ExportError: if its vocabulary reads text otherwise than the base's, or it can't be written.
    """
    progress("proving the vocabulary", 0.0)
    prove_guard_vocabulary(folded.base_vocabulary, folded.vocabulary, manifest.labels, folded.architecture)
    progress("proving the vocabulary", 1.0)
    metadata = guard_metadata(manifest, folded, licence)
    target.parent.mkdir(parents=True, exist_ok=True)
    half = target.with_name(f".{target.stem}.f16.part")
    try:
        write_f16(folded, half, metadata, lambda done, total: progress("writing F16", done / total))
        progress(f"quantising to {kind}", 0.0)
        quantise(half, target, kind)
        progress(f"quantising to {kind}", 1.0)
    finally:
        half.unlink(missing_ok=True)


def _licence(adapter: AdapterFolder) -> dict[str, str]:
    base = adapter.packaged_base
    if base is None:
        return {}
    return {"license": base.licence} | ({"license.link": base.licence_link} if base.licence_link else {})


def _base_title(base: Mapping[str, Any]) -> str:
    package = base.get("package")
    named = base.get("title") or base.get("hub") or base.get("folder") or ""
    title = PACKAGED_BASES[package].title if package in PACKAGED_BASES else named
    return f"{title}, first {base['layers']} layers" if base.get("layers") else str(title)


def _key(adapter: AdapterFolder, base_path: Path | None) -> str:
    made_of = [adapter.sha256(), str(BUILD_VERSION), version("llama-cpp-python"), version("startrek-guard")]
    if base_path is not None:
        made_of.append(hashlib.sha256(str(base_path.resolve()).encode()).hexdigest())
        made_of += file_states(base_path)
    elif adapter.packaged_base is not None:
        made_of.append(adapter.packaged_base.sha256)
    elif folder := adapter.guard["base"].get("folder"):
        made_of += file_states(Path(folder).expanduser())
    return hashlib.sha256("/".join(made_of).encode()).hexdigest()[:16]


def file_states(model: Path) -> list[str]:
    """Of a model's files, a GGUF or those of a folder: gigabytes whose content is not hashed at every start."""
    found = (path for path in model.glob("*") if path.suffix in (".json", ".safetensors"))
    files = [model] if model.is_file() else sorted(found)
    return [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in files]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"can't read {path}: {error}") from error
