"""`alcove pool …`: workspaces that are started before somebody asks for them."""

from typing import TYPE_CHECKING, Annotated

import typer

from alcove.cli import screen
from alcove.cli.screen import Column
from alcove.cli.session import Json, connect

if TYPE_CHECKING:
    from alcove.wire.pools import Pool

app = typer.Typer(help="Workspaces kept started, to be claimed.", no_args_is_help=True)

Template = Annotated[str, typer.Argument(help="Its template.")]
Tier = Annotated[str | None, typer.Option("--isolation", help="Default: the template's own.")]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List pools: what they have, are to have, and why they have less."""
    with connect() as api:
        pools = api.pools.list()
    if as_json:
        screen.print_json({"items": pools})
        return
    screen.print_table(
        [
            Column("TEMPLATE"),
            Column("VERSION", 2),
            Column("ISOLATION", 1),
            Column("READY"),
            Column("WANTED"),
            Column("CLAIMED", 3),
            Column("MISSED", 3),
            Column("WHY", 4),
        ],
        [
            (
                pool.template,
                str(pool.version),
                pool.isolation,
                str(pool.ready),
                str(pool.wanted),
                str(pool.last_hour.claimed),
                str(pool.last_hour.missed),
                pool.why,
            )
            for pool in pools
        ],
        empty="There are no pools. `alcove pool set TEMPLATE --size 10` makes one.",
    )


@app.command("show")
def show(template: Template, isolation: Tier = None, as_json: Json = False) -> None:
    """Show one pool."""
    with connect() as api:
        _print(api.pools.get(template, isolation=isolation), as_json=as_json)


@app.command("set")
def set_(
    template: Template,
    size: Annotated[
        int | None, typer.Option("--size", help="Always so many; 0 is no pool.")
    ] = None,
    least: Annotated[int | None, typer.Option("--min", help="At least.")] = None,
    most: Annotated[
        int | None, typer.Option("--max", help="At most; between, it follows the demand.")
    ] = None,
    refill: Annotated[
        float | None, typer.Option("--refill", help="Begun in a second, at most.")
    ] = None,
    isolation: Tier = None,
    reset: Annotated[bool, typer.Option("--reset", help="Let the template decide again.")] = False,
    as_json: Json = False,
) -> None:
    """Set what a pool keeps, over what the template says (administrators)."""
    with connect() as api:
        if reset:
            pool = api.pools.reset(template, isolation=isolation)
        else:
            pool = api.pools.set(
                template,
                size=size,
                min=least,
                max=most,
                refill_per_second=refill,
                isolation=isolation,
            )
    _print(pool, as_json=as_json)


def _print(pool: "Pool", *, as_json: bool) -> None:
    if as_json:
        screen.print_json(pool)
        return
    bounds = str(pool.min) if pool.min == pool.max else f"{pool.min} to {pool.max}"
    said = f"{pool.template} version {pool.version}, {pool.isolation}: "
    screen.say(f"{said}{pool.ready} ready of {pool.wanted}; {bounds}, {pool.mode}.")
    hour = pool.last_hour
    screen.say(f"In the last hour {hour.claimed} were claimed and {hour.missed} missed.")
    if pool.why:
        screen.say(f"Not full: {pool.why}")
