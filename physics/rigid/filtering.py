"""Which shapes may touch: MuJoCo's rules, applied once, when a model is made."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence

from .elements import Geom, Pair
from .model import Candidate

# In this order of kinds, contacts count their two shapes.
KINDS = ("plane", "sphere", "capsule", "ellipsoid", "cylinder", "box")


def candidates(
    geoms: Mapping[str, Geom],
    pairs: Mapping[str, Pair],
    bodies: Sequence[str],
    parents: Sequence[int],
    moved: Collection[int],
    excluded: Collection[frozenset[str | None]] = (),
    related_too: bool = False,
) -> tuple[Candidate, ...]:
    """The pairs of shapes that may touch.

    Each of `pairs`; and besides any two shapes of different bodies of which one's contype and the other's conaffinity
    have a bit in common, unless their bodies are `excluded` or one is the parent of the other, which is not the world
    (`related_too`: even then). Bodies that do not move against each other count as one: `moved` are those with joints.

    **Source**: the documentation of MuJoCo, "Computation", collision detection, pair selection.
    """
    found = [_ordered(geoms, *pair.geoms, pair.condim, name) for name, pair in pairs.items()]
    declared = {frozenset(pair.geoms) for pair in pairs.values()}
    place = {None: -1} | {name: index for index, name in enumerate(bodies)}

    def carrier(body: int) -> int:
        """The body whose joints move this one: itself, one above it, or the world."""
        while body >= 0 and body not in moved:
            body = parents[body]
        return body

    def above(body: int) -> int:
        return carrier(parents[body]) if body >= 0 else -1

    for (first, one), (second, other) in itertools.combinations(geoms.items(), 2):
        if not (one.contype & other.conaffinity or other.contype & one.conaffinity):
            continue
        mine, its = carrier(place[one.body]), carrier(place[other.body])
        related = -1 not in (mine, its) and (mine == above(its) or its == above(mine))
        if (
            mine == its
            or (related and not related_too)
            or one.kind == other.kind == "plane"
            or frozenset((one.body, other.body)) in excluded
            or frozenset((first, second)) in declared
        ):
            continue
        condim = max(one.condim, other.condim)
        if one.priority != other.priority:
            condim = max(one, other, key=lambda geom: geom.priority).condim
        found.append(_ordered(geoms, first, second, condim, None))
    return tuple(found)


def _ordered(geoms: Mapping[str, Geom], first: str, second: str, condim: int, pair: str | None) -> Candidate:
    if KINDS.index(geoms[first].kind) > KINDS.index(geoms[second].kind):
        first, second = second, first
    return Candidate(first, second, condim, pair)
