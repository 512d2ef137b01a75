"""SSH without the empty messages that asyncssh puts between ours."""

from __future__ import annotations

import asyncssh
from asyncssh.constants import MSG_IGNORE
from asyncssh.packet import SSHPacketLogger


def leave_out_empty_messages(ssh: asyncssh.SSHClientConnection) -> None:
    """Has a connection send what it has to say and nothing else, unless its cipher needs more.

    asyncssh (2.24) puts an empty message before each message, whatever the cipher: half of all that is sealed here and
    opened there. It is good for CBC only, where one block gives the next one's away (RFC 4251, section 9.3.1).
    """
    send = ssh.send_packet

    def send_unless_empty(pkttype: int, *args: bytes, handler: SSHPacketLogger | None = None) -> None:
        if pkttype != MSG_IGNORE or "-cbc" in ssh.get_extra_info("send_cipher", ""):
            send(pkttype, *args, handler=handler)

    ssh.send_packet = send_unless_empty
