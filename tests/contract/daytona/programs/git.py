from both import do, raises, run
from daytona import DaytonaNotFoundError


async def main(daytona):
    sandbox = await do(daytona.create())
    git, fs = sandbox.git, sandbox.fs
    home = await do(sandbox.get_work_dir())
    origin, repo = f"{home}/origin.git", f"{home}/repo"
    await do(git.init(origin, bare=True, initial_branch="main"))
    await do(git.clone(origin, repo))
    await do(git.configure_user("A Person", "a@example.com", scope="local", path=repo))
    assert await do(git.get_config("user.name", scope="local", path=repo)) == "A Person"
    assert await do(git.get_config("no.such", scope="local", path=repo)) is None
    await do(git.set_config("core.abbrev", "9", scope="local", path=repo))
    await do(fs.upload_file(b"one\n", f"{repo}/a b.txt"))
    status = await do(git.status(repo))
    assert status.current_branch == "main", status
    assert [(f.name, f.worktree.value) for f in status.file_status] == [("a b.txt", "Untracked")]
    await do(git.add(repo, ["."]))
    status = await do(git.status(repo))
    assert [f.staging.value for f in status.file_status] == ["Added"]
    made = await do(git.commit(repo, "First\n\nMore", "B Person", "b@example.com"))
    assert len(made.sha) == 40
    await do(git.push(repo, username="u", password="p", branch="main", set_upstream=True))
    status = await do(git.status(repo))
    assert status.branch_published and (status.ahead, status.behind) == (0, 0), status

    await do(git.create_branch(repo, "feature/x"))
    with raises(409, code="GIT_BRANCH_EXISTS"):
        await do(git.create_branch(repo, "feature/x"))
    await do(git.checkout_branch(repo, "feature/x"))
    branches = await do(git.branches(repo))
    assert sorted(branches.branches) == ["feature/x", "main"] and branches.current == "feature/x"
    with raises(404, code="GIT_BRANCH_NOT_FOUND"):
        await do(git.checkout_branch(repo, "nothing"))
    await do(git.checkout_branch(repo, "main"))
    await do(git.delete_branch(repo, "feature/x"))

    other = f"{home}/other"
    await do(git.clone(origin, other, branch="main", depth=1))
    await do(fs.upload_file(b"two\n", f"{repo}/b.txt"))
    await do(git.add(repo, ["b.txt"]))
    await do(git.commit(repo, "Second", "B", "b@example.com"))
    await do(git.push(repo))
    await do(git.pull(other))
    assert await do(fs.download_file(f"{other}/b.txt")) == b"two\n"

    await do(fs.upload_file(b"changed\n", f"{repo}/b.txt"))
    await do(git.restore(repo, ["b.txt"]))
    assert await do(fs.download_file(f"{repo}/b.txt")) == b"two\n"
    await do(git.reset(repo, mode="hard", target="HEAD~1"))
    assert (await do(git.status(repo))).behind == 1
    await do(git.remote_add(repo, "second", origin, fetch=True))
    assert await do(git.remote_get(repo, "second")) == origin
    assert {one.name for one in (await do(git.remotes(repo))).remotes} == {"origin", "second"}

    await do(fs.upload_file(b"mine\n", f"{repo}/c.txt"))
    await do(git.add(repo, ["c.txt"]))
    await do(git.commit(repo, "Third", "B", "b@example.com"))
    with raises(409, code="GIT_PUSH_REJECTED"):
        await do(git.push(repo))
    with raises(404, code="GIT_REPO_NOT_FOUND") as raised:
        await do(git.status(f"{home}/nowhere"))
    assert isinstance(raised[0], DaytonaNotFoundError)
    with raises(501):
        await do(git.dangerously_authenticate("u", "p"))
    await do(sandbox.delete())


run(main)
