"""Every feature that librosa defines, against librosa on the same sound.

The bound is 1e-3 of the values' range; what is computed by the same arithmetic is held to 1e-5.
"""

from __future__ import annotations

import numpy as np
import pytest
from sounds import chord, music, noise, tone

from audioreactive.features import beats, pitch, rhythm, separation, spectra, timbre
from audioreactive.media.audio import ANALYSIS_RATE

SR = ANALYSIS_RATE


@pytest.fixture(scope="module")
def y() -> np.ndarray:
    return music(12)


def close(ours: np.ndarray, theirs: np.ndarray, share: float = 1e-5) -> None:
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() <= share * np.ptp(theirs)
    assert np.ptp(theirs) > 0


@pytest.mark.parametrize("n_fft, hop", [(2048, 1024), (1024, 256)])
def test_stft(y: np.ndarray, n_fft: int, hop: int) -> None:
    import librosa

    ours, theirs = spectra.stft(y, n_fft=n_fft, hop_length=hop), librosa.stft(y, n_fft=n_fft, hop_length=hop).T
    close(np.abs(ours - theirs) + np.abs(theirs), np.abs(theirs))


@pytest.mark.filterwarnings("ignore:n_fft=1024 is too large")
@pytest.mark.parametrize("length", [1, 300, 511, 512, 1023, 1024, 1025, 1229])
def test_frames_of_short_sounds(length: int) -> None:
    import librosa

    y = noise(1)[:length]
    assert len(spectra.stft(y, n_fft=1024, hop_length=256)) == librosa.stft(y, n_fft=1024, hop_length=256).shape[1]


@pytest.mark.parametrize("n_fft, n_mels", [(2048, 128), (1024, 64)])
def test_mel_filters(n_fft: int, n_mels: int) -> None:
    import librosa

    close(spectra.mel_filters(SR, n_fft, n_mels), librosa.filters.mel(sr=SR, n_fft=n_fft, n_mels=n_mels))


def test_harmonic_and_percussive(y: np.ndarray) -> None:
    import librosa

    harmonic, percussive = librosa.decompose.hpss(
        librosa.stft(y, n_fft=separation.HPSS_FFT, hop_length=separation.HPSS_HOP), margin=separation.MARGIN
    )
    parts = separation.hpss(y)
    hop = separation.HPSS_HOP
    for ours, theirs in ((parts.harmonic, harmonic), (parts.percussive, percussive)):
        close(ours, librosa.istft(theirs, hop_length=hop, length=len(y)))


def test_rms(y: np.ndarray) -> None:
    import librosa

    theirs = librosa.feature.rms(y=y, frame_length=2048, hop_length=256)[0]
    close(rhythm.rms(y, frame_length=2048, hop_length=256), theirs)


@pytest.mark.parametrize("hop, n_fft, n_mels", [(256, 1024, 64), (512, 2048, 128)])
def test_onset_strength(y: np.ndarray, hop: int, n_fft: int, n_mels: int) -> None:
    import librosa

    ours = rhythm.onset_strength(y, sample_rate=SR, n_fft=n_fft, hop_length=hop, n_mels=n_mels)
    close(ours, librosa.onset.onset_strength(y=y, sr=SR, n_fft=n_fft, hop_length=hop, n_mels=n_mels))


@pytest.fixture(scope="module")
def envelope(y: np.ndarray) -> np.ndarray:
    return rhythm.onset_strength(y, sample_rate=SR, n_fft=1024, hop_length=512, n_mels=64)


def test_pulse(envelope: np.ndarray) -> None:
    import librosa

    theirs = librosa.beat.plp(onset_envelope=envelope, sr=SR, hop_length=512, win_length=384)
    close(rhythm.plp(envelope, frame_rate=48, win_length=384), theirs)


def random_envelope(bpm: float, rate: int, seed: int) -> np.ndarray:
    """Half a minute of noisy beats and weaker offbeats."""
    random = np.random.default_rng(seed)
    envelope = random.random(30 * rate) * 0.3
    times = np.arange(0.4, 29, 60 / bpm)
    envelope[(times * rate).astype(int)] += random.random(len(times)) * 3 + 1
    envelope[((times + 30 / bpm) * rate).astype(int)] += random.random(len(times)) * 1.2
    return envelope.astype(np.float32)


@pytest.mark.parametrize("rate", [48, 96])
@pytest.mark.parametrize("bpm", [61, 97.3, 128, 174])
def test_tempo_and_beats(bpm: float, rate: int) -> None:
    import librosa

    envelope = random_envelope(bpm, rate, seed=int(bpm))
    options = {"onset_envelope": envelope, "sr": SR, "hop_length": SR // rate}
    tempo = float(librosa.feature.tempo(**options)[0])
    assert beats.estimate_tempo(envelope, frame_rate=rate) == pytest.approx(tempo, rel=1e-9)
    for trim in (True, False):
        theirs = librosa.beat.beat_track(**options, bpm=tempo, trim=trim)[1]
        np.testing.assert_array_equal(beats.track_beats(envelope, frame_rate=rate, bpm=tempo, trim=trim), theirs)


@pytest.mark.parametrize("tuning", [-0.46, 0.0, 0.31])
def test_constant_q(y: np.ndarray, tuning: float) -> None:
    import librosa

    options = {"sr": SR, "hop_length": 1024, "n_bins": 252, "bins_per_octave": 36}
    theirs = np.abs(librosa.cqt(y, tuning=tuning, **options)).T
    close(pitch.cqt_magnitude(y, sample_rate=SR, hop_length=1024, tuning=tuning), theirs)


def test_chroma_and_tonnetz(y: np.ndarray) -> None:
    import librosa

    cqt = pitch.cqt_magnitude(y, sample_rate=SR, hop_length=1024)
    chroma = pitch.chroma_of(cqt)
    close(chroma, librosa.feature.chroma_cqt(C=cqt.T, norm=None).T)
    close(pitch.cens(chroma, smoothing=23), librosa.feature.chroma_cens(C=cqt.T, win_len_smooth=23).T)
    close(pitch.tonnetz(chroma), librosa.feature.tonnetz(chroma=chroma.T).T)


def test_cens_from_the_sound_itself(y: np.ndarray) -> None:
    import librosa

    ours = pitch.cens(pitch.chroma_of(pitch.cqt_magnitude(y, sample_rate=SR, hop_length=1024)), smoothing=23)
    theirs = librosa.feature.chroma_cens(y=y, sr=SR, hop_length=1024, tuning=0.0, win_len_smooth=23).T
    close(ours, theirs, 1e-3)


@pytest.mark.parametrize("cents", [-40, 0, 27])
def test_tuning(cents: int) -> None:
    import librosa

    y = chord([220 * 2 ** (cents / 1200), 277.183 * 2 ** (cents / 1200)], 3) + noise(3, 0.001)
    theirs = librosa.estimate_tuning(y=y, sr=SR, bins_per_octave=36)
    assert pitch.estimate_tuning(y, sample_rate=SR) == pytest.approx(theirs, abs=1e-9)


def test_timbre(y: np.ndarray) -> None:
    import librosa

    power = spectra.power_spectrum(spectra.stft(y, n_fft=2048, hop_length=1024))
    options = {"y": y, "n_fft": 2048, "hop_length": 1024}
    mel = power @ spectra.mel_filters(SR, 2048, 128).T
    close(timbre.mfcc(spectra.power_to_db(mel)), librosa.feature.mfcc(sr=SR, **options).T)
    close(timbre.spectral_flatness(power), librosa.feature.spectral_flatness(**options)[0])
    extremes = timbre.contrast_extremes(np.sqrt(power), spectra.bin_frequencies(SR, 2048))
    # The weakest bins are near the end of single precision.
    close(timbre.spectral_contrast(*extremes), librosa.feature.spectral_contrast(sr=SR, **options).T, 1e-3)


def test_flatness_knows_a_tone_from_noise() -> None:
    def flatness(y: np.ndarray) -> float:
        power = spectra.power_spectrum(spectra.stft(y, n_fft=2048, hop_length=1024))
        return float(np.median(timbre.spectral_flatness(power)))

    assert flatness(tone(1000, 1)) < 1e-4
    assert flatness(noise(1)) > 0.4
