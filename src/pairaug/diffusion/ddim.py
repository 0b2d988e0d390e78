"""The arithmetic of one denoising step: predictions, guidance and DDIM, on tensors alone."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float
from torch import Tensor

PredictionType = Literal["epsilon", "v_prediction"]

Latents = Float[Tensor, "batch channel height width"]


def clean_and_noise(
    latents: Latents,
    prediction: Latents,
    alpha_bar: Float[Tensor, ""],
    prediction_type: PredictionType,
) -> tuple[Latents, Latents]:
    """The clean latents and the noise that follow from a prediction at noise level `alpha_bar`.

        epsilon:       x0 = (x_t - sqrt(1 - a_t) * eps) / sqrt(a_t)
        v_prediction:  x0  = sqrt(a_t) * x_t - sqrt(1 - a_t) * v
                       eps = sqrt(a_t) * v + sqrt(1 - a_t) * x_t

    The first is Ho et al. 2020, eq. 15; the second Salimans and Ho 2022, appendix D, and holds at
    `alpha_bar` 0 as well.
    """
    signal, sigma = alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt()
    if prediction_type == "epsilon":
        return (latents - sigma * prediction) / signal, prediction
    return signal * latents - sigma * prediction, signal * prediction + sigma * latents


def ddim_step(
    latents: Latents,
    prediction: Latents,
    alpha_bar: Float[Tensor, ""],
    alpha_bar_next: Float[Tensor, ""],
    prediction_type: PredictionType = "epsilon",
) -> Latents:
    """Latents moved from one noise level to another along the deterministic path.

        x_next = sqrt(a_next) * x0 + sqrt(1 - a_next) * eps

    Song et al. 2021, eq. 12 with sigma = 0, and `clean_and_noise` for x0 and eps.
    `alpha_bar_next > alpha_bar` denoises; the other way round inverts.
    """
    clean, noise = clean_and_noise(latents, prediction, alpha_bar, prediction_type)
    return alpha_bar_next.sqrt() * clean + (1.0 - alpha_bar_next).sqrt() * noise


def classifier_free_guidance(base: Latents, conditional: Latents, guidance_scale: float) -> Latents:
    """Classifier-free guidance: base + guidance_scale * (conditional - base).

    Ho and Salimans 2022, with guidance_scale = 1 + w; 1 is the conditional prediction. `base` is
    the prediction for the negative prompt. Guidance is linear, so epsilon and v can both be guided.
    """
    return base + guidance_scale * (conditional - base)
