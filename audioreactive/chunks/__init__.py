"""A render divided into chunks, so that an interrupted render can go on, and several processes can share the work.

plan      which frames each chunk has: whole batches, anchored at frame 0
job       everything that decides the bytes of a chunk: two runs of the same job make the same chunks
folder    the hidden folder beside the output, with the finished chunks, their journal and a lock
making    chunks made in this process
scene     the parts of a renderer, to be sent to other processes and machines
workers   chunks made by several processes of this machine
cluster   chunks made by many machines, through Ray
film      the whole render: chunks, sound, join
light     thumbnails of the frames, in which flashes are counted
safe_light  dims passages that flash too often, before the chunks are joined
"""
