"""Sounds with known answers, at the analysis rate."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audioreactive.media.audio import ANALYSIS_RATE

Sound = NDArray[np.float32]


def silence(seconds: float) -> Sound:
    return np.zeros(round(seconds * ANALYSIS_RATE), np.float32)


def tone(hz: float, seconds: float, level: float = 0.3) -> Sound:
    times = np.arange(round(seconds * ANALYSIS_RATE)) / ANALYSIS_RATE
    return (level * np.sin(2 * np.pi * hz * times)).astype(np.float32)


def noise(seconds: float, level: float = 0.1, seed: int = 0) -> Sound:
    count = round(seconds * ANALYSIS_RATE)
    return (level * np.random.default_rng(seed).normal(size=count)).astype(np.float32)


def clicks(times: NDArray[np.float64] | list[float], seconds: float, level: float = 0.8) -> Sound:
    """Bursts of 16 ms."""
    sound = silence(seconds)
    burst = np.exp(-np.arange(400) / 60) * np.cos(np.arange(400) * 2 * np.pi * 3000 / ANALYSIS_RATE) * level
    for time in times:
        place = round(time * ANALYSIS_RATE)
        sound[place : place + 400] += burst[: len(sound) - place].astype(np.float32)
    return sound


def chord(notes: list[float], seconds: float, level: float = 0.1) -> Sound:
    """Notes with four overtones each that fade."""
    times = np.arange(round(seconds * ANALYSIS_RATE)) / ANALYSIS_RATE
    partials = sum(np.sin(2 * np.pi * hz * h * times + h) / h for hz in notes for h in range(1, 6))
    return (level * partials * np.exp(-times)).astype(np.float32)


def music(seconds: float, seed: int = 0) -> Sound:
    """Two chords in turn, a beat of clicks at 120 bpm, and noise: something of everything."""
    pairs = [chord([220, 277.2, 329.6], 1), chord([146.8, 185, 220], 1)] * int(seconds / 2 + 1)
    sound = np.concatenate(pairs)[: round(seconds * ANALYSIS_RATE)]
    mix = sound + clicks(np.arange(0.1, seconds - 0.1, 0.5), seconds, 0.4) + noise(seconds, 0.003, seed)
    return mix.astype(np.float32)
