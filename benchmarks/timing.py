"""Medians, percentiles, processor time and memory, the same way in every benchmark."""

from __future__ import annotations

import resource
import statistics
from collections.abc import Sequence
from pathlib import Path


def percentile(values: Sequence[float], percent: int) -> float:
    """By linear interpolation; of one value, itself."""
    return values[0] if len(values) == 1 else statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def milliseconds(seconds: float) -> str:
    """For a cell of a table."""
    return f"{seconds * 1e3:.2f}"


def cpu_seconds(pid: int | None = None) -> float:
    """Processor time of this process (all its threads), or of another, in seconds (``proc(5)``)."""
    if pid is None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def resident_mib(pid: int) -> float:
    """Resident memory of a process, in MiB."""
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def open_sockets(pid: int) -> int:
    """How many sockets a process has open."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return sum(_target(link).startswith("socket:") for link in links)


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""
