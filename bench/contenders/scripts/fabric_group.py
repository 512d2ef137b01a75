"""Fabric: a ThreadingGroup, a thread for each host."""

# pyright: basic, reportMissingImports=false
# Its library is not in the environment that is checked.
from __future__ import annotations

from fabric import Config, ThreadingGroup

from bench.contenders import DONE, plain_command
from bench.contenders.scripts.rounds import answer, arguments, chunks, rounds
from bench.lab import PORT


def main() -> None:
    """Warm keeps the group, whose connections stay open; cold makes a new one for each round."""
    lab, count, words = arguments()
    warm = words == ["warm"]
    hosts = [host.address for host in lab.hosts[:count]]
    settings = Config(overrides={"load_ssh_configs": False})
    keys = {"key_filename": str(lab.key), "allow_agent": False, "look_for_keys": False}

    def new_group() -> ThreadingGroup:
        return ThreadingGroup(*hosts, user="root", port=PORT, config=settings, connect_kwargs=keys)

    group = new_group()
    if warm:
        group.run("true", hide=True, in_stream=False)
    answer(0)
    for tasks in rounds():
        done = 0
        for part in chunks(tasks, count):
            results = group.run(plain_command(part[0]), hide=True, in_stream=False, encoding="utf-8")
            done += sum(DONE in result.stdout for result in results.values())
        answer(done)
        if not warm:
            group.close()
            group = new_group()


if __name__ == "__main__":
    main()
