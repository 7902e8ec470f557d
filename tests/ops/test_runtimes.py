"""Which known holes of a runtime are open, by version and by the distribution's changelog."""

import pytest

from alcove.ops.runtimes import Version, open_holes, parse_version


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("runc version 1.1.5+ds1\ncommit: 1.1.5", (1, 1, 5)),
        ("6.18.44-fc", (6, 18, 44)),
        ("runsc version release-2024", None),
    ],
)
def test_a_version_is_found_in_what_a_program_says(said: str, version: Version | None) -> None:
    assert parse_version(said) == version


@pytest.mark.parametrize(
    ("version", "cves"),
    [
        ((1, 1, 5), 5),
        ((1, 1, 12), 4),
        ((1, 2, 8), 1),
        ((1, 3, 5), 1),
        ((1, 3, 6), 0),
        ((1, 5, 0), 0),
        ((2, 0, 0), 0),
    ],
)
def test_a_series_without_a_fix_counts_as_open(version: Version, cves: int) -> None:
    assert len(open_holes(version, changelog="")) == cves


def test_a_fix_that_the_distribution_took_over_closes_the_hole() -> None:
    still_open = {a.cve for a in open_holes((1, 1, 5), "  * Backport fix for CVE-2024-21626\n")}
    assert "CVE-2024-21626" not in still_open
    assert "CVE-2025-31133" in still_open
