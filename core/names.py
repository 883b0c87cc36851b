"""What to say of a name that a module does not have."""

import difflib
from collections.abc import Mapping


def unknown_name(owner: str, name: str, written: Mapping[str, str]) -> AttributeError:
    """The error for a name that a module does not have, with those near to it.

    `written` says of each name that there is how it is written: {"minimise": "wl.minimise"}.
    """
    lowered = {known.lower(): known for known in written}
    found = difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.7)
    exact = [lowered[name.lower()]] if name.lower() in lowered else [lowered[near] for near in found]
    hint = f" Did you mean {' or '.join(written[known] for known in exact)}?" if exact else ""
    return AttributeError(f"{owner} has no name {name!r}.{hint} dir({owner}) lists what there is.")
