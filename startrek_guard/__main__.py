"""``python -m startrek_guard``."""

from startrek_guard.app import main

main()
