"""The ``data:`` section of a recipe: which rows, which columns, how many."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field, model_validator

from adapterhub_lite.recipes.base import RecipeModel

REPLAY: Final = "replay"
"""The source of rows that are trained on again, so that they are not forgotten."""

File = Annotated[str, Field(min_length=1)]
Files = Annotated[list[File], Field(min_length=1)]
NamedFiles = Annotated[dict[File, File], Field(min_length=1)]


class DataSection(RecipeModel):
    """Which rows to train and test on."""

    train: File | Files | NamedFiles
    """Training rows: a CSV, TSV, JSONL, JSON or Parquet file, a folder of text files per label, or
    a saved `datasets` folder; or several of them, as a list or by name, to train on their mix."""

    test: File | NamedFiles | None = None
    """Test rows, in the same form; their labels must all occur in the training rows. By the names
    of `train`: a test set for each."""

    validation: File | None = None
    """Rows to choose and to stop by, in the same form; they are never trained on."""

    text: str | None = None
    """The column with the text; found by its name when not given."""

    text2: str | None = None
    """The column with the second text of sentence pairs."""

    label: str | list[str] | None = None
    """The column with the label, or a list of 0/1 columns, one a label (multi-label)."""

    columns: dict[str, str] = Field(default_factory=dict)
    """Columns by role, where their names do not tell: `{words: tokens, tags: ner_tags}`."""

    form: str | None = None
    """How rows are written, where the columns do not tell: `messages`, `sharegpt`, `alpaca`, …"""

    extras: list[str] = Field(default_factory=list)
    """Further columns of numbers to keep beside the training rows: a curriculum's score."""

    scale: tuple[float, float] | None = None
    """The lowest and the highest similarity in the files; they become 0 and 1."""

    multi_label: bool = False
    """Rows may carry several labels, or none."""

    label_separator: str = Field(default=",", min_length=1)
    """What stands between labels when a multi-label cell is a string."""

    shots: int | None = Field(default=None, ge=1)
    """Sample this many rows of each label; all rows when not given."""

    holdout: float | None = Field(default=None, gt=0, lt=1)
    """Without a test file: the share of the training rows that is kept out for testing."""

    validation_split: float | None = Field(default=None, gt=0, lt=1)
    """Without a validation file: the share of the training rows, after the holdout, that is kept
    out for validation."""

    replay: File | None = None
    """Rows of an earlier task, to train on again so that it is not forgotten."""

    replay_share: float = Field(default=0.1, gt=0, lt=1)
    """The share of all training rows that `replay` makes up, as far as it has as many."""

    format: str | None = None
    """The reader's name, where the ending of the file does not tell."""

    encoding: str = "utf-8"
    """The text encoding of the files."""

    near_duplicate: float = Field(default=0.9, gt=0, le=1)
    """Texts whose word sets overlap by at least this (Jaccard) count as near-duplicates."""

    @property
    def training_files(self) -> Mapping[str, str]:
        """The training files by name; a file without a given name has its own, less the ending."""
        if isinstance(self.train, dict):
            return self.train
        files = [self.train] if isinstance(self.train, str) else self.train
        return {Path(file).stem or file: file for file in files}

    @property
    def test_files(self) -> Mapping[str, str]:
        """The test files by the names of the training files; one without a name is ``""``."""
        return {"": self.test} if isinstance(self.test, str) else self.test or {}

    @model_validator(mode="after")
    def _one_source_of_held_rows(self) -> "DataSection":
        if self.test is not None and self.holdout is not None:
            raise ValueError("give either 'test' or 'holdout', not both")
        if self.validation is not None and self.validation_split is not None:
            raise ValueError("give either 'validation' or 'validation_split', not both")
        return self

    @model_validator(mode="after")
    def _names_are_clear(self) -> "DataSection":
        names = self.training_files
        if isinstance(self.train, list) and len(names) < len(self.train):
            raise ValueError("two training files have one name: write 'train' as name: file")
        if self.replay is not None and REPLAY in names:
            raise ValueError(f"no training file can be called {REPLAY!r} beside 'replay'")
        known = [*names, *([REPLAY] if self.replay is not None else [])]
        for name in self.test if isinstance(self.test, dict) else ():
            if name not in known:
                listed = ", ".join(known)
                raise ValueError(f"test rows {name!r} have no training rows: those are {listed}")
        return self

    @model_validator(mode="after")
    def _choices_fit(self) -> "DataSection":
        if self.shots is not None and (len(self.training_files) > 1 or self.replay is not None):
            raise ValueError("'shots' are drawn from one training file, without 'replay'")
        if self.scale is not None and self.scale[0] >= self.scale[1]:
            raise ValueError("'scale' is [lowest, highest]")
        return self
