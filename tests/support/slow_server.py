"""A server that takes its time to answer, 32 at a time, and little of the processor.

    python -m support.slow_server 0.2

prints its port, and at the end of its input its counts.

Run as a program, so that it does not share an interpreter with what it measures.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time

from support.chat import completion

AT_ONCE = 32


class Counts:
    number = 0
    first = last = 0.0


async def serve(seconds: float) -> None:
    slots = asyncio.Semaphore(AT_ONCE)
    inter = completion("No pleural effusion. Large right pneumothorax.")
    intra = completion("Large left pleural effusion. No pneumothorax.")

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
                request = await reader.readexactly(length)
                Counts.first = Counts.first or time.monotonic()
                async with slots:
                    await asyncio.sleep(seconds)
                Counts.number += 1
                Counts.last = time.monotonic()
                body = inter if b"another, plausible patient" in request else intra
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(body) + body
                )
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    threading.Thread(target=lambda: asyncio.run(serve(float(sys.argv[1]))), daemon=True).start()
    sys.stdin.read()
    told = {"number": Counts.number, "seconds": Counts.last - Counts.first}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
