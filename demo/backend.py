"""HTTP in front of `git http-backend`: `python backend.py REPOSITORIES ADDRESS PORT`.

Standard library only, so that the system's Python runs it inside the namespace.
"""

import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer


class Backend(BaseHTTPRequestHandler):
    """One CGI call for each request (RFC 3875)."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self._body())

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: the demonstration prints its own story."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        return b"".join(parts)

    def _answer(self, body: bytes) -> None:
        path, _, query = self.path.partition("?")
        given = {
            "GIT_PROJECT_ROOT": sys.argv[1],
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_LENGTH": str(len(body)),
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=body,
            env={**os.environ, **given},  # noqa: TID251 - CGI passes things this way
            stdout=subprocess.PIPE,
            check=False,
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        fields = {line[0]: line[1] for line in lines if len(line) == 2}
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest)


if __name__ == "__main__":
    # Not HTTPServer: that one asks the name service for its own name, and here is none.
    ThreadingTCPServer((sys.argv[2], int(sys.argv[3])), Backend).serve_forever()
