"""``startrek-guard train evaluate`` and ``train card``: what is measured on what, and what goes into the documents."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from startrek_guard.consoles import err
from startrek_guard.guards import build, open_adapter
from startrek_guard.scoring import GgufScorer, gguf_scorer

if TYPE_CHECKING:
    from export.build import AdapterFolder
    from guard.labels import Labels
    from train.baselines import Baseline
    from train.card import CardSources
    from train.evaluate import Evaluation, Subject
    from train.rows import Row
    from train.run_dir import RunDir


WITHOUT_ROWS: Final = "evaluated without baselines, and not compared with the training rows"


def evaluate_guard(adapter: str, data: Path | None, run_folder: Path | None, output: Path | None) -> Path:
    """Evaluate a guard on one's own rows, or on its topic's hard set and the run's test side; write the report.

    Returns:
        The report's folder.

    Raises:
        RunError: if there is nothing to evaluate it on, the run's rows are not those that it was trained on (with
            ``data`` this is told, and it is evaluated without them), or the report would replace files that are no
            report's.
        DataError: if rows can't be read, or have other labels than the guard.
    """
    from train.guard_file import labels_of
    from train.report import check_folder, make_report, write_report
    from train.rows import read_rows

    folder = open_adapter(adapter).path
    # Beside the adapter lies the report of the rows that were held out for it.
    report_folder = output or (folder if data is None else Path(f"{data.stem}-report"))
    # Before minutes are spent on it.
    check_folder(report_folder)
    if data is not None and _calibrated_on(folder, data):
        err.print(
            f"the guard's threshold was fitted on the rows in {data}, so it suits them better than other rows",
            markup=False,
        )
    run = own_run(folder, run_folder, required=data is None)
    labels = labels_of(folder)
    own = [] if data is None else read_rows(data, labels)
    training = _rows_of(run, "train", labels)
    with gguf_scorer(adapter) as scored:
        subjects = [_own(data, own, scored)] if data is not None else _held_out(folder, run, scored)
        baselines = _baselines(training, scored)
        evaluations = [_evaluate(rows, subject, scored, baselines, training) for subject, rows in subjects]
    if data is None:
        _store_accuracy(folder, evaluations[0])
        evaluations = _of_the_served_file(adapter, evaluations)
    loss = run.loss if run.loss.is_file() else folder / "loss.jsonl"
    write_report(make_report(folder, evaluations, loss if loss.is_file() and data is None else None), report_folder)
    return report_folder


def card_sources(adapter: AdapterFolder) -> CardSources:
    """What the card of an adapter is rendered from."""
    from train.card import CardBase, CardSources
    from train.run_dir import RunDir

    base = adapter.packaged_base
    named = adapter.guard["base"]
    card_base = (
        CardBase(title=str(named.get("hub") or named.get("folder")))
        if base is None
        else CardBase(title=base.title, hub_id=base.hub_id, licence=base.licence, licence_link=base.licence_link)
    )
    return CardSources(
        guard=adapter.path / "guard.json",
        report=adapter.path / "report.json",
        run=_record_of(adapter.path, RunDir(adapter.path.parent)) or adapter.path / "run.json",
        base=card_base,
        files=[
            ("adapter_model.safetensors", "the LoRA adapter and the classification head, F16"),
            ("guard.json", "labels, prompt, base and calibration"),
            ("fold.safetensors", "hidden states that export folds the head with"),
        ],
        report_link="report.md",
    )


def run_of(adapter: Path, named: Path | None) -> RunDir:
    """The run that made an adapter: the one that is named, else the one it still lies in."""
    from train.run_dir import RunDir

    around = RunDir(adapter.parent)
    return RunDir(named) if named else around if around.record.is_file() else RunDir(Path("runs") / adapter.name)


def own_run(adapter: Path, named: Path | None, *, required: bool = True) -> RunDir:
    """The run that made an adapter, as far as its rows tell: figures on others would be of prompts it was trained on.

    Args:
        adapter: its folder.
        named: the run's folder, if a person says it.
        required: whether rows are to be evaluated that only the run has.

    Raises:
        RunError: if the run that is named has other rows than it has, or if such are required and the one that the
            adapter lies in does.
    """
    from train.errors import RunError
    from train.generate import Side
    from train.run_dir import RunDir

    run = run_of(adapter, named)
    if not required and run.record.is_file() and not any(run.rows(side).is_file() for side in Side):
        err.print(f"the rows of {run.path} are gone: {WITHOUT_ROWS}", markup=False)
    if not _has_other_rows(adapter, run):
        return run
    problem = f"the rows in {run.path / 'data'} are not those that {adapter} was trained on (data_sha256)"
    # Found by the adapter's name only it may be a run of the same recipe at another commit.
    if named is None and (not required or run.path != adapter.parent):
        err.print(f"{problem}: {WITHOUT_ROWS}", markup=False)
        return RunDir(adapter)
    raise RunError(f"{problem}; name its own run with --run, or labelled rows with --data")


def _has_other_rows(adapter: Path, run: RunDir) -> bool:
    from train.generate import Side
    from train.guard_file import read_guard_file

    # A guard that was trained elsewhere doesn't say on what.
    trained_on = read_guard_file(adapter).get("data_sha256")
    present = [side for side in Side if run.rows(side).is_file()]
    if not trained_on or not present:
        return False
    return len(present) < len(Side) or run.data_sha256() != trained_on


def _calibrated_on(adapter: Path, data: Path) -> bool:
    from train.guard_file import read_guard_file
    from train.rows import sha256_of

    fit = read_guard_file(adapter).get("calibration_fit") or {}
    return data.is_file() and sha256_of([data]) == fit.get("rows_sha256")


def _own(data: Path, rows: list[Row], scored: GgufScorer) -> tuple[Subject, list[Row]]:
    from train.evaluate import Subject

    return Subject(name="own", title=data.name, scored_by=_scored_by(scored.path)), rows


def _held_out(adapter: Path, run: RunDir, scored: GgufScorer) -> list[tuple[Subject, list[Row]]]:
    """The hard set of the adapter's topic, if that has one, and the run's test side."""
    from train.errors import RunError
    from train.evaluate import Subject
    from train.hard import read_hard

    by = _scored_by(scored.path)
    subjects = []
    if (hard := _hard_set(adapter, run)) is not None:
        subject = Subject(name="hard", title="Hard set", scored_by=by, show_texts=True)
        subjects.append((subject, read_hard(hard, scored.manifest.labels)))
    if test := _rows_of(run, "test", scored.manifest.labels):
        title = "Test side of the generated rows" if hard is not None else "Test side"
        subjects.append((Subject(name="test", title=title, scored_by=by, show_texts=hard is not None), test))
    if not subjects:
        raise RunError(
            f"{adapter} has no topic with a hard set, and {run.path} has no test side: "
            "name the run's folder with --run, or labelled rows with --data"
        )
    return subjects


def _record_of(adapter: Path, run: RunDir) -> Path | None:
    """What an adapter's run was made of: beside it where it ships, else in the run's folder."""
    return next((path for path in (adapter / "run.json", run.record) if path.is_file()), None)


def _hard_set(adapter: Path, run: RunDir) -> Path | None:
    """The folder of the hard set of the topic that an adapter was trained on."""
    from train.run import DATA

    record = _record_of(adapter, run)
    if record is None:
        return None
    recipe = tomllib.loads(json.loads(record.read_text("utf-8"))["recipe"])
    topic = recipe["data"].get("topic")
    return DATA / topic / "hard" if topic and (DATA / topic / "hard").is_dir() else None


def _scored_by(guard: Path) -> str:
    from guard.engines.fingerprint import file_fingerprint

    return f"{guard.name}, SHA-256 {file_fingerprint(guard).removeprefix('sha256:')[:16]}"


def _of_the_served_file(adapter: str, evaluations: list[Evaluation]) -> list[Evaluation]:
    """The evaluations, naming the file that is served from now on: the measured one with its accuracy in it."""
    by = _scored_by(build(open_adapter(adapter), "Q4_0", None))
    return [replace(evaluation, subject=replace(evaluation.subject, scored_by=by)) for evaluation in evaluations]


def _evaluate(
    rows: list[Row], subject: Subject, scored: GgufScorer, baselines: list[Baseline], training: list[Row]
) -> Evaluation:
    from train.evaluate import evaluate

    return evaluate(
        rows,
        subject=subject,
        labels=scored.manifest.labels,
        scorer=scored.scorer,
        calibration=scored.manifest.calibration,
        baselines=baselines,
        training=training,
    )


def _baselines(training: list[Row], scored: GgufScorer) -> list[Baseline]:
    from guard.labels import DEFAULT_LABELS
    from train.baselines import fit_baselines, topic_keywords
    from train.corpus import read_corpus
    from train.run import DATA

    if not training:
        return []
    corpus = DATA / "startrek"
    keywords = (
        topic_keywords(read_corpus(corpus, DEFAULT_LABELS).names, scored.manifest.topic)
        if scored.manifest.topic == "Star Trek"
        else frozenset()
    )
    return fit_baselines(training, scored.manifest.labels, keywords)


def _rows_of(run: RunDir, side: str, labels: Labels) -> list[Row]:
    from train.generate import Side
    from train.rows import read_rows

    path = run.rows(Side(side))
    return read_rows(path, labels) if path.is_file() else []


def _store_accuracy(folder: Path, evaluation: Evaluation) -> None:
    from train.guard_file import update_guard_file

    update_guard_file(folder, {"accuracy": round(evaluation.overall.accuracy.share, 4)})
