"""Going through a large array in parts."""

from __future__ import annotations

import numpy as np
import pytest

from export.rows import CHUNK_VALUES, row_chunks


@pytest.mark.parametrize(
    ("rows", "values"), [(1, 1), (7, CHUNK_VALUES), (10, CHUNK_VALUES // 3), (5, 2 * CHUNK_VALUES)]
)
def test_each_row_is_in_one_chunk(rows: int, values: int) -> None:
    """The chunks cover the rows in order, each once."""
    seen = [row for part in row_chunks(rows, values) for row in range(part.start, part.stop)]

    assert seen == list(range(rows))


def test_chunks_are_bounded() -> None:
    """No chunk has more than the agreed values, unless one row has."""
    sizes = [(part.stop - part.start) * 1000 for part in row_chunks(100_000, 1000)]

    assert max(sizes) <= CHUNK_VALUES
    assert np.mean(sizes) > CHUNK_VALUES / 2


def test_no_rows_give_no_chunks() -> None:
    """An empty array is gone through in no step."""
    assert list(row_chunks(0, 4)) == []
