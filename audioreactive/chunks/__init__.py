"""A render in parts, so that nothing is lost when it is cut short, and many can work on it.

plan      which frames each chunk has: whole batches, anchored at frame 0
job       what a render is, down to what decides about a pixel: two runs of the same job make the same chunks
folder    the hidden folder beside the output: chunks that are whole, a journal of them, a lock
making    chunks from a renderer and encoders, in this process
scene     what a renderer is made of, so that it can travel
workers   the same in several processes of this machine
cluster   the same on many machines, through Ray
film      the whole: chunks, sound, join
safe_light  looks at the chunks before they are joined, and dims what flashes too often
"""
