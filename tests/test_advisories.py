"""The classes of security advisories that servers of this kind have had, and which tests hold each of them off.

The table names them; those that fit nowhere else are below it. The numbers are those of other projects' advisories.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path

import anyio
import pytest
from tests.embedded_fleet import COMMAND, EmbeddedFleet
from tests.mcp_server.served import lines_of
from tests.mcp_server.wire import wire
from tests.quick_start import quick_command
from tests.servers import NOBODY, ClientKey

from picoclaw_fleet.errors import HostError, Reason
from picoclaw_fleet.mcp_server.server import log_plainly
from picoclaw_fleet.transport import EmbeddedHost, Pool

ROOT = Path(__file__).parents[1]
_TEST = re.compile(r"^(?:async )?def test_(\w+)\(", re.MULTILINE)

HELD_OFF_BY = {
    # bvisible CVE-2026-77383, GHSA-qwwm-vrm9-4mw8, -796j-h5q5-jx6p, -m793-whw6-f537, -37fv-fcpc-j236; tufantunc #44
    "newlines, $() and ; in any argument that reaches a remote shell": [
        "what_stands_in_a_command_arrives_as_it_is_and_runs_nothing",
        "a_file_is_uploaded_to_the_path_that_was_meant",
        "tasks_and_settings_are_in_no_command",
        "putting_the_runner_there_needs_no_more_than_plain_words",
        "tasks_arrive_unchanged",
        "a_setting_may_have_any_name_and_any_text",
        "a_value_of_several_lines_is_refused_since_a_line_is_what_the_host_reads",
        "a_task_that_comes_over_stdin_is_in_no_argument_but_picoclaws_own",
    ],
    # CVE-2026-19039, bvisible GHSA-759m-wfpq-xmx3
    "anything that reaches a shell or a process on this machine": [
        "no_argument_opens_a_file_starts_a_process_or_breaks_the_call",
        "nothing_that_a_shell_gives_a_meaning_to_stands_in_a_name_that_ssh_is_told",
        "what_a_user_is_told_to_paste_is_one_command",
        "a_hostile_host_cannot_run_anything_here",
    ],
    # AiondaDotCom GHSA-p4h8-56qp-hpgv, OpenClaw #4001
    "a leading - in host, alias, path, user or jump": [
        "nothing_that_ssh_is_told_can_be_taken_for_an_option",
        "a_value_of_the_wrong_form_is_refused",
        "the_command_refuses_names_and_scopes_that_cannot_be",
    ],
    # AiondaDotCom GHSA-gpr2-2wqr-7rgp, blackaxgit up to 0.5.6, classfang #45
    "local paths, and remote ones in their place, from a caller": [
        "no_argument_opens_a_file_starts_a_process_or_breaks_the_call",
        "arguments_that_there_are_not_are_refused",
        "a_version_is_never_a_path",
        "a_path_is_no_version",
        "a_version_is_a_plain_tag_or_it_is_refused",
        "a_hostile_archive_is_refused_though_its_digest_fits",
    ],
    # blackaxgit 0.4.x
    "text of a host in a reply, on a terminal or in a log": [
        "a_host_that_lies_to_the_probe_is_in_trouble_and_the_others_are_not",
        "what_a_host_says_of_itself_can_not_reach_the_terminal",
        "a_host_that_lies_about_its_job_keeps_no_other_job_of_the_batch_from_its_end",
        "escapes_control_bidi_and_tag_characters_are_gone",
        "a_worker_cannot_end_its_fence_or_speak_outside_of_it",
        "a_worker_that_prints_lines_like_the_runners_forges_nothing",
        "what_a_host_says_can_neither_move_the_cursor_nor_flood_the_message",
        "no_text_can_pass_for_a_line_of_the_log",
    ],
    "forged lines of the audit log": ["a_caller_cannot_forge_a_line"],
    "more from a host than fits, without end": [
        "a_host_that_lists_files_without_end_is_not_listened_to_for_ever",
        "a_host_that_says_without_end_what_it_does_is_not_listened_to_for_ever",
        "a_command_that_takes_too_long_or_says_too_much_is_cut",
        "an_output_of_200_megabytes_does_not_fill_the_memory",
    ],
    # CVE-2026-7038, tufantunc #43, bvisible #34, blackaxgit 0.4.1 and 0.4.2
    "secrets in command lines on either side, in logs, replies and files": [
        "no_secret_is_in_a_command_line_on_either_side_while_a_job_runs",
        "the_key_is_in_no_command_line_and_in_no_log",
        "the_key_is_in_no_argument_and_no_output",
        "secrets_are_in_no_reply_and_in_no_file_of_the_controller",
        "the_config_is_shown_without_secrets",
        "the_values_of_wrong_arguments_are_not_repeated",
        "no_error_shows_the_token",
        "a_passphrase_comes_from_the_environment_and_never_shows",
        "no_secret_is_ever_written",
        "no_secret_survives_however_the_stream_is_cut",
    ],
    # tufantunc GHSA-r8hm-vpm8-cfh6, -6f54-mjqq-2jp8, -v8jh-gv7v-3gvq, -fj9r-f47j-c73x; bvisible GHSA-q37w-vhpx-q5q9
    "a mode of looking only that lets more pass": [
        "no_tool_that_does_more_than_look_is_there",
        "looking_changes_nothing_on_a_host_and_sets_nothing_going",
        "no_tool_can_be_called_with_less_than_its_scope",
        "each_tool_says_which_scope_it_needs_and_may_deploy_only_for_admins",
        "what_is_offered_can_be_narrowed_on_stdio_and_over_http",
    ],
    # bvisible GHSA-cwg3-pfmm-w8rm, flotilla, gelse and others
    "host keys that are accepted whatever they are": [
        "no_setting_of_ssh_s_own_switches_the_check_of_host_keys_off",
        "an_unknown_key_is_refused_with_its_fingerprint_and_the_command_that_trusts_it",
        "a_changed_key_is_refused_with_both_fingerprints_and_the_line_of_the_old_one",
        "accept_new_is_refused_where_the_key_can_not_be_written_down",
        "only_the_authorized_key_and_only_the_right_host_key_will_do",
        "no_script_switches_off_the_check_of_host_keys",
    ],
    # tufantunc GHSA-6f54-mjqq-2jp8
    "patterns that take for ever to compare": [
        "no_pattern_takes_more_than_a_moment",
        "tasks_that_each_pick_hosts_in_another_way_are_refused_beyond_a_hundred_ways",
    ],
    # CVE-2025-49596, CVE-2026-52869, -59950
    "HTTP without a token, or for a page of somebody else's": [
        "without_a_known_token_nothing_is_served",
        "a_request_for_another_host_or_from_a_foreign_page_is_refused",
        "only_listed_origins_get_leave_from_the_browser",
        "a_session_is_of_use_to_the_token_that_opened_it_alone",
        "a_header_that_comes_twice_is_refused",
        "what_cannot_be_served_is_said_and_nothing_listens",
    ],
    # CVE-2026-52870
    "jobs of others": [
        "a_token_sees_waits_for_and_cancels_its_own_jobs_only",
        "the_news_of_a_job_reaches_its_owner_and_nobody_else",
    ],
    # CVE-2026-59951
    "sessions, requests and connections without limit": [
        "no_more_sessions_are_opened_than_are_allowed",
        "a_token_has_no_more_requests_under_way_than_are_allowed_and_others_have_theirs",
        "a_body_that_is_too_large_is_refused_however_it_is_sent",
        "a_connection_that_never_comes_to_the_point_is_closed",
        "a_server_over_http_answers_rightly_after_anything_and_has_no_more_files_than_before",
        "many_jobs_on_twenty_hosts_are_all_done_and_nothing_of_them_stays",
    ],
    # CVE-2026-116686
    "references to schemas that lie elsewhere": [
        "no_argument_opens_a_file_starts_a_process_or_breaks_the_call",
        "the_schemas_use_nothing_that_some_clients_refuse",
    ],
    # tufantunc 2.2.2
    "an audit log that is silently off": [
        "each_flag_of_the_audit_log_has_its_effect_on_stdio",
        "over_http_the_token_is_named_and_tasks_are_told_only_when_asked_for",
        "while_the_log_cannot_be_written_nothing_is_done",
        "a_log_that_cannot_be_written_is_refused_at_the_start",
    ],
}


@cache
def _all_tests() -> frozenset[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return frozenset(name for file in files for name in _TEST.findall(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize("kind", HELD_OFF_BY)
def test_each_kind_of_advisory_is_held_off_by_tests_that_there_are(kind: str) -> None:
    assert [name for name in HELD_OFF_BY[kind] if name not in _all_tests()] == []


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[EmbeddedFleet]:
    async with EmbeddedFleet(tmp_path / "fleet") as fleet:
        yield fleet


SECRETS = {"FLEET_TEST_KEY": "model-key-0123456789", "FLEET_TEST_TOKEN": "token-9876543210-abc"}
LISTING_PICOCLAW = b"""\
#!/bin/sh
case $* in
  *task*) grep -as . /proc/[0-9]*/cmdline >"$HOME/seen" ;;
esac
printf '\\n\xf0\x9f\xa6\x9e done\\n'
"""
"""It lists all command lines of the machine, on which the controller is as well."""


async def test_no_secret_is_in_a_command_line_on_either_side_while_a_job_runs(fleet: EmbeddedFleet) -> None:
    await fleet.add("ada", picoclaw=LISTING_PICOCLAW)
    fleet.defaults = {"api_key_env": "FLEET_TEST_KEY", "env": {"FLEET_TOKEN": "${FLEET_TEST_TOKEN}"}}
    fleet.write_config()
    async with wire({**fleet.environment, **SECRETS}, installed=True) as server:
        await server.initialize()
        job = await server.call("dispatch", task="the only task of its kind")
    assert job["answer"] == "done"
    lines = fleet.hosts["ada"].home.joinpath("seen").read_bytes().decode(errors="replace").split("\n")
    assert any(COMMAND in line for line in lines), "the controller is not among them"
    assert sum("/runner-" in line and job["job_id"] in line for line in lines) > 1
    assert not [line for line in lines if any(secret in line for secret in SECRETS.values())]
    # PicoClaw has no other way in; nobody else has the task in his arguments.
    told = {line.split("\0")[1] for line in lines if "the only task of its kind" in line}
    assert told == {str(fleet.hosts["ada"].home / ".local/bin/picoclaw")}


async def test_no_setting_of_ssh_s_own_switches_the_check_of_host_keys_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    key = ClientKey.make(tmp_path)
    (home / ".ssh/config").write_text(
        "Host *\n StrictHostKeyChecking no\n UserKnownHostsFile /dev/null\n GlobalKnownHostsFile /dev/null\n"
        " VerifyHostKeyDNS yes\n NoHostAuthenticationForLocalhost yes\n CheckHostIP no\n"
    )
    monkeypatch.setenv("HOME", str(home))
    async with EmbeddedHost(tmp_path / "host", authorized_key=key.public) as there, Pool() as pool:
        host = replace(NOBODY, name="one", port=there.port, user="me", ssh_key=key.path)
        with pytest.raises(HostError) as refused:
            await pool.run(host, "true")
        assert refused.value.reason is Reason.HOST_KEY_UNKNOWN
        assert (await pool.run(replace(host, host_key=there.host_key), "true")).exit_status == 0


async def test_each_flag_of_the_audit_log_has_its_effect_on_stdio(fleet: EmbeddedFleet) -> None:
    fleet.entries.append(fleet.entry("down", port=1))
    fleet.write_config()
    audit = fleet.folder / "audit.jsonl"
    async with wire(fleet.environment, "serve", "--audit", str(audit), "--audit-tasks") as server:
        await server.initialize()
        await server.call("dispatch", task="x", wait_seconds=0)
    (line,) = lines_of(audit)
    assert (line["tool"], line["outcome"], line["tasks"]) == ("dispatch", "done", ["x"])
    missing = await anyio.run_process([quick_command(), "serve", "--audit-tasks"], env=fleet.environment, check=False)
    assert (missing.returncode, b"needs --audit FILE" in missing.stderr) == (2, True)


def test_no_text_can_pass_for_a_line_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    forged = "x\n2026-01-01 00:00:00,000 ERROR root: forged\r\x85\u2028\x1b[2J"
    printed = StringIO()
    root = logging.Logger("root")
    monkeypatch.setattr(logging, "root", root)
    monkeypatch.setattr("sys.stderr", printed)
    log_plainly()
    try:
        raise ValueError(forged)
    except ValueError:
        root.exception("it said %s", forged)
    lines = printed.getvalue().splitlines()
    assert "ERROR root: it said x 2026-01-01" in lines[0]
    assert len(lines) > 3
    assert all(line.startswith("    ") for line in lines[1:])
    assert "\x1b" not in printed.getvalue()
