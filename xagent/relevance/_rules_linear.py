"""Operations that plain autograd conserves: linear ones, and f(cx) = c f(x) for c > 0 (Euler: x f'(x) = f(x)).

These hold in every rule set. What they add (biases, untraced operands) is booked, the gradient is torch's own.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._backward import through
from ._step import Step, carries
from ._table import linear

SHAPES = (
    "view reshape view_as reshape_as flatten unflatten squeeze unsqueeze permute transpose swapaxes swapdims t numpy_T "
    "adjoint mT movedim moveaxis contiguous clone alias lift_fresh expand expand_as repeat repeat_interleave tile "
    "broadcast_to chunk split split_with_sizes tensor_split unbind select slice narrow index_select gather take "
    "take_along_dim masked_select getitem index roll flip fliplr flipud rot90 diagonal diag diag_embed tril triu "
    "unfold im2col fold col2im pixel_shuffle pixel_unshuffle to type _to_copy float double half bfloat16 cpu cuda "
    "embedding embedding_bag ravel iter as_strided "
    "channel_shuffle type_as view_copy expand_copy permute_copy hsplit vsplit dsplit "
    "max_unpool1d max_unpool2d max_unpool3d atleast_1d atleast_2d atleast_3d broadcast_tensors meshgrid combinations "
    "cartesian_prod view_as_real view_as_complex conj conj_physical _conj resolve_conj resolve_neg fftshift ifftshift"
)
LINEAR = (
    "neg negative sum mean nansum nanmean cumsum trace diff native_dropout avg_pool1d avg_pool2d avg_pool3d "
    "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d "
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d upsample_bilinear2d "
    "upsample_trilinear3d upsample_bicubic2d _upsample_nearest_exact1d _upsample_nearest_exact2d "
    "_upsample_nearest_exact3d _upsample_bilinear2d_aa _upsample_bicubic2d_aa affine_grid_generator positive "
    "sum_to_size real imag _sparse_sum "
    "fft ifft rfft irfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn hfft ihfft stft istft "
    "fft_fft fft_ifft fft_rfft fft_irfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_fftn fft_ifftn fft_rfftn "
    "fft_irfftn fft_hfft fft_ihfft _fft_r2c _fft_c2r _fft_c2c"
)
HOMOGENEOUS = (
    "relu leaky_relu prelu rrelu abs absolute norm vector_norm linalg_vector_norm max_pool1d max_pool2d max_pool3d "
    "max_pool2d_with_indices max_pool1d_with_indices max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d "
    "adaptive_max_pool3d adaptive_max_pool2d_with_indices lp_pool1d lp_pool2d lp_pool3d fractional_max_pool2d "
    "fractional_max_pool3d amax amin sort topk median kthvalue cummax cummin hypot "
    "fractional_max_pool3d msort aminmax mode nanmedian quantile nanquantile copysign"
)
AFFINE = (
    "cat concat concatenate stack hstack vstack dstack column_stack where masked_fill masked_scatter pad "
    "constant_pad_nd index_put index_copy index_add index_fill scatter scatter_add slice_scatter select_scatter "
    "block_diag diagonal_scatter as_strided_scatter put complex"
)
PRODUCTS = (
    "mul multiply __rmul__ matmul __rmatmul__ mm bmm mv dot vdot inner outer kron tensordot einsum "
    "_grouped_mm grouped_mm smm multi_dot linalg_multi_dot vecdot linalg_vecdot cross linalg_cross "
    "chain_matmul"
)


@linear(*SHAPES.split())
def moved(step: Step, *args: Any, **kwargs: Any) -> Any:
    """Values are moved or copied. What is noted about a tensor (a gate) holds for its views."""
    y = step.operation(*args, **kwargs)
    note = step.mode.marks.get(args[0]) if args else None
    if note is not None:
        step.mode.note(y, note)
    return y


@linear("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout", "feature_dropout")
def dropped(step: Step, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """In evaluation nothing is dropped; otherwise what is left is scaled."""
    training = args[1] if len(args) > 1 else kwargs.get("training", kwargs.get("train"))
    return input if training is False else moved(step, input, *args, **kwargs)


@linear(*LINEAR.split(), *HOMOGENEOUS.split())
def unchanged(step: Step, *args: Any, **kwargs: Any) -> Any:
    """Linear, or positively homogeneous: x * gradient conserves as it is (ReLU: Bach et al. 2015, LRP-0)."""
    return step.plain()


@linear(*AFFINE.split())
def placed(step: Step, *args: Any, **kwargs: Any) -> Any:
    """Traced values beside constants: what the constants contribute is booked."""
    return step.affine()


@linear("scatter_reduce", "index_reduce")
def reduced(step: Step, input: Tensor, dim: int, index: Tensor, source: Tensor, reduce: str, **kwargs: Any) -> Any:
    """Sums and means are linear, what the constants contribute is booked; of extremes the winner takes all."""
    if reduce in ("sum", "mean"):
        return step.affine()
    return step.residual("constants") if reduce in ("amax", "amin") else step.unhandled()


@linear("segment_reduce")
def segments(step: Step, data: Tensor, reduce: str, **kwargs: Any) -> Any:
    """Sums and means of segments are linear, extremes homogeneous."""
    return step.unhandled() if reduce == "prod" or kwargs.get("initial") is not None else step.plain()


@linear("trapezoid", "trapz", "cumulative_trapezoid")
def integrated(step: Step, y: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Linear in the heights y."""
    return step.plain() if carries(y) and step.traced() == 1 else step.unhandled()


@linear("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def sampled(step: Step, input: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Interpolation is linear in the image; where it is read is left to the rule set."""
    return step.unhandled() if carries(grid) else step.plain()


@linear("max", "min", "maximum", "minimum", "fmax", "fmin")
def extreme(step: Step, *args: Any, **kwargs: Any) -> Any:
    """The winner takes all; where a constant wins, the relevance ends there."""
    operands = [x for x in args if isinstance(x, Tensor)]
    return step.plain() if all(carries(x) for x in operands) else step.residual("constants")


@linear("add", "__radd__")
def add(step: Step, input: Any, other: Any, alpha: float = 1) -> Any:
    """input + alpha * other; an untraced operand is booked."""
    y = step.plain()
    if not carries(input):
        step.book(y, input)
    if not carries(other):
        step.book(y, other, sign=alpha)
    return y


@linear("sub", "subtract")
def sub(step: Step, input: Any, other: Any, alpha: float = 1) -> Any:
    """input - alpha * other; an untraced operand is booked."""
    y = step.plain()
    if not carries(input):
        step.book(y, input)
    if not carries(other):
        step.book(y, other, sign=-alpha)
    return y


@linear("rsub", "__rsub__")
def rsub(step: Step, input: Any, other: Any, alpha: float = 1) -> Any:
    """other - alpha * input; an untraced operand is booked."""
    y = step.plain()
    if not carries(input):
        step.book(y, input, sign=-alpha)
    if not carries(other):
        step.book(y, other)
    return y


@linear(*PRODUCTS.split(), torch.sparse.mm)
def product(step: Step, *args: Any, **kwargs: Any) -> Any:
    """A product with a constant is linear; a product of two traced factors is left to the rule set."""
    return step.unhandled() if step.traced() > 1 else step.plain()


@linear("addmm", "baddbmm", "addmv", "addbmm")
def product_and_sum(step: Step, input: Tensor, *args: Any, beta: float = 1, **kwargs: Any) -> Any:
    """beta * input + alpha * A B: as `product`; an untraced input is booked."""
    if step.traced() > 1:
        return step.unhandled()
    y = step.plain()
    if not carries(input):
        step.book(y, input, sign=beta)
    return y


@linear("div", "divide", "true_divide", "__truediv__")
def quotient(step: Step, input: Any, other: Any, **kwargs: Any) -> Any:
    """Division by a constant is linear; a traced divisor is left to the rule set."""
    return step.unhandled() if carries(other) else step.plain()


@linear("linear")
def dense(step: Step, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """x W^T + b: R_i = x_i sum_j W_ji R_j / y_j (LRP-0, Bach et al. 2015, eq. 56); b is booked."""
    if carries(weight) or carries(bias):
        if carries(input):
            return step.unhandled()
        y = step.plain()
        if not carries(bias):
            step.book(y, bias, "biases")
        return y
    return thrifty(step, input, weight, bias)


def thrifty(step: Step, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x W^T + b with a backward of its own, see `through`; b is booked in it."""
    kept, mode, watch = weight.detach(), step.mode, step.mode.watch  # not the step, which holds x
    book = step.booking(bias, "biases")
    edge = watch.edge_from(x) if watch is not None else None

    def back(gradient: Tensor) -> Tensor:
        booked = book(gradient) if book is not None else None
        reached = through(gradient, kept, mode.books)
        if edge is not None:
            edge.arrived(reached, booked)
        return reached

    y = step.carry(x, step.value(), back)
    if watch is not None and edge is not None:
        watch.leads(edge, y)
    return y


@linear("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution")
def convolution(
    step: Step, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Any:
    """w * x + b: linear like `dense`; b is booked along the channels."""
    if carries(weight) and carries(input):
        return step.unhandled()
    y = step.plain()
    if bias is not None and not carries(bias):
        step.book(y, bias.view(-1, *[1] * (weight.dim() - 2)), "biases")
    return y


@linear("__setitem__")
def assigned(step: Step, target: Tensor, index: Any, value: Any) -> None:
    """target[index] = value; the constants on either side are booked."""
    offset = torch.zeros_like(target) if carries(target) else target.detach().clone()
    offset[index] = 0 if carries(value) else value
    step.plain()
    step.book(target, offset)


@linear("copy_", "fill_", "zero_")
def overwritten(step: Step, target: Tensor, value: Any = 0, *args: Any, **kwargs: Any) -> Any:
    """target := value; what was there has no more part in the score."""
    y = step.plain()
    if not carries(value):
        step.book(y, y.detach().clone(), step.mode.origin(value))
    return y


@linear("batch_norm")
def batch_norm(step: Step, *args: Any, **kwargs: Any) -> Any:
    """(x - mean) g / sigma + b with fixed statistics is linear; its shift b - mean g / sigma is booked as a bias."""
    names = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    if "running_mean" not in kwargs and len(args) == 9:  # ATen's order: weight and bias first, cudnn last
        names = ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps")
    given = {**dict(zip(names, args, strict=False)), **kwargs}
    if given.get("training") or given.get("running_mean") is None:
        return step.unhandled()
    y = step.plain()
    book_shift(step, y, given)
    return y


@linear("_native_batch_norm_legit_no_training")
def batch_norm_decomposed(
    step: Step, input: Tensor, weight: Any, bias: Any, mean: Tensor, variance: Tensor, momentum: float, eps: float
) -> Any:
    """As `batch_norm`, in the form of a decomposed export; returns (y, mean, rstd)."""
    result = step.plain()
    book_shift(
        step, result[0], {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance, "eps": eps}
    )
    return result


def book_shift(step: Step, y: Tensor, given: dict[str, Any]) -> None:
    """Book b - mean g / sigma of a normalisation with fixed statistics."""
    with torch.no_grad():
        shift = -given["running_mean"] * torch.rsqrt(given["running_var"] + given.get("eps", 1e-5))
        shift = shift if given.get("weight") is None else shift * given["weight"]
        shift = shift if given.get("bias") is None else shift + given["bias"]
    step.book(y, shift.view(-1, *[1] * (y.dim() - 2)), "biases")
