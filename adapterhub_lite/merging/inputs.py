"""The models of a recipe: each opened once, in one vocabulary, under the same names."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from adapterhub_lite.catalogue import Catalogue
from adapterhub_lite.errors import RecipeError
from adapterhub_lite.merging.alignment.align import Alignment, Member, align
from adapterhub_lite.merging.alignment.heads import HeadRule
from adapterhub_lite.merging.opening import NOTHING, Allowed, Opened, open_model
from adapterhub_lite.merging.recipe_entries import check_stages, entries_of
from adapterhub_lite.merging.vocabulary.vocabulary import Vocabulary, plan_vocabulary
from adapterhub_lite.recipes.merge import Merged, MergeInput, MergeRecipe
from adapterhub_lite.streaming.sources import Source

if TYPE_CHECKING:
    from adapterhub_lite_registry import Registry


class Inputs:
    """Opens every model that a recipe names, and keeps what is to be told of them.

    ``opened`` are the models by what the recipe calls them, ``base`` the recipe's: the one it
    names, or the one that all its models are adapters on.
    """

    def __init__(
        self,
        recipe: MergeRecipe,
        catalogue: Catalogue,
        registry: "Registry",
        allowed: Allowed = NOTHING,
    ) -> None:
        self._recipe, self._catalogue, self._registry = recipe, catalogue, registry
        self._allowed = allowed
        self.opened: dict[str, Opened] = {}
        self.notices: list[str] = []
        self.config: dict[str, Any] = {}
        check_stages(recipe)
        for entry in entries_of(recipe):
            if not entry.is_stage:
                self.open(entry.name)
        if not self.opened:
            raise RecipeError("'models' is missing", field="models")
        self.base = self.base_of(recipe)
        self.vocabulary: Vocabulary = plan_vocabulary(self.models, self.base, recipe.tokenizer)

    @property
    def models(self) -> list[Opened]:
        """The models that are merged, in the recipe's order; the base if it is merged as well."""
        names = dict.fromkeys(e.name for e in entries_of(self._recipe) if not e.is_stage)
        return [self.opened[name] for name in names]

    def open(self, ref: str) -> Opened:
        """Return the model that a reference names, opened when it is first asked for."""
        if ref not in self.opened:
            self.opened[ref] = self._open(ref)
            self.notices += self.opened[ref].notices
        return self.opened[ref]

    def _open(self, ref: str) -> Opened:
        """Open a model, an adapter on the recipe's base where it has one."""
        base = self._recipe.base
        on_it = base not in (None, ref) and base not in self._recipe.stages
        if on_it and self.open(str(base)).adapter is None:
            return self._opened(ref, base)
        return self._opened(ref, None)

    def _opened(self, ref: str, base: str | None) -> Opened:
        return open_model(ref, self._registry, self._catalogue, base=base, allowed=self._allowed)

    def base_of(self, merged: Merged) -> Opened | None:
        """Return the base that a merge names, else the recipe's, else the adapters' common one.

        A base that is a stage's result is no opened model.
        """
        ref = merged.base or self._recipe.base
        if ref in self._recipe.stages:
            return None
        return self.open(ref) if ref else self._common_base(merged)

    def source(self, model: Opened) -> Source:
        """Return what gives a model's tensors, in the output's vocabulary."""
        return self.vocabulary.resized(model.source)

    def member(self, model: Opened) -> Member:
        """Return a model as it is aligned."""
        return Member(self.source(model), model.config)

    def aligned(
        self, base: Member | None, members: Sequence[Member], entries: Sequence[MergeInput]
    ) -> Alignment:
        """Bring base and models under the same names.

        Raises MergeError for what no rule decides.
        """
        found = align(
            members,
            base=base,
            heads=self._head_rule(entries, has_base=base is not None),
            missing="base" if self._recipe.missing == "base" else "refuse",
        )
        found.require_one_vocabulary()
        self.tell(found.notices)
        self.config |= found.config
        return found

    def tell(self, notices: Sequence[str]) -> None:
        """Keep what the user is to know, once."""
        self.notices += [notice for notice in notices if notice not in self.notices]

    def _common_base(self, merged: Merged) -> Opened | None:
        models = [self.open(entry.ref) for entry in merged.models if entry.ref is not None]
        bases = [model.base for model in models]
        first = bases[0] if bases else None
        if first is None or len(models) != len(merged.models):
            return None
        if any(base is None or base.folder != first.folder for base in bases):
            return None
        self.tell([f"the base is {first.ref}, which all adapters were trained on"])
        return first

    def _head_rule(self, entries: Sequence[MergeInput], *, has_base: bool) -> HeadRule:
        """Return the recipe's rule for one merge: a stage without the kept model has no head."""
        rule = self._recipe.heads
        if not rule.startswith("keep "):
            return cast("HeadRule", rule)
        kept = rule.removeprefix("keep ").strip()
        for number, entry in enumerate(entries):
            if self._holds(entry, kept):
                return number
        return "base" if has_base and kept == self._recipe.base else "omit"

    def _holds(self, entry: MergeInput, ref: str) -> bool:
        if entry.stage is None:
            return entry.ref == ref
        stage = self._recipe.stages.get(entry.stage)
        return stage is not None and any(self._holds(inner, ref) for inner in stage.models)
