"""init, add, hosts, trust and status."""

from __future__ import annotations

import os

import asyncssh
from tests.cli.terminal import Shell, terminal
from tests.embedded_fleet import EmbeddedFleet
from tests.servers import ClientKey, OpenSshServer

from picoclaw_fleet.config.file import TEMPLATE
from picoclaw_fleet.results import HostsResult


async def test_status_shows_a_table_and_ends_by_what_it_saw(fleet: EmbeddedFleet, shell: Shell) -> None:
    well = await shell("status")
    assert well.code == 0
    assert [line.split()[:2] for line in well.out.splitlines()[1:]] == [["ada", "ready"], ["bob", "ready"]]
    await fleet.add("bare", picoclaw=b"")
    fleet.entries.append(fleet.entry("down", port=1))
    fleet.write_config()
    assert (await shell("status", "bare")).code == 3
    assert (await shell("status", "down")).code == 4
    mixed = await shell("status", "--json")
    assert mixed.code == 3
    states = {host.name: host.picoclaw for host in HostsResult.model_validate(mixed.data).hosts}
    assert states == {"ada": "ready", "bob": "ready", "bare": "missing", "down": "unknown"}


async def test_where_config_and_host_disagree_about_the_architecture_the_host_wins_and_that_is_said(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    fleet.entries[0]["arch"] = "s390x"
    fleet.entries[1]["arch"] = os.uname().machine
    fleet.write_config()
    done = await shell("status", "--json")
    assert {host["arch"] for host in done.data["hosts"]} == {os.uname().machine}
    assert done.data["notices"] == [
        f"ada: the config says arch s390x, the host says {os.uname().machine}; the host is believed."
    ]


async def test_two_names_for_one_account_are_told_and_two_accounts_on_one_machine_are_two(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    fleet.entries.append({**fleet.entries[0], "name": "ada-again"})
    fleet.write_config()
    done = await shell("status", "--json")
    assert done.data["notices"] == ["ada and ada-again are one and the same account on one machine."]


async def test_hosts_lists_what_the_config_says_and_contacts_nobody(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.entries = [{**fleet.entry("down", port=1), "tags": ["web", "old"]}]
    fleet.write_config()
    done = await shell("hosts", "tag:web")
    assert done.code == 0
    assert done.out.splitlines()[1].split() == ["down", "127.0.0.1", "1", "me", "-", "-", "web,", "old"]
    assert (await shell("hosts", "--json")).data["hosts"][0]["tags"] == ["web", "old"]


async def test_an_unknown_host_is_wrong_usage_with_the_nearest_name(shell: Shell) -> None:
    done = await shell("status", "adda")
    assert done.code == 2
    assert "Did you mean ada?" in done.err


async def test_a_config_that_is_missing_is_created_and_said_so(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.config.unlink()
    done = await shell("status")
    assert done.code == 2
    assert f"created at {fleet.config}" in done.err


async def test_a_mistyped_config_is_an_error_with_its_path_and_nothing_is_created(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    typo = fleet.home / "my fleet" / "typo.json"
    told = f"Error: {typo}: there is no such fleet config. Make one with: picoclaw-fleet init --config '{typo}'\n"
    for command in (
        ("hosts",),
        ("status",),
        ("trust", "ada"),
        ("deploy",),
        ("dispatch", "x"),
        ("map", "x"),
        ("teardown", "ada"),
        ("config", "show"),
        ("serve", "--http", "127.0.0.1:0"),
    ):
        done = await shell(*command, "--config", str(typo))
        assert (done.code, done.out, done.err) == (2, "", told), command
    assert not typo.parent.exists()


async def test_init_creates_the_template_once(fleet: EmbeddedFleet, shell: Shell) -> None:
    path = fleet.home / "new" / "fleet.json"
    first = await shell("init", "--config", str(path))
    assert (first.code, first.out) == (0, f"{path}\n")
    assert (path.read_text(), path.stat().st_mode & 0o777) == (TEMPLATE, 0o600)
    path.write_text("mine")
    assert (await shell("init", "--config", str(path))).code == 0
    assert path.read_text() == "mine"


async def test_add_logs_in_and_leaves_the_text_as_it_was(fleet: EmbeddedFleet, shell: Shell) -> None:
    text = '{"hosts": [\n    {"name": "old", "host": "192.0.2.1"}\n  ],\n  "defaults":   {}}\n'
    fleet.config.write_text(text)
    port, key = fleet.hosts["ada"].port, str(fleet.folder / "id_ed25519")
    args = ("add", "new", "--host", "127.0.0.1", "--port", str(port), "--user", "me", "--key", key)
    unknown = await shell(*args)
    assert unknown.code == 2
    assert "SHA256:" in unknown.out
    assert fleet.config.read_text() == text
    done = await shell(*args, "--yes")
    assert done.code == 0
    added = fleet.config.read_text()
    assert added.startswith(text[: text.index("\n  ]")])
    assert added.endswith(text[text.index("\n  ],") :])
    assert (await shell("status", "new")).code == 0
    twice = await shell(*args)
    assert twice.code == 2
    assert "has a host new already" in twice.err
    assert fleet.config.read_text() == added


async def test_what_is_said_to_type_next_is_for_the_config_that_was_named(fleet: EmbeddedFleet, shell: Shell) -> None:
    mine = str(fleet.home / "my fleet.json")
    missing = await shell("doctor", "--config", mine)
    assert f"Create one: picoclaw-fleet init --config '{mine}'" in missing.out
    made = await shell("init", "--config", mine)
    assert f"picoclaw-fleet doctor --probe --config '{mine}'" in made.err
    added = await shell("add", "new", "--host", "192.0.2.1", "--no-check", "--config", mine)
    assert added.err.endswith(f"picoclaw-fleet status new --config '{mine}'\n")
    unnamed = await shell("add", "new", "--host", "192.0.2.1", "--no-check")
    assert unnamed.err.endswith("picoclaw-fleet status new\n")


async def test_a_host_out_of_reach_is_not_added_unless_it_need_not_be_tried(fleet: EmbeddedFleet, shell: Shell) -> None:
    before = fleet.config.read_text()
    args = ("add", "down", "--host", "127.0.0.1", "--port", "1")
    assert (await shell(*args)).code == 4
    assert fleet.config.read_text() == before
    assert (await shell(*args, "--no-check")).code == 0
    assert (await shell("hosts", "down")).code == 0


async def test_what_the_config_can_not_hold_is_refused(fleet: EmbeddedFleet, shell: Shell) -> None:
    before = fleet.config.read_text()
    done = await shell("add", "two words", "--host", "127.0.0.1")
    assert done.code == 2
    assert str(fleet.config) in done.err
    assert "hosts[2].name" in done.err
    assert fleet.config.read_text() == before


async def test_the_first_host_takes_the_place_of_the_sample(fleet: EmbeddedFleet, shell: Shell) -> None:
    fleet.config.unlink()
    assert (await shell("add", "one", "--host", "192.0.2.1", "--no-check")).code == 0
    assert [host["name"] for host in (await shell("hosts", "--json")).data["hosts"]] == ["one"]
    assert fleet.config.stat().st_mode & 0o777 == 0o600


async def test_add_asks_on_a_terminal_and_again_where_an_answer_can_not_be(fleet: EmbeddedFleet, shell: Shell) -> None:
    port, key = str(fleet.hosts["ada"].port), str(fleet.folder / "id_ed25519")
    dialogue = [
        ("Host name or IP address", "me@127.0.0.1", "it has to be a host name"),
        ("Host name or IP address", "127.0.0.1", ""),
        ("SSH port", "70000", "it has to be a whole number from 1 to 65535."),
        ("SSH port", "ssh", "it has to be a whole number from 1 to 65535."),
        ("SSH port", port, ""),
        ("Login name", "me or you", "it has to be a login name"),
        ("Login name", "me", ""),
        ("Private key file", "id_ed25519", "it has to be a path"),
        ("Private key file", f"{key}.gone", f"there is no file {key}.gone"),
        ("Private key file", key, ""),
        ("Is that the key of this host?", "y", ""),
    ]
    async with terminal(fleet, "add", "new") as screen:
        for question, answer, refused in dialogue:
            await screen.shows(question)
            screen.screen = ""
            screen.type(f"{answer}\n".encode())
            await screen.shows(refused)
        assert await screen.end() == 0
    assert (await shell("status", "new")).code == 0


async def test_a_name_that_can_not_be_is_refused_before_anything_is_asked(fleet: EmbeddedFleet) -> None:
    for name, why in (("ada", "has a host ada already"), ("two words", "hosts[2].name")):
        async with terminal(fleet, "add", name) as screen:
            assert await screen.end() == 2
            assert why in screen.screen.replace("\n", "")
            assert "IP address" not in screen.screen


async def test_add_leaves_to_ssh_what_is_not_answered_and_does_not_ask_for_what_is_given(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    async with terminal(fleet, "add", "new", "--user", "me", "--no-check") as screen:
        for question, answer in (("Host name or IP address", b"192.0.2.1"), ("SSH port", b""), ("Private key", b"")):
            await screen.shows(question)
            screen.type(answer + b"\n")
        assert await screen.end() == 0
        assert "Login name" not in screen.screen
    (added,) = (await shell("hosts", "new", "--json")).data["hosts"]
    assert added == {"name": "new", "host": "192.0.2.1", "user": "me", "provider": "anthropic"}


async def test_trust_shows_the_fingerprint_and_asks(fleet: EmbeddedFleet, shell: Shell) -> None:
    del fleet.entries[0]["host_key"]
    fleet.write_config()
    known = fleet.home / ".ssh/known_hosts"
    fingerprint = asyncssh.import_public_key(fleet.hosts["ada"].host_key).get_fingerprint()
    unasked = await shell("trust", "ada")
    assert unasked.code == 2
    assert fingerprint in unasked.out
    assert not known.exists()
    unknown = await shell("status", "ada", "--config", str(fleet.config))
    assert unknown.err.endswith(f"picoclaw-fleet trust ada --config {fleet.config}\n")
    refused = await shell("dispatch", "--host", "ada", "x", "--config", str(fleet.config))
    assert refused.err.endswith(f"picoclaw-fleet trust ada --config {fleet.config}\n")
    examined = await shell("doctor", "--probe", "--config", str(fleet.config), PICOCLAW_FLEET_CONFIG="/elsewhere")
    assert examined.out.count("picoclaw-fleet trust ada") == 2, "once known_hosts is looked at, once the host"
    assert examined.out.count(f"picoclaw-fleet trust ada --config {fleet.config}\n") == 2
    async with terminal(fleet, "trust", "ada") as screen:
        await screen.shows("Is that the key of this host?")
        screen.type(b"y\n")
        assert await screen.end() == 0
    assert (await shell("status", "ada")).code == 0


async def test_trust_refuses_a_key_other_than_the_known_one_whoever_asks_for_it(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    del fleet.entries[0]["host_key"]
    fleet.write_config()
    known = fleet.home / ".ssh/known_hosts"
    known.parent.mkdir()
    before = f"# mine\n[127.0.0.1]:{fleet.hosts['ada'].port} {fleet.hosts['bob'].host_key}\n"
    known.write_text(before)
    refused = await shell("trust", "ada", "--yes")
    assert (refused.code, refused.out) == (4, "")
    assert "its host key has changed" in refused.err
    assert f"{known}:2 " in refused.err
    assert "Compare the new key" in refused.err
    async with terminal(fleet, "trust", "ada") as screen:
        assert await screen.end() == 4
        assert f"{known}:2 " in screen.screen
    assert known.read_text() == before

    known.write_text("# mine\n")
    assert (await shell("trust", "ada", "--yes")).code == 0
    trusted = known.read_text()
    again = await shell("trust", "ada")
    assert (again.code, again.err) == (0, "It is trusted already.\n")
    assert known.read_text() == trusted


async def test_trust_refuses_a_key_other_than_the_pinned_one_and_says_where_it_is_pinned(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    fleet.entries[0]["host_key"] = fleet.hosts["bob"].host_key
    fleet.write_config()
    refused = await shell("trust", "ada", "--yes")
    assert (refused.code, refused.out) == (4, "")
    assert "change host_key in the fleet config" in refused.err
    assert not (fleet.home / ".ssh/known_hosts").exists()


async def test_a_host_with_a_changed_key_is_not_added_and_what_is_said_to_do_works(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    known = fleet.home / ".ssh/known_hosts"
    known.parent.mkdir()
    port, key = fleet.hosts["ada"].port, str(fleet.folder / "id_ed25519")
    known.write_text(f"[127.0.0.1]:{port} {fleet.hosts['bob'].host_key}\n")
    args = ("add", "new", "--host", "127.0.0.1", "--port", str(port), "--user", "me", "--key", key, "--yes")
    refused = await shell(*args)
    assert refused.code == 4
    assert f"{known}:1 " in refused.err
    assert "remove the old line and try again" in refused.err
    assert "fleet trust" not in refused.err
    known.write_text("")
    assert (await shell(*args)).code == 0
    assert (await shell("status", "new")).code == 0


async def test_a_host_behind_another_one_of_the_fleet_is_trusted_and_added_through_it(
    fleet: EmbeddedFleet, shell: Shell
) -> None:
    key = ClientKey.make(fleet.folder / "keys")
    async with OpenSshServer(fleet.folder / "sshd", authorized_key=key.public, addresses=2) as server:
        place = {"port": server.port, "ssh_key": str(key.path)}
        fleet.entries = [
            {"name": "gate", "host": server.addresses[0], "host_key": server.host_key(), **place},
            {"name": "inner", "host": server.addresses[1], "jump": "gate", **place},
        ]
        fleet.write_config()
        trusted = await shell("trust", "inner", "--yes")
        assert trusted.code == 0, trusted.err
        args = ("--host", server.addresses[1], "--port", str(server.port), "--key", str(key.path), "--jump", "gate")
        added = await shell("add", "another", *args)
        assert added.code == 0, added.err
