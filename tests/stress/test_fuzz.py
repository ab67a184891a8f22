"""What a stranger sends is refused, or is what it says: nothing is run, or written elsewhere."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapterhub_lite.errors import InvalidManifestError, NotFoundError
from adapterhub_lite_registry import codec, parse_manifest
from adapterhub_lite_registry.names import check_paths
from tests.stress import fuzz_configs, fuzz_files, fuzz_remotes
from tests.stress.fuzzing import Target, fuzz
from tests.stress.mutations import TEXTS

LONG = os.environ.get("STRESS") == "long"
INPUTS = int(os.environ.get("STRESS_INPUTS", 100_000 if LONG else 200))
EXAMPLES = 10_000 if LONG else 50
TARGETS = (*fuzz_files.TARGETS, *fuzz_configs.TARGETS, *fuzz_remotes.TARGETS)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_what_strangers_send_is_valid_or_refused(target: Target, tmp_path: Path) -> None:
    found = fuzz(target, INPUTS, tmp_path)
    print(f"{target.name}: {INPUTS:,} inputs, {found}")
    assert found.accepted > 0
    assert found.refused > INPUTS / 3, "what comes is spoilt less than it should be"


@settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True)
@given(st.lists(st.text(min_size=1) | st.sampled_from(TEXTS), min_size=1, max_size=3))
def test_any_paths_stay_in_their_folder_or_are_refused(paths: list[str]) -> None:
    try:
        check_paths(paths)
    except InvalidManifestError:
        return
    assert all(map(fuzz_files.is_inside, paths))


@settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True)
@given(st.dictionaries(st.text(), JSON, max_size=4), st.floats(allow_nan=False))
def test_any_manifest_that_can_be_written_reads_as_it_was(told: object, value: float) -> None:
    try:
        metrics = [{"name": "loss", "value": value}]
        data = fuzz_files.manifest_of("a.json", hyperparameters=told, metrics=metrics)
    except InvalidManifestError:
        return
    read = parse_manifest(data, codec.digest_of(data), "here")
    fuzz_files.check_manifest(data, read)


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        (lambda work: (work.parent.parent / "escaped").touch(), "Escape"),
        (lambda work: (work.parent / "temporary" / "left").touch(), "left behind"),
        (lambda work: os.system("true"), "os.system"),
        (lambda work: bytearray(2**30), "MemoryError"),
        (lambda work: 9 ** (9**9), "ended by signal"),
        (lambda work: os.kill(os.getpid(), signal.SIGKILL), "ended by signal 9"),
        (lambda work: {}["missing"], "KeyError"),
    ],
)
def test_a_misdeed_is_found_and_its_input_kept(
    tmp_path: Path, deed: Callable[[Path], object], told: str
) -> None:

    def attempt(data: bytes, work: Path) -> None:
        if data == b"5":
            deed(work)
        if data > b"2":
            raise NotFoundError("none of these")

    inputs = tuple(b"%d" % number for number in range(9))
    target = Target("misdeed", lambda rng: b"", lambda place: attempt, inputs)
    with pytest.raises(AssertionError, match=told):
        fuzz(target, 9, tmp_path / "fuzz")
    assert (tmp_path / "fuzz" / "misdeed-5").read_bytes() == b"5"
