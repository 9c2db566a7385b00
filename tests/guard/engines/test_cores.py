"""How many cores there are to use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from guard.engines.cores import usable_cores

CPUS = sorted(os.sched_getaffinity(0))


def topology(folder: Path, threads_a_core: int) -> Path:
    """A fake ``/sys/devices/system/cpu``."""
    for place, cpu in enumerate(CPUS):
        entry = folder / f"cpu{cpu}" / "topology"
        entry.mkdir(parents=True)
        (entry / "physical_package_id").write_text("0\n")
        (entry / "core_id").write_text(f"{place // threads_a_core}\n")
    return folder


def test_hardware_threads_of_one_core_count_once(tmp_path: Path) -> None:
    """They share what matrix products need."""
    assert usable_cores(topology(tmp_path, len(CPUS)), tmp_path / "none") == 1


def test_each_core_counts(tmp_path: Path) -> None:
    """Where each has one thread."""
    assert usable_cores(topology(tmp_path, 1), tmp_path / "none") == len(CPUS)


def test_a_machine_that_does_not_say_counts_its_threads(tmp_path: Path) -> None:
    """Other systems have no such folder."""
    assert usable_cores(tmp_path, tmp_path / "none") == len(CPUS)


@pytest.mark.parametrize(
    ("quota", "cores"), [("50000 100000", 1), ("max 100000", len(CPUS)), ("", len(CPUS)), ("1 0", len(CPUS))]
)
def test_a_containers_quota_counts(tmp_path: Path, quota: str, cores: int) -> None:
    """Threads beyond it would only be throttled."""
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    assert usable_cores(tmp_path, file) == cores
