"""Timesteps and solvers: how a prediction of the denoiser moves latents to the next noise level.

Noise levels are numbered by `step_index`: 0 is the noisiest, `num_inference_steps` the clean end.
DDIM is our own, because inversion runs it backwards; the other solvers are diffusers' scheduler
classes.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import diffusers
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from jaxtyping import Float, Int
from torch import Tensor

from pairaug.diffusion.ddim import PredictionType, clean_and_noise, ddim_step
from pairaug.diffusion.folder import encoders_of, scheduler_class_in
from pairaug.errors import ModelError, SettingsError
from pairaug.hub.folders import read_config
from pairaug.hub.inference import one_line, quiet_libraries

SchedulerName = Literal["default", "ddim", "dpm++2m", "unipc", "pndm"]

Latents = Float[Tensor, "batch channel height width"]

_CLASS_NAMES = {
    "ddim": "DDIMScheduler",
    "dpm++2m": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
    "pndm": "PNDMScheduler",
}

# Those of diffusers that step through a schedule of betas as Stable Diffusion's pipelines use them.
# EDM's and flow matching's noise levels are of another kind, and so are their denoisers.
_KNOWN = {
    *_CLASS_NAMES.values(),
    "DDIMParallelScheduler",
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "SASolverScheduler",
    "TCDScheduler",
}
_MAX_LEVELS = 100_000
_FEW_STEPS = ("LCMScheduler", "TCDScheduler")


@runtime_checkable
class Solver(Protocol):
    """One run over the noise levels of one group of rows; it may keep earlier predictions."""

    @property
    def timesteps(self) -> Int[Tensor, " step"] | Float[Tensor, " step"]:
        """The timestep of each step, the noisiest first; fractional for some solvers."""
        ...

    @property
    def initial_scale(self) -> float:
        """The factor for standard normal latents before the first step."""
        ...

    def scaled(self, latents: Latents, step_index: int) -> Latents:
        """The latents scaled to the denoiser's input."""
        ...

    def step(self, prediction: Latents, step_index: int, latents: Latents) -> Latents:
        """The latents at `step_index + 1`, from those at `step_index` and the prediction there."""
        ...


@dataclass(frozen=True, slots=True)
class NoiseLevels:
    """The levels of a DDIM run: one timestep per step, and `alpha_bar` also at the clean end."""

    timesteps: Int[Tensor, " step"]
    alpha_bar: Float[Tensor, " level"]


@dataclass(frozen=True, slots=True)
class DdimSolver:
    """DDIM without added noise. It keeps no state, so it can be shared and run backwards."""

    levels: NoiseLevels
    prediction_type: PredictionType
    initial_scale: float = 1.0

    @property
    def timesteps(self) -> Int[Tensor, " step"]:
        return self.levels.timesteps

    def scaled(self, latents: Latents, step_index: int) -> Latents:
        return latents

    def step(self, prediction: Latents, step_index: int, latents: Latents) -> Latents:
        start, end = self.levels.alpha_bar[step_index : step_index + 2]
        return ddim_step(latents, prediction, start, end, self.prediction_type)

    def step_back(
        self, prediction: Latents, step_index: int, guess: Latents, latents: Latents
    ) -> Latents:
        """The latents at `step_index` from which a step leads to `latents`: one step of inversion.

        `prediction` is the denoiser's for `guess`, taken as latents at `step_index`. Where the
        guess is the answer, `step` undoes this exactly.
        """
        end, start = self.levels.alpha_bar[step_index : step_index + 2]
        noise = clean_and_noise(guess, prediction, end, self.prediction_type)[1]
        return ddim_step(latents, noise, start, end, "epsilon")


class SchedulerSolver:
    """A scheduler of diffusers for one group of rows, each with its own generator."""

    def __init__(
        self, scheduler: Any, num_inference_steps: int, generators: Sequence[torch.Generator]
    ):
        with warnings.catch_warnings():
            # Some schedulers make NumPy arrays of tensors in a way that NumPy 2 warns about.
            warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
            scheduler.set_timesteps(num_inference_steps)
        self.timesteps = scheduler.timesteps
        self.initial_scale = float(scheduler.init_noise_sigma)
        self._scheduler = scheduler
        taken = inspect.signature(scheduler.step).parameters
        # Ancestral schedulers generate noise at each step; the others take no generator.
        self._arguments: dict[str, Any] = (
            {"generator": list(generators)} if "generator" in taken else {}
        )
        # diffusers' pipelines add no noise unless asked to; TCD would by itself.
        if "eta" in taken:
            self._arguments["eta"] = 0.0

    def scaled(self, latents: Latents, step_index: int) -> Latents:
        return self._scheduler.scale_model_input(latents, self.timesteps[step_index])

    def step(self, prediction: Latents, step_index: int, latents: Latents) -> Latents:
        timestep = self.timesteps[step_index]
        return self._scheduler.step(prediction, timestep, latents, **self._arguments).prev_sample


def scheduler_config(folder: Path) -> dict[str, Any]:
    """The scheduler's configuration of the generator in `folder`, as its pipeline would use it.

    Raises `ModelError` where it does not describe a noise schedule that PairAug can follow.
    """
    path = folder / "scheduler" / "scheduler_config.json"
    config = read_config(path)
    in_index = scheduler_class_in(folder)
    if in_index is not None and config.get("_class_name") not in (None, in_index):
        raise ModelError(
            f"{folder}: model_index.json says that the scheduler is a {in_index}, "
            f"scheduler_config.json that it is a {config['_class_name']}; make them agree"
        )
    check_scheduler(config, path)
    if len(encoders_of(folder)) == 1 and _knows(config, "steps_offset"):
        # Stable Diffusion's pipelines do this to old configurations, SDXL's does not.
        config["steps_offset"] = 1
    return config


def check_scheduler(config: Mapping[str, Any], path: Path) -> None:
    """Raises `ModelError` unless `config` names a known class and its schedule of betas."""
    name = config.get("_class_name")
    if name not in _KNOWN:
        raise ModelError(
            f"{path}: the model's scheduler is a {name}, whose noise levels PairAug does not "
            "follow; it follows schedules of betas, as those of Stable Diffusion (DDIM, DPM-Solver "
            "and their like)"
        )
    if config.get("use_flow_sigmas"):
        raise ModelError(f"{path}: use_flow_sigmas is for flow matching, which PairAug does not do")
    if not config.get("trained_betas"):
        for key in ("beta_start", "beta_end", "beta_schedule"):
            if config.get(key) is None:
                raise ModelError(f"{path} has no {key}: the noise schedule is unknown")
            if key != "beta_schedule" and not isinstance(config[key], Real):
                raise ModelError(f"{path}: {key} is no number")
    most = config.get("num_train_timesteps", 1000)
    if type(most) is not int or not 1 <= most <= _MAX_LEVELS:
        raise ModelError(
            f"{path}: num_train_timesteps is no number of steps from 1 to {_MAX_LEVELS:,}"
        )
    prediction_type_of(config)
    _check_levels(config, path)


def _check_levels(config: Mapping[str, Any], path: Path) -> None:
    """Raises `ModelError` unless the noise levels that `config` describes can be made."""
    try:
        with quiet_libraries("diffusers"):
            scheduler: Any = DDIMScheduler.from_config(dict(config))
        scheduler.set_timesteps(1)
        betas = scheduler.betas
    # A damaged configuration fails in whatever line of diffusers meets it first.
    except Exception as error:
        raise ModelError(
            f"{path}: its noise schedule cannot be made ({one_line(error)})"
        ) from error
    number = config.get("num_train_timesteps", 1000)
    if len(betas) != number or not bool(((betas >= 0) & (betas <= 1)).all()):
        raise ModelError(
            f"{path}: its schedule is not of {number} betas between 0 and 1; copy or download the "
            "model again"
        )


def prediction_type_of(config: Mapping[str, Any]) -> PredictionType:
    """The denoiser's prediction type, from its scheduler's configuration."""
    kind = config.get("prediction_type", "epsilon")
    if kind not in ("epsilon", "v_prediction"):
        raise ModelError(
            f"the scheduler's prediction_type is {kind}; PairAug knows epsilon and v_prediction"
        )
    return kind


def ddim_solver(config: Mapping[str, Any], num_inference_steps: int) -> DdimSolver:
    """DDIM over `num_inference_steps` levels of the noise schedule that `config` describes."""
    _check_num_steps(config, num_inference_steps, "DDIMScheduler")
    with quiet_libraries("diffusers"):
        scheduler: Any = DDIMScheduler.from_config(dict(config))
    scheduler.set_timesteps(num_inference_steps)
    timesteps = torch.as_tensor(scheduler.timesteps, dtype=torch.int64)
    alpha_bar = torch.cat(
        [scheduler.alphas_cumprod[timesteps], scheduler.final_alpha_cumprod.reshape(1)]
    )
    levels = NoiseLevels(timesteps, alpha_bar.to(torch.float32))
    return DdimSolver(levels, prediction_type_of(config))


def make_solver(
    config: Mapping[str, Any],
    name: SchedulerName,
    num_inference_steps: int,
    generators: Sequence[torch.Generator],
) -> Solver:
    """A new solver for one group of rows; `default` is the model's own scheduler class."""
    class_name = str(config.get("_class_name") if name == "default" else _CLASS_NAMES[name])
    if class_name == "DDIMScheduler":
        return ddim_solver(config, num_inference_steps)
    _check_num_steps(config, num_inference_steps, class_name)
    prediction_type_of(config)
    scheduler_class = _class_named(class_name)
    # Latents are not confined to [-1, 1]: clipping them, some classes' default, ruins them.
    known = inspect.signature(scheduler_class.__init__).parameters
    off = {key: False for key in ("clip_sample", "thresholding") if key in known}
    try:
        with quiet_libraries("diffusers"):
            scheduler = scheduler_class.from_config({**config, **off})
        return SchedulerSolver(scheduler, num_inference_steps, generators)
    except (ValueError, TypeError, NotImplementedError, IndexError) as error:
        raise SettingsError(
            f"the scheduler {class_name} cannot take {num_inference_steps} steps with this model's "
            f"schedule ({one_line(error)}); choose another number of steps or another scheduler"
        ) from error


def _class_named(name: str) -> Any:
    if name not in _KNOWN or not hasattr(diffusers, name):
        raise ModelError(f"the model's scheduler is a {name}, which PairAug does not follow")
    return getattr(diffusers, name)


def _knows(config: Mapping[str, Any], key: str) -> bool:
    scheduler_class = getattr(diffusers, str(config["_class_name"]))
    return key in inspect.signature(scheduler_class.__init__).parameters


def _check_num_steps(config: Mapping[str, Any], num_inference_steps: int, class_name: str) -> None:
    most = int(config.get("num_train_timesteps", 1000))
    if class_name in _FEW_STEPS:
        # The levels that such a model was distilled to jump between.
        most = int(config.get("original_inference_steps", 50))
    if not 1 <= num_inference_steps <= most:
        raise SettingsError(
            f"num_inference_steps must be between 1 and {most} for this model, "
            f"got {num_inference_steps}"
        )
