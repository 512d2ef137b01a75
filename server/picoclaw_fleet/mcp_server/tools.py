"""The tools: names, descriptions, arguments, hints. No logic: each calls one method of `Fleet` and renders it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from mcp.server.mcpserver import AcceptedElicitation, Context
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from picoclaw_fleet.errors import UsageError
from picoclaw_fleet.mcp_server import descriptions as texts
from picoclaw_fleet.mcp_server import render
from picoclaw_fleet.mcp_server.arguments import DeployMissing, Hosts, NamedHosts, Tasks, Timeout, Wait
from picoclaw_fleet.mcp_server.boundary import FleetTool
from picoclaw_fleet.mcp_server.confirmation import Answer
from picoclaw_fleet.mcp_server.session import Session
from picoclaw_fleet.report import foremost
from picoclaw_fleet.results import BatchResult, HostsResult, JobOrBatchResult, JobResult, JobsResult

if TYPE_CHECKING:
    from picoclaw_fleet.fleet import Fleet
    from picoclaw_fleet.progress import Progress

READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
DEPLOYS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
STOPS_WORK = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True, open_world_hint=True)
RUNS_WORK = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)


async def fleet_status(ctx: Context[Session], hosts: Hosts = []) -> Annotated[CallToolResult, HostsResult]:  # noqa: B006
    """Serve fleet_status."""
    fleet = await _fleet(ctx)
    result = foremost(await fleet.status(hosts, progress=_progress(ctx)))
    return _reply(result, render.hosts(result))


async def deploy(
    ctx: Context[Session],
    hosts: Hosts = [],  # noqa: B006
    version: Annotated[str, Field(description="latest or a tag such as v0.2.9; empty for what the config says.")] = "",
    force: Annotated[bool, Field(description="Go on although the first host of its kind did not get ready.")] = False,
    wait_seconds: Wait = 45,
) -> Annotated[CallToolResult, HostsResult]:
    """Serve deploy."""
    fleet = await _fleet(ctx)
    done = await fleet.deploy(hosts, version=version, force=force, wait_seconds=wait_seconds, progress=_progress(ctx))
    result = foremost(done)
    return _reply(result, render.rollout(result))


async def teardown(
    ctx: Context[Session],
    hosts: NamedHosts,
    answer: Answer,
    confirm: Annotated[bool, Field(description="True when the user has agreed; else he is asked if possible.")] = False,
    purge: Annotated[bool, Field(description="Also what PicoClaw itself has left behind.")] = False,
    wait_seconds: Wait = 45,
) -> Annotated[CallToolResult, HostsResult]:
    """Serve teardown."""
    if not isinstance(answer, AcceptedElicitation) or not answer.data.confirm:
        raise UsageError("teardown was not called: the user was asked, and did not agree.")
    fleet = await _fleet(ctx)
    result = foremost(await fleet.teardown(hosts, purge=purge, wait_seconds=wait_seconds, progress=_progress(ctx)))
    return _reply(result, render.rollout(result))


async def dispatch(
    ctx: Context[Session],
    task: Annotated[str, Field(description="What the worker is to do; up to 120,000 bytes.")],
    host: Annotated[str, Field(description="A selector that narrows the choice; empty for any host.")] = "",
    timeout_seconds: Timeout = 120,
    wait_seconds: Wait = 45,
    deploy_missing: DeployMissing = True,
) -> Annotated[CallToolResult, JobResult]:
    """Serve dispatch."""
    fleet = await _fleet(ctx)
    result = await fleet.dispatch(
        task,
        host=host,
        timeout_seconds=timeout_seconds,
        wait_seconds=wait_seconds,
        deploy_missing=deploy_missing,
        progress=_progress(ctx),
    )
    return _reply(result, render.job(result))


async def dispatch_many(
    ctx: Context[Session],
    tasks: Tasks = [],  # noqa: B006
    hosts: Hosts = [],  # noqa: B006
    mode: Annotated[
        Literal["spread", "broadcast"], Field(description="spread: each task once. broadcast: each task on each host.")
    ] = "spread",
    timeout_seconds: Timeout = 120,
    wait_seconds: Wait = 45,
    max_parallel: Annotated[int, Field(ge=0, description="Jobs that may run at once; 0: the hosts' slots decide.")] = 0,
    deploy_missing: DeployMissing = True,
    rerun: Annotated[str, Field(description="A batch id: its jobs that did not succeed are done again.")] = "",
) -> Annotated[CallToolResult, BatchResult]:
    """Serve dispatch_many."""
    fleet = await _fleet(ctx)
    result = await fleet.dispatch_many(
        tasks,
        hosts=hosts,
        mode=mode,
        timeout_seconds=timeout_seconds,
        wait_seconds=wait_seconds,
        max_parallel=max_parallel,
        deploy_missing=deploy_missing,
        rerun=rerun,
        progress=_progress(ctx),
    )
    return _reply(result, render.batch(result))


async def job_result(
    ctx: Context[Session],
    job_id: Annotated[str, Field(description="The job; or give batch_id.")] = "",
    batch_id: Annotated[str, Field(description="The batch; or give job_id.")] = "",
    wait_seconds: Annotated[int, Field(ge=0, le=50, description="Seconds to wait for the end at most.")] = 0,
    offset: Annotated[
        int, Field(ge=0, description="Where in the output, or in the batch, to begin: a next_offset.")
    ] = 0,
    limit: Annotated[int, Field(ge=1, le=20_000, description="How much of a job's output to show.")] = 20_000,
) -> Annotated[CallToolResult, JobOrBatchResult]:
    """Serve job_result."""
    fleet = await _fleet(ctx)
    result = await fleet.result(
        job_id, batch_id, wait_seconds=wait_seconds, offset=offset, limit=limit, progress=_progress(ctx)
    )
    return _reply(result, render.job(result) if isinstance(result, JobResult) else render.batch(result))


async def jobs(
    ctx: Context[Session],
    state: Annotated[str, Field(description="queued, running, succeeded, failed, timed_out, cancelled, lost.")] = "",
    host: Annotated[str, Field(description="A host's name.")] = "",
    batch_id: Annotated[str, Field(description="A batch.")] = "",
    offset: Annotated[int, Field(ge=0, description="How many of the newest to leave out.")] = 0,
    limit: Annotated[int, Field(ge=1, le=100, description="How many to list.")] = 20,
) -> Annotated[CallToolResult, JobsResult]:
    """Serve jobs."""
    fleet = await _fleet(ctx)
    result = await fleet.jobs(state=state, host=host, batch_id=batch_id, offset=offset, limit=limit)
    return _reply(result, render.jobs(result))


async def job_cancel(
    ctx: Context[Session],
    job_id: Annotated[str, Field(description="The job; or give batch_id.")] = "",
    batch_id: Annotated[str, Field(description="The batch; or give job_id.")] = "",
) -> Annotated[CallToolResult, JobsResult]:
    """Serve job_cancel."""
    fleet = await _fleet(ctx)
    result = await fleet.cancel(job_id, batch_id)
    return _reply(result, render.jobs(result))


TOOLS = (
    FleetTool.declare(
        fleet_status, title="Fleet status", description=texts.STATUS, annotations=READ_ONLY, scope="read"
    ),
    FleetTool.declare(deploy, title="Deploy PicoClaw", description=texts.DEPLOY, annotations=DEPLOYS, scope="admin"),
    FleetTool.declare(
        dispatch,
        title="Dispatch a task",
        description=texts.DISPATCH,
        annotations=RUNS_WORK,
        scope="dispatch",
        for_admins={"deploy_missing": False},
    ),
    FleetTool.declare(
        dispatch_many,
        title="Dispatch many tasks",
        description=texts.DISPATCH_MANY,
        annotations=RUNS_WORK,
        scope="dispatch",
        for_admins={"deploy_missing": False},
    ),
    FleetTool.declare(
        job_result, title="Job result", description=texts.JOB_RESULT, annotations=READ_ONLY, scope="read"
    ),
    FleetTool.declare(jobs, title="List jobs", description=texts.JOBS, annotations=READ_ONLY, scope="read"),
    FleetTool.declare(
        job_cancel, title="Cancel a job", description=texts.JOB_CANCEL, annotations=STOPS_WORK, scope="dispatch"
    ),
    FleetTool.declare(teardown, title="Tear down", description=texts.TEARDOWN, annotations=STOPS_WORK, scope="admin"),
)


async def _fleet(ctx: Context[Session]) -> Fleet:
    return await ctx.request_context.lifespan_context.fleet()


def _progress(ctx: Context[Session]) -> Progress:
    async def report(elapsed: float, message: str) -> None:
        await ctx.report_progress(elapsed, message=message)

    return report


def _reply(result: BaseModel, text: str) -> CallToolResult:
    """Text and structure side by side: some clients show only the one, some only the other."""
    structure = result.model_dump(mode="json", exclude_none=True)
    if not structure.get("notices"):
        structure.pop("notices", None)
    return CallToolResult(content=[TextContent(type="text", text=text)], structured_content=structure)
