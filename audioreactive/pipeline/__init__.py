"""The whole way: a song, a generator and a recipe go in, a video comes out, in stages that can be called alone.

listening   song -> features
recipe      what was asked for -> a preset
planning    all of it checked -> a plan -> a production
choose      the most audio-reactive of many recipes
production  a production -> its video
"""
