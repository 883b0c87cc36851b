"""The transformations of functions, for any pytree and composing in any order."""

from .batching import vmap
from .compilation import jit
from .derivatives import grad, hessian, hessian_vector_product, jacobian, value_and_grad

__all__ = ["grad", "hessian", "hessian_vector_product", "jacobian", "jit", "value_and_grad", "vmap"]
