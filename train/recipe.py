"""A training recipe: everything that decides a run, read from TOML and kept verbatim with its results."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, TypeVar

from train.errors import RecipeError

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")
SCHEDULES: Final = ("cosine", "linear", "constant", "constant_with_warmup", "polynomial", "inverse_sqrt")
LEAST_LENGTH_TOKENS: Final = 8
"""The prompt's own marks and a few words."""
ROUNDINGS: Final = ("Q4_0",)
RANDOM_BASES: Final = ("qwen3",)
MOST_SEED: Final = 2**32 - 1
"""numpy takes no larger one."""


RECIPES: Final = Path(__file__).parent / "recipes"
"""The recipes that ship."""


def _check(table: str, values: object, key: str, wanted: str, *, fits: bool) -> None:
    if not fits:
        raise RecipeError(f"[{table}] {key} is {getattr(values, key)!r}, wanted {wanted}")


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseRecipe:
    """The model to start from; exactly one of ``package``, ``folder``, ``hub`` and ``random`` names it.

    Attributes:
        package: weights that come as a Python package (``gemma3_270m``, ``smollm2_135m``).
        folder: a local Hugging Face folder or GGUF file; a relative path begins at the recipe's own folder.
        hub: a model id on the hub.
        revision: of ``hub``: commit, tag or branch; None is the newest. The guard keeps the commit that it was.
        random: an architecture (``qwen3``) of which a model of two random layers is made, to try the chain with.
        layers: how many layers are kept; None keeps all.
        vocabulary: name of a keep-list beside the recipe; None keeps all tokens.
        rounding: the quantisation that the guard will be served in. Weights are rounded to it before training, and the
            adapted ones again while it goes on, so that quantising the guard takes nothing away from it.
    """

    package: str | None = None
    folder: str | None = None
    hub: str | None = None
    revision: str | None = None
    random: str | None = None
    layers: int | None = None
    vocabulary: str | None = None
    rounding: str | None = None

    def __post_init__(self) -> None:
        if self.rounding not in (None, *ROUNDINGS):
            raise RecipeError(f"[base] rounding {self.rounding!r}, wanted one of {', '.join(ROUNDINGS)}")
        named = [name for name in ("package", "folder", "hub", "random") if getattr(self, name)]
        if len(named) != 1:
            found = " and ".join(named) or "no model"
            raise RecipeError(f"[base] names {found}, wanted one of package, folder, hub, random")
        if self.revision is not None and not self.hub:
            raise RecipeError(f"[base] revision {self.revision!r}, wanted with hub only, not with {named[0]}")
        if self.random not in (None, *RANDOM_BASES):
            raise RecipeError(f"[base] random {self.random!r}, wanted one of {', '.join(RANDOM_BASES)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRecipe:
    """What to learn; either a ``topic`` of the package or ``files`` of labelled rows.

    Attributes:
        topic: name of an authored corpus under ``train/data``.
        files: JSON Lines with ``input`` or ``messages``, and ``label``.
        topic_words: the topic as refusals name it, such as ``Star Trek``.
        on_topic: which of the files' two labels is the on-topic one, where the names do not say.
        validation_share: of the groups; None is what suits the data, 0.05 of files and 0.03 of a topic.
        test_share: the same for testing.
    """

    topic: str | None = None
    files: tuple[str, ...] = ()
    topic_words: str = ""
    on_topic: str | None = None
    validation_share: float | None = None
    test_share: float | None = None

    def __post_init__(self) -> None:
        if bool(self.topic) == bool(self.files):
            given = f"topic {self.topic!r} and files {list(self.files)}"
            raise RecipeError(f"[data] has {given if self.files else 'neither topic nor files'}, wanted one of the two")
        if not self.topic_words.strip():
            raise RecipeError('[data] needs topic_words, the topic as refusals name it, such as "Star Trek"')
        if self.topic and self.on_topic is not None:
            raise RecipeError(
                f"[data] on_topic is {self.on_topic!r} beside topic {self.topic!r}, wanted none: it goes with files"
            )
        for key in ("validation_share", "test_share"):
            share = getattr(self, key)
            _check("data", self, key, "between 0 and 0.5", fits=share is None or 0 < share < 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraRecipe:
    """Low-rank adaptation (Hu et al. 2021).

    Attributes:
        rank: of the two matrices.
        alpha: their product counts ``alpha / rank`` times.
        dropout: of what goes into them.
        first_layer: the first layer that is adapted. Those below stay as they are, which saves their backward pass.
        embedding_rank: of the adapter of the token embedding, through which a name's own tokens become evidence; 0 for
            none.
        embedding_alpha: its product counts ``embedding_alpha / embedding_rank`` times. AdamW takes large steps on
            tokens that it seldom sees, so it wants to be small.
        start: an adapter's folder beside the recipe, whose weights are gone on from; None begins anew. What it lacks of
            the adapted matrices begins anew, too.
        start_shares: how much of ``start`` is tried in the run's result once it is trained, each above 0 and below 1,
            beside none of it. What tells the validation rows apart best is kept (``train/interpolation.py``).
        target_modules: the matrices of a layer that are adapted.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    first_layer: int = 0
    embedding_rank: int = 0
    embedding_alpha: int = 4
    start: str | None = None
    start_shares: tuple[float, ...] = ()
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

    def __post_init__(self) -> None:
        for key in ("rank", "alpha", "embedding_alpha"):
            _check("lora", self, key, "1 or more", fits=getattr(self, key) >= 1)
        for key in ("first_layer", "embedding_rank"):
            _check("lora", self, key, "0 or more", fits=getattr(self, key) >= 0)
        _check("lora", self, "dropout", "0 to 1, without 1", fits=0 <= self.dropout < 1)
        between = all(0 < share < 1 for share in self.start_shares)
        _check("lora", self, "start_shares", "numbers above 0 and below 1", fits=between)
        if self.start_shares and self.start is None:
            raise RecipeError(
                f"[lora] start_shares is {self.start_shares!r} without start, wanted an adapter to mix in"
            )
        if self.embedding_rank and self.first_layer:
            raise RecipeError(
                f"[lora] first_layer is {self.first_layer} beside embedding_rank {self.embedding_rank}: it saves "
                "nothing below an adapted embedding; leave out one of the two"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRecipe:
    """How to train.

    Attributes:
        epochs: passes over the training rows.
        batch_rows: rows a step and device.
        accumulation_steps: steps whose gradients are added up before the weights change.
        learning_rate: at its peak.
        schedule: transformers' name of the learning rate's course, one of ``SCHEDULES``.
        warmup_share: of all steps, below 1; the schedule ``constant`` has no warm-up.
        weight_decay: AdamW's.
        max_length_tokens: longer rows lose their oldest turns, then their end, or are left out if they are off topic;
            ``run.json`` has how many.
        token_dropout: the share of tokens that is left out of every other row, anew in each pass, so that rows are not
            learnt by heart; 0 for none.
        precision: ``fp32``, ``bf16`` or ``fp16`` (mixed; ``fp16`` on CUDA devices only). ``auto`` is ``bf16`` where the
            hardware computes it faster than ``fp32``; else it is ``fp16`` on CUDA devices and ``fp32`` on CPUs. On a
            CPU ``bf16`` is twice as fast with AMX or on AMD's with AVX-512, half as fast on an Intel Xeon with AVX-512
            alone, and a seventh as fast without either.
        save_steps: a checkpoint to resume from every so many steps.
        seed: of everything random.
    """

    epochs: float = 3.0
    batch_rows: int = 32
    accumulation_steps: int = 1
    learning_rate: float = 2e-4
    schedule: str = "cosine"
    warmup_share: float = 0.05
    weight_decay: float = 0.01
    max_length_tokens: int = 512
    token_dropout: float = 0.0
    precision: str = "auto"
    save_steps: int = 200
    seed: int = 20261123

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise RecipeError(f"[training] precision {self.precision!r}, wanted one of {', '.join(PRECISIONS)}")
        if self.schedule not in SCHEDULES:
            raise RecipeError(f"[training] schedule {self.schedule!r}, wanted one of {', '.join(SCHEDULES)}")
        for key in ("batch_rows", "accumulation_steps", "save_steps"):
            _check("training", self, key, "1 or more", fits=getattr(self, key) >= 1)
        for key in ("epochs", "learning_rate"):
            _check("training", self, key, "a positive number", fits=0 < getattr(self, key) < math.inf)
        least = LEAST_LENGTH_TOKENS
        _check("training", self, "max_length_tokens", f"{least} or more", fits=self.max_length_tokens >= least)
        # From 1 on transformers takes it for a number of steps.
        _check("training", self, "warmup_share", "0 to 1, without 1", fits=0 <= self.warmup_share < 1)
        _check("training", self, "weight_decay", "0 or more", fits=0 <= self.weight_decay < math.inf)
        _check("training", self, "token_dropout", "0 to 0.5, without 0.5", fits=0 <= self.token_dropout < 0.5)
        _check("training", self, "seed", f"0 to {MOST_SEED}", fits=0 <= self.seed <= MOST_SEED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A whole recipe.

    Attributes:
        name: the file's name without ending.
        text: the file, verbatim.
        folder: where it lies, for the files it names.
    """

    name: str
    text: str
    folder: Path
    base: BaseRecipe
    data: DataRecipe
    lora: LoraRecipe
    training: TrainingRecipe

    def file(self, name: str) -> Path:
        """What a recipe names, beside it; else, since recipes are copied to be changed, beside those that ship."""
        own = self.folder / name
        return own if own.exists() or not (RECIPES / name).exists() else RECIPES / name


def load_recipe(name: str) -> Recipe:
    """Read a shipped recipe by name, or any by path.

    Raises:
        RecipeError: if there is none, or it is not as described.
    """
    path = RECIPES / f"{name}.toml" if "/" not in name and not name.endswith(".toml") else Path(name)
    try:
        text = path.read_text("utf-8-sig")
        tables = tomllib.loads(text)
    except OSError as error:
        shipped = ", ".join(sorted(p.stem for p in RECIPES.glob("*.toml")))
        raise RecipeError(f"no recipe {name!r} ({error}); shipped are {shipped}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: {error}") from error
    if unknown := sorted(tables.keys() - {"base", "data", "lora", "training"}):
        raise RecipeError(f"{path}: unknown table {unknown[0]!r}, wanted base, data, lora or training")
    base = _read(BaseRecipe, tables, "base", path)
    if base.folder is not None:
        base = replace(base, folder=str((path.parent / Path(base.folder).expanduser()).resolve()))
    return Recipe(
        name=path.stem,
        text=text,
        folder=path.parent,
        base=base,
        data=_read(DataRecipe, tables, "data", path),
        lora=_read(LoraRecipe, tables, "lora", path),
        training=_read(TrainingRecipe, tables, "training", path),
    )


_Table = TypeVar("_Table", BaseRecipe, DataRecipe, LoraRecipe, TrainingRecipe)


def _read(kind: type[_Table], tables: dict[str, Any], name: str, path: Path) -> _Table:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise RecipeError(f"{path}: {name} is {table!r}, wanted a table [{name}]")
    wanted = {field.name: field for field in fields(kind)}
    if unknown := sorted(table.keys() - wanted.keys()):
        raise RecipeError(f"{path}: [{name}] has no {unknown[0]!r}, wanted one of {', '.join(wanted)}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    for key, value in values.items():
        if not _fits(value, str(wanted[key].type)):
            kind_of_value = _TOML_KINDS[str(wanted[key].type).removesuffix(" | None")]
            raise RecipeError(f"{path}: [{name}] {key} is {table[key]!r}, wanted {kind_of_value}")
    return kind(**values)


_TOML_KINDS: Final = {
    "str": "a string",
    "int": "a whole number",
    "float": "a number",
    "tuple[str, ...]": "an array of strings",
    "tuple[float, ...]": "an array of numbers",
}
"""What a person who writes TOML calls the types of the fields."""


def _fits(value: object, annotation: str) -> bool:
    kinds: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "float": (int, float), "tuple": tuple}
    if isinstance(value, tuple):
        entries = annotation.partition("tuple[")[2].partition(",")[0]
        return bool(entries) and all(_fits(entry, entries) for entry in value)
    return not isinstance(value, bool) and any(
        isinstance(value, kinds[part.strip().partition("[")[0]])
        for part in annotation.split("|")
        if part.strip().partition("[")[0] in kinds
    )
