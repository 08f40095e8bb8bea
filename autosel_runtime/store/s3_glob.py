"""Which keys of a bucket a uri means: a pattern matches keys as ``glob`` matches files."""

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import has_magic


def is_pattern(key: str) -> bool:
    """Say whether a key has wildcards: ``*``, ``?``, ``[...]`` within a segment, ``**`` for any number of folders."""
    return has_magic(key)


def fixed_part(pattern: str) -> str:
    """Return the longest start of ``pattern`` without wildcards, which all its matches share."""
    return re.split(r"[*?\[]", pattern, maxsplit=1)[0]


def matches(key: str, pattern: str) -> bool:
    """Say whether ``key`` matches. As with files, wildcards leave out names that start with a dot."""
    return _match(key.split("/"), pattern.split("/"))


def _match(names: Sequence[str], segments: Sequence[str]) -> bool:
    if not names or not segments:
        return not names and not segments
    first, rest = segments[0], segments[1:]
    if first == "**":
        if not rest:
            return not any(name.startswith(".") for name in names)
        if _match(names, rest):
            return True
        return not names[0].startswith(".") and _match(names[1:], segments)
    hidden = names[0].startswith(".") and not first.startswith(".") and has_magic(first)
    return not hidden and fnmatchcase(names[0], first) and _match(names[1:], rest)
