"""From a song, a generator and a recipe to a video, in stages that can be called separately.

listening   song -> features
recipe      requested changes -> a preset
planning    checked inputs -> a plan
deciding    which preset, where several are tried on the song: choose, evolve, fitted
preparing   a plan -> a production
production  a production -> its video
"""
