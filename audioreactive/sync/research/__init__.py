"""What only the experiments on sync run: made scenes with exact truth, the network of MathAV-Net, and its baselines.

scenes      small films of impacts, footsteps, mouths, rain, explosions, applause and music, with known offsets
mathav      the network, each stage a function with its equation
baselines   canonical correlations, SVD with PCA, LSTM, a transformer, and cross-correlation
"""
