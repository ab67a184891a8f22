"""The ways in which rows of a kind are written, and how the one that fits a table is found."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from adapterhub_lite.data.columns import column_error, require_columns
from adapterhub_lite.data.examples import Example
from adapterhub_lite.data.table import Table
from adapterhub_lite.errors import DataError, RecipeError, nearest_name

Cells: TypeAlias = Mapping[str, Any]
"""The cells of a row by role; roles that no column fills are absent."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a column is to a row. It is known by its own name, which wins, or by another.

    ``everywhere``: it may be missing, but not in one file when it is in another.
    """

    name: str
    known_by: tuple[str, ...] = ()
    required: bool = True
    everywhere: bool = False


@dataclass(frozen=True, slots=True)
class Form:
    """One way in which rows are written.

    ``parse`` reads a row's cells; it raises :class:`~adapterhub_lite.data.cells.CellError`.
    ``unfold`` returns the table whose rows are nested in the cells of another; None where it is
    no such table.
    """

    name: str
    roles: tuple[Role, ...]
    parse: Callable[[Cells], Example]
    unfold: Callable[[Table], Table | None] | None = None

    def open(self, table: Table) -> Table | None:
        """Return the table to look for columns in; None where it has not this form."""
        return table if self.unfold is None else self.unfold(table)


@dataclass(frozen=True, slots=True)
class Fit:
    """A form that fits a table (unfolded, where rows are nested), and its columns by role."""

    form: Form
    table: Table
    columns: Mapping[str, str]

    def needed(self) -> dict[str, str]:
        """Return the columns that every other file has to have as well."""
        may_lack = {role.name for role in self.form.roles if not role.required | role.everywhere}
        return {role: name for role, name in self.columns.items() if role not in may_lack}


def find_form(
    table: Table, forms: Sequence[Form], given: Mapping[str, str], name: str | None = None
) -> Fit:
    """Find the one form that a table has; ``given`` columns by role, and a ``name``, are believed.

    Raises RecipeError for a form or a role that does not exist, DataError when no form or more
    than one fits, or when a role may be in several columns.
    """
    choices = _named(forms, name)
    _require_roles(choices, given)
    choices = [form for form in choices if set(given) <= {role.name for role in form.roles}]
    opened = [(form, found) for form in choices if (found := form.open(table)) is not None]
    fits, doubts = [], []
    for form, inner in opened:
        try:
            columns = _columns(form, inner, given, alone=len(choices) == 1)
        except DataError as error:
            doubts.append(error)
            continue
        if columns is not None:
            fits.append(Fit(form, inner, columns))
    if len(fits) > 1:
        names = " or ".join(fit.form.name for fit in fits)
        hint = f"choose in the recipe, form: {fits[0].form.name}, or with --form"
        raise column_error(table, f"the rows may be written as {names}", hint=hint)
    if fits:
        return fits[0]
    if doubts:
        raise doubts[0]
    inner = opened[-1][1] if opened else table  # unfolded, it has the columns to choose from
    require_columns(inner, list(given.values()), _wanted(choices))
    raise column_error(inner, "the rows have no known form", hint=_wanted(choices or forms))


def _named(forms: Sequence[Form], name: str | None) -> Sequence[Form]:
    if name is None:
        return forms
    found = [form for form in forms if form.name == name]
    if not found:
        known = [form.name for form in forms]
        near = nearest_name(name, known)
        hint = f"did you mean {near!r}?" if near else f"known forms: {', '.join(known)}"
        raise RecipeError(f"no form {name!r} of such rows", field="data.form", hint=hint)
    return found


def _require_roles(forms: Sequence[Form], given: Mapping[str, str]) -> None:
    known = list(dict.fromkeys(role.name for form in forms for role in form.roles))
    for name in given:
        if name not in known:
            raise unknown_role(name, known)


def unknown_role(name: str, known: Sequence[str]) -> RecipeError:
    """Return an error about a role that rows do not have, with the nearest that they have."""
    near = nearest_name(name, known)
    return RecipeError(
        f"no column of such rows has the role {name!r}",
        field=f"data.columns.{name}",
        hint=f"did you mean {near!r}?" if near else f"known roles: {', '.join(known)}",
    )


def _columns(
    form: Form, table: Table, given: Mapping[str, str], *, alone: bool
) -> Mapping[str, str] | None:
    """Return the columns by role, or None where a required one is not there.

    The only column of a table has the only role of the only form. Raises DataError where a role
    may be in several columns.
    """
    if not set(given.values()) <= set(table.columns):
        return None
    free = [name for name in table.columns if name not in given.values()]
    found = {
        role.name: [given[role.name]] if role.name in given else _by_name(free, role)
        for role in form.roles
    }
    required = [role.name for role in form.roles if role.required]
    if alone and len(table.columns) == len(required) == 1:
        found = {required[0]: [table.columns[0]]}
    if not all(found[name] for name in required):
        return None
    for role, columns in found.items():
        if len(columns) > 1:
            listed = " or ".join(map(repr, columns))
            hint = _example({role: columns[0]})
            raise column_error(table, f"the {role} may be in {listed}", hint=hint)
    chosen = {role: columns[0] for role, columns in found.items() if columns}
    if len(set(chosen.values())) < len(chosen):
        raise column_error(table, "one column cannot have two roles", hint=_example(chosen))
    return chosen


def _by_name(free: Sequence[str], role: Role) -> list[str]:
    """Return the columns that a role may be in; the one that has the role's own name wins."""
    names = (role.name, *role.known_by)
    found = [name for name in free if name.strip().casefold() in names]
    own = [name for name in found if name.strip().casefold() == role.name]
    return own if len(own) == 1 else found


def _example(columns: Mapping[str, str]) -> str:
    pairs = ", ".join(f"{role}: {column}" for role, column in columns.items())
    flags = " ".join(f"--column {role}={column}" for role, column in columns.items())
    return f"say it in the recipe, columns: {{{pairs}}}, or with {flags}"


def _wanted(forms: Sequence[Form]) -> str:
    listed = "; ".join(
        f"{form.name} ({', '.join(role.name for role in form.roles if role.required)})"
        for form in forms
    )
    return f"forms and their columns: {listed}; name columns with columns: {{ROLE: COLUMN}}"
