"""From a recipe and a request to a Spec."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.errors import Invalid
from alcove.model.template import Ceilings, Recipe
from alcove.model.workspace import (
    Clone,
    Isolation,
    Lifetime,
    NetworkMode,
    OnExpiry,
    OnIdle,
    Resources,
)
from alcove.recipes.render import NO_CEILINGS, Rendered, RenderRequest, hostname, render
from tests.recipes.reading import recipe
from tests.recipes.test_parameters import JSON

PERSON = recipe(
    """
ceilings: {cpu: 8, memory: 16Gi, disk: 50Gi, pids: 4096, ttl: 24h}
parameters:
- {name: cpu, type: number, default: 2, min: 1, max: 4}
- {name: memory, type: choice, options: [2Gi, 4Gi, 16384Mi], default: 4Gi}
- {name: disk, type: string, default: 10Gi}
- {name: tools, type: list, options: [a, b], default: [a]}
- {name: repo, type: string, default: "", pattern: "(|https://git.example.com/.*)"}
presets:
- {name: big, parameters: {cpu: 4, memory: 16384Mi}}
env: {A: template, B: template}
scripts: [{name: s, run: echo hello}]
lifecycle: {ttl: 12h}
"""
)
AGENT = recipe(
    """
kind: agent
ceilings: {cpu: 8, ttl: 8h, networks: [none, open]}
parameters:
- {name: ttl_hours, type: number, default: 2, max: 8}
- {name: network, type: choice, default: none, options: [none, open]}
- {name: branch, type: string, default: main}
- {name: task, type: string}
- {name: agent, type: choice, default: custom, options: [custom, other]}
"""
)
BARE = recipe()


def rendered(of: Recipe, operator: Ceilings = NO_CEILINGS, **asked: Any) -> Rendered:
    return render(of, replace(RenderRequest(name="w"), **asked), operator=operator)


def refused(of: Recipe, operator: Ceilings = NO_CEILINGS, **asked: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as error:
        rendered(of, operator, **asked)
    return {e.field: e.message for e in error.value.errors}


def test_everything_is_resolved_from_the_defaults() -> None:
    found = rendered(PERSON)
    assert found.spec.resources == Resources(2000, 4096, 10240, 1024)
    assert found.lifetime == Lifetime(12 * 3600, 1800, None, 7 * 86400)
    assert found.parameters == {
        "cpu": 2,
        "memory": "4Gi",
        "disk": "10Gi",
        "tools": ("a",),
        "repo": "",
    }
    assert (found.repo, found.branch, found.spec.clone) == (None, None, None)
    assert found.spec.scripts == PERSON.scripts
    assert (found.spec.image, found.spec.user, found.spec.root) == (
        PERSON.image,
        "dev",
        PERSON.root,
    )
    assert (found.spec.network, found.spec.isolation) == (NetworkMode.OPEN, Isolation.CONTAINER)
    assert found.spec.ephemeral is False


def test_parameters_named_after_limits_drive_them() -> None:
    found = rendered(PERSON, parameters={"cpu": 3.5, "memory": "2Gi", "disk": "512Mi"})
    assert found.spec.resources == Resources(3500, 2048, 512, 1024)


def test_a_number_of_memory_or_disk_is_gibibytes() -> None:
    numbers = recipe("parameters: [{name: memory, type: number, default: 1.5}]\n")
    assert rendered(numbers).spec.resources.memory_mib == 1536
    assert rendered(PERSON, parameters={"disk": "20"}).spec.resources.disk_mib == 20480


def test_texts_are_parsed_when_the_request_has_only_texts() -> None:
    found = rendered(PERSON, parameters={"cpu": "3", "tools": "a,b"}, strings=True)
    assert (found.parameters["cpu"], found.parameters["tools"]) == (3, ("a", "b"))


def test_a_preset_fills_in_and_what_is_given_counts_more() -> None:
    found = rendered(PERSON, preset="big", parameters={"cpu": 1})
    assert found.spec.resources == Resources(1000, 16384, 10240, 1024)


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    assert refused(PERSON, preset="bigg") == {
        "preset": "the template has no preset 'bigg'; did you mean 'big'?"
    }


def test_what_stands_on_top_counts_more_than_the_parameter_and_shows_in_it() -> None:
    found = rendered(
        PERSON, parameters={"cpu": 1, "memory": "2Gi"}, cpu_millis=3000, memory_mib=16384
    )
    assert found.spec.resources.cpu_millis == 3000
    assert found.spec.resources.memory_mib == 16384
    assert (found.parameters["cpu"], found.parameters["memory"]) == (3, "16384Mi")


def test_what_stands_on_top_keeps_the_rules_of_the_parameter_it_means() -> None:
    assert refused(PERSON, cpu_millis=5000) == {"cpu": "5 is over the maximum 4"}
    assert refused(PERSON, memory_mib=3072) == {"memory": "'3Gi' is not 2Gi, 4Gi or 16384Mi"}
    assert "does not match" in refused(PERSON, repo="https://evil.example.com/x")["repo"]
    assert refused(AGENT, ttl_s=9 * 3600, parameters={"task": "x"}) == {
        "ttl": "as ttl_hours: 9 is over the maximum 8"
    }


def test_limits_may_be_asked_for_where_no_parameter_means_them() -> None:
    found = rendered(BARE, cpu_millis=500, memory_mib=100, disk_mib=200, pids=50, ttl_s=90)
    assert found.spec.resources == Resources(500, 100, 200, 50)
    assert found.lifetime.ttl_s == 90


@pytest.mark.parametrize(
    ("asked", "errors"),
    [
        ({"cpu_millis": 9000}, {"cpu": "9 is over the ceiling 8 of the template"}),
        ({"memory_mib": 99999}, {"memory": "99999Mi is over the ceiling 16Gi of the template"}),
        ({"disk_mib": 51201}, {"disk": "51201Mi is over the ceiling 50Gi of the template"}),
        ({"pids": 5000}, {"pids": "5000 is over the ceiling 4096 of the template"}),
        ({"ttl_s": 86401}, {"ttl": "1d1s is over the ceiling 24h of the template"}),
        (
            {"parameters": {"ttl": "2d"}},
            {"parameters.ttl": "48h is over the ceiling 24h of the template"},
        ),
        (
            {"parameters": {"ttl_hours": 25}},
            {"parameters.ttl_hours": "25h is over the ceiling 24h of the template"},
        ),
    ],
)
def test_more_than_the_templates_ceiling_is_refused(
    asked: dict[str, Any], errors: dict[str, str]
) -> None:
    free = replace(PERSON, parameters=())
    assert refused(free, **asked) == errors


def test_a_parameter_over_the_ceiling_is_named_as_the_parameter() -> None:
    assert refused(PERSON, parameters={"disk": "51Gi"}) == {
        "parameters.disk": "51Gi is over the ceiling 50Gi of the template"
    }


def test_the_operators_ceilings_hold_too() -> None:
    operator = Ceilings(1000, 1024, 1024, 100, 3600, (NetworkMode.NONE,))
    assert refused(PERSON, operator) == {
        "parameters.cpu": "2 is over the ceiling 1 of this server",
        "parameters.memory": "4Gi is over the ceiling 1Gi of this server",
        "parameters.disk": "10Gi is over the ceiling 1Gi of this server",
        "pids": "1024 is over the ceiling 100 of this server",
        "ttl": "the template's 12h is over the ceiling 1h of this server",
        "network": "open is over the ceiling none of this server",
    }


def test_an_operator_who_allows_no_network_mode_allows_no_workspace() -> None:
    operator = replace(NO_CEILINGS, networks=())
    assert refused(BARE, operator) == {
        "network": "open is over the ceiling no mode of this server"
    }


def test_a_life_without_end_ends_at_the_lowest_ceiling() -> None:
    operator = replace(NO_CEILINGS, ttl_s=3600)
    assert rendered(BARE).lifetime.ttl_s is None
    assert rendered(BARE, operator).lifetime.ttl_s == 3600
    capped = recipe("ceilings: {ttl: 30m}\n")
    assert rendered(capped, operator).lifetime.ttl_s == 1800


def test_a_text_that_is_no_amount_is_named_as_the_parameter() -> None:
    errors = refused(PERSON, parameters={"disk": "lots"})
    assert list(errors) == ["parameters.disk"]
    assert "'lots' is not a size" in errors["parameters.disk"]


def test_an_empty_text_asks_for_no_amount() -> None:
    assert rendered(PERSON, parameters={"disk": ""}).spec.resources.disk_mib == 10240


def test_a_recipe_from_before_a_rule_existed_still_answers_with_fields() -> None:
    old = recipe(
        "ceilings: {networks: [none, open]}\nparameters:\n"
        "- {name: network, type: choice, options: [open], default: open}\n"
        "- {name: memory, type: choice, options: [2Gi], default: 2Gi}\n"
    )
    network, memory = old.parameters
    old = replace(
        old,
        parameters=(
            replace(network, options=("all",), default="all"),
            replace(memory, options=("some", "2Gi"), default="some"),
        ),
    )
    assert list(refused(old)) == ["parameters.memory", "parameters.network"]
    assert list(refused(old, memory_mib=2048)) == ["parameters.network"]


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"cpu_millis": 10}, "cpu"),
        ({"cpu_millis": -1}, "cpu"),
        ({"memory_mib": 0}, "memory"),
        ({"disk_mib": 1}, "disk"),
        ({"pids": 2}, "pids"),
        ({"ttl_s": 0}, "ttl"),
        ({"ttl_s": 10**12}, "ttl"),
        ({"parameters": {"ttl_hours": 0}}, "parameters.ttl_hours"),
        ({"parameters": {"ttl_hours": -1}}, "parameters.ttl_hours"),
        ({"parameters": {"ttl": "soon"}}, "parameters.ttl"),
        ({"parameters": {"ttl": 4}}, "parameters.ttl"),
    ],
)
def test_amounts_that_no_workspace_can_have_are_refused(asked: dict[str, Any], field: str) -> None:
    assert list(refused(BARE, **asked)) == [field]


def test_the_orchestrators_bodies_work_with_a_template_that_declares_nothing() -> None:
    third = {"repo": "github.com/org/x", "branch": "main", "ttl_hours": "4"}
    found = rendered(BARE, parameters=third, strings=True)
    assert found.lifetime.ttl_s == 4 * 3600
    assert (found.repo, found.branch) == ("https://github.com/org/x", "main")
    assert found.parameters == {}


def test_the_orchestrators_bodies_work_with_a_template_that_declares_it_all() -> None:
    second = {"repo": "https://git.example.com/x.git", "task": "fix it", "agent": "other"}
    found = rendered(AGENT, parameters=second, ttl_s=4 * 3600)
    assert found.lifetime.ttl_s == 4 * 3600
    assert found.parameters["ttl_hours"] == 4
    assert found.spec.env["ALCOVE_PARAMETER_TASK"] == "fix it"
    assert found.spec.env["ALCOVE_PARAMETER_AGENT"] == "other"
    assert (found.repo, found.branch) == ("https://git.example.com/x.git", "main")


def test_the_same_meaning_given_twice_is_refused() -> None:
    twice = {"ttl": "4h", "ttl_hours": 4}
    assert refused(BARE, parameters=twice) == {
        "parameters.ttl_hours": "and parameters.ttl mean the same; give one of them"
    }
    assert refused(AGENT, parameters={**twice, "task": "x"}) == {
        "parameters.ttl": "and ttl_hours mean the same; give one of them"
    }


def test_an_undeclared_ttl_drives_the_declared_hours() -> None:
    found = rendered(AGENT, parameters={"ttl": "90m", "task": "x"})
    assert (found.parameters["ttl_hours"], found.lifetime.ttl_s) == (1.5, 5400)


def test_a_required_parameter_must_be_given() -> None:
    assert refused(AGENT) == {"parameters.task": "is required"}


def test_a_required_parameter_that_is_wrong_is_not_also_missing() -> None:
    assert refused(AGENT, parameters={"task": 1}) == {"parameters.task": "expected a text, got 1"}


def test_the_network_is_the_parameters_where_the_ceilings_allow_it() -> None:
    asked = {"task": "x"}
    assert rendered(AGENT, parameters=asked).spec.network is NetworkMode.NONE
    opened = rendered(AGENT, parameters={**asked, "network": "open"})
    assert opened.spec.network is NetworkMode.OPEN
    on_top = rendered(AGENT, parameters=asked, network=NetworkMode.OPEN)
    assert on_top.spec.network is NetworkMode.OPEN
    assert on_top.parameters["network"] == "open"


def test_a_wider_network_than_the_ceilings_is_refused() -> None:
    closed = recipe("kind: agent\n")
    assert refused(closed, network=NetworkMode.OPEN) == {
        "network": "open is over the ceiling none of the template"
    }
    assert rendered(BARE, network=NetworkMode.NONE).spec.network is NetworkMode.NONE


def test_isolation_is_the_requests_or_the_templates() -> None:
    strong = recipe("isolation: gvisor\n")
    assert rendered(BARE, isolation=Isolation.MICROVM).spec.isolation is Isolation.MICROVM
    assert rendered(strong).spec.isolation is Isolation.GVISOR
    # Whether one may ask for less is for the policies.
    weaker = rendered(strong, isolation=Isolation.CONTAINER)
    assert weaker.spec.isolation is Isolation.CONTAINER


def test_what_ends_a_workspace_may_be_asked_for() -> None:
    pausing = recipe("lifecycle: {on_expiry: pause, on_idle: pause}\n")
    assert rendered(BARE).lifetime.auto_resume is False
    assert rendered(pausing).lifetime.on_expiry is OnExpiry.PAUSE
    assert rendered(pausing).lifetime.auto_resume is True
    assert rendered(pausing, auto_resume=False).lifetime.auto_resume is False
    assert rendered(BARE, on_idle=OnIdle.PAUSE).lifetime.auto_resume is True
    asked = rendered(pausing, on_expiry=OnExpiry.DELETE, on_idle=OnIdle.STOP, idle_stop_s=60)
    assert asked.lifetime.auto_resume is False
    assert asked.lifetime.idle_stop_s == 60


@pytest.mark.parametrize(("asked", "ephemeral"), [(None, True), (False, False), (True, True)])
def test_keeping_nothing_is_the_templates_choice_unless_asked(
    asked: bool | None, ephemeral: bool
) -> None:
    found = rendered(AGENT, parameters={"task": "x"}, ephemeral=asked)
    assert found.spec.ephemeral is ephemeral


def test_the_clone_has_the_owner_as_author() -> None:
    found = rendered(
        BARE,
        repo="github.com/org/x",
        branch="refs/heads/feature/y",
        owner_name="Ada <Lovelace>\n",
        owner_email="ada@example.com",
    )
    clone = Clone("https://github.com/org/x", "feature/y", "x", "Ada Lovelace", "ada@example.com")
    assert found.spec.clone == clone
    assert (found.repo, found.branch) == (clone.url, clone.branch)


FROM_OURS = recipe(
    "parameters:\n"
    "- {name: repo, type: string, pattern: 'https://git[.]example[.]com/.*', required: false}\n"
    "- {name: branch, type: choice, options: [main, refs/heads/next], default: main}\n"
)


def test_a_pattern_for_repositories_sees_the_whole_address() -> None:
    found = rendered(FROM_OURS, parameters={"repo": "git.example.com/x/"})
    assert found.parameters["repo"] == "https://git.example.com/x"
    assert "does not match" in refused(FROM_OURS, repo="evil.example.com/x")["repo"]


def test_an_option_is_meant_by_any_form_of_it() -> None:
    found = rendered(FROM_OURS, repo="git.example.com/x", branch="next")
    assert found.parameters["branch"] == "refs/heads/next"
    assert found.branch == "next"


@pytest.mark.parametrize(
    "default", ['""', "github.com/org/x", "https://github.com/org/x", "http://a.example.com/x"]
)
def test_what_was_resolved_once_is_taken_again(default: str) -> None:
    by_default = recipe(f"parameters: [{{name: repo, type: string, default: {default}}}]\n")
    cases: list[tuple[Recipe, dict[str, Any]]] = [
        (FROM_OURS, {"repo": "git.example.com/x", "branch": "next"}),
        (by_default, {}),
    ]
    for of, asked in cases:
        first = rendered(of, **asked)
        kept = dict(first.parameters)
        again = rendered(of, parameters=kept, repo=first.repo, branch=first.branch)
        assert again == first


def test_a_clone_has_an_author_whoever_owns_it() -> None:
    clone = rendered(BARE, repo="github.com/org/x").spec.clone
    assert clone is not None
    assert (clone.author_name, clone.author_email) == ("Alcove", "alcove@localhost")


@pytest.mark.parametrize(
    ("asked", "errors"),
    [
        ({"repo": "ext::x"}, {"repo": "names a remote helper (…::…), which would run a program"}),
        ({"branch": "x"}, {"branch": "has no meaning without a repo"}),
        ({"parameters": {"branch": "x"}}, {"parameters.branch": "has no meaning without a repo"}),
    ],
)
def test_a_wrong_repository_or_branch_is_named_where_it_was_given(
    asked: dict[str, Any], errors: dict[str, str]
) -> None:
    assert refused(BARE, **asked) == errors


def test_a_wrong_repository_and_a_wrong_branch_are_both_named() -> None:
    errors = refused(BARE, parameters={"repo": "file:///x", "branch": "a..b"})
    assert list(errors) == ["parameters.repo", "parameters.branch"]


def test_a_default_branch_without_a_repository_is_no_fault() -> None:
    assert rendered(AGENT, parameters={"task": "x"}).branch is None


def test_the_requests_variables_count_more_than_the_templates() -> None:
    env = rendered(PERSON, env={"B": "request", "C": "request"}).spec.env
    assert (env["A"], env["B"], env["C"]) == ("template", "request", "request")


@pytest.mark.parametrize(
    ("env", "field", "said"),
    [
        ({"1A": "x"}, "env.'1A'", "is not a variable's name"),
        ({"A=B": "x"}, "env.'A=B'", "is not a variable's name"),
        ({"": "x"}, "env.''", "is not a variable's name"),
        ({"ALCOVE_PARAMETER_CPU": "99"}, "env.ALCOVE_PARAMETER_CPU", "set by the platform"),
        ({"A": "a\0b"}, "env.A", "has the character U+0000"),
        ({"A": "\udc80"}, "env.A", "has the character U+DC80"),
        ({"A": "x" * 40000}, "env.A", "is longer than 32768 bytes"),
        ({f"A{n}": "" for n in range(501)}, "env", "has 501 variables; at most 500"),
        ({f"A{n}": "x" * 30000 for n in range(20)}, "env", "all variables together are"),
    ],
)
def test_variables_are_named_and_bounded(env: Mapping[str, str], field: str, said: str) -> None:
    errors = refused(BARE, env=env)
    assert list(errors) == [field]
    assert said in errors[field]


def test_the_message_says_the_first_error_and_how_many_more() -> None:
    with pytest.raises(Invalid) as error:
        rendered(BARE, pids=1, isolation=None, branch="x", parameters={"z": 1})
    assert str(error.value) == "parameters.z: the template has no such parameter (and 2 more)"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("api", "api"),
        ("My_Work Space!", "my-work-space"),
        ("---", "workspace"),
        ("", "workspace"),
        ("a" * 62 + "-b", "a" * 62),
        ("ÄÖ", "workspace"),
    ],
)
def test_the_host_name_is_a_dns_label(name: str, label: str) -> None:
    assert hostname(name) == label


CEILINGS = st.builds(
    Ceilings,
    cpu_millis=st.none() | st.integers(50, 10_000),
    memory_mib=st.none() | st.integers(32, 20_000),
    disk_mib=st.none() | st.integers(32, 60_000),
    pids=st.none() | st.integers(16, 5000),
    ttl_s=st.none() | st.integers(1, 100_000),
    networks=st.lists(st.sampled_from(NetworkMode), unique=True).map(tuple),
)
NAMES = st.sampled_from(
    [
        "cpu",
        "memory",
        "disk",
        "ttl",
        "ttl_hours",
        "network",
        "repo",
        "branch",
        "task",
        "x",
        "tools",
    ]
)
ASKED = st.fixed_dictionaries(
    {},
    optional={
        "parameters": st.dictionaries(
            NAMES,
            JSON
            | st.sampled_from(["4Gi", "1h", "none", "open", "8", "github.com/o/x", "main"])
            | st.integers(0, 50)
            | st.floats(0, 50),
        ),
        "strings": st.booleans(),
        "preset": st.none() | st.text() | st.just("big"),
        "env": st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=3),
        "repo": st.none() | st.text() | st.just("github.com/org/x"),
        "branch": st.none() | st.text() | st.just("main"),
        "ttl_s": st.none() | st.integers(),
        "ephemeral": st.none() | st.booleans(),
        "isolation": st.none() | st.sampled_from(Isolation),
        "network": st.none() | st.sampled_from(NetworkMode),
        "cpu_millis": st.none() | st.integers() | st.integers(50, 12_000),
        "memory_mib": st.none() | st.integers() | st.integers(32, 30_000),
        "disk_mib": st.none() | st.integers() | st.integers(32, 90_000),
        "pids": st.none() | st.integers() | st.integers(16, 6000),
        "owner_name": st.text(),
        "owner_email": st.text(),
        "name": st.text(),
    },
)


@given(st.sampled_from([PERSON, AGENT, BARE]), CEILINGS, ASKED)
def test_whatever_is_asked_nothing_is_over_the_ceilings(
    of: Recipe, operator: Ceilings, asked: dict[str, Any]
) -> None:
    try:
        found = rendered(of, operator, **asked)
    except Invalid:
        return
    resources = found.spec.resources
    for ceilings in (of.ceilings, operator):
        for got, most in (
            (resources.cpu_millis, ceilings.cpu_millis),
            (resources.memory_mib, ceilings.memory_mib),
            (resources.disk_mib, ceilings.disk_mib),
            (resources.pids, ceilings.pids),
        ):
            assert most is None or 0 < got <= most
        if ceilings.ttl_s is not None:
            assert found.lifetime.ttl_s is not None
            assert 0 < found.lifetime.ttl_s <= ceilings.ttl_s
        assert found.spec.network in ceilings.networks


def test_a_requests_files_win_over_the_templates() -> None:
    made = recipe("files: {~/a: ./a.txt, ~/b: ./b.txt}\n", a_txt="theirs", b_txt="theirs")
    found = render(made, RenderRequest(name="w", files={"~/b": "mine"}))
    assert found.spec.files == {"~/a": "theirs", "~/b": "mine"}
