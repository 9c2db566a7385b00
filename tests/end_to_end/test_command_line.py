"""The command line as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.conftest import ROOT, run_cli

pytestmark = pytest.mark.slow


def test_classify_is_right_about_texts() -> None:
    """The two examples of the README get their labels, in order."""
    done = run_cli("classify", "Who was the captain of the Defiant?", "How do I boil an egg?")

    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["label"] for line in done.stdout.splitlines()] == ["related", "not_related"]


def test_classify_reports_a_bad_row_and_goes_on(tmp_path: Path) -> None:
    """A bad row is named by its line, spoils the exit status, and stops nothing."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        '{"input": "Who is Spock?", "id": 7}\nnonsense\n{"messages": [{"role": "user", "content": "hi"}]}\n'
    )

    done = run_cli("classify", "--input", str(rows))

    assert done.returncode == 1
    assert "line 2:" in done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["id"], first["decision"], second["decision"]) == (7, "allow", "block")


def test_classify_reads_standard_input() -> None:
    """A dash reads rows from a pipe, whose first may have a byte order mark before it."""
    done = run_cli("classify", "--input", "-", stdin='\ufeff{"input": "captain janeway"}\n')

    assert json.loads(done.stdout)["label"] == "related"


def test_info_tells_what_the_guard_is() -> None:
    """Path, hash, labels and calibration are printed as JSON."""
    info = json.loads(run_cli("model", "info").stdout)

    assert Path(info["path"]).is_file()
    assert len(info["sha256"]) == 64
    assert info["labels"] == {"off_topic": "not_related", "on_topic": "related"}


@pytest.mark.parametrize("content", [None, b"", b"GGUF", b"not a model at all" * 100])
def test_a_missing_or_damaged_guard_stops_the_start_with_a_sentence(tmp_path: Path, content: bytes | None) -> None:
    """No traceback: one sentence that names the file."""
    path = tmp_path / "guard.gguf"
    if content is not None:
        path.write_bytes(content)

    done = run_cli("serve", "--guard", str(path))

    assert done.returncode == 1
    assert "guard.gguf" in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr


def test_serving_parts_import_without_the_training_libraries() -> None:
    """guard, gateway and the command line come up in a fresh interpreter in which torch and its kin do not exist."""
    hidden = ("torch", "transformers", "peft", "accelerate", "sklearn", "matplotlib")
    parts = "guard.batch, guard.engines.llama_cpp, gateway.server, gateway.embedded.server, startrek_guard.app"
    program = f"import sys\nfor name in {hidden}: sys.modules[name] = None\nimport {parts}\n"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("missing", "extra", "command"), [("gguf", "embedded", "model"), ("torch", "train", "train")])
def test_a_missing_extra_is_named(missing: str, extra: str, command: str) -> None:
    """Who has the plain install is told what to install for the rest."""
    arguments = {"model": ["model", "build"], "train": ["train", "run"]}[command]
    program = f"import sys; sys.modules[{missing!r}] = None; sys.argv[1:] = {arguments}\nimport startrek_guard.__main__"

    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert f"startrek-guard[{extra}]" in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr
