"""Style sheets and the programs that run in a browser, each under a name that its content makes.

They are read and compressed once, when the server starts: by the first request it may no longer
be allowed to read its own code.
"""

import gzip
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from alcove.model.errors import NotFound

_HERE: Final = Path(__file__).parent
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
_FOR_EVER: Final = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class _Asset:
    path: str
    kind: str
    plain: bytes
    packed: bytes


def _read(file: Path) -> _Asset:
    plain = file.read_bytes()
    digest = hashlib.sha256(plain).hexdigest()[:12]
    path = f"/assets/{file.stem}-{digest}{file.suffix}"
    return _Asset(path, _TYPES[file.suffix], plain, gzip.compress(plain, 9, mtime=0))


_ASSETS: Final = {
    file.name: _read(file)
    for folder in ("assets", "built")
    for file in sorted((_HERE / folder).glob("*"))
    if file.suffix in _TYPES
}
"""By the name of the file; `built/` is made of `frontend/` when the package is."""
_BY_PATH: Final = {asset.path: asset for asset in _ASSETS.values()}


def path_of(name: str) -> str:
    """The address of `app.js` or `alcove.css`. Raises KeyError for what was not built."""
    return _ASSETS[name].path


def packed_size(name: str) -> int:
    """Bytes that a browser loads of it."""
    return len(_ASSETS[name].packed)


def answer(request: Request) -> Response:
    """The asset of this address, compressed where the client takes that. Raises NotFound."""
    asset = _BY_PATH.get(request.url.path)
    if asset is None:
        raise NotFound("there is no such file; reload the page")
    headers = {"cache-control": _FOR_EVER, "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(asset.packed, media_type=asset.kind, headers=headers)
    return Response(asset.plain, media_type=asset.kind, headers=headers)
