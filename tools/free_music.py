"""Downloads free music of many kinds, in three parts: to train on, to tune with, and to judge by.

    python tools/free_music.py FOLDER               # downloads what is not there yet; needs Debian or one of its kin
    python tools/free_music.py FOLDER --list test   # prints the paths of a part, one a line
    python tools/free_music.py --table              # prints the packages as a table in Markdown

Songs come from packages of Debian's games, whose licences allow to use, change and share them. A song is written to
FOLDER/PART/PACKAGE/SONG, and what the package says of its licences to FOLDER/licences/PACKAGE. Nothing is installed.
Songs are named one by one, so that the split is the same for everyone; docs/lab/music.md tells how it was made.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

PARTS: Final = ("train", "validation", "test")
LARGEST_SONG: Final = 64 << 20
"""Bytes of a song; none is half as long."""
ARCHIVES: Final = (".pk3", ".love")
"""End of the names of ZIP archives in which some games keep their music."""


class FreeMusicError(Exception):
    """A sentence for the user."""


@dataclass(frozen=True)
class Package:
    """A package of Debian, and those of its songs that are used."""

    name: str
    kind: str
    """Kind of music."""
    licence: str
    """Licence of these songs."""
    train: str = ""
    """Paths, separated by |; as much of their ends as tells them apart, without .ogg."""
    validation: str = ""
    test: str = ""

    def songs(self, part: str) -> tuple[str, ...]:
        """Ends of the paths of a part's songs."""
        words = [word.strip() for word in str(getattr(self, part)).split("|") if word.strip()]
        return tuple(word if word.endswith((".mp3", ".opus")) else f"{word}.ogg" for word in words)

    def targets(self, part: str, folder: Path) -> dict[str, Path]:
        """End of a path in the package -> where the song is kept."""
        place = folder / part / self.name
        return {song: place / song.replace("/", " ") for song in self.songs(part)}


PACKAGES: Final = (
    Package("a7xpg-data", "techno of an arcade game", "BSD 2-clause", train="bgm1|bgm2|bgm3"),
    Package("ardentryst", "synthesized fantasy", "CC BY-SA 3.0", train="Sempridge|World_Map2|castle|theme1"),
    Package("asc-music", "military, with an orchestra and a drum machine", "GPL 2+", test="machine_wars.mp3"),
    Package(
        "colobot-common-sounds",
        "ambient electronica; synthesized adventure",
        "GPL 3+",
        train="Constructive|Hv2|Prototype|Quite|Intro2|music002|music007|music013",
        validation="Proton",
    ),
    Package("endless-sky-data", "dark ambient", "GPL 3+", train="machinery.mp3"),
    Package(
        "enigma-data",
        "piano, ragtime, chamber music",
        "GPL 2",
        train="across_the_ice|in_space|meditation|on_the_water|enigma_rag|esprit",
    ),
    Package(
        "extremetuxracer-data",
        "surf rock, big beat, calm synthesizers",
        "GPL 2+",
        train="calmrace-ks|credits1-cp|freezingpoint|spunkyrace-ks",
    ),
    Package(
        "fillets-ng-data", "strange and slow, for an aquarium", "GPL 2", train="rybky01|rybky03|rybky06|rybky07|rybky14"
    ),
    Package(
        "flare-game",
        "orchestral and ambient fantasy",
        "CC BY-SA 3.0+",
        train="battle_theme|cave_theme|dungeon_theme|forest_theme|magical_theme|overworld_theme|town_theme",
    ),
    Package(
        "freedroidrpg-data",
        "industrial, ambient, drum and bass",
        "GPL 2+",
        train="AmbientBattle|Hyperbattle|ImperialArmy|NewTutorialStage|TechBattle|TheBeginning|temple|town",
    ),
    Package(
        "fretsonfire-songs-muldjord",
        "death metal",
        "CC BY-SA 3.0",
        train="armygeddon/song|chaos_god/song|internal_degeneration/song|mutilated_mime/song",
    ),
    Package(
        "fretsonfire-songs-sectoid",
        "hard rock",
        "Expat",
        train="Escape from chaosland/song|Feelings/song|Metal madness/song|War of freedom/song",
    ),
    Package("frozen-bubble-data", "tracker pop", "GPL 2", test="frozen-mainzik-2p"),
    Package("gigalomania-data", "calm keyboards", "CC BY 3.0", train="gamemusic|mainscreen"),
    Package(
        "hedgewars-data",
        "rock, funk, big beat, folk, spooks",
        "GPL 2",
        train="Beach|City|Compost|Desert|EarthRise|Freeway|Fruit|Jungle|Nature|Rock|oriental|pirate|underwater",
    ),
    Package("hex-a-hop-data", "chill-out", "CC BY-SA 3.0", test="music-game"),
    Package(
        "hyperrogue-music",
        "dark synthesizers, percussion",
        "CC BY-SA 3.0",
        train="hr-domina-mountain|hr-savino-palace|hr3-desert|hr3-graveyard|hr3-jungle|hr3-laboratory|hr3-motion",
        validation="hr3-hell",
    ),
    Package(
        "lincity-ng-data",
        "blues, jazz",
        "GPL 2+",
        train="01 - pronobozo - lincity|02 - Robert van Herk - City Blues"
        "|03 - Robert van Herk - Architectural Contemplations",
    ),
    Package("marsshooter-data", "symphonic metal with a singer", "CC BY-SA 3.0", test="06_starfall"),
    Package("mrrescue", "chiptune", "zlib", test="rockerronni"),
    Package("mu-cade-data", "techno of an arcade game", "BSD 2-clause", train="mcd1|mcd3|mcd4"),
    Package(
        "nexuiz-music",
        "industrial, drum and bass, trance",
        "GPL 2+",
        train="beast-of-insanity|calling-bogus|chaos-fog|digital-pursuit|ninesix|northern-lights|sixtyfour_|stairs",
        validation="brokenlight",
    ),
    Package("noiz2sa-data", "techno of an arcade game", "BSD 2-clause", train="stg0|stg1|stg2|stg3|stg5"),
    Package(
        "openclonk-data",
        "house, rock, ambient, bolero, reggae",
        "CC BY 3.0 or CC0",
        train="@CrushedIceCocktail|Cavern|LucidDream|Motorway|Offshore|TheSkylands|UrbanBolero",
        validation="IslandDreams",
    ),
    Package("parsec47-data", "techno of an arcade game", "BSD 2-clause", train="ptn0|ptn1|ptn2"),
    Package("pax-britannica-data", "ambient, without a beat", "Expat", test="music"),
    Package("performous", "electronic pop with a singer", "GPL 2+", test="menu"),
    Package(
        "pushover-data",
        "chiptune of the Amiga",
        "GPL 3+",
        train="aztec|castle|dungeon|greek|japanese|space|toxcity",
        validation="electro",
    ),
    Package("raincat-data", "light keyboards", "BSD 3-clause", train="project_raincat"),
    Package("scorched3d-data", "electronic loops", "GPL 2+", train="mix3_loop1|mix3_loop2"),
    Package(
        "singularity-music",
        "dark electronica",
        "CC BY-SA 3.0",
        train="A New Journey|Aberrations|Advanced Simulacra|Awakening|By-Product|Coherence|Enemy Unknown|Media Threat",
        validation="Nebula",
    ),
    Package(
        "starfighter-data",
        "electro, synthwave, blues",
        "GPL 2+",
        train="RE|frozen_jam|orbital_colossus|railjet_short|rise_of_spirit|sound_and_silence|space_dimensions"
        "|walking_among_androids",
        validation="last_cyber_dance",
    ),
    Package(
        "supertux-data",
        "chiptune, big band, rock, dance",
        "GPL 2+",
        train="airship_remix|arctic_breeze|bossattack|chipdisko|salcon|darkforestkeep|fortress"
        "|clavelian_march|forest-sprint|ghostforest|shallow-green|christmas_theme"
        "|saharan_penguin",
    ),
    Package("titanion-data", "techno of an arcade game", "BSD 2-clause", train="ttn1|ttn2|ttn3"),
    Package("torus-trooper-data", "techno of an arcade game", "BSD 2-clause", train="tt1|tt2|tt4"),
    Package("trackballs-data", "tracker music", "GPL 2+", train="tb_design|tb_genesis|tb_hrluebke|tb_schizophrenia"),
    Package(
        "ufoai-music",
        "industrial, trance, ambient, film music",
        "CC BY 3.0, CC BY-SA 3.0, GPL 2 or public domain",
        train="AlexFightmare|Crystan-Battlescape01|Crystan-Battlescape04|Crystan-Tutorial|David02"
        "|Marine01|MarineUrbanWarfare|PsymongN1|PsymongO3|PsymongR2|azrael1"
        "|greecei|karlmacklin_geoscape|van_theme",
        validation="van_mission",
    ),
    Package("unknown-horizons", "medieval and romantic orchestra", "GPL 2+", test="uh_gameplay3"),
    Package(
        "warmux-data",
        "accordion, circus, electronica",
        "GPL 2+",
        train="Monkey-bubble|Apnee|Etrange_epouvantable|Like_a_rock|Vogue_a_lame|construction|diabolicux",
        validation="circux",
    ),
    Package(
        "warzone2100-music",
        "slow and heavy industrial",
        "GPL 2+",
        train="track3_enhanced.opus|track6.opus|track19.opus|menu.opus",
    ),
    Package(
        "wesnoth-1.16-music",
        "romantic orchestra",
        "GPL 2+",
        train="breaking_the_chains|elvish-theme|heroes_rite|knolls|love_theme|loyalists"
        "|northern_mountains|siege_of_laurelmor|suspense|the_dangerous_symphony|traveling_minstrels|underground",
        validation="northerners",
    ),
    Package("wizznic-data", "electronica", "GPL 3", train="7 Nights|Imperia|In Rome|Sexaine|Smash It|Wizz 3"),
    Package("wordwarvi-sound", "instrumental rock", "CC BY-SA 3.0", test="lucky13-steve-mono-mix"),
    Package(
        "xmoto-data",
        "electronic dance, rock",
        "GPL 2+",
        train="MadeiraStew|batcave|foxrun|legolodio|ridealong|speeditup",
    ),
    Package("zaz-data", "breakbeat, electronica", "CC BY-SA 3.0", test="mus1"),
)


def ends_with(path: str, end: str) -> bool:
    """Whether a path in a package ends so, after a slash, or after a space or a point as in `Artist - Song`."""
    return path == end or (path.endswith(end) and path[-len(end) - 1] in "/ .")


def package_files(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Path and content of every file of a Debian package, and of the ZIP archives in it.

    Raises:
        FreeMusicError: the package cannot be read.
    """
    unpacker = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(archive)], stdout=subprocess.PIPE)
    assert unpacker.stdout is not None
    try:
        with tarfile.open(fileobj=unpacker.stdout, mode="r|") as files:
            for member in files:
                content = files.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                if not member.name.endswith(ARCHIVES):
                    yield member.name, content
                    continue
                with tempfile.TemporaryFile() as copy:
                    shutil.copyfileobj(content, copy)
                    with zipfile.ZipFile(copy) as inner:
                        for name in inner.namelist():
                            yield f"{member.name}/{name}", io.BytesIO() if name.endswith("/") else inner.open(name)
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise FreeMusicError(f"{archive.name} cannot be unpacked ({error}); run the same command again") from error
    finally:
        unpacker.stdout.close()
        unpacker.wait()


def download(name: str, folder: Path) -> Path:
    """Download a package into a folder.

    Raises:
        FreeMusicError: the package cannot be had.
    """
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise FreeMusicError(f"there is no {program} here; run this on Debian, or on a system made from it")
    done = subprocess.run(["apt-get", "download", name], cwd=folder, capture_output=True, encoding="utf-8", check=False)
    found = sorted(folder.glob(f"{name}_*.deb"))
    if done.returncode or not found:
        lines = done.stderr.strip().splitlines() or ["it says nothing"]
        raise FreeMusicError(f"{name} cannot be downloaded ({lines[-1]}); run `apt-get update`, and this again")
    return found[0]


def write(content: IO[bytes], path: Path) -> None:
    """Write a song whole, or not at all.

    Raises:
        FreeMusicError: it is larger than any song that is wanted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    data = content.read(LARGEST_SONG + 1)
    if len(data) > LARGEST_SONG:
        raise FreeMusicError(f"{path.name} is larger than {LARGEST_SONG >> 20} MiB, which no song of the table is")
    partial.write_bytes(data)
    partial.replace(path)


def fetch(package: Package, folder: Path) -> None:
    """Download a package, and keep its songs and what it says of licences.

    Raises:
        FreeMusicError: a song is not in the package, or the package cannot be had.
    """
    wanted = {song: path for part in PARTS for song, path in package.targets(part, folder).items()}
    licence = folder / "licences" / package.name
    if licence.is_file() and all(path.is_file() for path in wanted.values()):
        return
    found: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as place:
        for name, content in package_files(download(package.name, Path(place))):
            if name.endswith(f"/doc/{package.name}/copyright"):
                write(content, licence)
            for song, path in wanted.items():
                if ends_with(name, song):
                    if song in found:
                        raise FreeMusicError(f"{package.name} holds {found[song]} and {name}: name {song!r} in full")
                    found[song] = name
                    write(content, path)
    if missing := [song for song in wanted if song not in found]:
        raise FreeMusicError(f"{package.name} holds no {', '.join(missing)}: another release of Debian has other songs")


def fetch_all(folder: Path) -> bool:
    """Download all packages, one after the other; whether every song is there."""
    failed = 0
    for number, package in enumerate(PACKAGES, 1):
        print(f"{number}/{len(PACKAGES)} {package.name}", flush=True)
        try:
            fetch(package, folder)
        except FreeMusicError as error:
            print(f"  {error}", file=sys.stderr)
            failed += 1
    if failed:
        print(f"{failed} of {len(PACKAGES)} packages are not complete", file=sys.stderr)
    return not failed


def listed(part: str, folder: Path) -> list[Path]:
    """Paths of a part's songs, sorted.

    Raises:
        FreeMusicError: some are not there.
    """
    paths = sorted(path for package in PACKAGES for path in package.targets(part, folder).values())
    if missing := sum(not path.is_file() for path in paths):
        raise FreeMusicError(
            f"{missing} of {len(paths)} songs are not in {str(folder)!r}; run this without --list first"
        )
    return paths


def table() -> str:
    """Packages in Markdown."""
    rows = [
        "| package | kind of music | licence | train | validation | test |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for package in PACKAGES:
        counts = " | ".join(str(len(package.songs(part)) or "") for part in PARTS)
        rows.append(f"| {package.name} | {package.kind} | {package.licence} | {counts} |")
    totals = " | ".join(str(sum(len(package.songs(part)) for package in PACKAGES)) for part in PARTS)
    return "\n".join([*rows, f"| all {len(PACKAGES)} | | | {totals} |"])


def main() -> int:
    """Read the command line; 2 if songs are missing."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where the songs are")
    parser.add_argument("--list", choices=PARTS, metavar="PART", help=f"print the paths of a part: {', '.join(PARTS)}")
    parser.add_argument("--table", action="store_true", help="print the packages in Markdown")
    arguments = parser.parse_args()
    if arguments.table:
        print(table())
        return 0
    if arguments.folder is None:
        parser.error("name the folder for the songs")
    folder = arguments.folder.absolute()
    try:
        if arguments.list:
            print(*listed(arguments.list, folder), sep="\n")
            return 0
        return 0 if fetch_all(folder) else 2
    except FreeMusicError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
