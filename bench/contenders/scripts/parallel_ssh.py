"""parallel-ssh, the library: its client over libssh2, all hosts at once."""

# pyright: basic, reportMissingImports=false
# Its library is not in the environment that is checked.
from __future__ import annotations

from pssh.clients import ParallelSSHClient

from bench.contenders import DONE, plain_command
from bench.contenders.scripts.rounds import answer, arguments, chunks, rounds
from bench.lab import PORT


def main() -> None:
    """Warm keeps the client, whose connections stay open; cold makes a new one for each round."""
    lab, count, words = arguments()
    warm = words == ["warm"]
    hosts = [host.address for host in lab.hosts[:count]]

    def new_client() -> ParallelSSHClient:
        return ParallelSSHClient(
            hosts, port=PORT, user="root", pkey=str(lab.key), pool_size=count, allow_agent=False, identity_auth=False
        )

    client = new_client()
    if warm:
        client.join(client.run_command("true"))
    answer(0)
    for tasks in rounds():
        outputs = [client.run_command("%s", host_args=tuple(map(plain_command, part))) for part in chunks(tasks, count)]
        done = 0
        for output in outputs:
            client.join(output)
            done += sum(DONE in line for host in output for line in host.stdout)
        answer(done)
        if not warm:
            client = new_client()  # the connections go with the one before


if __name__ == "__main__":
    main()
