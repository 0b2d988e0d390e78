"""The training of a CLIP model, from settings to a folder that loads as a scorer."""

from __future__ import annotations

import logging
import math
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pairaug.clip.loss import contrastive_loss, sigmoid_loss
from pairaug.errors import ModelError, SettingsError
from pairaug.system.atomic import remove_leftovers
from pairaug.system.locks import hold_lock
from pairaug.train.augment import augment
from pairaug.train.clip.captions import check_vocabulary, open_tokenizer, token_table
from pairaug.train.clip.metrics import validation_metrics
from pairaug.train.clip.mixing import Mix
from pairaug.train.clip.model import (
    PairEncoder,
    TwoTowerModel,
    as_images,
    image_size_of,
    is_siglip,
    load_given_model,
    make_clip,
)
from pairaug.train.clip.observers import open_observers
from pairaug.train.clip.pairs import open_pairs
from pairaug.train.clip.precision import autocast_for
from pairaug.train.clip.prefetch import Ahead
from pairaug.train.clip.saving import save_model
from pairaug.train.clip.settings import ClipSettings
from pairaug.train.clip.steps import leave_gradients
from pairaug.train.early_stopping import BestMetric
from pairaug.train.loop import Loop, StepRandomness, TrainingOutcome, TrainingTask, choose_device
from pairaug.train.processes import Processes, join_processes

log = logging.getLogger(__name__)


def train(settings: ClipSettings, out: Path, progress: Any = None) -> TrainingOutcome:
    """Trains in this process, or as one of those started by `torchrun`."""
    with (
        join_processes(choose_device(settings.device)) as processes,
        # One process writes for all.
        hold_lock(out) if processes.is_first else nullcontext(),
    ):
        if processes.is_first:
            remove_leftovers(out)
        return Training(settings, out, processes).run(progress)


class Training:
    """The parts of one training, built in the order in which each needs the ones before it."""

    def __init__(self, settings: ClipSettings, out: Path, processes: Processes) -> None:
        torch.manual_seed(settings.seed)
        self.out, self.processes = out, processes
        self.device = processes.device
        self.slice = processes.slice_of(settings.batch_size)
        given = load_given_model(settings)
        size = settings.image_size if given is None else _size_of(given, settings)
        self.pairs = self._open(lambda: open_pairs(settings, size, out))
        self.tokenizer = self._open(
            lambda: open_tokenizer(
                settings, self.pairs.reports, out / "clip", given is None, processes.is_first
            )
        )
        # Initial weights depend on the seed alone.
        torch.manual_seed(settings.seed)
        model = given or make_clip(settings, self.pairs.size, self.tokenizer)
        check_vocabulary(model, self.tokenizer)
        self.encoder = PairEncoder(model.to(self.device), settings.image_mean, settings.image_std)
        self.tokens = token_table(self.pairs.reports, self.tokenizer, model)
        self.head = ContrastiveHead(model, settings, self.device)
        if settings.best_by is not None and len(self.pairs.validation) < 2:
            raise SettingsError(
                f"best_by is {settings.best_by}, but there are no validation pairs: sources have "
                "no real pairs of the validation split; set validation, or leave best_by out"
            )
        self.mix = Mix(
            settings.mixing,
            self.pairs.branches,
            self.pairs.weights,
            settings.seed,
            settings.batch_size,
        )
        if settings.max_steps is None and settings.epochs is not None:
            steps = self.mix.num_steps(settings.epochs)
            settings = settings.model_copy(update={"max_steps": steps})
        self.mix.plan(settings.max_steps)
        self.settings = settings
        self.fixed: Tensor | None = None
        """Outputs of a frozen tower for every image."""
        self.autocast = autocast_for(settings.precision, model, self.device)

    def run(self, progress: Any) -> TrainingOutcome:
        settings = self.settings
        with ExitStack() as closing:
            outcome = self.loop(closing, progress).run()
        if self.processes.is_first:
            save_model(
                self.encoder.model, self.tokenizer, settings, self.pairs.size, outcome, self.out
            )
        self.processes.wait()
        return outcome

    def loop(self, closing: ExitStack, progress: Any = None) -> Loop:
        """The loop, from its last checkpoint; `closing` ends the threads that fetch images."""
        settings = self.settings
        if settings.image_encoder is not None:
            images = self.pairs.images(np.arange(len(self.pairs.reports)))
            self.fixed = self.encoder.all_image_states(images, self.device)
        self.ahead = closing.enter_context(
            Ahead(self.pairs.images, self._own_positions, settings.num_workers)
        )
        task = TrainingTask(
            self._modules(),
            self._losses,
            self._metrics,
            identity={"pairs": self.pairs.fingerprint},
            after_step=self.head.clamp,
            positions=self.mix.positions,
            make_optimizer=self._optimizer,
            autocast=nullcontext,
            processes=self.processes,
            best=self._best(),
            observers=open_observers(settings, self.out, progress, self.processes, closing),
        )
        return Loop(self.out / "training", settings, task, self.pairs.num_train)

    def _modules(self) -> dict[str, nn.Module]:
        own = self.head.own
        return {"clip": self.encoder.model, **({} if own is None else {"head": own})}

    def _own_positions(self, step: int) -> np.ndarray:
        return self.mix.positions(step)[self.slice]

    def _losses(self, randomness: StepRandomness) -> dict[str, Tensor]:
        seed = int(randomness.numpy.integers(2**62))
        variants = randomness.numpy.integers(self.tokens.shape[1], size=len(randomness.indices))
        own = randomness.indices[self.slice]
        reports = self.tokens[torch.from_numpy(own), torch.from_numpy(variants[self.slice])]
        loss = leave_gradients(
            self._embed,
            self.head.loss,
            self._images(randomness, own),
            reports.to(self.device),
            self.settings.micro_batch_size,
            seed,
            self.head.parameters,
            self.processes,
        )
        self.processes.sum_gradients(
            value for module in self._modules().values() for value in module.parameters()
        )
        return {"loss": loss, "logit_scale": self.head.scale.detach()}

    def _images(self, randomness: StepRandomness, own: np.ndarray) -> Tensor:
        """This process's images of a step, or the frozen tower's outputs for them."""
        if self.fixed is not None:
            return self.fixed[torch.from_numpy(own).to(self.device)]
        images = as_images(self.ahead.images(randomness.step), self.device)
        if not self.settings.augmentation:
            return images
        return augment(images, randomness.torch, self.settings.augmentation)

    def _embed(self, images: Tensor, reports: Tensor) -> tuple[Tensor, Tensor]:
        with self.autocast():
            project = self.encoder.images if self.fixed is None else self.encoder.project_images
            return project(images), self.encoder.reports(reports)

    def _metrics(self) -> dict[str, float]:
        if len(self.pairs.validation) < 2:
            return {}
        with self.autocast():
            return validation_metrics(
                self.encoder, self.pairs, self.tokens, self.head.loss, self.settings, self.device
            )

    def _best(self) -> BestMetric | None:
        name = self.settings.best_by
        if name is None:
            return None
        return BestMetric(name, name == "loss", self.settings.patience)

    def _optimizer(self, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
        fused = self.device.type != "mps"
        if self.settings.optimizer == "sgd":
            momentum, rate = self.settings.momentum, self.settings.learning_rate
            return torch.optim.SGD(groups, rate, momentum=momentum, fused=fused)
        return torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=fused)

    def _open(self, make: Any) -> Any:
        """Result of `make`, called by the first process before the others: it may write files."""
        if not self.processes.is_first:
            self.processes.wait()
            return make()
        result = make()
        self.processes.wait()
        return result


class ContrastiveHead:
    """The loss on vectors, with its temperature and, for the sigmoid loss, its bias."""

    def __init__(self, model: TwoTowerModel, settings: ClipSettings, device: torch.device) -> None:
        self._model = model
        self._most = math.log(settings.max_logit_scale)
        sigmoid = settings.loss == "sigmoid" or (settings.loss == "auto" and is_siglip(model))
        self._is_sigmoid = sigmoid
        self.own: nn.Module | None = None
        self._bias: nn.Parameter | None = getattr(model, "logit_bias", None)
        if sigmoid and self._bias is None:
            # SigLIP's start: almost all pairs do not match. Not saved: vectors do not depend on it.
            self.own = nn.Module()
            self._bias = nn.Parameter(torch.tensor(-10.0, device=device))
            self.own.register_parameter("logit_bias", self._bias)
            with torch.no_grad():
                model.logit_scale.fill_(math.log(10.0))

    @property
    def scale(self) -> Tensor:
        """Factor on cosines."""
        return self._model.logit_scale.exp().reshape(())

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Temperature and bias."""
        return [self._model.logit_scale, *([self._bias] if self._bias is not None else [])]

    def loss(self, images: Tensor, reports: Tensor) -> Tensor:
        """Loss of the unit vectors of all pairs."""
        if self._is_sigmoid:
            assert self._bias is not None
            return sigmoid_loss(images, reports, self.scale, self._bias.reshape(()))
        return contrastive_loss(images, reports, self.scale)

    def clamp(self) -> None:
        """Clips the temperature to its bounds."""
        with torch.no_grad():
            self._model.logit_scale.clamp_(0.0, self._most)


def _size_of(model: TwoTowerModel, settings: ClipSettings) -> int | None:
    size = image_size_of(model)
    if size is None:
        return settings.image_size
    if settings.image_size not in (None, size):
        raise ModelError(
            f"image_size is {settings.image_size}, but the model that training starts from takes "
            f"{size} pixels a side: leave image_size out"
        )
    return size
