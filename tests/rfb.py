"""What a VNC viewer says through the WebSocket, as far as getting in and learning how large the screen is."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Mapping

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from websockets.asyncio.client import ClientConnection, connect

VNC_AUTHENTICATION = 2
_ENTER = 0xFF0D
_KEYSTROKE = 0.05


class RefusedError(Exception):
    """The screen did not take the password."""


class Viewer:
    """Reads the bytes of messages as one stream."""

    def __init__(self, websocket: ClientConnection) -> None:
        self.websocket = websocket
        self._came = b""

    async def read(self, size: int) -> bytes:
        while len(self._came) < size:
            message = await self.websocket.recv()
            assert isinstance(message, bytes)
            self._came += message
        taken, self._came = self._came[:size], self._came[size:]
        return taken

    async def security_types(self) -> list[int]:
        """Those that the screen offers, after the greeting."""
        assert await self.read(12) == b"RFB 003.008\n"
        await self.websocket.send(b"RFB 003.008\n")
        return list(await self.read((await self.read(1))[0]))

    async def enter(self, password: str) -> tuple[int, int]:
        """Width and height of the screen."""
        await self.websocket.send(bytes([VNC_AUTHENTICATION]))
        await self.websocket.send(_answer(await self.read(16), password))
        if struct.unpack("!I", await self.read(4))[0] != 0:
            raise RefusedError
        await self.websocket.send(b"\x01")
        width, height = struct.unpack("!HH", await self.read(4))
        await self.read(16)
        await self.read(struct.unpack("!I", await self.read(4))[0])
        return width, height

    async def picture(self, width: int, height: int) -> bytes:
        """The whole screen, 4 bytes a pixel."""
        await self.websocket.send(struct.pack("!BxHi", 2, 1, 0))  # raw pixels alone
        await self.websocket.send(struct.pack("!BBHHHH", 3, 0, 0, 0, width, height))
        kind, count = struct.unpack("!BxH", await self.read(4))
        assert kind == 0
        seen = b""
        for _ in range(count):
            _, _, wide, high, encoding = struct.unpack("!HHHHi", await self.read(12))
            assert encoding == 0
            seen += await self.read(wide * high * 4)
        return seen

    async def type(self, text: str) -> None:
        """Presses keys as a person does, who holds no shift; a line break is Enter."""
        for sign in text:
            key = _ENTER if sign == "\n" else ord(sign)
            for down in (1, 0):
                await self.websocket.send(struct.pack("!BBxxI", 4, down, key))
                await asyncio.sleep(_KEYSTROKE)  # a keyboard's buffer holds few


def open_viewer(url: str, computer: str, headers: Mapping[str, str]) -> connect:
    address = url.replace("http:", "ws:") + f"/api/computers/{computer}/vnc"
    return connect(address, additional_headers=headers, subprotocols=["binary"], proxy=None)  # type: ignore[list-item]


def _answer(challenge: bytes, password: str) -> bytes:
    """DES, each byte of the key with its bits the other way round."""
    key = bytes(int(f"{byte:08b}"[::-1], 2) for byte in password.encode().ljust(8, b"\0")[:8])
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()
    return encryptor.update(challenge) + encryptor.finalize()
