"""One server for many clients: what each may do and see, and that jobs depend on nobody's staying."""

from __future__ import annotations

import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from tests.certificate import self_signed
from tests.embedded_fleet import EmbeddedFleet
from tests.mcp_server.caller import Era
from tests.mcp_server.served import Served, lines_of, make_tokens, served
from tests.quick_start import quick_command

from picoclaw_fleet.bearer_token import SCOPES
from picoclaw_fleet.mcp_server.tools import TOOLS

SCOPE_OF = {
    "fleet_status": "read",
    "deploy": "admin",
    "dispatch": "dispatch",
    "dispatch_many": "dispatch",
    "job_result": "read",
    "jobs": "read",
    "job_cancel": "dispatch",
    "teardown": "admin",
}
READING = [name for name, scope in SCOPE_OF.items() if scope == "read"]
MOST_SECONDS_TO_END = 8


@pytest.fixture
def tokens(fleet: EmbeddedFleet) -> dict[str, str]:
    tokens = make_tokens(fleet.http, rita="read", anna="dispatch", ben="dispatch", root="admin")
    fleet.write_config()
    return tokens


@pytest.fixture
async def server(fleet: EmbeddedFleet, tokens: dict[str, str]) -> AsyncIterator[Served]:
    async with served(fleet.environment) as server:
        yield server
        status, said = await server.end(signal.SIGTERM)
    assert (status, said.count("\n")) == (143, 1), said


async def test_a_task_is_done_for_clients_of_both_eras(
    server: Served, tokens: dict[str, str], era: Era, fleet: EmbeddedFleet
) -> None:
    async with server.client(tokens["anna"], era) as call:
        assert (await call("fleet_status")).data["summary"] == "3 of 3 hosts are ready, 0 out of reach."
        job = (await call("dispatch", task="say hello")).data
        assert (job["state"], job["answer"]) == ("succeeded", "done: say hello")
        assert (await call("job_result", job_id=job["job_id"])).data["answer"] == job["answer"]


async def test_no_tool_can_be_called_with_less_than_its_scope(
    server: Served, tokens: dict[str, str], fleet: EmbeddedFleet
) -> None:
    needed = {tool.name: SCOPE_OF[tool.name] for tool in TOOLS}
    for name, scope in (("rita", "read"), ("anna", "dispatch")):
        async with server.client(tokens[name]) as call:
            for tool, needs in needed.items():
                if SCOPES.index(needs) > SCOPES.index(scope):
                    said = await call.refusal(tool)
                    assert f"needs the scope '{needs}', and the token '{name}' has '{scope}'" in said
    denied = [line for line in lines_of(fleet.state / "audit.jsonl") if line["outcome"] == "denied"]
    assert len(denied) == sum(SCOPES.index(needs) > at for needs in needed.values() for at in (0, 1))


async def test_no_resource_can_be_read_with_less_than_its_scope_nor_of_the_job_of_another(
    server: Served, tokens: dict[str, str], fleet: EmbeddedFleet
) -> None:
    async with server.client(tokens["anna"]) as anna, server.client(tokens["root"]) as root:
        job = (await anna("dispatch", task="x")).data["job_id"]
        assert "done: x" in str(await anna.client.read_resource(f"fleet://jobs/{job}"))
        assert "ada" in str(await root.client.read_resource("fleet://config"))
        with pytest.raises(MCPError, match="needs the scope 'admin', and the token 'anna' has 'dispatch'"):
            await anna.client.read_resource("fleet://config")
    async with server.client(tokens["rita"]) as rita:
        with pytest.raises(MCPError, match=f"There is no job '{job}'"):
            await rita.client.read_resource(f"fleet://jobs/{job}")
    read = [line for line in lines_of(fleet.state / "audit.jsonl") if "resource" in line]
    assert [(line["token"], line["outcome"]) for line in read] == [
        ("anna", "done"),
        ("root", "done"),
        ("anna", "denied"),
        ("rita", "refused"),
    ]


def test_each_tool_says_which_scope_it_needs_and_may_deploy_only_for_admins() -> None:
    assert {tool.name: tool.scope for tool in TOOLS} == {tool.name: SCOPE_OF[tool.name] for tool in TOOLS}
    deploying = [tool for tool in TOOLS if "deploy_missing" in tool.parameters["properties"]]
    assert all(tool.for_admins == {"deploy_missing": False} for tool in deploying)


async def test_a_token_sees_waits_for_and_cancels_its_own_jobs_only(
    server: Served, tokens: dict[str, str], fleet: EmbeddedFleet
) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    async with (
        server.client(tokens["anna"]) as anna,
        server.client(tokens["ben"]) as ben,
        server.client(tokens["root"]) as root,
    ):
        job = (await anna("dispatch", task="x", host="ada", wait_seconds=0)).data["job_id"]
        batch = (await anna("dispatch_many", tasks=["y"], hosts=["ada"], wait_seconds=0)).data["batch_id"]
        await gate.arrival()
        await gate.arrival()

        for arguments in ({"job_id": job}, {"batch_id": batch}):
            assert "There is no " in await ben.refusal("job_result", **arguments)
            assert "There is no " in await ben.refusal("job_cancel", **arguments)
        assert f"There is no batch '{batch}'" in await ben.refusal("dispatch_many", rerun=batch)
        # What is another's looks the same as what never was, down to the advice.
        unknown = (await ben.refusal("job_result", job_id="j_nope")).replace("j_nope", job)
        assert await ben.refusal("job_result", job_id=job) == unknown
        assert (await ben("jobs")).data["jobs"] == []
        assert f"There is no batch '{batch}'" in await ben.refusal("jobs", batch_id=batch)

        assert len((await root("jobs")).data["jobs"]) == 2
        assert (await root("job_result", job_id=job)).data["state"] == "running"
        gate.open(2)
        assert (await anna("job_result", batch_id=batch, wait_seconds=50)).data["counts"]["succeeded"] == 1
        assert (await anna("job_result", job_id=job, wait_seconds=50)).data["answer"] == "done: x"


async def test_the_news_of_a_job_reaches_its_owner_and_nobody_else(
    server: Served, tokens: dict[str, str], fleet: EmbeddedFleet
) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    async with server.client(tokens["anna"]) as anna, server.client(tokens["root"]) as root:
        job = (await anna("dispatch", task="x", host="ada", wait_seconds=0)).data["job_id"]
        await gate.arrival()
        gate.open()
        assert (await root("job_result", job_id=job, wait_seconds=50)).data["state"] == "succeeded"
        assert job not in (await root("fleet_status", hosts=["bob"])).text
        assert job in (await anna("fleet_status", hosts=["bob"])).text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_server_ends_in_time_while_a_call_waits_and_the_job_goes_on(
    fleet: EmbeddedFleet, tokens: dict[str, str], number: signal.Signals
) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    async with served(fleet.environment) as server, anyio.create_task_group() as tasks:
        tasks.start_soon(_call_and_lose, server, tokens["anna"], "auto")
        await gate.arrival()
        with anyio.fail_after(MOST_SECONDS_TO_END):
            status, said = await server.end(number)
        assert (status, "Traceback" in said) == (128 + number, False), said
    gate.open()
    with anyio.fail_after(20):
        await gate.departure()


async def test_a_client_that_leaves_leaves_its_job_running(
    server: Served, tokens: dict[str, str], fleet: EmbeddedFleet, era: Era
) -> None:
    gate = fleet.gate("ada")
    fleet.set_knobs(exec=gate.command)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_call_and_lose, server, tokens["anna"], era)
        await gate.arrival()
        tasks.cancel_scope.cancel()
    async with server.client(tokens["anna"]) as call:
        (job,) = (await call("jobs")).data["jobs"]
        assert job["state"] == "running"
        gate.open()
        done = await call("job_result", job_id=job["job_id"], wait_seconds=50)
        assert done.data["answer"] == "done: x"
    await server.end(signal.SIGTERM)
    told = [line for line in lines_of(fleet.state / "audit.jsonl") if line["tool"] == "dispatch"]
    # In the older protocol a connection that is gone says nothing about the call.
    outcome = "cancelled" if era == "auto" else "done"
    assert [(line["job_ids"], line["outcome"]) for line in told] == [([job["job_id"]], outcome)]


async def test_what_is_offered_can_be_narrowed_on_stdio_and_over_http(fleet: EmbeddedFleet) -> None:
    assert await _offered(fleet, "--read-only") == READING
    assert await _offered(fleet, "--tools", "jobs,dispatch") == ["dispatch", "jobs"]
    assert await _offered(fleet, "--read-only", "--tools", "dispatch", "--tools", "jobs") == ["jobs"]
    async with served(fleet.environment, "--read-only") as server, server.client() as call:
        assert [tool.name for tool in (await call.client.list_tools()).tools] == READING
        assert "Unknown tool" in await call.refusal("dispatch", task="x")


async def test_tls_is_served_with_the_given_files(fleet: EmbeddedFleet, tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    async with served(fleet.environment, *options) as server:
        assert server.url.startswith("https://127.0.0.1:")
        async with httpx2.AsyncClient(verify=ssl.create_default_context(cafile=str(cert))) as http:
            assert (await http.get(f"{server.base}/health")).status_code == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["0.0.0.0:0"], "has no http.tokens"),
        (["fleet.example"], "is not HOST:PORT"),
        (["127.0.0.1:70000"], "is not HOST:PORT"),
        (["203.0.113.9:0"], "has no http.tokens"),
        (["127.0.0.1:0", "--tools", "dispach"], "Did you mean 'dispatch'?"),
        (["127.0.0.1:0", "--read-only", "--tools", "dispatch"], "none of the named tools is left"),
        (["127.0.0.1:0", "--tls-cert", "/etc/passwd"], "TLS needs both"),
        (["127.0.0.1:0", "--tls-cert", "/etc/passwd", "--tls-key", "/etc/passwd"], "can't be used for TLS"),
        (["127.0.0.1:0", "--audit", "/proc/no/audit"], "The audit log /proc/no/audit can't be written"),
        (["127.0.0.1:0", "--config", "/proc/no/fleet.json"], "there is no such fleet config"),
    ],
)
async def test_what_cannot_be_served_is_said_and_nothing_listens(
    fleet: EmbeddedFleet, options: list[str], said: str
) -> None:
    command = quick_command()
    with anyio.fail_after(30):
        ended = await anyio.run_process([command, "serve", "--http", *options], env=fleet.environment, check=False)
    assert ended.returncode == 2
    assert said in " ".join(ended.stderr.decode().split())
    assert b"Traceback" not in ended.stderr


async def test_a_port_that_is_taken_is_named(fleet: EmbeddedFleet) -> None:
    async with served(fleet.environment) as server:
        place = f"127.0.0.1:{server.port}"
        ended = await anyio.run_process([quick_command(), "serve", "--http", place], env=fleet.environment, check=False)
    assert ended.returncode == 2
    assert f"port {server.port} can't be listened on" in ended.stderr.decode()


async def _call_and_lose(server: Served, token: str, era: Era) -> None:
    """Waits for a task in vain: the client or the server goes before it is done."""
    try:
        async with server.client(token, era) as call:
            await call.client.call_tool("dispatch", {"task": "x", "host": "ada"})
    except (Exception, ExceptionGroup):
        return


async def _offered(fleet: EmbeddedFleet, *options: str) -> list[str]:
    parameters = StdioServerParameters(command=quick_command(), args=["serve", *options], env=fleet.environment)
    async with Client(stdio_client(parameters)) as client:
        return [tool.name for tool in (await client.list_tools()).tools]
