"""Any sequence of operations leaves the registry as it would leave a dictionary."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from adapterhub_lite_registry import InUseError, ManifestDraft, NotFoundError, Registry

NAMES = st.sampled_from(["a", "b", "c.d-e"])
ALIASES = st.sampled_from(["prod", "next"])
CONTENT = st.binary(max_size=4)


class RegistryMachine(RuleBasedStateMachine):
    """``versions`` and ``aliases`` are the model; ``used`` the highest number of each name."""

    @initialize()
    def open(self):
        self.home = Path(tempfile.mkdtemp())
        self.registry = Registry.open(self.home)
        self.versions: dict[str, dict[int, bytes]] = {}
        self.aliases: dict[tuple[str, str], int] = {}
        self.used: dict[str, int] = {}

    def teardown(self):
        shutil.rmtree(self.home, ignore_errors=True)

    @rule(name=NAMES, content=CONTENT, alias=st.none() | ALIASES)
    def publish(self, name, content, alias):
        draft = ManifestDraft(kind="adapter")
        version = self.registry.publish(name, {"x/y.json": content}, draft, alias=alias)
        self.used[name] = self.used.get(name, 0) + 1
        assert version.number == self.used[name]
        self.versions.setdefault(name, {})[version.number] = content
        if alias:
            self.aliases[name, alias] = version.number

    @rule(name=NAMES, alias=ALIASES, number=st.integers(1, 5))
    def set_alias(self, name, alias, number):
        try:
            self.registry.set_alias(name, alias, number)
            assert number in self.versions.get(name, {})
            self.aliases[name, alias] = number
        except NotFoundError:
            assert number not in self.versions.get(name, {})

    @rule(name=NAMES, alias=ALIASES)
    def remove_alias(self, name, alias):
        try:
            self.registry.remove_alias(name, alias)
            del self.aliases[name, alias]
        except NotFoundError:
            assert (name, alias) not in self.aliases

    @rule(name=NAMES, number=st.integers(1, 5))
    def remove(self, name, number):
        try:
            self.registry.remove(f"{name}@{number}")
            del self.versions[name][number]
        except NotFoundError:
            assert number not in self.versions.get(name, {})
        except InUseError:
            assert any(self.aliases.get((name, alias)) == number for alias in ("prod", "next"))

    @rule()
    def reopen(self):
        self.registry = Registry.open(self.home, create=False)

    @rule()
    def reindex(self):
        assert self.registry.reindex() == sum(len(numbers) for numbers in self.versions.values())

    @precondition(lambda self: any(self.versions.values()))
    @rule(data=st.data())
    def load(self, data):
        name = data.draw(st.sampled_from([name for name, some in self.versions.items() if some]))
        number = data.draw(st.sampled_from(sorted(self.versions[name])))
        version = self.registry.resolve(f"{name}@{number}")
        path = self.registry.path(version) / "x/y.json"
        assert path.read_bytes() == self.versions[name][number]

    @invariant()
    def equals_the_model(self):
        live = {name: sorted(numbers) for name, numbers in self.versions.items() if numbers}
        assert {name: self.registry.versions(name) for name in self.registry.names()} == live
        found = sorted((entry.name, entry.number) for entry in self.registry.search())
        assert found == sorted((name, n) for name, numbers in live.items() for n in numbers)
        for name, numbers in live.items():
            assert self.registry.resolve(name).number == numbers[-1]
            expected = {alias: n for (owner, alias), n in self.aliases.items() if owner == name}
            assert self.registry.aliases(name) == expected


TestRegistry = RegistryMachine.TestCase
TestRegistry.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
