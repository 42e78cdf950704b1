"""Clips in small files: `.arc`, which holds a network, or a recipe, from which picture and sound are made again.

container   the file: header, sections, digests, bounds
clip        a video in memory: frames and samples
grids       the network that `pack` fits by default: grids of numbers, and a small decoder
fitting     fits it to a clip
entropy     whole numbers <-> bytes, with a range coder
siren       the sine networks of the thesis, teacher and student
distill     trains them
quantise    weights in 1 to 32 bits a layer, xz
denoise     the spectral gate for their twin sounds
sound       a sound as Opus, or as it is
recipe      a video of this program as its recipe and its song
pages       a page that plays a file in a browser; gallery_page has presets side by side
metrics     how far two clips are apart
compare     a clip in this and other codecs at equal bytes
packing     the whole way, there and back
"""
