"""Other ways to explain the same score, as peers of the tracer: one function a method, one table of all of them.

In: a `Game`, which is a model's score, one input, what "not there" looks like, and the units that a reason can name.
Out: an `Attribution`: signed relevance of each unit, what was chosen, what it cost, and how far it sums to the change.
"""

from xagent.methods._deep_lift import deep_lift
from xagent.methods._game import Attribution, Game, MethodError, MethodNotApplicable
from xagent.methods._grad_cam import grad_cam
from xagent.methods._gradient import gradient_x_input, integrated_gradients, propagation
from xagent.methods._libraries import kernel_shap, lime
from xagent.methods._registry import METHODS, Family, Method, explain, method_named
from xagent.methods._removal import exact_shapley, occlusion, permutation

__all__ = [
    "METHODS",
    "Attribution",
    "Family",
    "Game",
    "Method",
    "MethodError",
    "MethodNotApplicable",
    "deep_lift",
    "exact_shapley",
    "explain",
    "grad_cam",
    "gradient_x_input",
    "integrated_gradients",
    "kernel_shap",
    "lime",
    "method_named",
    "occlusion",
    "permutation",
    "propagation",
]
