"""What a caller may ask of a model that writes text, in place of the version's own settings."""

from dataclasses import dataclass

from adapterhub_lite.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationOptions:
    """How one text is generated; None is the version's own setting.

    ``temperature`` 0 takes the likeliest token. ``top_k`` 0 draws from all tokens. The text ends
    before the first of ``stop``. Raises DataError for a value that has no meaning.
    """

    max_new_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        wrong = {
            "max_new_tokens is at least 1": self.max_new_tokens is not None
            and self.max_new_tokens < 1,
            "temperature is from 0 to 100": self.temperature is not None
            and not 0 <= self.temperature <= 100,
            "top_p is above 0 and at most 1": self.top_p is not None and not 0 < self.top_p <= 1,
            "top_k is at least 0": self.top_k is not None and self.top_k < 0,
            "a stop is no empty text": not all(self.stop),
            "seed is from 0 to 2⁶³-1": self.seed is not None and not 0 <= self.seed < 2**63,
        }
        for reason, is_wrong in wrong.items():
            if is_wrong:
                raise DataError(reason)
