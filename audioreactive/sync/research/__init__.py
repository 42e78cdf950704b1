"""What only the experiments on sync run: made scenes with exact truth, the network of MathAV-Net, and its baselines.

scenes      small films of impacts, footsteps, mouths, rain, explosions, applause and music, with known offsets
signs       small films of plain signs that light up or go dark with a sound
mathav      the network, each stage a function with its equation; LSTM and transformer on the same features
baselines   canonical correlations, SVD with PCA, and cross-correlation
"""
