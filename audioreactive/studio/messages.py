"""Messages from the page, checked before anything is done with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from audioreactive.errors import PresetError, printable
from audioreactive.patches.fields import Part, Seed
from audioreactive.patches.schema import PaletteEntry
from audioreactive.studio.renders import Delivery
from audioreactive.studio.safety import LONGEST_MESSAGE

if TYPE_CHECKING:
    from starlette.websockets import WebSocket

MOST_CREDIT: Final = 240

Index = Annotated[int, Field(ge=0, le=63)]
Frame = Annotated[int, Field(ge=0, le=30_000_000)]
ViewName = Annotated[str, Field(pattern=r"^(main|tile\d{1,2}|other)$")]
Credit = Annotated[int, Field(ge=0, le=MOST_CREDIT)]
Height = Annotated[int, Field(ge=96, le=720)]


Deliveries = Annotated[list[Delivery], Field(min_length=1, max_length=8)]


class Show(Part):
    """Shows a clip in a view."""

    type: Literal["show"]
    view: ViewName
    section: Index | None = None
    """None: the window of the whole song at `at`."""
    edit: dict[str, Any] | None = None
    """An edit that is tried, and not recorded."""
    solo: Annotated[
        tuple[Annotated[str, Field(pattern=r"^(latents|noise)\.\d{1,2}$")], ...], Field(max_length=128)
    ] = ()
    at: Frame = 0
    credit: Credit = 48
    height: Height | None = None
    still: bool = False
    playing: bool = False


class Refine(Part):
    """Paints a frame in full quality, because the playhead rests on it."""

    type: Literal["refine"]
    clip: Frame
    frame: Frame


class Hide(Part):
    """Stops painting for a view."""

    type: Literal["hide"]
    view: ViewName


class MoreCredit(Part):
    """Has room for more frames of a clip."""

    type: Literal["credit"]
    view: ViewName
    clip: Frame
    count: Credit


class At(Part):
    """Moves the playhead, a frame of the song."""

    type: Literal["at"]
    frame: Frame
    playing: bool = False


class Lost(Part):
    """Has dropped frames, which may be wanted again."""

    type: Literal["lost"]
    view: ViewName
    clip: Frame
    frames: Annotated[list[Frame], Field(max_length=4096)]


class Edit(Part):
    """Makes an edit."""

    type: Literal["edit"]
    edit: dict[str, Any]


class Step(Part):
    """Undoes or redoes an edit."""

    type: Literal["undo", "redo"]


class Ask(Part):
    """Asks for what takes longer."""

    type: Literal["ask"]
    what: Literal["envelopes", "scores", "flashes", "best", "palette"]
    section: Index = 0
    seeds: Annotated[tuple[PaletteEntry, ...], Field(max_length=64)] = ()
    keep: Annotated[tuple[Annotated[str, Field(max_length=20)], ...], Field(max_length=140)] = ()


class Fit(Part):
    """Fits a HiPPO synthesizer to the song and adds it to a section."""

    type: Literal["hippo"]
    section: Index
    seed: Seed = 0


class StopFit(Part):
    """Stops fitting."""

    type: Literal["unfit"]


class Render(Part):
    """Puts videos into the queue."""

    type: Literal["render"]
    deliveries: Deliveries


class JobCommand(Part):
    """Cancels or resumes a video of the queue."""

    type: Literal["cancel", "resume"]
    job: Frame


class Leave(Part):
    """Wants another project."""

    type: Literal["leave"]


class Ping(Part):
    """Asks whether the studio is there."""

    type: Literal["ping"]


Message = Annotated[
    Show
    | Refine
    | Hide
    | MoreCredit
    | At
    | Lost
    | Edit
    | Step
    | Ask
    | Fit
    | StopFit
    | Render
    | JobCommand
    | Leave
    | Ping,
    Field(discriminator="type"),
]
_MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Message)


async def next_text(socket: WebSocket) -> str:
    """Wait for a page's next message; one of bytes, which no page sends, is an empty text.

    Raises:
        WebSocketDisconnect: the page has gone.
    """
    from starlette.websockets import WebSocketDisconnect

    told = await socket.receive()
    if told["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(told.get("code", 1000), told.get("reason"))
    return told.get("text") or ""


def message_of(text: str) -> Message:
    """Read a message.

    Raises:
        PresetError: it is not valid.
    """
    if len(text) > LONGEST_MESSAGE:
        raise PresetError(f"a message has {len(text)} characters; at most {LONGEST_MESSAGE} are read")
    try:
        return _MESSAGE.validate_python(json.loads(text))
    except (ValidationError, ValueError, RecursionError) as error:
        told = error.errors(include_url=False)[0]["msg"] if isinstance(error, ValidationError) else "it is not JSON"
        raise PresetError(f"a message cannot be read: {printable(str(told), 200)}") from None
