"""The head answers bit for bit as scikit-learn, and survives the disk."""

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from threadpoolctl import threadpool_limits

from adapterhub_lite.errors import IntegrityError
from adapterhub_lite_setfit.head import (
    LogisticHead,
    fit_head,
    load_head,
    score_rows,
)


def rows(classes: int, per_class: int = 6, width: int = 24) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(classes)
    centres = rng.normal(size=(classes, width))
    labels = [f"label {i:02}" for i in range(classes) for _ in range(per_class)]
    noise = rng.normal(size=(len(labels), width))
    return np.repeat(centres, per_class, axis=0) + 0.5 * noise, labels


def reloaded(head: LogisticHead, folder: Path) -> LogisticHead:
    head.save(folder)
    return load_head(folder)


@pytest.mark.parametrize("classes", [2, 3, 5, 77])
def test_probabilities_are_scikit_learns_to_the_bit(classes: int, tmp_path: Path) -> None:
    embeddings, labels = rows(classes)
    with threadpool_limits(limits=1, user_api="blas"):  # as ours: sums of several threads differ
        theirs = LogisticRegression(C=10.0, max_iter=2000).fit(embeddings, labels)
    ours = reloaded(fit_head(embeddings, [(x,) for x in labels], False, 10.0), tmp_path)
    unseen = np.random.default_rng(1).normal(size=(50, embeddings.shape[1]))
    assert np.array_equal(ours.predict_proba(unseen), theirs.predict_proba(unseen))
    assert ours.classes == tuple(theirs.classes_)


def test_several_labels_are_scikit_learns_one_versus_rest(tmp_path: Path) -> None:
    embeddings, names = rows(4)
    other = [names[(i * 7 + 3) % len(names)] for i in range(len(names))]
    labels = [tuple(sorted({name, more})) for name, more in zip(names, other, strict=True)]
    classes = sorted(set(names))
    hot = np.array([[int(name in row) for name in classes] for row in labels])
    with threadpool_limits(limits=1, user_api="blas"):
        theirs = OneVsRestClassifier(LogisticRegression(C=3.0, max_iter=2000)).fit(embeddings, hot)
    ours = reloaded(fit_head(embeddings, labels, True, 3.0), tmp_path)
    assert np.array_equal(ours.predict_proba(embeddings), theirs.predict_proba(embeddings))


def test_a_label_on_every_row_is_certain(tmp_path: Path) -> None:
    embeddings, names = rows(2)
    labels = [("always", name) for name in names]
    head = reloaded(fit_head(embeddings, labels, True, 1.0), tmp_path)
    probabilities = head.predict_proba(embeddings)
    assert (probabilities[:, head.classes.index("always")] == 1.0).all()
    assert np.isfinite(probabilities).all()


def test_only_safetensors_and_json_are_written(tmp_path: Path) -> None:
    embeddings, labels = rows(3)
    fit_head(embeddings, [(x,) for x in labels], False, 1.0).save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["head.json", "head.safetensors"]


@pytest.mark.parametrize(
    ("key", "value"),
    [("classes", ["only one"]), ("n_features", 3), ("link", None), ("classes", 7)],
)
def test_a_head_whose_parts_disagree_is_refused(key: str, value: object, tmp_path: Path) -> None:
    embeddings, labels = rows(3)
    fit_head(embeddings, [(x,) for x in labels], False, 1.0).save(tmp_path)
    config = json.loads((tmp_path / "head.json").read_text())
    config[key] = value
    (tmp_path / "head.json").write_text(json.dumps(config))
    with pytest.raises(IntegrityError):
        load_head(tmp_path)


def test_no_rows_give_no_probabilities() -> None:
    embeddings, labels = rows(3)
    head = fit_head(embeddings, [(x,) for x in labels], False, 1.0)
    assert head.predict_proba(np.empty((0, embeddings.shape[1]))).shape == (0, 3)


def test_rows_are_scored_as_scikit_learn_scores_them() -> None:
    from sklearn.metrics import accuracy_score, log_loss

    embeddings, labels = rows(5)
    head = fit_head(embeddings, [(x,) for x in labels], False, 0.01)
    probabilities = head.predict_proba(embeddings)
    predicted = np.array(head.classes)[probabilities.argmax(1)]
    right, losses = score_rows(head, embeddings, [(x,) for x in labels], 0.5)
    assert right.mean() == pytest.approx(accuracy_score(labels, predicted))
    assert losses.mean() == pytest.approx(log_loss(labels, probabilities, labels=head.classes))


def test_rows_of_several_labels_are_scored_by_their_f1() -> None:
    from sklearn.metrics import f1_score

    embeddings, names = rows(3)
    labels = [(name, "odd") if i % 2 else (name,) for i, name in enumerate(names)]
    head = fit_head(embeddings, labels, True, 0.05)
    truth = np.array([[name in row for name in head.classes] for row in labels])
    decided = head.predict_proba(embeddings) >= 0.4
    f1, losses = score_rows(head, embeddings, labels, 0.4)
    expected = f1_score(truth, decided, average="samples", zero_division=1.0)
    assert f1.mean() == pytest.approx(expected)
    assert (losses > 0).all()
