"""What can go wrong in an export.

ExportError
├── CheckpointError   a model or adapter that is not what was expected
├── FoldError         a head that can't be folded so that the labels win
├── QuantiseError     llama.cpp refused to quantise
└── VerificationError an exported guard that answers otherwise than the model it was made of
"""

from __future__ import annotations


class ExportError(Exception):
    """No file was written, or the old one is still in place."""


class CheckpointError(ExportError):
    """A model or adapter that is missing, damaged, or not what was expected."""


class FoldError(ExportError):
    """A head that can't be folded into the language-model head so that the labels win."""


class QuantiseError(ExportError):
    """llama.cpp refused to quantise."""


class VerificationError(ExportError):
    """An exported guard that answers otherwise than the model it was made of, past the stated tolerance."""
