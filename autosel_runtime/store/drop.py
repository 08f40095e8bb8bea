"""Dropping: the data of a finished artifact goes, the account of how it was made stays.

``_DROPPED.json`` is the marker of what was dropped. Whoever asks for the artifact again learns from it that it was made
once and what that took; whoever needs its data makes it again, and the new marker then counts.

Safe to repeat and to interrupt: the account is written before the marker goes, the marker goes before the data does,
and of the data only the objects that the account lists. A new artifact under the same prefix has objects of other
names, so it is never touched by a drop of the old one.
"""

from autosel_runtime.errors import NoInputError
from autosel_runtime.store.marker import MARKER_BYTES, Marker, marker_key, parse_marker
from autosel_runtime.store.port import Store, check_key, read_bytes
from autosel_runtime.store.publish import find

DROPPED_NAME = "_DROPPED.json"


def drop(store: Store, prefix: str) -> bool:
    """Delete the data of the artifact ``prefix``; False when there never was one."""
    marker = find(store, prefix)
    if marker is not None:
        store.put(_key(prefix), marker.to_json())
        store.delete(marker_key(prefix))
    else:
        marker = _account(store, prefix)  # of a drop that was interrupted, or had been done
    if marker is None:
        return False
    for stored in marker.objects.values():
        store.delete(stored.key)
    return True


def find_dropped(store: Store, prefix: str) -> Marker | None:
    """Return the marker of an artifact that was dropped and has not been made again; None when that is not so."""
    return None if find(store, prefix) is not None else _account(store, prefix)


def _account(store: Store, prefix: str) -> Marker | None:
    try:
        data = read_bytes(store, _key(prefix), limit=MARKER_BYTES)
    except NoInputError:
        return None
    return parse_marker(data, prefix=prefix)


def _key(prefix: str) -> str:
    return check_key(f"{prefix}/{DROPPED_NAME}")
