"""MathAV-Net, the network of the seed that this room answers, stage by stage.

    encoders    sections 3.3, 3.4  frames and sound -> features: ResNet-18 and a smaller one, log-mel of 128 bins
    stages      4.3.1 - 4.3.3      truncated SVD, projections with their loss, KL divergence
                4.3.5              the quadratic program, which `_support.admm` solves
    warping     4.3.3              dynamic time warping, and soft-DTW where a gradient is needed
    network     4.3.4, 4.4         fusion, Bi-LSTM, attention, the composite loss; two baselines of Table 8
    metrics     Table 9            accuracy, jitter, Fréchet AV distance, latency compliance

Where the seed contradicts itself or leaves something open, the choice stands beside the equation that it concerns, and
all of them in docs/lab/sync.md.
"""
