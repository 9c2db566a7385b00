"""What layers and tokens of the base are worth: what its frozen states tell of the topic, and what they cost."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.bare_llama import BATCH_PROMPTS
from benchmarks.context import Context
from benchmarks.llama_process import LlamaProcess
from benchmarks.plots import Line, plot_lines
from benchmarks.results import Section, Table
from benchmarks.rounds import Measured, Timing, chunked, interleave
from benchmarks.timing import milliseconds
from export.build import cut, open_base_weights
from export.gguf_file import write_f16
from export.keep_list import read_keep_list
from export.quantise import quantise
from export.training_base import training_base
from startrek_guard.guards import open_adapter
from train.encode import Encoder
from train.generate import Side
from train.hard import read_hard
from train.metrics import Floats
from train.model import base_in
from train.rows import Row
from train.run import DATA

DEPTHS: Final = (3, 6, 9, 12, 15, 18)
"""Layers that are kept; the last is all of Gemma 3 270M's."""

_WHOLE: Final = (9, 18)
"""Depths that are timed with all tokens, too."""

_QUANTISATION: Final = "Q4_0"
_TIMED_PROMPTS: Final = 192
_PROBE_ROWS: Final = 6000
_MAX_CHARACTERS: Final = 400
_BATCH: Final = 64
_REGULARISATION: Final = 0.003
"""scikit-learn's ``C``: 1,280 values a row want a strong penalty."""

_TEXT: Final = """What could be gained by keeping more layers of the base, or lost by keeping fewer? Training a guard
at each depth takes hours; this is the short way. A logistic regression reads the base's *frozen* states after so many
layers (mean over the prompt, and last token) of {train} single prompts of the training side, and is asked about the
{hard} single prompts of the hard set that have at most {characters} characters: what a layer knows of the topic
before anything is trained. Beside it, the time of one prompt ({prompts} of the test side, median of {rounds} rounds,
bare llama.cpp, {kind}) of the base cut to so many layers and the guard's {tokens:,} tokens, and with all its tokens.

Training moves all of it up, the shipped guard to what its report says; but it can't find out what is not in the
base."""


def measure(context: Context) -> Section:
    """Probe and time every depth."""
    guard = open_adapter(context.adapter_name)
    files = {_name(layers, whole=False): _cut_base(context, layers, guard.keep_list) for layers in DEPTHS}
    files |= {_name(layers, whole=True): _cut_base(context, layers, None) for layers in _WHOLE}
    timings = _time(context, files)
    train, hard = _single(context.sides[Side.TRAIN], _PROBE_ROWS), _single(read_hard(_hard_folder(), context.labels))
    accuracies = _probe(context, train, hard)
    text = _TEXT.format(
        train=len(train),
        hard=len(hard),
        characters=_MAX_CHARACTERS,
        prompts=_TIMED_PROMPTS,
        rounds=context.rounds,
        kind=_QUANTISATION,
        tokens=len(read_keep_list(guard.keep_list)) if guard.keep_list else 0,
    )
    return Section(
        "depth", "Layers and tokens", text, [_table(accuracies, timings)], plots=[_plot(accuracies, timings)]
    )


def _name(layers: int, *, whole: bool) -> str:
    return f"{layers}, all tokens" if whole else str(layers)


def _hard_folder() -> Path:
    return DATA / "startrek" / "hard"


def _single(rows: Sequence[Row], count: int | None = None) -> list[Row]:
    """Rows of one turn that are not long, a random choice if only so many are wanted."""
    fitting = [row for row in rows if len(row.turns) == 1 and len(row.text) <= _MAX_CHARACTERS]
    return fitting if count is None else random.Random(1).sample(fitting, min(count, len(fitting)))


def _cut_base(context: Context, layers: int, keep_list: Path | None) -> Path:
    base = open_adapter(context.adapter_name).guard["base"]
    target = context.cache / "benchmarks" / f"depth-{layers}{'' if keep_list else '-whole'}-{_QUANTISATION}.gguf"
    if not target.is_file():
        half = target.with_suffix(".f16")
        write_f16(cut(open_base_weights(base, context.cache), layers, keep_list), half, {})
        quantise(half, target, _QUANTISATION)
        half.unlink()
    return target


def _time(context: Context, files: Mapping[str, Path]) -> Mapping[str, Timing]:
    chunks = chunked(context.prompts[:_TIMED_PROMPTS], BATCH_PROMPTS)
    with LlamaProcess(context.guard) as process:

        def way(path: Path) -> Callable[[int], Measured]:
            return lambda index: process.bare(path, [[prompt] for prompt in chunks[index]])

        ways = {name: way(path) for name, path in files.items()}
        return interleave(ways, [len(chunk) for chunk in chunks], context.rounds)


def _probe(context: Context, train: Sequence[Row], hard: Sequence[Row]) -> dict[int, float]:
    """Accuracy on ``hard`` by depth, of a regression fitted on ``train``."""
    guard = open_adapter(context.adapter_name)
    path, template = training_base(guard.guard["base"], context.cache, None, layers=None, keep_list=guard.keep_list)
    base = base_in(path)
    encoder = Encoder(base.load_tokenizer(), template)
    body = base.load_classifier(context.labels, 0, torch.float32).model.eval()
    fitted, asked = _states(body, encoder, train), _states(body, encoder, hard)
    classes, wanted = ([context.labels.class_id(row.label) for row in rows] for rows in (train, hard))
    accuracies = {}
    for layers in DEPTHS:
        regression = LogisticRegression(C=_REGULARISATION, max_iter=500)
        probe: Any = make_pipeline(StandardScaler(), regression).fit(fitted[layers], classes)
        accuracies[layers] = float(np.mean(probe.predict(asked[layers]) == np.asarray(wanted)))
    return accuracies


def _states(body: Any, encoder: Encoder, rows: Sequence[Row]) -> dict[int, Floats]:  # noqa: ANN401 - untyped
    """By depth, shape (rows, 2 x hidden): mean over the prompt's text, and last token, of length 1 a value."""
    prompts = [encoder.prompts(row.turns)[0] for row in rows]
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    found = {layers: np.zeros((len(rows), 2 * body.config.hidden_size)) for layers in DEPTHS}
    for places in chunked(order, _BATCH):
        ids = torch.nn.utils.rnn.pad_sequence([torch.tensor(prompts[i]) for i in places], batch_first=True)
        lengths = torch.tensor([len(prompts[i]) for i in places])
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        with torch.inference_mode():
            states = body(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
        for layers in DEPTHS:
            found[layers][list(places)] = _pool(states[layers], mask, lengths).numpy()
    return found


def _pool(states: torch.Tensor, mask: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    scaled = states / states.square().mean(dim=-1, keepdim=True).add(1e-6).sqrt()
    text = mask.clone()
    text[:, 0] = 0  # the start mark's state is the same for all
    mean = (scaled * text[..., None]).sum(dim=1) / text.sum(dim=1, keepdim=True)
    return torch.cat([mean, scaled[torch.arange(len(lengths)), lengths - 1]], dim=1)


def _table(accuracies: Mapping[int, float], timings: Mapping[str, Timing]) -> Table:
    rows = []
    for layers in DEPTHS:
        whole = timings.get(_name(layers, whole=True))
        times = [milliseconds(timings[_name(layers, whole=False)].at(50)), milliseconds(whole.at(50)) if whole else "–"]
        rows.append([str(layers), f"{accuracies[layers]:.1%}", *times])
    return Table(["layers", "accuracy of the probe", "p50 ms", "p50 ms, all tokens"], rows)


def _plot(accuracies: Mapping[int, float], timings: Mapping[str, Timing]) -> str:
    times = [timings[_name(layers, whole=False)].at(50) * 1e3 for layers in DEPTHS]
    line = Line("3 to 18 layers, frozen", times, [accuracies[layers] * 100 for layers in DEPTHS])
    return plot_lines("depth.svg", [line], x="one prompt, ms", y="accuracy of the probe, %")
