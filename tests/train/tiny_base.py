"""The prompt's marks of the tiny model that these tests train."""

from __future__ import annotations

from typing import Final

from guard.prompt import PromptTemplate

TEMPLATE: Final = PromptTemplate(prefix="<|im_start|>", turn="<|turn|>", suffix="<|im_end|>")
MARKS: Final = (TEMPLATE.prefix, TEMPLATE.turn, TEMPLATE.suffix)
