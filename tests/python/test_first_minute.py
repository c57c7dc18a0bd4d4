"""The README's first minute, on the shipped configuration: a bare client types lines of JSON."""

import asyncio
import json
import unittest

import websockets

from gateway import Gateway, shipped


class FirstMinute(unittest.IsolatedAsyncioTestCase):
    @classmethod
    def setUpClass(cls):
        cls.gateway = Gateway(shipped())

    @classmethod
    def tearDownClass(cls):
        assert cls.gateway.stop() == 0

    async def test_a_person_types(self):
        async with websockets.connect(self.gateway.url, subprotocols=["protogate.v1.json"]) as socket:
            hello = json.loads(await socket.recv())
            self.assertEqual(hello["protocol"], 1)

            async def typed(line):
                await socket.send(line)
                while True:
                    answer = json.loads(await asyncio.wait_for(socket.recv(), 60))
                    if answer["protocol"] != 6 if "protocol" in answer else True:
                        return answer

            self.assertEqual(await typed('{"protocol":9001,"payload":{"text":"hi"}}'), {"protocol": 9001, "payload": {"text": "hi"}})

            # A typo is answered, and closes nothing.
            answer = await typed('{"protocl":9001}')
            self.assertEqual(answer["status"]["reason"], "INVALID_MESSAGE")
            self.assertIn("protocol", answer["status"]["message"], "the answer says what would be right")
            answer = await typed("hello?")
            self.assertEqual(answer["status"]["reason"], "INVALID_MESSAGE")
            answer = await typed('{"protocol":9001,"payload":{"txt":"hi"}}')
            self.assertEqual(answer["status"]["reason"], "INVALID_MESSAGE")
            self.assertIn("txt", answer["status"]["message"])

            # Neither does a minute of silence. This is the promise itself, so it takes a minute.
            await asyncio.sleep(62)
            self.assertEqual(await typed('{"protocol":9001,"payload":{"text":"still here"}}'), {"protocol": 9001, "payload": {"text": "still here"}})

    async def test_the_command_line_calls(self):
        for arguments in ([], ["--format", "proto", "--config", self.gateway.folder / "routes"]):
            called = await asyncio.to_thread(self.gateway.cli, "call", "9001", '{"text":"hello"}', "--url", self.gateway.url, *arguments)
            self.assertEqual((called.returncode, called.stdout), (0, '{"text":"hello"}\n'), called.stderr)

    async def test_a_browser_is_told_what_this_is(self):
        reader, writer = await asyncio.open_connection(*self.gateway.edge.split(":"))
        writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n")
        head = (await asyncio.wait_for(reader.read(4096), 60)).decode()
        self.assertIn("200 OK", head)
        self.assertIn("protogate.v1.json", head)
        writer.close()
        await writer.wait_closed()

    async def test_a_client_that_offers_no_subprotocol_is_told_which(self):
        with self.assertRaises(websockets.InvalidStatus) as refused:
            await websockets.connect(self.gateway.url)
        self.assertEqual(refused.exception.response.status_code, 400)
        self.assertIn(b"protogate.v1.json", refused.exception.response.body)


if __name__ == "__main__":
    unittest.main()
