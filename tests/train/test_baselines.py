"""The filters that a guard has to beat do what their names say."""

from __future__ import annotations

import numpy as np
import pytest

from guard.labels import DEFAULT_LABELS
from train.baselines import Keywords, fit_baselines, naive_bayes, topic_keywords
from train.corpus import Corpus
from train.errors import RunError
from train.generate import Side
from train.rows import Row, prompt_row


def test_a_keyword_is_found_whatever_its_case() -> None:
    """As whole words, several in a row, through the disguises that normalising undoes."""
    texts = ["the WARRE-HIVE is good", "warre or hive?", "warrehive", "my W a r r e hive", "propolis!"]
    rows = [prompt_row(text, "related") for text in texts]
    assert Keywords(["Warre hive", "propolis"]).scores(rows).tolist() == [1, 0, 0, 1, 1]


def test_a_keyword_of_a_letter_is_none() -> None:
    """A list with Q in it would call half of all prompts on topic."""
    assert Keywords(["Q"]).scores([prompt_row("q", "related")]).tolist() == [0]


def test_keywords_of_a_topic_are_its_names(corpus: Corpus) -> None:
    """Less those that mean something else too."""
    keywords = topic_keywords(corpus.names, "Bees")
    assert {"Brother Adam", "Warre hive", "Bees"} <= keywords
    assert not {"Queen", "Drone", "Honey Badger"} & keywords


def test_naive_bayes_is_multinomial_with_laplace_smoothing() -> None:
    """Worked out by hand: p(on) p(bee|on) / (p(on) p(bee|on) + p(off) p(bee|off)), vocabulary of three words."""
    rows = [prompt_row("bee bee wax", "related"), prompt_row("tax", "not_related")]
    on, off = (2 + 1) / (3 + 3), (0 + 1) / (1 + 3)
    (score,) = naive_bayes(rows, DEFAULT_LABELS).scores([prompt_row("Bee", "related")])
    assert score == pytest.approx(on / (on + off))


def test_all_baselines_score_unseen_rows(sides: dict[Side, list[Row]]) -> None:
    """One probability a row, and better than a coin on rows like those they learnt from."""
    train, test = sides[Side.TRAIN], sides[Side.TEST]
    baselines = fit_baselines(train, DEFAULT_LABELS, {"honey"})
    assert [baseline.name for baseline in baselines] == ["keyword list", "naive Bayes", "TF-IDF"]
    for baseline in baselines:
        assert baseline.scores(test).shape == (len(test),)
    right = (baselines[2].scores(train) >= 0.5) == np.array([row.label == "related" for row in train])
    assert right.mean() > 0.8


def test_without_keywords_there_is_no_keyword_list(sides: dict[Side, list[Row]]) -> None:
    """A user's own rows come without one."""
    assert len(fit_baselines(sides[Side.TRAIN], DEFAULT_LABELS)) == 2


def test_one_label_is_not_enough() -> None:
    """There is nothing to tell apart."""
    with pytest.raises(RunError, match="both labels"):
        fit_baselines([prompt_row("a", "related")], DEFAULT_LABELS)
