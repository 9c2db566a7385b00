"""The command line as a whole."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

_CRASH: Final = """
import os, signal, sys
from startrek_guard.app import main
sys.argv = ["startrek-guard", "--version"]
try:
    main()
finally:
    os.kill(os.getpid(), signal.SIGILL)
"""


def test_a_crash_of_a_library_says_where_it_was() -> None:
    """A process that only says ``Illegal instruction`` can't be reported."""
    done = subprocess.run([sys.executable, "-c", _CRASH], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGILL
    assert "Fatal Python error: Illegal instruction" in done.stderr
