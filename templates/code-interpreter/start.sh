#!/bin/sh
# Start the server and wait until it listens; it goes on when this script has ended.
cd "$HOME" || exit 1
here="$HOME/.code-interpreter"
: > "$here/server.log"
setsid python3 "$here/server.py" < /dev/null >> "$here/server.log" 2>&1 &
for _ in $(seq 300); do
  if curl -fs -o /dev/null http://127.0.0.1:49999/health; then exit 0; fi
  if ! kill -0 $! 2>/dev/null; then break; fi
  sleep 0.1
done
echo "the interpreter did not start:" >&2
tail -n 20 "$here/server.log" >&2
exit 1
