"""`make demo`: take two real projects through workspaces, the second in ten side by side."""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from demo import gitserver, leftovers
from demo.instance import running
from demo.project import ITSDANGEROUS, MARKUPSAFE, publish
from demo.story import tell, tell_side_by_side


def main() -> int:
    """Returns 0 when every step worked and nothing was left behind."""
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--side-by-side", type=int, default=10, metavar="N")
    count: int = parser.parse_args().side_by_side
    console = Console()

    def say(text: str) -> None:
        console.print(f"  {text}", highlight=False, soft_wrap=True, markup=False)

    with tempfile.TemporaryDirectory() as name, running() as instance:
        work = Path(name)
        repositories = work / "repositories"
        repositories.mkdir()
        with gitserver.serving(repositories) as url:
            bare = publish(MARKUPSAFE, work, repositories)
            console.print(f"\n[bold]One agent, {MARKUPSAFE.name}[/]")
            outcome = tell(instance, MARKUPSAFE, url, bare, say)
            left = leftovers.of_workspaces(instance, [outcome.workspace])
            say(f"left behind: {left or 'nothing'}")
            console.print("\n[bold]What the events say[/]")
            for line in outcome.timeline:
                say(line)
            bare = publish(ITSDANGEROUS, work, repositories)
            console.print(f"\n[bold]{count} side by side, {ITSDANGEROUS.name}[/]")
            tell_side_by_side(instance, ITSDANGEROUS, url, bare, say, count)
            say("left behind: nothing")
    stayed = leftovers.of_installation(instance)
    console.print(f"\nAfter `down`: {stayed or 'nothing is left'}")
    return int(bool(left or stayed))


if __name__ == "__main__":
    raise SystemExit(main())
