"""Settings: a TOML file (`ALCOVE_CONFIG`), then `ALCOVE_*` variables, then flags.

The only reader of the environment. Everything else is given a `Settings`.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from alcove.model.app import Level
from alcove.model.errors import FieldError, Invalid
from alcove.model.exec_output import END_MAX
from alcove.model.price import CURRENCY_MAX, read_price
from alcove.model.recording import RecordingPolicy
from alcove.model.units import parse_duration
from alcove.model.workspace import Isolation

DATA_DIR: Final = Path("/var/lib/alcove")


@dataclass(frozen=True, slots=True)
class Settings:
    """What the server is told. Times in seconds unless the name says otherwise."""

    data_dir: Path = DATA_DIR
    database_url: str = ""
    """Empty: SQLite at `data_dir/server/alcove.db`."""
    http_address: str = "127.0.0.1:7080"
    ssh_address: str = "127.0.0.1:7022"
    """Where the SSH gateway listens; empty: it does not."""
    external_url: str = ""
    """How people reach the server, when it is not `http_address`."""
    tls_certificate: str = ""
    """A file in PEM, with the whole chain; with it the server speaks TLS on `http_address`."""
    tls_key: str = ""
    trusted_proxies: tuple[str, ...] = ()
    instance: str = "alcove"
    """Names everything of this installation on the host; see `host/settings.py`."""
    driver: str = "local"
    server_user: str = "alcove"
    log_format: str = "auto"
    """json, text, or auto: text on a terminal."""
    cpu_max: int = 64
    memory_max: str = "256Gi"
    disk_max: str = "1Ti"
    ttl_max: str = "365d"
    """The operator's ceilings; a template may only be stricter."""
    workspaces_max_per_user: int = 500
    pool_memory_max: str = "4Gi"
    """What the members of all pools may use together, as measured."""
    isolation_min: str = "container"
    """What every workspace gets at least: container, gvisor or microvm."""
    snapshots_max_per_user: int = 50
    snapshot_mib_max_per_user: int = 100 * 1024
    snapshot_ttl: str = "30d"
    """How long a snapshot is kept unless it is asked for otherwise; empty: for ever."""
    request_rate_per_minute: int = 6000
    sign_in_rate_per_minute: int = 10
    body_max_mib: int = 4096
    """For uploads; JSON bodies are limited to 1 MiB."""
    share_level_max: str = "public"
    """The widest level at which ports are shared: private, team or public; a template may only be
    stricter. What was shared wider before is narrowed at once."""
    link_ttl_max: str = "30d"
    """The longest life of a signed link to a port; empty: there are none, and those that were
    made open nothing any more."""
    price_per_cpu_hour: str = ""
    """For estimates where workspaces are created: of one core for an hour, such as 0.03."""
    price_per_gib_hour: str = ""
    """Likewise of one GiB of memory. Empty, both: there are no estimates."""
    price_currency: str = ""
    """Of both, such as EUR."""
    apps_domain: str = ""
    """Below it each port has a host name: `8000--api--ada.<apps_domain>`. Needs a wildcard in DNS
    and in the certificate, and is best a domain of its own. Empty: `apps.localhost` where the
    server is reached by a loopback address, and else there are none."""
    e2b_domain: str = ""
    """Below it each sandbox has host names for E2B's clients: `<port>-<id>.<domain>`."""
    e2b_aliases: tuple[str, ...] = (
        "base=ai-agent-sandbox",
        "code-interpreter-v1=code-interpreter",
    )
    """What E2B's clients call a template, and which of ours that is."""
    daytona_snapshot: str = "ai-agent-sandbox"
    """The template of a sandbox for which Daytona's clients name no snapshot."""
    recording: str = "try"
    """Of terminals: off, try or require; see `model/recording.py`."""
    recording_ttl: str = "30d"
    """How long a recording is kept; empty: for ever."""
    recording_mib_max: int = 1024
    """Of one recording."""
    recordings_mib_max: int = 20 * 1024
    """Of all of a server's; a full one is like a full disk."""
    exec_output_bytes: int = 4096
    """Of each end of what a command without a terminal writes to stdout and to stderr; 0: none.
    `recording` off is none, too."""
    exec_outputs_mib_max: int = 1024
    """Of all of them; the oldest go first."""
    trusted_networks: tuple[str, ...] = ()
    """Networks that workspaces in mode `open` may reach although they are not public."""
    ca_bundle: str = ""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    debian_mirror: str = ""
    pip_index_url: str = ""
    npm_registry: str = ""
    goproxy: str = ""
    registry_auth_file: str = ""
    insecure_registries: tuple[str, ...] = ()
    network_pool: str = "10.213.0.0/16"

    @property
    def database(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.server_dir}/alcove.db"

    @property
    def server_dir(self) -> Path:
        return self.data_dir / "server"

    @property
    def run_dir(self) -> Path:
        return self.data_dir / "run"

    @property
    def admin_socket(self) -> Path:
        """In the server's own directory: what the host process uses must not be the server's."""
        return self.server_dir / "admin.sock"

    @property
    def url(self) -> str:
        scheme = "https" if self.tls_certificate else "http"
        return self.external_url or f"{scheme}://{self.http_address}"

    @property
    def apps_host(self) -> str:
        """The domain of apps with its port, as browsers see it; empty when there is none."""
        host = urlsplit(self.url)
        port = f":{host.port}" if host.port else ""
        if self.apps_domain:
            return self.apps_domain + ("" if ":" in self.apps_domain else port)
        local = host.hostname in {"127.0.0.1", "::1", "localhost"}
        return f"apps.localhost{port}" if local else ""

    @property
    def sandbox_domain(self) -> str:
        """`localhost` and all names below it mean the machine itself (RFC 6761)."""
        if self.e2b_domain:
            return self.e2b_domain
        host = urlsplit(self.url)
        local = host.hostname in {"127.0.0.1", "::1", "localhost"}
        return f"localhost:{host.port or 80}" if local else host.netloc


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What the SDK and the CLI take from the environment; None where it is silent."""

    url: str | None
    token: str | None
    config_dir: Path
    term: str = "xterm"
    """What kind of terminal the user sits at."""
    desktop: bool = False
    """Whether a browser that is started here is one that the user sees."""
    proxies: Mapping[str, str] = field(default_factory=dict[str, str])
    """`http`, `https` and `all` to the address of a proxy; `no` to what needs none."""


def load(
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    *,
    config_file: str | None = None,
) -> Settings:
    """Read file, environment and flags. Raises Invalid, naming each setting at fault."""
    environ = os.environ if environ is None else environ
    values: dict[str, object] = {}
    errors: list[FieldError] = []
    file = config_file or environ.get("ALCOVE_CONFIG")
    if file:
        import tomllib  # noqa: PLC0415 - clients load this module too, and read no file

        try:
            values |= tomllib.loads(Path(file).read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise Invalid(f"ALCOVE_CONFIG: cannot read {file}: {error}") from error
    for name in (f.name for f in fields(Settings)):
        if (text := environ.get(f"ALCOVE_{name.upper()}")) is not None:
            values[name] = text
    values |= {k: v for k, v in (flags or {}).items() if v is not None}
    settings = Settings()
    known: dict[str, Any] = {f.name: getattr(settings, f.name) for f in fields(Settings)}
    for name, value in values.items():
        if name not in known:
            errors.append(FieldError(name, "there is no such setting"))
            continue
        try:
            settings = replace(settings, **{name: _coerce(value, like=known[name])})
        except ValueError as error:
            errors.append(FieldError(name, str(error)))
    errors += _meanings(settings)
    if errors:
        said = "; ".join(f"{e.field}: {e.message}" for e in errors)
        raise Invalid(f"settings: {said}", errors)
    return settings


def client(environ: Mapping[str, str] | None = None) -> ClientSettings:
    environ = os.environ if environ is None else environ
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/root")) / ".config")
    return ClientSettings(
        url=environ.get("ALCOVE_URL") or None,
        token=environ.get("ALCOVE_TOKEN") or None,
        config_dir=home / "alcove",
        term=environ.get("TERM") or "xterm",
        desktop=_has_desktop(environ),
        proxies={
            name: text
            for name in ("http", "https", "all", "no")
            if (text := environ.get(f"{name}_proxy") or environ.get(f"{name.upper()}_PROXY"))
        },
    )


def _has_desktop(environ: Mapping[str, str]) -> bool:
    """Over SSH a browser would open where nobody sits."""
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        return False
    shown = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY") or environ.get("BROWSER")
    return bool(shown) or sys.platform in {"darwin", "win32"}


def _meanings(settings: Settings) -> list[FieldError]:
    """What a text of these settings must be, beyond being text."""
    faults: list[FieldError] = []
    if settings.isolation_min not in [one.value for one in Isolation]:
        said = f"{settings.isolation_min!r} is not one of {', '.join(Isolation)}"
        faults.append(FieldError("isolation_min", said))
    if settings.share_level_max not in [one.value for one in Level]:
        said = f"{settings.share_level_max!r} is not one of {', '.join(Level)}"
        faults.append(FieldError("share_level_max", said))
    if settings.recording not in [one.value for one in RecordingPolicy]:
        said = f"{settings.recording!r} is not one of {', '.join(RecordingPolicy)}"
        faults.append(FieldError("recording", said))
    if settings.exec_output_bytes > END_MAX:
        said = f"{settings.exec_output_bytes} is more than {END_MAX}"
        faults.append(FieldError("exec_output_bytes", said))
    faults += _price_faults(settings)
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        said = "a certificate and its key belong together; set both tls_certificate and tls_key"
        faults.append(
            FieldError("tls_key" if settings.tls_certificate else "tls_certificate", said)
        )
    for name in ("snapshot_ttl", "recording_ttl", "link_ttl_max"):
        try:
            if text := getattr(settings, name):
                parse_duration(text)
        except ValueError as error:
            faults.append(FieldError(name, str(error)))
    return faults


def _price_faults(settings: Settings) -> list[FieldError]:
    faults: list[FieldError] = []
    for name in ("price_per_cpu_hour", "price_per_gib_hour"):
        try:
            read_price(getattr(settings, name))
        except ValueError as error:
            faults.append(FieldError(name, str(error)))
    priced = settings.price_per_cpu_hour or settings.price_per_gib_hour
    if priced and not 0 < len(settings.price_currency) <= CURRENCY_MAX:
        said = f"a price needs its currency, of at most {CURRENCY_MAX} characters, such as EUR"
        faults.append(FieldError("price_currency", said))
    return faults


def _coerce(value: object, *, like: object) -> object:
    match like:
        case tuple():
            parts = value.split(",") if isinstance(value, str) else value
            if not isinstance(parts, list | tuple):
                raise ValueError("expected a list, or text with commas")
            return tuple(str(p).strip() for p in parts if str(p).strip())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case int():
            try:
                number = int(str(value))
            except ValueError:
                raise ValueError(f"{value!r} is not a whole number") from None
            if number < 0:
                raise ValueError(f"{number} is negative")
            return number
        case Path():
            return Path(str(value))
        case _:
            if not isinstance(value, str):
                raise ValueError(f"{value!r} is not text")
            return value
