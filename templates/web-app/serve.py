"""Serves a directory, and reloads each page that is open when something in it changes.

    python3 serve.py DIRECTORY PORT

Pages wait at `-/changed` below wherever they are; addresses are relative, so that it works behind
any prefix.
"""

import http.server
import os
import sys
import time
from pathlib import Path

SCRIPT = b"""
<script>
(async function wait(seen) {
  for (;;) {
    try {
      const said = await (await fetch("%s-/changed?" + seen)).text()
      if (seen && said !== seen) return location.reload()
      seen = said
    } catch { await new Promise((r) => setTimeout(r, 1000)) }
  }
})("")
</script>
"""
WAIT_S = 20
LOOK_S = 0.3
FILES_MAX = 10_000


def version(root):
    """A text that changes whenever a file does."""
    newest = number = 0
    for directory, _, names in os.walk(root):
        for name in names:
            number += 1
            if number > FILES_MAX:
                return str(newest)
            try:
                newest = max(newest, os.lstat(os.path.join(directory, name)).st_mtime_ns)
            except OSError:
                pass  # it has just gone
    return f"{number}-{newest}"


class Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path.endswith("/-/health"):
            self.say(b"ok")
        elif path.endswith("/-/changed"):
            self.changed(query)
        else:
            super().do_GET()

    def changed(self, seen):
        """Answers when it is no longer as it was, or after a while."""
        until = time.monotonic() + WAIT_S
        while (now := version(self.directory)) == seen and time.monotonic() < until:
            time.sleep(LOOK_S)
        self.say(now.encode())

    def say(self, text, kind="text/plain"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def send_head(self):
        """Pages get the script that waits for a change."""
        path = Path(self.translate_path(self.path))
        if path.is_dir() and self.path.partition("?")[0].endswith("/"):
            path = path / "index.html"
        if path.suffix != ".html" or not path.is_file():
            return super().send_head()
        depth = self.path.partition("?")[0].count("/") - 1
        self.say(path.read_bytes() + SCRIPT % (b"../" * depth), "text/html; charset=utf-8")
        return None

    def end_headers(self):
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format, *arguments):
        if "/-/" not in self.path:
            super().log_message(format, *arguments)


if __name__ == "__main__":
    root, port = sys.argv[1], int(sys.argv[2])

    def handler(*arguments):
        return Handler(*arguments, directory=root)

    with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        print(f"serving {root} on port {port}")
        server.serve_forever()
