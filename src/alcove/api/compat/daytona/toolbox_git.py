"""`git/…`: the routes, and what each asks of `git`."""

from typing import Annotated, Final, TypeAlias

from fastapi import Query
from pydantic import ConfigDict, Field
from starlette.responses import Response

from alcove.api.arguments import CoreOf
from alcove.api.compat.daytona import git_answers
from alcove.api.compat.daytona.creating import Asked, unsupported
from alcove.api.compat.daytona.git_commands import Credentials, git, must_be_good, run
from alcove.api.compat.daytona.routing import TOOLBOX, SandboxRef, json, router
from alcove.http.access import needs
from alcove.http.body import body
from alcove.model.access import Actor, Permission
from alcove.model.errors import FieldError, Invalid

routes = router(TOOLBOX + "/{sandbox}/git")
Runner: TypeAlias = Annotated[Actor, needs(Permission.WORKSPACE_EXEC)]
Where: TypeAlias = Annotated[str, Field(min_length=1, max_length=4096, pattern=r"^[^\x00]+$")]
Text: TypeAlias = Annotated[str, Field(min_length=1, max_length=65536, pattern=r"^[^\x00]+$")]
Ref: TypeAlias = Annotated[
    str, Field(min_length=1, max_length=255, pattern=r"^[^\x00-\x20-][^\x00-\x20]*$")
]
PathQuery: TypeAlias = Annotated[str, Query(min_length=1, max_length=4096)]
Secret: TypeAlias = Annotated[str, Field(max_length=8192, pattern=r"^[^\x00\n]*$")]
_SCOPES: Final = {"global": "--global", "local": "--local", "system": "--system"}
_KEY: Final = r"^[A-Za-z][A-Za-z0-9-]*(\.[^\x00\n]+)?\.[A-Za-z][A-Za-z0-9-]*$"


class InRepository(Asked):
    path: Where


class Snake(InRepository):
    """These bodies have underscores in their names."""

    model_config = ConfigDict(alias_generator=None)


class AddRequest(InRepository):
    files: Annotated[list[Text], Field(min_length=1, max_length=10_000)]


class BranchRequest(InRepository):
    name: Ref


class CheckoutRequest(InRepository):
    branch: Ref


class Authenticated(Snake):
    username: Secret | None = None
    password: Secret | None = None

    @property
    def credentials(self) -> Credentials:
        return Credentials(self.username, self.password)


class CloneRequest(Authenticated):
    url: Text
    branch: Ref | None = None
    commit_id: Ref | None = None
    depth: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    insecure_skip_tls: bool | None = None


class SyncRequest(Authenticated):
    branch: Ref | None = None
    remote: Ref | None = None
    set_upstream: bool | None = None


class CommitRequest(Snake):
    message: Text
    author: Text
    email: Text
    allow_empty: bool | None = None


class InitRequest(Snake):
    bare: bool | None = None
    initial_branch: Ref | None = None


class ResetRequest(Snake):
    mode: str | None = None
    target: Ref | None = None
    files: list[Text] | None = None


class RestoreRequest(Snake):
    files: Annotated[list[Text], Field(min_length=1)]
    staged: bool | None = None
    worktree: bool | None = None
    source: Ref | None = None


class RemoteRequest(Snake):
    name: Ref
    url: Text
    fetch: bool | None = None
    overwrite: bool | None = None


class ConfigRequest(Asked):
    key: Annotated[str, Field(max_length=256, pattern=_KEY)]
    value: Text
    scope: str | None = None
    path: Where | None = None


class UserRequest(Asked):
    name: Text
    email: Text
    scope: str | None = None
    path: Where | None = None


@routes.post("/clone")
async def clone(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[CloneRequest, body(CloneRequest)],
) -> Response:
    words = ["clone", "--quiet"]
    if asked.insecure_skip_tls:
        words = ["-c", "http.sslVerify=false", *words]
    if asked.branch:
        words += ["--branch", asked.branch]
    if asked.depth:
        words += ["--depth", str(asked.depth)]
    words += ["--", asked.url, asked.path]
    await git(core, actor, ref, words, credentials=asked.credentials)
    if asked.commit_id:
        await git(core, actor, ref, ["checkout", "--quiet", asked.commit_id], at=asked.path)
    return Response(status_code=200)


@routes.post("/add")
async def add(
    core: CoreOf, actor: Runner, ref: SandboxRef, asked: Annotated[AddRequest, body(AddRequest)]
) -> Response:
    await git(core, actor, ref, ["add", "--", *asked.files], at=asked.path)
    return Response(status_code=200)


@routes.post("/commit")
async def commit(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[CommitRequest, body(CommitRequest)],
) -> Response:
    who = {"NAME": asked.author, "EMAIL": asked.email}
    env = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in who.items()}
    words = ["commit", "--quiet", "--message", asked.message]
    if asked.allow_empty:
        words.append("--allow-empty")
    await git(core, actor, ref, words, at=asked.path, env=env)
    made = await git(core, actor, ref, ["rev-parse", "HEAD"], at=asked.path)
    return json({"hash": made.decode().strip()})


@routes.post("/push")
async def push(
    core: CoreOf, actor: Runner, ref: SandboxRef, asked: Annotated[SyncRequest, body(SyncRequest)]
) -> Response:
    words = ["push", "--quiet"]
    if asked.set_upstream:
        words.append("--set-upstream")
    words += [asked.remote or "origin", asked.branch or "HEAD"]
    await git(core, actor, ref, words, at=asked.path, credentials=asked.credentials)
    return Response(status_code=200)


@routes.post("/pull")
async def pull(
    core: CoreOf, actor: Runner, ref: SandboxRef, asked: Annotated[SyncRequest, body(SyncRequest)]
) -> Response:
    words = ["pull", "--quiet"]
    if asked.remote or asked.branch:
        words.append(asked.remote or "origin")
    if asked.branch:
        words.append(asked.branch)
    await git(core, actor, ref, words, at=asked.path, credentials=asked.credentials)
    return Response(status_code=200)


@routes.get("/status")
async def status(core: CoreOf, actor: Runner, ref: SandboxRef, path: PathQuery) -> Response:
    words = ["status", "--porcelain=v2", "--branch", "-z", "--untracked-files=all"]
    return json(git_answers.status(await git(core, actor, ref, words, at=path)))


@routes.get("/history")
async def history(core: CoreOf, actor: Runner, ref: SandboxRef, path: PathQuery) -> Response:
    words = ["log", "--max-count=1000", "--format=%H%x00%an%x00%ae%x00%cI%x00%B%x00"]
    return json(git_answers.history(await git(core, actor, ref, words, at=path)))


@routes.get("/branches")
async def branches(core: CoreOf, actor: Runner, ref: SandboxRef, path: PathQuery) -> Response:
    words = ["for-each-ref", "--format=%(refname:short)", "refs/heads"]
    found = (await git(core, actor, ref, words, at=path)).decode(errors="replace").splitlines()
    here = await git(core, actor, ref, ["branch", "--show-current"], at=path)
    return json({"branches": found, "current": here.decode(errors="replace").strip()})


@routes.post("/branches")
async def create_branch(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[BranchRequest, body(BranchRequest)],
) -> Response:
    await git(core, actor, ref, ["branch", "--", asked.name], at=asked.path)
    return Response(status_code=201)


@routes.delete("/branches")
async def delete_branch(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[BranchRequest, body(BranchRequest)],
) -> Response:
    await git(core, actor, ref, ["branch", "-D", "--", asked.name], at=asked.path)
    return Response(status_code=204)


@routes.post("/checkout")
async def checkout(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[CheckoutRequest, body(CheckoutRequest)],
) -> Response:
    await git(core, actor, ref, ["checkout", "--quiet", asked.branch, "--"], at=asked.path)
    return Response(status_code=200)


@routes.post("/init")
async def init(
    core: CoreOf, actor: Runner, ref: SandboxRef, asked: Annotated[InitRequest, body(InitRequest)]
) -> Response:
    words = ["init", "--quiet"]
    if asked.bare:
        words.append("--bare")
    if asked.initial_branch:
        words.append(f"--initial-branch={asked.initial_branch}")
    await git(core, actor, ref, [*words, "--", asked.path])
    return Response(status_code=201)


@routes.post("/reset")
async def reset(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[ResetRequest, body(ResetRequest)],
) -> Response:
    if asked.mode not in (None, "", "soft", "mixed", "hard", "merge", "keep"):
        said = "must be soft, mixed, hard, merge or keep"
        raise Invalid(f"mode: {said}", [FieldError("mode", said)])
    words = ["reset", "--quiet"]
    if asked.mode:
        words.append(f"--{asked.mode}")
    words.append(asked.target or "HEAD")
    if asked.files:
        words += ["--", *asked.files]
    await git(core, actor, ref, words, at=asked.path)
    return Response(status_code=200)


@routes.post("/restore")
async def restore(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[RestoreRequest, body(RestoreRequest)],
) -> Response:
    words = ["restore", "--quiet"]
    if asked.staged:
        words.append("--staged")
    if asked.worktree:
        words.append("--worktree")
    if asked.source:
        words.append(f"--source={asked.source}")
    await git(core, actor, ref, [*words, "--", *asked.files], at=asked.path)
    return Response(status_code=200)


@routes.get("/remotes")
async def remotes(core: CoreOf, actor: Runner, ref: SandboxRef, path: PathQuery) -> Response:
    found = await git(core, actor, ref, ["remote", "-v"], at=path)
    return json({"remotes": git_answers.remotes(found)})


@routes.post("/remotes")
async def add_remote(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[RemoteRequest, body(RemoteRequest)],
) -> Response:
    if asked.overwrite:
        known = git_answers.remotes(await git(core, actor, ref, ["remote", "-v"], at=asked.path))
        if any(one["name"] == asked.name for one in known):
            await git(core, actor, ref, ["remote", "remove", asked.name], at=asked.path)
    await git(core, actor, ref, ["remote", "add", "--", asked.name, asked.url], at=asked.path)
    if asked.fetch:
        await git(core, actor, ref, ["fetch", "--quiet", "--", asked.name], at=asked.path)
    return Response(status_code=201)


@routes.get("/config")
async def get_config(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    key: Annotated[str, Query(max_length=256, pattern=_KEY)],
    path: Annotated[str | None, Query(max_length=4096)] = None,
    scope: Annotated[str | None, Query(max_length=16)] = None,
) -> Response:
    words = ["config", *_scope(scope, path), "--get", key]
    found = await run(core, actor, ref, words, at=path)
    if found.exit_code == 1 and not found.stderr:
        return json({})
    must_be_good(found)
    return json({"value": found.stdout.decode(errors="replace").removesuffix("\n")})


@routes.post("/config")
async def set_config(
    core: CoreOf,
    actor: Runner,
    ref: SandboxRef,
    asked: Annotated[ConfigRequest, body(ConfigRequest)],
) -> Response:
    words = ["config", *_scope(asked.scope, asked.path), asked.key, asked.value]
    await git(core, actor, ref, words, at=asked.path)
    return Response(status_code=200)


@routes.post("/config/user")
async def configure_user(
    core: CoreOf, actor: Runner, ref: SandboxRef, asked: Annotated[UserRequest, body(UserRequest)]
) -> Response:
    for key, value in (("user.name", asked.name), ("user.email", asked.email)):
        words = ["config", *_scope(asked.scope, asked.path), key, value]
        await git(core, actor, ref, words, at=asked.path)
    return Response(status_code=200)


@routes.post("/credentials")
async def credentials(core: CoreOf, actor: Runner, ref: SandboxRef) -> Response:
    """They would stand on the disk of the sandbox, where everything in it can read them."""
    raise unsupported("password", "credentials are not stored; give them with clone, pull, push")


def _scope(scope: str | None, path: str | None) -> list[str]:
    scope = scope or ("local" if path else "global")
    if scope not in _SCOPES:
        said = f"must be one of {', '.join(_SCOPES)}"
        raise Invalid(f"scope: {said}", [FieldError("scope", said)])
    return [_SCOPES[scope]]
