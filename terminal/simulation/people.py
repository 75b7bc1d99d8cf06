"""The few people of the demonstration, by name. They are seeds: nobody's hand is behind them."""

from __future__ import annotations

from types import MappingProxyType

PEOPLE: MappingProxyType[str, int] = MappingProxyType({"ada": 101, "ben": 102, "chloe": 103, "stranger": 904})
"""Name -> seed of the simulated person. The stranger is the one whom nobody enrols."""


def seed_of(person: str | int) -> int:
    """Seed of a person given by name or by seed. Raises ValueError with the names that exist."""
    if isinstance(person, int) and not isinstance(person, bool):
        if person < 0:
            raise ValueError(f"{person} is no person: seeds are 0 or more.")
        return person
    if isinstance(person, str) and person in PEOPLE:
        return PEOPLE[person]
    raise ValueError(f"{person!r} is no person of the simulation. Known: {', '.join(PEOPLE)}, or a seed.")


def name_of(seed: int) -> str:
    """Name of a person, or "person 17" where the demonstration has none."""
    return next((name for name, known in PEOPLE.items() if known == seed), f"person {seed}")
