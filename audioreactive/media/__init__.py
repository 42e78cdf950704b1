"""Any file with sound -> `Audio`; the ffmpeg program, tracks, and what a file really holds."""
