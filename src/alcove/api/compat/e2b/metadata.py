"""E2B's metadata as labels. Any text goes in and comes out as it was.

A pair that is a label already is kept as that label, so that it is seen and filtered everywhere.
The rest is JSON, in base64 cut to the length of labels. Keys of ours begin with `e2b.`.
"""

import base64
import json
from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter, ValidationError

from alcove.model.errors import FieldError, Invalid
from alcove.wire.base import Labels

RESERVED: Final = "e2b."
PUBLIC: Final = "e2b.public-traffic"
"""Set to `true` for a sandbox whose ports its owner opened to everybody."""
_PART: Final = "e2b.metadata/"
_LABELS_MAX: Final = 64
_PIECE: Final = 63
_label: Final[TypeAdapter[dict[str, str]]] = TypeAdapter(Labels)


def to_labels(metadata: Mapping[str, str]) -> dict[str, str]:
    """Raises Invalid for more than labels can hold."""
    labels = {key: value for key, value in metadata.items() if _is_label(key, value)}
    rest = {key: value for key, value in metadata.items() if key not in labels}
    if rest:
        text = json.dumps(rest, ensure_ascii=True, separators=(",", ":")).encode()
        packed = base64.urlsafe_b64encode(text).decode()
        pieces = [packed[at : at + _PIECE] for at in range(0, len(packed), _PIECE)]
        labels |= {f"{_PART}{number}": piece for number, piece in enumerate(pieces)}
    # One is left for what we note ourselves.
    if len(labels) >= _LABELS_MAX:
        said = "is too much to keep: at most 63 pairs, and about 2,900 bytes of unusual ones"
        raise Invalid(f"metadata: {said}", [FieldError("metadata", said)])
    return labels


def from_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """What was given to `to_labels`, and the labels that were set by other ways."""
    found = {key: value for key, value in labels.items() if not key.startswith(RESERVED)}
    pieces = {
        int(key[len(_PART) :]): value
        for key, value in labels.items()
        if key.startswith(_PART) and key[len(_PART) :].isdecimal()
    }
    packed = "".join(pieces[number] for number in sorted(pieces))
    try:
        rest: object = json.loads(base64.b64decode(packed, altchars=b"-_", validate=True) or "{}")
    except (ValueError, RecursionError):
        # Somebody changed the labels by hand; what is still whole is still shown.
        rest = {}
    if isinstance(rest, dict):
        found |= {str(key): str(value) for key, value in rest.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return found


def _is_label(key: str, value: str) -> bool:
    if key.startswith(RESERVED):
        return False
    try:
        _label.validate_python({key: value}, strict=True)
    except ValidationError:
        return False
    return True
