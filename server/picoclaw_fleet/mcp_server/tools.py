"""The tools: names, descriptions, arguments, hints. No logic: each calls one method of `Fleet` and renders it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, cast

from mcp.server.mcpserver import Context
from mcp.types import CallToolResult, TextContent, ToolAnnotations
from pydantic import BaseModel, BeforeValidator, Field

from picoclaw_fleet.assignment import Assignment
from picoclaw_fleet.mcp_server import render
from picoclaw_fleet.mcp_server.boundary import FleetTool
from picoclaw_fleet.mcp_server.session import Session
from picoclaw_fleet.results import BatchResult, HostsResult, JobOrBatchResult, JobResult

if TYPE_CHECKING:
    from picoclaw_fleet.fleet import Fleet, Progress

READ_ONLY = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=True)
RUNS_WORK = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=False, open_world_hint=True)

SELECTORS = "A selector is a name, tag:x, arch:arm64, all, a glob web*, a range web[1-3], or !x to leave x out."
WAITING = (
    "The call returns after wait_seconds at the latest; what isn't done by then goes on, is shown as running, and "
    "job_result waits for it. Cancelling or timing out the call stops the waiting, never the job."
)

STATUS = f"""\
Looks at the hosts of the fleet, all at once: reachable or not, PicoClaw ready or not, load, free memory and disk,
running jobs, free slots, and for each host that can't be used the reason and what to do. Changes nothing.
{SELECTORS}"""

DISPATCH = f"""\
Gives one task to one worker (a machine with a PicoClaw agent on it) and returns its answer. The worker is a separate AI
agent that knows nothing of this conversation: say everything it needs. Without a host the least busy one that is
ready is chosen. A task is never run twice.
{WAITING}
A job that failed is a result with state and reason, and what the worker had printed."""

DISPATCH_MANY = f"""\
Gives many tasks to the fleet and returns all answers. mode="spread" runs each task once, wherever a slot is free;
mode="broadcast" runs each task on each of the named hosts. One host that fails never stops the others, and each task
comes back exactly once with what became of it. rerun=BATCH_ID does again what did not succeed in an earlier batch.
{WAITING}
{SELECTORS}"""

JOB_RESULT = """\
Tells how a job or a batch stands, and shows a job's output in pages. With wait_seconds it first waits for the end.
A long output ends with next_offset: pass it as offset for the next page. Asking again is always safe."""


def _as_list(value: object) -> object:
    """Lets one selector or one task stand for a list of one, as models often write it."""
    return [value] if isinstance(value, str | Mapping) else value


def _as_assignments(value: object) -> object:
    """Accepts plain strings, in the list or alone, where tasks are published as objects."""
    items = _as_list(value)
    if not isinstance(items, list):
        return items
    return [{"task": item} if isinstance(item, str) else item for item in cast("list[object]", items)]


Hosts = Annotated[list[str], BeforeValidator(_as_list), Field(description="Selectors; empty for all hosts.")]
Timeout = Annotated[int, Field(ge=1, le=86_400, description="Seconds until PicoClaw is stopped on the host.")]
Wait = Annotated[int, Field(ge=0, le=50, description="Seconds until this call returns at the latest.")]


async def fleet_status(ctx: Context[Session], hosts: Hosts = []) -> Annotated[CallToolResult, HostsResult]:  # noqa: B006
    """Serve fleet_status."""
    fleet = await _fleet(ctx)
    result = await fleet.status(hosts, progress=_progress(ctx))
    return _reply(result, render.hosts(result))


async def dispatch(
    ctx: Context[Session],
    task: Annotated[str, Field(description="What the worker is to do; up to 120,000 bytes.")],
    host: Annotated[str, Field(description="A selector that narrows the choice; empty for any host.")] = "",
    timeout_seconds: Timeout = 120,
    wait_seconds: Wait = 45,
) -> Annotated[CallToolResult, JobResult]:
    """Serve dispatch."""
    fleet = await _fleet(ctx)
    result = await fleet.dispatch(
        task, host=host, timeout_seconds=timeout_seconds, wait_seconds=wait_seconds, progress=_progress(ctx)
    )
    return _reply(result, render.job(result))


async def dispatch_many(
    ctx: Context[Session],
    tasks: Annotated[
        list[Assignment],
        BeforeValidator(_as_assignments),
        Field(description="The tasks; plain strings will do. Empty with rerun."),
    ] = [],  # noqa: B006
    hosts: Hosts = [],  # noqa: B006
    mode: Annotated[
        Literal["spread", "broadcast"], Field(description="spread: each task once. broadcast: each task on each host.")
    ] = "spread",
    timeout_seconds: Timeout = 120,
    wait_seconds: Wait = 45,
    max_parallel: Annotated[int, Field(ge=0, description="Jobs that may run at once; 0: the hosts' slots decide.")] = 0,
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
        rerun=rerun,
        progress=_progress(ctx),
    )
    return _reply(result, render.batch(result))


async def job_result(
    ctx: Context[Session],
    job_id: Annotated[str, Field(description="The job; or give batch_id.")] = "",
    batch_id: Annotated[str, Field(description="The batch; or give job_id.")] = "",
    wait_seconds: Annotated[int, Field(ge=0, le=50, description="Seconds to wait for the end at most.")] = 0,
    offset: Annotated[int, Field(ge=0, description="Where in a job's output to begin: an earlier next_offset.")] = 0,
    limit: Annotated[int, Field(ge=1, le=20_000, description="How much of a job's output to show.")] = 20_000,
) -> Annotated[CallToolResult, JobOrBatchResult]:
    """Serve job_result."""
    fleet = await _fleet(ctx)
    result = await fleet.result(
        job_id, batch_id, wait_seconds=wait_seconds, offset=offset, limit=limit, progress=_progress(ctx)
    )
    return _reply(result, render.job(result) if isinstance(result, JobResult) else render.batch(result))


TOOLS = (
    FleetTool.declare(fleet_status, title="Fleet status", description=STATUS, annotations=READ_ONLY),
    FleetTool.declare(dispatch, title="Dispatch a task", description=DISPATCH, annotations=RUNS_WORK),
    FleetTool.declare(dispatch_many, title="Dispatch many tasks", description=DISPATCH_MANY, annotations=RUNS_WORK),
    FleetTool.declare(job_result, title="Job result", description=JOB_RESULT, annotations=READ_ONLY),
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
