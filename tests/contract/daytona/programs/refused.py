import os

from both import MODE, do, raises, run
from daytona import (
    AsyncDaytona,
    CreateSandboxFromImageParams,
    CreateSandboxFromSnapshotParams,
    Daytona,
    DaytonaAuthenticationError,
    DaytonaConfig,
    DaytonaNotFoundError,
    VolumeMount,
)


async def main(daytona):
    def params(**given):
        return CreateSandboxFromSnapshotParams(snapshot="plain", **given)

    for field, given in {
        "networkAllowList": params(network_allow_list="10.0.0.0/8"),
        "domainAllowList": params(domain_allow_list="example.com"),
        "volumes": params(volumes=[VolumeMount(volume_id="v", mount_path="/v")]),
        "secrets": params(secrets={"A": "b"}),
        "public": params(public=True),
        "autoArchiveInterval": params(auto_archive_interval=5),
        "autoDeleteInterval": params(auto_delete_interval=5),
        "target": params(target="us"),
        "user": params(os_user="nobody"),
        "buildInfo": CreateSandboxFromImageParams(image="debian:12"),
    }.items():
        with raises(501, code="unsupported") as raised:
            await do(daytona.create(given))
        assert field in str(raised[0]), (field, str(raised[0]))
    with raises(404) as raised:
        await do(daytona.create(CreateSandboxFromSnapshotParams(snapshot="nothing")))
    assert isinstance(raised[0], DaytonaNotFoundError)
    with raises(400) as raised:
        await do(daytona.create(params(name="No Such Name!")))
    assert "name" in str(raised[0])

    sandbox = await do(daytona.create())
    with raises(501, code="unsupported"):
        await do(sandbox.create_lsp_server("python", "/tmp").start())
    with raises(501, code="unsupported"):
        await do(sandbox.computer_use.start())
    with raises(501, code="unsupported"):
        await do(sandbox.code_interpreter.create_context())
    with raises(501, code="unsupported"):
        await do(daytona.volume.list())
    with raises(501, code="unsupported"):
        await do(daytona.secret.list())
    with raises(501, code="unsupported"):
        await do(sandbox.archive())
    with raises(501, code="unsupported"):
        await do(sandbox.create_ssh_access())
    with raises(501, code="unsupported"):
        await do(sandbox.update_env({"A": "b"}))
    with raises(501, code="unsupported"):
        await do(sandbox.set_public(True))
    with raises(501, code="unsupported"):
        await do(sandbox.update_network_settings(domain_allow_list="example.com"))
    with raises(501, code="unsupported"):
        await do(sandbox.rotate_signing_key())

    kind = AsyncDaytona if MODE == "async" else Daytona
    stranger = kind(DaytonaConfig(api_key=os.environ["FOREIGN_KEY"]))
    with raises(404):
        await do(stranger.get(sandbox.id))
    nobody = kind(DaytonaConfig(api_key="alc_nothing"))
    with raises(401) as raised:
        await do(nobody.get(sandbox.id))
    assert isinstance(raised[0], DaytonaAuthenticationError)
    if MODE == "async":
        await stranger.close()
        await nobody.close()


run(main)
