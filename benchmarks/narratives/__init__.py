"""What the verifier finds and what it lets through: mutated narratives, honest paraphrases, rank, sign and value.

Run `python -m benchmarks.narratives.mutations` and `python -m benchmarks.narratives.agreement` from the root.
"""
