"""``startrek-guard export``: from a trained guard to files that others serve, and the proof that they answer alike."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from startrek_guard.consoles import err, out
from startrek_guard.guards import DEFAULT_GUARD, build, cache_folder, copy_whole, open_adapter

if TYPE_CHECKING:
    from export.build import AdapterFolder

app = typer.Typer(no_args_is_help=True, help="Turn a trained guard into a GGUF and a Modelfile, and verify them.")

GuardArgument = Annotated[str, typer.Argument(help="The name of a shipped adapter, or an adapter folder.")]


@app.command()
def gguf(
    guard: GuardArgument = DEFAULT_GUARD,
    output: Annotated[
        Path | None,
        typer.Option(help="The file to write (default: ollama/startrek-guard.gguf; for another guard, NAME.gguf)."),
    ] = None,
    quantisation: Annotated[str, typer.Option(help="F16, Q8_0, Q6_K, Q5_K_M, Q4_K_M or Q4_0.")] = "Q4_0",
    base: Annotated[
        Path | None, typer.Option(help="The base's GGUF or folder, in place of the one that the adapter names.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print sizes, memory and time.")] = False,
) -> None:
    """Write the guard's GGUF, ready for `ollama create`."""
    adapter = open_adapter(guard)
    if dry_run:
        from export.build import fold_adapter, open_base
        from export.plan import plan_checkpoint

        folded, _ = fold_adapter(adapter, open_base(adapter, cache_folder(), base))
        out.print(str(plan_checkpoint(folded)))
        return
    target = output or _ollama_folder(guard) / f"{_ollama_name(guard, adapter)}.gguf"
    copy_whole(build(adapter, quantisation, base), target)
    out.print(str(target))


@app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Argument(help="A PEFT SEQ_CLS adapter or a ...ForSequenceClassification model: its folder or hub id."),
    ],
    topic: Annotated[str, typer.Option(help="The topic in words, as refusals name it, such as 'Star Trek'.")],
    data: Annotated[Path, typer.Option(help="Labelled rows on which hidden states are measured: JSON Lines.")],
    output: Annotated[Path, typer.Option(help="The folder to create for the guard.")],
    base: Annotated[
        str | None, typer.Option(help="An adapter's base (folder or hub id), in place of the one that it names.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Names of class 0 (off topic) and class 1 (on topic), separated by a comma (default: as in id2label)."
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, help="How many of the rows to compute, spread evenly over the file.")
    ] = 512,
    half: Annotated[bool, typer.Option("--bfloat16", help="Compute in bfloat16, which halves the memory.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check the files and print sizes, memory and time; compute nothing.")
    ] = False,
) -> None:
    """Make a guard's folder from a classifier that was trained elsewhere; every command then accepts its path."""
    from startrek_guard.importing import Wanted, import_classifier, read_classifier

    wanted = Wanted(source, output, topic, data, base=base, labels=labels, rows=rows, half=half)
    if dry_run:
        from export.hf_config import read_config
        from export.plan import plan_config

        found, names, chosen = read_classifier(wanted)
        kind = f"an adapter on {found.base_folder}" if found.adapter else "a whole classifier"
        out.print(f"{kind}: {names.off_topic} or {names.on_topic}; {len(chosen)} rows to compute")
        out.print(str(plan_config(read_config(found.base_folder))))
        return
    imported = import_classifier(wanted)
    out.print(
        f"{imported.folder}: in the guard's prompt, {imported.right:.1%} of {imported.prompts} prompts get their label "
        f"(uncalibrated); every other token stays at least {imported.margin_nats:.1f} nats below the labels."
    )
    err.print(
        "The classifier was trained on texts in its own format, not on the guard's prompt, so its accuracy is no "
        f"longer what it was. Measure it: startrek-guard train calibrate {output} --data VALIDATION.jsonl, "
        f"then train evaluate {output} --data TEST.jsonl.",
        markup=False,
        soft_wrap=True,
    )


@app.command()
def plan(
    config: Annotated[Path, typer.Argument(help="A Hugging Face config.json, or its folder; no weights are needed.")],
) -> None:
    """Print the sizes, memory and time that exporting a model of this shape would take."""
    from export.hf_config import read_config
    from export.plan import plan_config

    out.print(str(plan_config(read_config(config))))


@app.command()
def modelfile(
    guard: GuardArgument = DEFAULT_GUARD,
    output: Annotated[
        Path | None, typer.Option(help="The file to write (default: ollama/Modelfile; for another guard, Modelfile).")
    ] = None,
    gguf_path: Annotated[
        str | None, typer.Option("--gguf", help="The path in its FROM line (default: ./NAME.gguf).")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if the file is out of date.")] = False,
) -> None:
    """Render the Ollama Modelfile from the same source as the GGUF."""
    from export.atomic import replacing
    from export.modelfile import render_modelfile

    adapter = open_adapter(guard)
    target, name = output or _ollama_folder(guard) / "Modelfile", _ollama_name(guard, adapter)
    licence = _licence_text(adapter)
    text = render_modelfile(adapter.manifest(), gguf_path or f"./{name}.gguf", licence, name=name, path=str(target))
    if not check:
        with replacing(target) as temporary:
            temporary.write_text(text, "utf-8")
        out.print(str(target))
    elif not target.is_file() or target.read_text("utf-8") != text:
        err.print(f"{target} is out of date: run startrek-guard export modelfile")
        raise typer.Exit(1)


@app.command()
def verify(
    guard: GuardArgument = DEFAULT_GUARD,
    run_folder: Annotated[
        Path | None,
        typer.Option(
            "--run", help="Folder of the run whose held-out rows are used (default: the guard's own, or runs/NAME)."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Labelled rows to use in place of a run's: JSON Lines.")] = None,
    quantisation: Annotated[
        list[str] | None,
        typer.Option(
            help="A quantisation to verify; repeatable (default: all; for a guard trained with rounding, F16 and the "
            "one it is rounded to)."
        ),
    ] = None,
    engine: Annotated[
        list[str] | None,
        typer.Option(help="An engine to verify: llama.cpp or llama-server; repeatable (default: llama.cpp)."),
    ] = None,
) -> None:
    """Compare the exported guard with the classifier it was exported from; fail if they differ beyond the tolerance."""
    from startrek_guard.verification import (
        ENGINES,
        default_quantisations,
        held_out_rows,
        verify_guard,
        write_verification,
    )

    engines = engine or ["llama.cpp"]
    if unknown := [name for name in engines if name not in ENGINES]:
        raise typer.BadParameter(f"--engine {unknown[0]!r}, wanted {' or '.join(ENGINES)}")
    adapter = open_adapter(guard)
    rows = held_out_rows(adapter, run_folder, data)
    report = verify_guard(adapter, rows, quantisation or default_quantisations(adapter), engines)
    out.print(report.markdown())
    out.print(str(write_verification(report, guard)))
    report.check()


@app.command()
def manifest(guard: GuardArgument = DEFAULT_GUARD) -> None:
    """Print a guard's manifest as JSON: labels, prompt, calibration."""
    out.print(json.dumps(open_adapter(guard).manifest().to_metadata(), indent=2))


def _ollama_name(guard: str, adapter: AdapterFolder) -> str:
    """What Ollama calls a guard."""
    return "startrek-guard" if guard == DEFAULT_GUARD else adapter.manifest().name


def _ollama_folder(guard: str) -> Path:
    """Where what Ollama wants of a guard lies; another guard must not replace the default one's."""
    return Path("ollama") if guard == DEFAULT_GUARD else Path()


def _licence_text(adapter: AdapterFolder) -> str:
    base = adapter.packaged_base
    if base is None:
        return "The base model's licence applies to the weights. startrek-guard itself is MIT."
    return f"{base.title}: {base.licence} {base.licence_link}".strip() + ". startrek-guard itself is MIT."
