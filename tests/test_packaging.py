"""What is published: wheel, sdist, the registry's server.json, and the container file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from picoclaw_fleet import __version__

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "server" / "picoclaw_fleet"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SERVER: dict[str, Any] = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
REGISTRY_NAME = "io.github.ericgrill/picoclaw-fleet"
STRAY = re.compile(r"__pycache__|\.pyc$|\.git(/|$)|\.venv|\.hypothesis|_cache/|\.egg-info|/dist/")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    return folder


def test_the_wheel_holds_the_package_whole_and_nothing_else(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"picoclaw_fleet-{__version__}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    modules = {name for name in names if name.startswith("picoclaw_fleet/")}
    there = {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*") if path.is_file()}
    assert modules == {name for name in there if not STRAY.search(name)}
    assert {"picoclaw_fleet/py.typed", "picoclaw_fleet/worker/runner.sh"} <= modules
    info = f"picoclaw_fleet-{__version__}.dist-info"
    expected = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names - modules == expected


def test_the_sdist_holds_what_is_needed_to_build_and_test_it(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [member.name.partition("/")[2] for member in archive.getmembers()]
    needed = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "server.json", "Makefile", "PKG-INFO"}
    needed |= {"server/picoclaw_fleet/__main__.py", "tests/test_packaging.py", "requirements/run.txt"}
    assert needed <= set(names)
    assert [name for name in names if STRAY.search(name)] == []


@pytest.fixture
def installed(built: Path, tmp_path: Path) -> Path:
    """The script of a new environment with nothing in it but the wheel and the locked dependencies."""
    (wheel,) = built.glob("*.whl")
    environment = tmp_path / "environment"
    python = environment / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True)
    pip = (sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps")
    subprocess.run([*pip, str(wheel)], check=True)
    # The locked dependencies are those of this environment; there may be no index to ask for them.
    packages = next((environment / "lib").glob("python*")) / "site-packages"
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")

    where = [str(python), "-c", "import picoclaw_fleet; print(picoclaw_fleet.__file__)"]
    plain = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    found = subprocess.run(where, env=plain, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert Path(found.strip()).is_relative_to(packages)
    # uvx runs the script that has the package's name.
    return environment / "bin" / PROJECT["name"]


async def test_the_wheel_runs_in_an_environment_of_its_own(installed: Path, tmp_path: Path) -> None:
    plain = {"HOME": str(tmp_path), "PATH": os.environ["PATH"]}
    server = StdioServerParameters(command=str(installed), env=plain, cwd=str(tmp_path))
    async with Client(stdio_client(server), mode="legacy") as client:
        assert client.server_info is not None
        assert client.server_info.version == __version__
        assert {"fleet_status", "dispatch"} <= {tool.name for tool in (await client.list_tools()).tools}


def test_the_registry_entry_is_in_step_with_the_package() -> None:
    (package,) = SERVER["packages"]
    assert SERVER["version"] == package["version"] == __version__
    assert package["identifier"] == PROJECT["name"]
    assert package["identifier"] in PROJECT["scripts"]
    assert SERVER["repository"]["url"] == PROJECT["urls"]["Homepage"]


def test_the_registry_entry_is_as_the_registry_wants_it() -> None:
    """The rules of its schema of 2025-12-11 that bear on what we use."""
    assert SERVER["$schema"] == "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"
    assert SERVER["name"] == REGISTRY_NAME
    assert re.fullmatch(r"[a-zA-Z0-9.-]+/[a-zA-Z0-9._-]+", SERVER["name"])
    assert all(1 <= len(SERVER[key]) <= 100 for key in ("title", "description"))
    assert set(SERVER) == {"$schema", "name", "title", "description", "version", "repository", "packages"}
    assert set(SERVER["repository"]) == {"url", "source"}
    (package,) = SERVER["packages"]
    known = {"registryType", "identifier", "version", "runtimeHint", "transport", "environmentVariables"}
    assert set(package) == known
    assert (package["registryType"], package["runtimeHint"]) == ("pypi", "uvx")
    assert package["transport"] == {"type": "stdio"}
    for variable in package["environmentVariables"]:
        assert set(variable) <= {"name", "description", "format", "isSecret", "isRequired", "default"}
        assert variable.get("format", "string") in ("string", "number", "boolean", "filepath")


def test_the_readme_that_is_published_names_the_registry_entry(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    metadata = zipfile.ZipFile(wheel).read(f"picoclaw_fleet-{__version__}.dist-info/METADATA").decode()
    assert re.search(rf"^<!-- mcp-name: {re.escape(REGISTRY_NAME)} -->$", metadata, re.MULTILINE)


def test_the_container_copies_what_is_there_and_serves_http_as_nobody_in_particular() -> None:
    lines = (ROOT / "Containerfile").read_text(encoding="utf-8").splitlines()
    sources = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    admitted = {
        line[1:] for line in (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"
    }
    assert set(sources) == admitted
    assert all((ROOT / source).exists() for source in sources)
    assert lines.index("USER 10001") < lines.index('ENTRYPOINT ["picoclaw-fleet"]')
    (command,) = [json.loads(line.removeprefix("CMD ")) for line in lines if line.startswith("CMD ")]
    assert command == ["serve", "--http", "0.0.0.0:8000"]
