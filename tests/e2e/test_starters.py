"""Every starter template does the work it is for, with what is in its image and the registries."""

import pytest

from alcove import Alcove

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

WORK = {
    "base": """
        sudo apt-get update -qq && sudo apt-get install -y -qq tree >/dev/null
        mkdir -p a/b && tree a | tail -1
        git --version && curl --version | head -1 && echo done-with-base
    """,
    "python": """
        python3 -m venv v && v/bin/pip install -q --disable-pip-version-check iniconfig pytest
        printf 'import iniconfig\\ndef test_it(): assert iniconfig\\n' > test_it.py
        v/bin/python -m pytest -q test_it.py
        echo done-with-python
    """,
    "node": """
        mkdir p && cd p && npm init -y >/dev/null && npm install --silent is-number
        node -e 'if (!require("is-number")(7)) process.exit(1)'
        echo done-with-node
    """,
    "code-interpreter": """
        code='
        import matplotlib.pyplot as plt, pandas as pd
        plt.bar(["a"], [3]); plt.show()
        pd.DataFrame({"n": [6 * 7]})'
        jq -n --arg code "$code" '{$code}' | curl -fsS -d @- http://127.0.0.1:49999/execute > lines
        jq -es 'any(.chart.type == "bar" and .png != null)' lines
        jq -es 'any(.is_main_result and .data.n == [42])' lines
        echo done-with-code-interpreter
    """,
    "go": """
        mkdir p && cd p && go mod init example.com/p 2>/dev/null
        printf 'package main\\nfunc main() { println(21 * 2) }\\n' > main.go
        go run . 2>&1 | grep -x 42
        echo done-with-go
    """,
}


@pytest.mark.parametrize("template", sorted(WORK))
def test_a_starter_template_does_its_work(alcove: Alcove, template: str) -> None:
    with alcove.workspaces.create(template=template, timeout_s=600) as workspace:
        done = workspace.exec(["bash", "-euo", "pipefail", "-c", WORK[template]], timeout="8m")
        assert done.exit_code == 0, done.stdout + done.stderr
        assert f"done-with-{template}" in done.stdout
