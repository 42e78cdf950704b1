"""`audioreactive doctor`: reports versions, devices, codecs, and the implementations that run."""

from __future__ import annotations

import importlib.util
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version

import click

from audioreactive.commands import CONTEXT

PACKAGES = (
    "audioreactive",
    "torch",
    "numpy",
    "scipy",
    "librosa",
    "soundfile",
    "soxr",
    "imageio-ffmpeg",
    "pydantic",
    "ninja",
)
EXTRAS = {
    "studio": ("studio", ("starlette", "uvicorn", "websockets")),
    "live": ("live: devices, window, OSC, MIDI", ("sounddevice", "glfw", "moderngl", "pythonosc", "mido", "rtmidi")),
    "codec": ("pack, unpack", ("constriction",)),
    "cluster": ("Ray (--cluster)", ("ray",)),
}
"""Extra of the installation -> what it is for, and its modules."""


@click.command(context_settings=CONTEXT)
@click.option("--check", is_flag=True, help="Compare every compiled op with plain PyTorch, on every device.")
def command(check: bool) -> None:
    """Show versions, devices, codecs, and which compiled ops are in use and why."""
    if check:
        sys.exit(_check())
    for heading, lines in (
        ("versions", _versions()),
        ("devices", _devices()),
        ("video", _video()),
        ("ops", _ops()),
        ("extras", _extras()),
        ("folders", _folders()),
    ):
        click.echo(heading)
        for line in lines:
            click.echo(f"  {line}")


def _check() -> int:
    """Check every compiled op, and print a line for each; returns the exit code, 1 where one is wrong."""
    import torch

    from audioreactive.generators.painter import proven
    from audioreactive.generators.painter.choice import kernels
    from stylegan_ops import selfcheck

    gpus = range(torch.cuda.device_count() if torch.cuda.is_available() else 0)
    checked, wrong = 0, []
    for device in [torch.device("cpu"), *(torch.device("cuda", index) for index in gpus)]:
        painter = kernels(device)
        for outcome in (*selfcheck.check_all(device), *(proven.check_all(painter.form) if painter else ())):
            checked += 1
            wrong += [] if outcome.reason is None else [outcome.op]
            state = "agrees" if outcome.reason is None else f"WRONG: {outcome.reason}"
            click.echo(f"{outcome.op:24} {outcome.precision:9} {outcome.place}: {state}, {outcome.seconds:.2f} s")
    said = f"{len(wrong)} of them {'is' if len(wrong) == 1 else 'are'} wrong"
    if wrong:
        said += f": {', '.join(dict.fromkeys(wrong))}; {'it is' if len(wrong) == 1 else 'they are'} not used"
    click.echo(f"{checked} compiled ops were compared with plain PyTorch; {said}")
    return 1 if wrong else 0


def _versions() -> list[str]:
    lines = [f"{'python':16} {platform.python_version()} on {platform.system()} {platform.machine()}"]
    for package in PACKAGES:
        try:
            lines.append(f"{package:16} {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package:16} missing: pip install {package}")
    return lines


def _devices() -> list[str]:
    import torch

    from audioreactive.generators.devices import choose_dtype

    def precision(device: str) -> str:
        return f"--precision auto is {str(choose_dtype('auto', torch.device(device))).removeprefix('torch.')}"

    capability = torch.backends.cpu.get_cpu_capability()
    lines = [f"cpu: {torch.get_num_threads()} threads, {capability}, {precision('cpu')}"]
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        lines.append(f"cuda:{index}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB, {precision('cuda')}")
    if not torch.cuda.is_available():
        reason = "this build of torch is for CPUs" if torch.version.cuda is None else "no NVIDIA GPU or driver answers"
        lines.append(f"cuda: not in use, {reason}")
    return lines


def _video() -> list[str]:
    from audioreactive.video import ffmpeg_path, ffmpeg_version, output_formats
    from audioreactive.video.nvenc import why_no_nvenc

    nvenc = why_no_nvenc()
    rows = [(kind.extension or "folder", kind.description, kind.available) for kind in output_formats()]
    return [
        f"ffmpeg {ffmpeg_version()}: {ffmpeg_path()}",
        *(f"{name:8} {text}: {'yes' if available else 'not in this ffmpeg'}" for name, text, available in rows),
        f"NVENC: {'yes' if nvenc is None else f'no, {nvenc}'}",
    ]


def _ops() -> list[str]:
    from stylegan_ops.ops import op_status

    networks = [f"{status.op:24} {status.implementation:10} {status.reason}" for status in op_status()]
    return [_painter(), *networks]


def _painter() -> str:
    """Line about the form in which the painter paints on the CPU."""
    from audioreactive.generators.painter.kernels import cpu_kernels
    from stylegan_ops.choice import VARIABLE, wanted_implementation

    if wanted_implementation(None) == "reference":
        reason = f"{VARIABLE} asks for it"
    else:
        with warnings.catch_warnings():  # the reason stands in the line
            warnings.simplefilter("ignore")
            found = cpu_kernels()
        if not isinstance(found, str):
            return f"{'painter':24} {'compiled':10} CPU; each family when it is first painted"
        reason = found
    return f"{'painter':24} {'reference':10} plain PyTorch, some twenty times slower: {reason}"


def _extras() -> list[str]:
    state = _installed("madmom", ("madmom",))
    return [
        f"madmom (--beats madmom): {state}; its trained models are CC BY-NC-SA, not for commercial use",
        *(f"{what}: {_installed(extra, modules)}" for extra, (what, modules) in EXTRAS.items()),
    ]


def _installed(extra: str, modules: tuple[str, ...]) -> str:
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    return f"lacks {', '.join(missing)}: pip install 'audioreactive[{extra}]'" if missing else "installed"


def _folders() -> list[str]:
    from platformdirs import user_cache_path

    return [f"cache of analyses: {user_cache_path('audioreactive')}"]
