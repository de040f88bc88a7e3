"""The model under explanation: loaded without running code from it, one lock per model.

In: a Case. Out: a Subject that encodes raw values, predicts, and offers the units a reason can name.
"""
