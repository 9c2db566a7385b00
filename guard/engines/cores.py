"""How many cores this process may really use: llama.cpp slows down when it gets more threads than that."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_TOPOLOGY: Final = Path("/sys/devices/system/cpu")
_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def usable_cores(topology: Path = _TOPOLOGY, quota: Path = _QUOTA) -> int:
    """Physical cores this process may run on, at least 1.

    Two hardware threads of one core share its arithmetic units, which matrix products saturate, so each core counts
    once. A container's CPU quota counts too: threads beyond it would only be throttled.

    Args:
        topology: Linux's ``/sys/devices/system/cpu``.
        quota: the control group's ``cpu.max``, "<microseconds> <period>" or "max <period>".
    """
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    cores = {_core(topology, cpu) for cpu in allowed}
    return max(1, min(len(cores), _quota_cores(quota)))


def _core(topology: Path, cpu: int) -> tuple[str, str]:
    """Package and core of a hardware thread; one of its own where the system does not say."""
    folder = topology / f"cpu{cpu}" / "topology"
    try:
        return (folder / "physical_package_id").read_text().strip(), (folder / "core_id").read_text().strip()
    except OSError:
        return ("cpu", str(cpu))


def _quota_cores(quota: Path) -> int:
    try:
        microseconds, period = quota.read_text().split()
        return max(1, math.ceil(int(microseconds) / int(period)))
    except (OSError, ValueError, ZeroDivisionError):  # no control group, or "max": no quota
        return os.cpu_count() or 1
