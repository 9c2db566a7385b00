"""An export that is killed, or for which the disk is too small, leaves the old file or the new one."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from export.errors import ExportError
from export.gguf_checkpoint import GgufCheckpoint
from export.gguf_file import write_f16
from export.quantise import quantise
from tests.export.samples import MemoryCheckpoint, gemma_checkpoint

ROOT = Path(__file__).parents[2]

EXPORT_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from export.gguf_file import write_f16
from export.quantise import quantise
from tests.export.test_interruption import generation

target = Path(sys.argv[1])
half = target.with_suffix(".f16")
for number in count(1):
    checkpoint = generation(number)
    write_f16(checkpoint, half if sys.argv[2] == "quantise" else target, {"generation": number})
    if sys.argv[2] == "quantise":
        quantise(half, target, "Q8_0")
    print(number, flush=True)
"""

EXPORT_WITHIN = """
import resource
import sys
from pathlib import Path
from export.errors import ExportError
from export.gguf_file import write_f16
from export.quantise import quantise
from tests.export.test_interruption import generation

source, target = map(Path, sys.argv[1:3])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    if sys.argv[3] == "quantise":
        quantise(source, target, "Q8_0")
    else:
        write_f16(generation(2), target, {"generation": 2})
except ExportError as error:
    print(type(error).__name__, error)
"""


def generation(number: int) -> MemoryCheckpoint:
    """A model of some hundred kilobytes, other in every tensor than that of another number."""
    return gemma_checkpoint([], seed=number, hidden_size=128, intermediate_size=512, vocab_size=1000)


def check_whole(path: Path) -> int:
    """The file's generation, every tensor of which is that generation's."""
    read = GgufCheckpoint(path)
    number = int(read.metadata("generation")["generation"])
    wanted = generation(number)
    assert read.shapes() == wanted.shapes()
    for name in wanted.shapes():
        np.testing.assert_allclose(read.load(name), wanted.load(name), atol=0.01)
    return number


@pytest.mark.slow
@pytest.mark.parametrize("step", ["write", "quantise"])
def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path, step: str) -> None:
    """Killed again and again in mid-work, the file under the target's name is always one generation, whole."""
    target = tmp_path / "guard.gguf"
    write_f16(generation(0), tmp_path / "0.f16", {"generation": 0})
    quantise(tmp_path / "0.f16", target, "Q8_0")
    moments = random.Random(5)
    finished = []

    for _ in range(5):
        command = [sys.executable, "-c", EXPORT_FOR_EVER, str(target), step]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            finished.append(process.stdout.readline())
            time.sleep(moments.uniform(0.0, 0.3))
            process.kill()
        check_whole(target)

    assert finished == ["1\n"] * 5
    # Each attempt has cleared away what the one before it left.
    assert len(list(tmp_path.glob(".*.part"))) <= 2


@pytest.mark.parametrize("step", ["write", "quantise"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, step: str) -> None:
    """Where no more than 200 kB can be written, the error says so, and nothing is left but the old file."""
    target = tmp_path / "guard.gguf"
    write_f16(generation(1), tmp_path / "1.f16", {"generation": 1})
    write_f16(generation(0), target, {"generation": 0})
    assert target.stat().st_size > 200_000

    command = [sys.executable, "-c", EXPORT_WITHIN, str(tmp_path / "1.f16"), str(target), step]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert result.stdout.startswith("QuantiseError" if step == "quantise" else "ExportError can't write"), result
    assert check_whole(target) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.f16", "guard.gguf"]


def test_a_failing_checkpoint_leaves_the_old_file(tmp_path: Path) -> None:
    """An error in the middle of the tensors is the caller's to see, and no half of a file."""
    target = tmp_path / "guard.gguf"
    write_f16(generation(0), target, {"generation": 0})

    def stop(done: int, _total: int) -> None:
        if done == 3:
            raise ExportError("stopped")

    with pytest.raises(ExportError, match="stopped"):
        write_f16(generation(1), target, {"generation": 1}, stop)

    assert check_whole(target) == 0
    assert list(tmp_path.iterdir()) == [target]
