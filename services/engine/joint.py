"""Linear layers that are given the same input, as one product.

An attention's projections, and an MLP's gate and up, read the same rows.  Beside each other in one
matrix they take one call of a kernel instead of two or three, and small ones use all cores.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_SIBLINGS = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Names within one module, in the order in which it calls them."""


class JointLinears(nn.Module):
    """The layers' weights, one below the other, and the last product.  Inference only."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        """``layers``: of the same number of inputs."""
        super().__init__()
        self._sizes = [layer.out_features for layer in layers]
        biased = any(layer.bias is not None for layer in layers)
        self.linear = nn.Linear(layers[0].in_features, sum(self._sizes), bias=biased, device="meta")
        self.linear.weight = _stacked([layer.weight for layer in layers])
        if biased:
            self.linear.bias = _stacked([_bias(layer) for layer in layers])
        self._input: Tensor | None = None
        self._outputs: Sequence[Tensor] = ()

    def output(self, number: int, x: Tensor) -> Tensor:
        """Of one layer: [..., in] to [..., out].

        The first call with an input computes them all; the last layer's lets go of them.
        """
        if x is not self._input:
            self._input, self._outputs = x, self.linear(x).split(self._sizes, -1)
        out = self._outputs[number]
        if number == len(self._sizes) - 1:
            self._input, self._outputs = None, ()
        return out


class JointLinear(nn.Module):
    """One of the layers, in its old place."""

    def __init__(self, joint: JointLinears, number: int) -> None:
        super().__init__()
        self.joint = joint
        self._number = number

    def forward(self, x: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        return self.joint.output(self._number, x)


def join_linears(module: nn.Module) -> int:
    """Joins the siblings that a decoder's attentions and MLPs have.

    Returns:
        The number of products that are left of them.
    """
    joined = 0
    for parent in list(module.modules()):
        for names in _SIBLINGS:
            layers = [getattr(parent, name, None) for name in names]
            linears = [layer for layer in layers if type(layer) is nn.Linear]
            if len(linears) == len(names) and len({layer.in_features for layer in linears}) == 1:
                joint = JointLinears(linears)
                for number, name in enumerate(names):
                    setattr(parent, name, JointLinear(joint, number))
                joined += 1
    return joined


def _stacked(parameters: Sequence[Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.cat([p.detach() for p in parameters]), requires_grad=False)


def _bias(layer: nn.Linear) -> Tensor:
    if layer.bias is not None:
        return layer.bias
    return layer.weight.new_zeros(layer.out_features)
