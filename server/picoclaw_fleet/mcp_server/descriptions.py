"""What the tools say of themselves to models: each under 2 KB, for some clients cut there."""

from __future__ import annotations

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
ready is chosen; with deploy_missing PicoClaw is put on a host first if none has it. A task is never run twice.
{WAITING}
A job that failed is a result with state and reason, and what the worker had printed."""

DISPATCH_MANY = f"""\
Gives many tasks to the fleet and returns all answers. mode="spread" runs each task once, wherever a slot is free;
mode="broadcast" runs each task on each of the named hosts. One host that fails never stops the others, and each task
comes back exactly once with what became of it. rerun=BATCH_ID does again what did not succeed in an earlier batch.
{WAITING}
{SELECTORS}"""

JOB_RESULT = """\
Tells how a job or a batch stands, and shows a job's output, or a batch's answers, in pages. With wait_seconds it first
waits for the end. Where there is more, there is next_offset: pass it as offset for the next page. Asking again is
always safe."""

JOBS = """\
Lists jobs, newest first, with the beginnings of their tasks and without their outputs, those of earlier servers
included, for 30 days. Narrow the list by state, host or batch_id; page with offset."""

JOB_CANCEL = """\
Stops a job, or all unfinished jobs of a batch, and verifies on the hosts that none of their processes is left. What
was printed so far is kept. Where a host can't be reached the stop is kept and done at the next contact; the result says
so. Repeating the call is safe."""

DEPLOY = f"""\
Puts PicoClaw, its settings and the API key on hosts, and proves that it is ready there. Without hosts: on those that
are not ready. The same call again changes nothing and says so. The first host of its kind is tried alone; if it does
not get ready, the others are left untouched (force=true goes on regardless). A host that fails stops no other one; an
upgrade that ends not ready goes back. What isn't done within wait_seconds goes on; make the same call again to wait.
{SELECTORS}"""

TEARDOWN = f"""\
Takes away from hosts what deploy put there, the API key included, reads back that it is gone, and leaves alone what is
the user's own. Refused where jobs run. Asks the user first where the client can; otherwise call it with confirm=true,
and only when the user wants it. purge=true also takes what PicoClaw itself has left behind.
{SELECTORS}"""
