"""What mergekit's YAML says of the output: in what floats, and with which tokenizer."""

from typing import Any, Final

from adapterhub_lite.errors import RecipeError, nearest_name
from adapterhub_lite.recipes.mergekit_schema import MergekitRecipe, OtherToken, Token, Tokenizer

DTYPES: Final = ("float32", "bfloat16", "float16")


def read_tokenizer(document: MergekitRecipe, base: str | None) -> dict[str, Any] | None:
    """Return the recipe's tokenizer section, or None; ``base`` is how it names the base.

    mergekit's own name of the base is ``base``.
    """
    if document.tokenizer_source is not None:
        return {"source": _vocabulary(document.tokenizer_source.ref, base)}
    if document.tokenizer is None:
        return None
    return _section(document.tokenizer, base)


def _section(tokenizer: Tokenizer, base: str | None) -> dict[str, Any]:
    result: dict[str, Any] = {"source": _vocabulary(tokenizer.source.ref, base)}
    if tokenizer.tokens:
        result["tokens"] = {text: _token(token) for text, token in tokenizer.tokens.items()}
    if tokenizer.pad_to_multiple_of is not None:
        result["pad_to_multiple_of"] = tokenizer.pad_to_multiple_of
    return result


def _vocabulary(source: str, base: str | None) -> str:
    return base if source == "base" and base is not None else source


def _token(token: Token) -> dict[str, Any]:
    source = token.source
    result: dict[str, Any] = {}
    if not isinstance(source, OtherToken):
        result["source"] = source.ref
    elif source.model is None:
        result["source"] = "zero"
    else:
        which = (
            {"token": source.token} if source.token_id is None else {"token_id": source.token_id}
        )
        result["source"] = {"kind": "model_token", "model": source.model.ref, **which}
    return {**result, "force": True} if token.force else result


def read_dtype(document: MergekitRecipe) -> str | None:
    """Return in what the result is written; sums are in float32 whatever mergekit's dtype is."""
    computed = _dtype("dtype", document.dtype)
    written = _dtype("out_dtype", document.out_dtype)
    found = written or computed
    if found == "float64":
        field = "out_dtype" if written else "dtype"
        raise RecipeError(
            f"{field!r}: results are written in 32 bits at most", field=field, hint="use float32"
        )
    return found


def _dtype(field: str, given: str | None) -> str | None:
    if given is None:
        return None
    name = given.removeprefix("torch.")
    if name not in (*DTYPES, "float64"):
        near = nearest_name(name, DTYPES)
        hint = f"did you mean {near!r}?" if near else f"known: {', '.join(DTYPES)}"
        raise RecipeError(f"{field!r}: unknown dtype {given!r}", field=field, hint=hint)
    return name
