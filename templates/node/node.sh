#!/bin/sh
# Puts the chosen Node.js first on the PATH: the npm package "node" is the program itself.
set -eu
chosen="${ALCOVE_PARAMETER_NODE:-debian}"
own="$HOME/.local/lib/node_modules/node"
if [ "$chosen" = debian ]; then
    if [ -d "$own" ]; then
        npm uninstall -g node
    fi
    exit 0
fi
case "$("$own/bin/node" --version 2> /dev/null || true)" in
    "v$chosen".*) exit 0 ;;
esac
npm install -g "node@$chosen"
"$HOME/.local/bin/node" --version
