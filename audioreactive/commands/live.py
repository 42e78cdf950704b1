"""`audioreactive live`: sound in, picture out, now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from audioreactive.commands import CONTEXT
from audioreactive.commands.options import device_option, model_option, quiet_option, set_option
from audioreactive.commands.values import PATH, FrameRate, RealNumber, Size, WholeNumber, model_file
from audioreactive.errors import LiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction


@click.command(context_settings=CONTEXT)
@click.option(
    "--input",
    "source",
    metavar="NAME|FILE|-",
    help="A device by (part of) its name, a sound file, loopback (what the computer plays), or - for raw PCM. "
    "[default: the system's input]",
)
@click.option("--list-devices", is_flag=True, help="List the inputs of this computer, and end.")
@model_option
@click.option(
    "--preset",
    "presets",
    multiple=True,
    metavar="NAME|FILE",
    help="Presets for the keys 1 to 9; the first is played. Can be repeated. [default: pulse and others]",
)
@set_option
@click.option("--size", type=Size(), metavar="WxH", help="Size of the picture. [default: 1280x720]")
@click.option("--fps", type=FrameRate(), metavar="N", help="Most pictures a second. [default: 60]")
@click.option("--fullscreen", is_flag=True, help="Begin full screen (F changes it).")
@click.option("--display", type=WholeNumber(0, 15), metavar="N", help="Show on this display; 0 is the main one.")
@click.option("--headless", is_flag=True, help="Open no window.")
@click.option(
    "--clock",
    type=click.Choice(["real", "simulated"]),
    default="real",
    show_default=True,
    help="simulated: hear a file with exact delays, as fast as this machine can.",
)
@click.option(
    "--frame-cost",
    type=RealNumber(0, 10_000),
    metavar="MS",
    help="With --clock simulated: take this for a picture's work, not what was measured.",
)
@click.option("--silent", is_flag=True, help="Do not play a file on the loudspeakers.")
@click.option("--seconds", type=RealNumber(0.1, 86_400), metavar="S", help="End after so many seconds.")
@click.option("--report", type=PATH, metavar="FILE", help="Write delays and counts as JSON.")
@click.option("--record", type=PATH, metavar="FILE", help="Record what is seen and heard, such as out.mp4.")
@click.option("--overwrite", is_flag=True, help="Replace an existing recording.")
@click.option("--osc", type=WholeNumber(1, 65535), metavar="PORT", help="Listen for OSC on this port of 127.0.0.1.")
@click.option("--osc-to", metavar="HOST:PORT", help="Send features and beats as OSC to this address.")
@click.option("--midi", metavar="NAME", help="Listen to this MIDI controller (L learns).")
@click.option("--mapping", type=PATH, metavar="FILE", help="Mapping of controls, in TOML; learned ones are added.")
@click.option(
    "--serve",
    type=WholeNumber(0, 65535),
    metavar="PORT",
    help="Show the picture in a page on this computer, for OBS; 0 takes a free port.",
)
@click.option(
    "--rate", type=WholeNumber(8000, 192_000), default=44_100, metavar="HZ", help="Rate of raw PCM. [default: 44100]"
)
@click.option("--channels", type=WholeNumber(1, 32), default=2, metavar="N", help="Channels of raw PCM. [default: 2]")
@click.option("--every-pixel", is_flag=True, help="Paint every pixel, even where that takes too long.")
@click.option("--flashes", is_flag=True, help="Show flashes as they come: a danger for photosensitive viewers.")
@device_option
@quiet_option
def command(
    source: str | None, list_devices: bool, model: Path | str | None, presets: tuple[str, ...],
    overrides: tuple[str, ...], size: tuple[int, int] | None, fps: Fraction | None, fullscreen: bool,
    display: int | None, headless: bool, clock: str, frame_cost: float | None, silent: bool,
    seconds: float | None,
    report: Path | None, record: Path | None, overwrite: bool, osc: int | None, osc_to: str | None, midi: str | None,
    mapping: Path | None, serve: int | None, rate: int, channels: int,
    every_pixel: bool, flashes: bool, device: str, quiet: bool,
) -> None:  # fmt: skip
    """Hear a device or a file, and show the picture as it sounds.

    \b
    audioreactive live
    audioreactive live --input "USB Audio" --preset pulse --size 1280x720
    audioreactive live --input song.flac --record out.mp4
    audioreactive live --input song.flac --headless --clock simulated

    Keys: F full screen, N next preset, R other colours and forms, 1 to 9 presets, B black, L learn MIDI, Esc ends.
    """
    if list_devices:
        from audioreactive.live.devices import device_lines

        click.echo("\n".join(device_lines()))
        return
    simulated = clock == "simulated"
    if frame_cost is not None and not simulated:
        raise LiveError("--frame-cost is for --clock simulated: in real time a picture takes as long as it takes")
    from audioreactive.commands.reports import check_reports, write_numbers
    from audioreactive.generators import open_generator
    from audioreactive.live.inputs import FileInput
    from audioreactive.live.perform import LIVE_FPS, Performance, open_input, perform
    from audioreactive.live.presets import opening_presets
    from audioreactive.live.speakers import play_or_say
    from audioreactive.live.stage import Extras
    from audioreactive.patches.presets import preset_path
    from audioreactive.video import check_output

    read = (Path(source) if source else None, model_file(model), *map(preset_path, presets), mapping)
    check_reports(None, report, overwrite=True, inputs=read)
    if record is not None:
        check_output(record, overwrite, inputs=read)
    played = opening_presets(presets, overrides)
    sound = open_input(source, simulated=simulated, rate=rate, channels=channels)
    say: Callable[[str], None] = (lambda text: None) if quiet else click.echo
    try:
        if isinstance(sound, FileInput) and not simulated and not silent:
            play_or_say(sound, say)
        performance = Performance(
            preset=played[0],
            presets=played,
            size=size,
            fps=fps or LIVE_FPS,
            seconds=seconds,
            simulated=simulated,
            cost=None if frame_cost is None else frame_cost / 1000,
            every_pixel=every_pixel,
            flashes=flashes,
            extras=Extras(
                window=not headless,
                fullscreen=fullscreen,
                display=display,
                record=record,
                overwrite=overwrite,
                osc=osc,
                osc_to=osc_to,
                midi=midi,
                mapping=mapping,
                serve=serve,
                say=say,
            ),
        )
        result = perform(performance, open_generator(model, device=device), sound)
    finally:
        sound.close()
    if report is not None:
        write_numbers(result, report)
    if not quiet:
        if record is not None:
            click.echo(record)
        click.echo(
            f"{result['frames']} pictures in {result['seconds']:.1f} s, {result['dropped']} left out; sound to picture "
            f"{result['latency_ms_median']:.0f} ms, 95 of 100 within {result['latency_ms_p95']:.0f} ms"
        )
        for sentence in result["not_live"]:
            click.echo(sentence)
