"""Open Sound Control, both ways, on this computer unless another is named.

In: `/audioreactive/set/latents/sequences/0/intensity 0.5` sets a number of the preset; `/audioreactive/next`,
`/reroll`, `/preset 3`, `/black 1`, `/freeze`, `/reset`, `/stop` act. Out: `/audioreactive/beat phase tempo confidence
bars`, `/audioreactive/feature/NAME values...` with each picture, and each number that was changed.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import LiveError, shown

if TYPE_CHECKING:
    from audioreactive.live.deck import Deck
    from audioreactive.live.loop import Loop

ROOT: Final = "/audioreactive"
LACKING: Final = "OSC needs a few more packages: pip install 'audioreactive[live]'"


class OscIn:
    """Listens on a port of 127.0.0.1 until `close`.

    Raises:
        LiveError: a package is missing, or another program has the port.
    """

    def __init__(self, port: int, deck: Deck) -> None:
        try:
            from pythonosc.dispatcher import Dispatcher
            from pythonosc.osc_server import BlockingOSCUDPServer
        except ModuleNotFoundError:
            raise LiveError(LACKING) from None
        dispatcher = Dispatcher()
        dispatcher.set_default_handler(lambda address, *values: handle(deck, address, values))
        try:
            self._server = BlockingOSCUDPServer(("127.0.0.1", port), dispatcher)
        except OSError as error:
            raise LiveError(f"the port {port} cannot be used for OSC ({error.strerror}): choose another") from error
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True, name="osc")
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=2)


def handle(deck: Deck, address: str, values: tuple[Any, ...]) -> None:
    """Carry out one message; what is not for us is ignored."""
    if not address.startswith(f"{ROOT}/"):
        return
    word, _, rest = address.removeprefix(f"{ROOT}/").partition("/")
    if word == "set" and rest:
        deck.ask(rest.replace("/", "."), *values)
    elif word and not rest:
        deck.ask(word, *values)


class OscOut:
    """Sends beats, features and changed numbers to HOST:PORT.

    Raises:
        LiveError: a package is missing, or the address is none.
    """

    def __init__(self, where: str, loop: Loop, deck: Deck) -> None:
        try:
            from pythonosc.osc_message_builder import build_msg
        except ModuleNotFoundError:
            raise LiveError(LACKING) from None
        host, _, port = where.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise LiveError(f"{shown(where)} is no address for OSC: give HOST:PORT, such as 127.0.0.1:9001")
        try:
            found = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise LiveError(f"{shown(where)} cannot be reached for OSC ({error.strerror or error})") from error
        self._build, self._where = build_msg, found[4]
        self._socket = socket.socket(found[0], socket.SOCK_DGRAM)
        self._loop = loop
        loop.before_frame.append(self._tell)
        deck.changed.append(lambda address, value: self._send(f"/set/{address.replace('.', '/')}", [value]))

    def close(self) -> None:
        """Stop sending."""
        self._socket.close()

    def _tell(self, now: float) -> None:
        show = self._loop.show
        beat = show.foretold
        self._send("/beat", [beat.phase, beat.tempo, beat.confidence, beat.bars])
        for name, values in show.features.items():
            self._send(f"/feature/{name}", [float(value) for value in values])

    def _send(self, address: str, values: list[float]) -> None:
        try:
            self._socket.sendto(self._build(ROOT + address, values).dgram, self._where)
        except OSError:
            return  # nobody listens there now; the next message may be heard
