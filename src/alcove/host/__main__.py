"""`python -m alcove.host` is `alcove host`."""

import sys

from alcove.host.main import main

raise SystemExit(main(["host", *sys.argv[1:]]))
