"""The ``data:`` section of a recipe: which rows, which columns, how many."""

from pydantic import Field, model_validator

from adapterhub_lite.recipes.base import RecipeModel


class DataSection(RecipeModel):
    """Which rows to train and test on."""

    train: str = Field(min_length=1)
    """Training rows: a CSV, TSV, JSONL, JSON or Parquet file, a folder of text files per label, or
    a saved `datasets` folder."""

    test: str | None = None
    """Test rows, in the same form; their labels must all occur in the training rows."""

    text: str | None = None
    """The column with the text; found by its name when not given."""

    label: str | list[str] | None = None
    """The column with the label, or a list of 0/1 columns, one a label (multi-label)."""

    multi_label: bool = False
    """Rows may carry several labels, or none."""

    label_separator: str = Field(default=",", min_length=1)
    """What stands between labels when a multi-label cell is a string."""

    shots: int | None = Field(default=None, ge=1)
    """Sample this many rows of each label; all rows when not given."""

    holdout: float | None = Field(default=None, gt=0, lt=1)
    """Without a test file: the share of the training rows that is kept out for testing."""

    format: str | None = None
    """The reader's name, where the ending of the file does not tell."""

    encoding: str = "utf-8"
    """The text encoding of the files."""

    near_duplicate: float = Field(default=0.9, gt=0, le=1)
    """Texts whose word sets overlap by at least this (Jaccard) count as near-duplicates."""

    @model_validator(mode="after")
    def _one_source_of_test_rows(self) -> "DataSection":
        if self.test is not None and self.holdout is not None:
            raise ValueError("give either 'test' or 'holdout', not both")
        return self
