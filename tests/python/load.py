"""People who use a gateway: in JSON, from a thread of their own, until they are stopped."""

import asyncio
import itertools
import json
import threading

import websockets


class Person:
    """One connection that speaks JSON."""

    def __init__(self, url):
        self.url = url
        self.ids = itertools.count(1)
        self.heard = []

    async def connect(self, *offered):
        self.socket = await websockets.connect(self.url, subprotocols=["protogate.v1.json", *offered])
        assert (await self.read())["protocol"] == 1
        return self

    async def read(self):
        while True:
            said = json.loads(await asyncio.wait_for(self.socket.recv(), 120))
            if said.get("protocol") != 6:
                return said

    async def call(self, protocol, **payload):
        """The whole answer; what comes before it is kept in `heard`."""
        sent = next(self.ids)
        await self.socket.send(json.dumps({"protocol": protocol, "id": sent, "payload": payload}))
        while (said := await self.read()).get("id") != sent:
            self.heard.append(said)
        return said

    async def hear(self, protocol):
        while True:
            for at, said in enumerate(self.heard):
                if said.get("protocol") == protocol:
                    return self.heard.pop(at)
            self.heard.append(await self.read())


class Load:
    """So many people who echo, play and make mistakes, each a few times a second."""

    def __init__(self, url, people):
        self.stopping = threading.Event()
        self.problem = None
        self.thread = threading.Thread(target=self._run, args=(url, people), daemon=True)
        self.thread.start()

    def _run(self, url, people):
        async def all_of_them():
            await asyncio.gather(*(self._live(url, number) for number in range(people)))
        try:
            asyncio.run(all_of_them())
        except Exception as problem:  # told by `stop`, in the thread of the test
            self.problem = problem

    async def _live(self, url, number):
        person = await Person(url).connect()
        if number % 3:
            await person.call(1002, username=f"player{number}", password="correct horse", email=f"player{number}@example.com")
            await person.call(2002, name=f"table {number}", capacity=4)
        while not self.stopping.is_set():
            await person.call(9001, text="hello")
            if number % 3:
                await person.call(2005)
            if number % 4 == 1:
                await person.call(2003, roomId="nowhere")
            person.heard.clear()
            # Who has no name shares a limit with everybody of the same address, also with the one who looks.
            await asyncio.sleep(0.15 + number / 100 if number % 3 else 0.6)
        await person.socket.close()

    def stop(self):
        self.stopping.set()
        self.thread.join(timeout=60)
        assert not self.thread.is_alive()
        if self.problem:
            raise self.problem
