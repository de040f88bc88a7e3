"""Tasks whose right explanation is known, and how close each method of explanation comes to it.

In: nothing but a seed. Out: the table of `python -m benchmarks.ground_truth` and the calibration of the trust levels.
"""
