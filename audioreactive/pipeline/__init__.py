"""From a song, a generator and a recipe to a video, in stages that can be called separately.

listening   song -> features
recipe      requested changes -> a preset
planning    checked inputs -> a plan -> a production
choose      the most audio-reactive of many recipes
production  a production -> its video
"""
