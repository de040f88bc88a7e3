"""The operations an exported program may use: arithmetic on tensors, and nothing that touches the machine.

`torch.ops.aten` alone would be too wide a door: it holds `from_file`, `save` and `warn` beside `linear`. So each
name is listed. Left out on purpose: files, printing, custom and higher-order operators, anything random or
uninitialised, raw storage access.
"""

from __future__ import annotations

import re

from xagent.subject._expression import Unsafe

_TENSOR_NAMES = """
    __and__ __or__ __xor__ _assert_async _assert_scalar _assert_tensor_metadata _cdist_forward _log_softmax
    _native_batch_norm_legit_no_training _safe_softmax _scaled_dot_product_attention_math
    _scaled_dot_product_flash_attention_for_cpu _shape_as_tensor _softmax _to_copy _unsafe_view _weight_norm abs
    acos acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d add addbmm addcdiv addcmul addmm
    addmv alias all amax amin any arange argmax argmin argsort as_strided asin asinh atan atan2 atanh avg_pool1d
    avg_pool2d avg_pool3d baddbmm batch_norm bilinear bitwise_and bitwise_not bitwise_or bitwise_xor bmm
    broadcast_tensors broadcast_to bucketize cat ceil celu channel_shuffle chunk clamp clamp_max clamp_min clip
    clone col2im complex concat concatenate constant_pad_nd contiguous conv1d conv2d conv3d conv_transpose1d
    conv_transpose2d conv_transpose3d convolution copy cos cosh cosine_similarity cumprod cumsum detach diag
    diag_embed diagonal div divide dot dropout einsum elu embedding embedding_bag eq erf erfc exp exp2 expand
    expand_as expm1 eye feature_dropout fill flatten flip floor floor_divide fmod frac full full_like gather ge
    gelu glu greater group_norm gru gt hardshrink hardsigmoid hardswish hardtanh hinge_embedding_loss hstack
    hypot im2col index index_add index_copy index_fill index_put index_select instance_norm isfinite isinf isnan
    isneginf isposinf item kron l1_loss layer_norm le leaky_relu lerp less lift_fresh lift_fresh_copy
    linalg_norm linalg_vector_norm linear linspace log log10 log1p log2 log_sigmoid log_softmax logaddexp
    logcumsumexp logical_and logical_not logical_or logical_xor logit logsumexp lstm lt masked_fill
    masked_scatter masked_select matmul max max_pool1d max_pool2d max_pool2d_with_indices max_pool3d maximum
    mean median meshgrid min minimum mish mm movedim mul multiply mv nan_to_num nansum narrow native_batch_norm
    native_dropout native_group_norm native_layer_norm ne neg negative new_full new_ones new_zeros nonzero norm
    normalize numpy_T one_hot ones ones_like outer pad pairwise_distance permute pixel_shuffle pixel_unshuffle
    polar pow prelu prod reciprocal reflection_pad1d reflection_pad2d relu relu6 remainder repeat
    repeat_interleave replication_pad1d replication_pad2d reshape reshape_as resolve_conj resolve_neg rms_norm
    rnn_relu rnn_tanh roll rot90 round rsqrt rsub scalar_tensor scaled_dot_product_attention scatter scatter_add
    scatter_reduce searchsorted select select_scatter selu sgn sigmoid sign silu sin sinc sinh slice
    slice_scatter smooth_l1_loss softmax softplus softshrink softsign sort split split_with_sizes sqrt square
    squeeze stack std std_mean sub subtract sum sum_to_size swapaxes swapdims sym_constrain_range
    sym_constrain_range_for_size sym_is_contiguous sym_numel sym_size sym_storage_offset sym_stride t take tan
    tanh tensor_split tensordot threshold tile to topk trace transpose tril true_divide trunc type_as unbind
    unflatten unfold unsqueeze upsample_bicubic2d upsample_bilinear2d upsample_nearest2d var var_mean view
    view_as vstack where xlogy zero zeros zeros_like
"""
_SYMBOL_NAMES = """
    _operator.add _operator.sub _operator.mul _operator.neg _operator.pos _operator.floordiv _operator.mod
    _operator.truediv _operator.eq _operator.ne _operator.le _operator.lt _operator.ge _operator.gt _operator.and_
    _operator.or_ _operator.getitem torch.sym_max torch.sym_min torch.sym_int torch.sym_float torch.sym_not
    torch.sym_ite math.trunc
"""
_TENSOR = frozenset(_TENSOR_NAMES.split())
_SYMBOLIC = frozenset(_SYMBOL_NAMES.split())
_ATEN_TARGET = re.compile(r"torch\.ops\.aten\.([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)")


def checked_operation(target: object) -> str:
    """The target itself when it is on the list; Unsafe otherwise."""
    if isinstance(target, str):
        if target in _SYMBOLIC:
            return target
        if match := _ATEN_TARGET.fullmatch(target):
            name, overload = match.groups()
            in_place = name.endswith("_") and not name.endswith("__")
            if (name[:-1] if in_place else name) in _TENSOR and "out" not in overload.split("_"):
                return target
    if isinstance(target, str) and target.startswith("torch.ops.higher_order."):
        raise Unsafe(f"it calls {target[:80]!r}, a nested graph (torch.no_grad or a branch inside its forward)")
    raise Unsafe(f"it calls {str(target)[:80]!r}, which is not on the list of operations a model may use")
