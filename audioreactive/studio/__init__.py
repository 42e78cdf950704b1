"""The studio: a page on this computer in which a person shapes a video section by section.

document     what a project holds: a preset, named takes, favourite seeds
deltas       the difference between two documents, as data
journal      every edit in a file that only grows: undo and redo without end
project      the files beside the song, locked and saved aside
edits        what the page may ask for -> the next document
song         what is heard: samples, peaks, beats, curves, features
clips        some frames of a document -> their motion, and what decides about them
painting     clips -> JPEG frames, the wanted ones first
envelopes    what moves each sub-sequence, as curves
answers      slower questions: scores, flashes, the most reactive of many
renders      the queue of finished videos
messages     what the page may say
session      one page's connection: edits in, frames out by credit
studio       one open project over all of these
bench        what works on it: the queue, threads, a page
projects     songs that could be opened, and the one that is being opened
lobby        a page that waits, or chooses a song
safety       who may ask: token, Host, Origin
server       all of it behind HTTP and a WebSocket
sharing      another page: files from browser to browser, in one network
"""
