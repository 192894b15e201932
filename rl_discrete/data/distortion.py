"""Random distortions of images, batched: more training data for the judge, the autoencoders and the priors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ROTATION = math.radians(12.0)
SCALE = 0.12  # relative, each axis on its own
SHEAR = 0.18
SHIFT = 2.0  # pixels
ELASTIC = 0.6  # pixels, standard deviation at the control points
CONTROL_POINTS = 6  # control points of the elastic field per side


def distort(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Rotate, scale, shear, shift and elastically bend each image by its own random amounts.

    Args:
        images: float (B, S, S), the background being 0 (it fills what comes in from outside).
        strength: factor on every amount; 1 means +-12 degrees, +-12 % scale, +-0.18 shear, +-2 pixels shift
            and an elastic displacement of 0.6 pixels standard deviation; 0 gives the images back.
        generator: source of the amounts; with one on the CPU they are the same wherever the images are.

    Returns:
        float (B, S, S), bilinear samples of the images.
    """
    count, size = images.shape[0], images.shape[-1]
    matrix = strength * (2.0 * torch.rand(count, 6, generator=generator, device=generator.device) - 1.0)
    angle, shear = matrix[:, 0] * ROTATION, matrix[:, 1] * SHEAR
    scale_x, scale_y = 1.0 + SCALE * matrix[:, 2], 1.0 + SCALE * matrix[:, 3]
    shift = matrix[:, 4:] * (SHIFT * 2.0 / size)
    cos, sin = angle.cos(), angle.sin()
    row_x = torch.stack([scale_x * cos, scale_x * (shear * cos - sin), shift[:, 0]], dim=1)
    row_y = torch.stack([scale_y * sin, scale_y * (shear * sin + cos), shift[:, 1]], dim=1)
    grid = F.affine_grid(torch.stack([row_x, row_y], dim=1), [count, 1, size, size], align_corners=False)
    amount = strength * ELASTIC * 2.0 / size
    control = amount * torch.randn(
        count, 2, CONTROL_POINTS, CONTROL_POINTS, generator=generator, device=generator.device
    )
    field = F.interpolate(control, size=(size, size), mode="bicubic", align_corners=True)
    grid = (grid + field.permute(0, 2, 3, 1)).to(images.device)  # (B, S, S, 2)
    return F.grid_sample(images[:, None], grid, align_corners=False)[:, 0]
