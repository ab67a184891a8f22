"""How numbers of things are told to people."""


def counted(number: int, unit: str) -> str:
    """Return a number with its unit in the singular or plural: "1 row", "2,000 rows"."""
    plural = f"{unit}es" if unit.endswith("s") else f"{unit}s"
    return f"{number:,} {unit if number == 1 else plural}"
