"""`e2b-code-interpreter`: cells, contexts, rich results, errors. Needs the template for it."""

import asyncio

from common import done, failure


async def interpreter(sdk):
    import e2b_code_interpreter as package

    kind = package.AsyncSandbox if sdk.asynchronous else package.Sandbox
    made = await done(kind.create(timeout=600))
    sdk.made.append(made)
    return made


async def check_state_lives_on_between_cells(sdk):
    sandbox = await interpreter(sdk)
    await done(sandbox.run_code("x = 20"))
    found = await done(sandbox.run_code("x += 1\nx * 2"))
    assert found.text == "42", found
    assert found.error is None


async def check_output_comes_as_it_is_written(sdk):
    sandbox = await interpreter(sdk)
    out, err = [], []
    code = "import sys\nprint('one')\nprint('two', file=sys.stderr)"
    found = await done(
        sandbox.run_code(
            code,
            on_stdout=lambda message: out.append(message.line),
            on_stderr=lambda message: err.append(message.line),
        )
    )
    assert "".join(out).strip() == "one"
    assert "".join(err).strip() == "two"
    assert "".join(found.logs.stdout).strip() == "one"


async def check_an_error_has_name_value_and_traceback(sdk):
    sandbox = await interpreter(sdk)
    found = await done(sandbox.run_code("1 / 0"))
    assert (found.error.name, found.error.value) == ("ZeroDivisionError", "division by zero")
    assert "1 / 0" in found.error.traceback


async def check_rich_results(sdk):
    sandbox = await interpreter(sdk)
    found = await done(sandbox.run_code("import pandas as pd\npd.DataFrame({'a': [1, 2]})"))
    assert "<table" in found.results[0].html
    found = await done(
        sandbox.run_code("import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\nplt.show()")
    )
    assert any(result.png for result in found.results), found


async def check_contexts_are_kept_apart(sdk):
    sandbox = await interpreter(sdk)
    one = await done(sandbox.create_code_context(cwd="/tmp"))
    two = await done(sandbox.create_code_context())
    await done(sandbox.run_code("mark = 1", context=one))
    assert (await done(sandbox.run_code("mark", context=one))).text == "1"
    found = await done(sandbox.run_code("mark", context=two))
    assert found.error.name == "NameError"
    where = await done(sandbox.run_code("import os; os.getcwd()", context=one))
    assert where.text == "'/tmp'"


async def check_environment_of_a_cell(sdk):
    sandbox = await interpreter(sdk)
    code = "import os; os.environ.get('MARK')"
    assert (await done(sandbox.run_code(code, envs={"MARK": "seen"}))).text == "'seen'"


async def check_a_cell_that_takes_too_long(sdk):
    sandbox = await interpreter(sdk)
    await failure(sandbox.run_code, "import time; time.sleep(30)", timeout=1)
    await asyncio.sleep(0)
    assert (await done(sandbox.run_code("1 + 1"))).text == "2"
