"""A line that delays, loses and holds up frames: a program of its own, between two TAP devices.

    slowline.py TAP TAP LOSS-PERCENT DELAY-MS      (in the namespace of the devices' bridges)

The kernel's own netem queue does this too, where a kernel has it. Each way loses and delays by itself. A line
"stall SECONDS" on standard input holds everything up for so long; its end ends the program.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import sys
import time
from contextlib import suppress

TUNSETIFF = 0x400454CA
IFF_TAP_NO_PI = 0x0002 | 0x1000
# Who is where is asked and answered by the last router, which is not what is slow.
ARP = b"\x08\x06"


def tap(name: str) -> int:
    """Open a TAP device, made now."""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP_NO_PI))
    return fd


def neighbourly(frame: bytes) -> bool:
    """Whether a frame is ARP, or IPv6's own form of it (ICMPv6, types 133 to 137)."""
    return frame[12:14] == ARP or (
        frame[12:14] == b"\x86\xdd" and frame[20] == 58 and 133 <= frame[54] <= 137
    )


def main() -> None:
    """Carry frames until standard input ends."""
    names, loss, delay = sys.argv[1:3], float(sys.argv[3]) / 100, float(sys.argv[4]) / 1000
    one, two = map(tap, names)
    across = {one: two, two: one}
    print("open", flush=True)
    waiting: list[tuple[float, int, int, bytes]] = []
    order = itertools.count()
    held_until = 0.0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now and held_until <= now:
            _, _, out, frame = heapq.heappop(waiting)
            # A device that is down, or full: a frame less, as on any line.
            with suppress(OSError):
                os.write(out, frame)
        wake = max(waiting[0][0], held_until) - now if waiting else None
        ready, _, _ = select.select([one, two, sys.stdin], [], [], wake)
        for fd in ready:
            if fd is sys.stdin:
                words = sys.stdin.readline().split()
                if not words:
                    return
                held_until = time.monotonic() + float(words[1])
                continue
            frame = os.read(fd, 65536)
            if neighbourly(frame):
                with suppress(OSError):
                    os.write(across[fd], frame)
            elif random.random() >= loss:
                heapq.heappush(waiting, (time.monotonic() + delay, next(order), across[fd], frame))


if __name__ == "__main__":
    main()
