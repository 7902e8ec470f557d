"""Write `src/openapi.ts`, the types of the API: `.venv/bin/python clients/typescript/generate.py`.

The result is committed, so that building the client needs no server; a test makes it anew and
compares.
"""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from fastapi import FastAPI

from alcove.api.app import ROUTERS
from alcove.api.openapi import describe
from alcove.sdk.version import VERSION

HERE: Final = Path(__file__).parent
GENERATOR: Final = Path("node_modules/.bin/openapi-typescript")


def generate(target: Path, *, generator: Path = HERE / GENERATOR) -> None:
    """Raises CalledProcessError where the generator fails; `npm ci` installs it."""
    app = FastAPI(openapi_url=None)
    for router in ROUTERS:
        app.include_router(router)
    document = describe(app, ROUTERS, VERSION)
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch) / "openapi.json"
        source.write_text(json.dumps(document, sort_keys=True))
        command = [generator, source, "--output", target, "--alphabetize"]
        subprocess.run(command, check=True, capture_output=True, cwd=HERE)


if __name__ == "__main__":
    generate(HERE / "src/openapi.ts")
