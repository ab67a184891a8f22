"""A base is held once, whoever is on it, and is gone with the last of them."""

import gc
import threading
import weakref
from typing import Any

from adapterhub_lite import api
from adapterhub_lite.inference.fleet import Asked, Fleet
from adapterhub_lite.plugins import get_catalogue
from tests.unit.inference.conftest import Bases, Publish

NAME = "bert.encoder.layer.0.output.dense.weight"


def fleet(**options: Any) -> Fleet:
    return Fleet(api.open_registry(), get_catalogue(), **options)


def weights(found: Fleet, ref: str) -> Any:
    """Return a version's model; that of a base layer inside is the same tensor for all."""
    scorer: Any = found.predictor(ref).scorer
    return scorer.model


def place(model: Any) -> set[int]:
    named = {name.replace(".base_layer", ""): value for name, value in model.named_parameters()}
    return {value.data_ptr() for name, value in named.items() if name.endswith(NAME)}


def test_all_methods_on_a_base_hold_it_once(publish: Publish, bases: Bases) -> None:
    refs = [publish("a"), publish("b", {"name": "lora", "r": 2}), publish("c", "bottleneck")]
    refs += [publish("d", "lora", "tagging"), publish("e", "ia3", "tagging")]
    found = fleet()
    places = [place(weights(found, ref)) for ref in refs]
    assert all(len(one) == 1 for one in places)
    assert len(set.union(*places)) == 1
    other = publish("f", base=bases("bert", 1))
    assert place(weights(found, other)) != places[0]


def test_an_adapter_counts_its_own_bytes(publish: Publish) -> None:
    plain, bottleneck, whole = publish("a"), publish("b", "bottleneck"), publish("c", "full")
    found = fleet()
    for ref in (plain, bottleneck, whole):
        found.predictor(ref)
    registry = api.open_registry()
    for ref in (plain, bottleneck):
        file = registry.path(registry.resolve(ref)) / "adapter_model.safetensors"
        assert 0.8 * file.stat().st_size < found.loaded()[ref] < 1.3 * file.stat().st_size + 8192
    base = sum(value.nbytes for value in weights(found, whole).parameters())
    assert found.loaded()[whole] >= base > 3 * found.loaded()[plain]


def test_the_longest_unasked_is_dropped_and_its_base_with_the_last(
    publish: Publish, bases: Bases
) -> None:
    refs = [publish("a"), publish("b"), publish("c", base=bases("bert", 1))]
    probe = fleet()
    probe.predictor(refs[0])
    size = probe.loaded()[refs[0]]
    found = fleet(most_bytes=2 * size)
    base = weakref.ref(weights(found, refs[0]).base)
    found.predictor(refs[1])
    found.predictor(refs[0])
    found.predictor(refs[2])
    assert list(found.loaded()) == [refs[0], refs[2]]
    gone = weakref.ref(found.predictor(refs[0]))
    found.predict([Asked(ref=refs[2], input="plum"), Asked(ref=refs[1], input="plum")])
    assert list(found.loaded()) == [refs[2], refs[1]]
    assert gone() is None
    assert base() is not None
    narrow = fleet(most_bytes=1)
    old = weakref.ref(weights(narrow, refs[0]).base)
    narrow.predictor(refs[2])
    gc.collect()
    assert list(narrow.loaded()) == [refs[2]]
    assert old() is None


def test_a_dropped_predictor_still_answers(publish: Publish) -> None:
    refs = [publish("a"), publish("b")]
    found = fleet(most_bytes=1)
    kept = found.predictor(refs[0])
    before = kept.predict(["plum"])
    found.predictor(refs[1])
    assert list(found.loaded()) == [refs[1]]
    assert kept.predict(["plum"]) == before


def test_threads_may_ask_what_is_loaded_meanwhile(publish: Publish) -> None:
    refs = [publish("a"), publish("b", {"name": "lora", "r": 2})]
    found = fleet(most_bytes=1)
    expected = [api.load(ref).predict(["plum"])[0].record() for ref in refs]
    wrong: list[Any] = []

    def ask(number: int) -> None:
        for _ in range(4):
            (answer,) = found.predict([Asked(ref=refs[number], input="plum")])
            assert not isinstance(answer, Exception)
            if answer.record()["label"] != expected[number]["label"]:
                wrong.append(answer)
            found.loaded()
            found.resolve(refs[number])

    threads = [threading.Thread(target=ask, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(found.loaded()) == 1
