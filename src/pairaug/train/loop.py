"""The training loop of all trainers: schedule, weight averaging, limits, resuming, curves.

All randomness of step k is derived from (seed, k), so a resumed training uses the same images and
noise as an uninterrupted one.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from pairaug.errors import RunError, SettingsError
from pairaug.settings import StageSettings
from pairaug.system.atomic import disk_errors, remove_leftovers, write_file
from pairaug.train.checkpoint import load_state, save_state
from pairaug.train.early_stopping import BestMetric, BestWeights
from pairaug.train.loop_settings import FREE, LoopSettings
from pairaug.train.observers import Observer
from pairaug.train.processes import Processes

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StepRandomness:
    """The random parts of one step: its images, and the source of all noise."""

    step: int
    indices: np.ndarray
    numpy: np.random.Generator
    torch: torch.Generator


@dataclass(frozen=True, slots=True)
class TrainingTask:
    """A training problem: its modules, the losses of one step, and its validation.

    `losses` returns scalars; the one named "loss" is minimized. A detached loss means that its
    gradients are in the parameters already. `evaluate` is called with the averaged weights loaded,
    and returns an empty dictionary without validation data. `rates` scales the learning rate of a
    module. `identity` holds what else a resumed training must share. `positions` gives the images
    of a step if they are not shuffled epochs of all. `best` keeps the weights of the best
    validation metric.
    """

    modules: Mapping[str, nn.Module]
    losses: Callable[[StepRandomness], dict[str, Tensor]]
    evaluate: Callable[[], dict[str, float]]
    rates: Mapping[str, float] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    after_step: Callable[[], None] = lambda: None
    positions: Callable[[int], np.ndarray] | None = None
    make_optimizer: Callable[[list[dict[str, Any]]], torch.optim.Optimizer] | None = None
    autocast: Callable[[], AbstractContextManager[Any]] | None = None
    processes: Processes = field(default_factory=Processes)
    best: BestMetric | None = None
    observers: Sequence[Observer] = ()


@dataclass(frozen=True, slots=True)
class TrainingOutcome:
    """Progress of a training, and its last validation metrics."""

    steps: int
    samples: int
    seconds: float
    metrics: dict[str, float]


def choose_device(name: str) -> torch.device:
    """The named device; `auto` is CUDA if available, else the CPU."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 autocast on CUDA; float32 elsewhere, as many CPUs are slower in bfloat16."""
    return torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()


def learning_rate_factor(progress: float, step: int, warmup_steps: int) -> float:
    """Fraction of the peak learning rate: a linear rise, then half a cosine down to 0.01.

    `progress` in [0, 1] is the fraction of the planned steps or minutes, whichever is larger.
    """
    rise = min(1.0, (step + 1) / max(warmup_steps, 1))
    return rise * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0))))


def indices_of_step(seed: int, step: int, batch_size: int, num_images: int) -> np.ndarray:
    """Positions of the images of one step; each epoch is shuffled by (seed, epoch).

    A batch may span two epochs, so that all batches are full.
    """
    positions = np.arange(step * batch_size, (step + 1) * batch_size)
    images = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(positions // num_images):
        order = np.random.default_rng([seed, int(epoch)]).permutation(num_images)
        inside = positions // num_images == epoch
        images[inside] = order[positions[inside] % num_images]
    return images


class Loop:
    """One training in one folder, resumed from its last checkpoint if there is one."""

    def __init__(
        self, folder: Path, settings: LoopSettings, task: TrainingTask, num_images: int
    ) -> None:
        self.folder, self.settings, self.task, self.num_images = folder, settings, task, num_images
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            if task.processes.is_first:
                remove_leftovers(folder)
        self.device = task.processes.device if task.processes.count > 1 else self._own_device()
        if settings.num_threads is not None:
            torch.set_num_threads(settings.num_threads)
        self.step, self.seconds = 0, 0.0
        self.optimizer = self._make_optimizer()
        self.averaged = {
            name: {key: value.clone() for key, value in module.state_dict().items()}
            for name, module in task.modules.items()
            if settings.ema_decay
        }
        self.metrics: dict[str, float] | None = None
        """The validation metrics of this step, once computed."""
        self.best = None if task.best is None else BestWeights(task.best, folder)
        self.checkpoint_path = folder / "checkpoint.pt"
        if self.checkpoint_path.exists():
            self._load()
        # Without a checkpoint too: a kill before the first may have left rows.
        if task.processes.is_first and (folder / "evaluation.csv").exists():
            _cut_back(folder / "evaluation.csv", self.step)

    def run(self) -> TrainingOutcome:
        """Trains to the planned end; leaves the averaged weights in the modules."""
        started = time.monotonic() - self.seconds
        saved = evaluated = self.seconds
        curves = _Curves(self.folder / "curves.csv", self.step, self.task)
        for module in self.task.modules.values():
            module.train()
        while (progress := self._progress()) < 1.0 and not (self.best and self.best.is_stopped):
            rate, losses = self._one_step(progress)
            self.step += 1
            self.seconds = self.task.processes.broadcast(time.monotonic() - started)
            self.metrics = None
            curves.add(self.step, losses)
            for observer in self.task.observers:
                observer.stepped(self.step, self.settings.batch_size)
            if self.step % self.settings.log_steps == 0:
                curves.write(self._row(rate))
            if self._is_time_to_evaluate(evaluated):
                self.metrics = self._evaluate()
                self.seconds = self.task.processes.broadcast(time.monotonic() - started)
                evaluated = self.seconds
            if self.seconds - saved >= 60 * self.settings.checkpoint_minutes:
                self._save()
                saved = self.seconds
        # Once per step: a repeated metric would add a row and use up patience.
        if self.metrics is None:
            self.metrics = self._evaluate()
        self._save()
        self._use_averaged()
        metrics = self.metrics
        if self.best and self.best.step is not None:
            metrics = self.best.take(self.task.modules)
        return TrainingOutcome(
            self.step, self.step * self.settings.batch_size, self.seconds, metrics
        )

    def _own_device(self) -> torch.device:
        return choose_device(self.settings.device)

    def _is_time_to_evaluate(self, evaluated: float) -> bool:
        if self.settings.evaluate_steps is not None:
            return self.step % self.settings.evaluate_steps == 0
        return self.seconds - evaluated >= 60 * self.settings.evaluate_minutes

    def _make_optimizer(self) -> torch.optim.Optimizer:
        groups = []
        for name, module in self.task.modules.items():
            peak = self.settings.learning_rate * self.task.rates.get(name, 1.0)
            parameters = [value for value in module.parameters() if value.requires_grad]
            # Gains, biases and other vectors are not decayed.
            for decay, chosen in (
                (self.settings.weight_decay, [value for value in parameters if value.ndim > 1]),
                (0.0, [value for value in parameters if value.ndim <= 1]),
            ):
                groups.append({"params": chosen, "weight_decay": decay, "peak": peak, "lr": peak})
        if self.task.make_optimizer is not None:
            return self.task.make_optimizer(groups)
        return torch.optim.AdamW(groups, betas=(0.9, 0.99), fused=self.device.type != "mps")

    def _progress(self) -> float:
        steps, minutes = self.settings.max_steps, self.settings.max_minutes
        by_steps = self.step / steps if steps else 0.0
        by_time = self.seconds / (60 * minutes) if minutes else 0.0
        return max(by_steps, by_time)

    def _randomness(self) -> StepRandomness:
        seed = self.settings.seed
        numpy = np.random.default_rng([seed, self.step, 1])
        generator = torch.Generator(self.device).manual_seed(int(numpy.integers(2**62)))
        if self.task.positions is not None:
            images = self.task.positions(self.step)
        else:
            images = indices_of_step(seed, self.step, self.settings.batch_size, self.num_images)
        return StepRandomness(self.step, images, numpy, generator)

    def _one_step(self, progress: float) -> tuple[float, dict[str, Tensor]]:
        is_falling = self.settings.schedule == "cosine"
        factor = learning_rate_factor(
            progress if is_falling else 0.0, self.step, self.settings.warmup_steps
        )
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        with self._autocast():
            losses = self.task.losses(self._randomness())
        if losses["loss"].requires_grad:
            losses["loss"].backward()
        parameters = [value for group in self.optimizer.param_groups for value in group["params"]]
        most = self.settings.gradient_clip
        norm = nn.utils.clip_grad_norm_(parameters, math.inf if most is None else most)
        if not torch.isfinite(norm):
            raise SettingsError(
                f"the loss of step {self.step} is not finite; resume from {self.checkpoint_path} "
                "would repeat it; start again with a lower learning_rate"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.task.after_step()
        if self.averaged:
            self._average()
        return self.settings.learning_rate * factor, {k: v.detach() for k, v in losses.items()}

    def _autocast(self) -> AbstractContextManager[Any]:
        return self.task.autocast() if self.task.autocast else precision(self.device)

    @torch.no_grad()
    def _average(self) -> None:
        # A young average follows quickly, so that it does not keep the first weights.
        weight = 1.0 - min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        for name, module in self.task.modules.items():
            kept, current = self.averaged[name], module.state_dict()
            for key, value in current.items():
                if value.is_floating_point():
                    kept[key].lerp_(value, weight)
                else:
                    kept[key].copy_(value)

    def _use_averaged(self) -> None:
        for name, module in self.task.modules.items():
            if self.averaged:
                module.load_state_dict(self.averaged[name])
            module.eval()

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        trained = {
            name: {key: value.clone() for key, value in module.state_dict().items()}
            for name, module in self.task.modules.items()
            if self.averaged
        }
        self._use_averaged()
        yield
        for name, module in self.task.modules.items():
            if trained:
                module.load_state_dict(trained[name])
            module.train()

    def _evaluate(self) -> dict[str, float]:
        with self._averaged_weights():
            with torch.inference_mode(), self._autocast():
                own = self.task.evaluate()
            # The deciding metric must be equal in all processes, whose rounding may differ.
            metrics = {name: self.task.processes.broadcast(value) for name, value in own.items()}
            if metrics and self.best:
                self.best.consider(self.step, metrics, self.task.modules, self._is_first)
        if not metrics or not self._is_first:
            return metrics
        row = {"step": self.step, "seconds": round(self.seconds, 1), **_round(metrics)}
        _append_row(self.folder / "evaluation.csv", row)
        for observer in self.task.observers:
            observer.evaluated(self.step, metrics)
        log.info("validation at step %d: %s", self.step, _format_metrics(metrics))
        return metrics

    @property
    def _is_first(self) -> bool:
        return self.task.processes.is_first

    def _row(self, rate: float) -> dict[str, float]:
        return {
            "step": self.step,
            "samples": self.step * self.settings.batch_size,
            "seconds": round(self.seconds, 1),
            "learning_rate": float(f"{rate:.4g}"),
        }

    def _save(self) -> None:
        if not self._is_first:
            return
        state = {
            "settings": {**_settle(self.settings), **self.task.identity},
            "step": self.step,
            "seconds": self.seconds,
            "modules": {name: module.state_dict() for name, module in self.task.modules.items()},
            "averaged": self.averaged,
            "optimizer": self.optimizer.state_dict(),
            "best": self.best.state if self.best else None,
            "metrics": self.metrics,
        }
        save_state(state, self.checkpoint_path)
        if self.best:
            self.best.forget_others()

    def _load(self) -> None:
        remedy = "delete it and run the same command again: training then starts from step 0"
        names = ("settings", "step", "seconds", "modules", "averaged", "optimizer")
        state = load_state(self.checkpoint_path, self.device, names, remedy)
        now, before = {**_settle(self.settings), **self.task.identity}, state["settings"]
        # A setting missing in the checkpoint was added later; its default changes nothing.
        changed = sorted(key for key in now.keys() & before.keys() if now[key] != before[key])
        if changed:
            raise SettingsError(
                f"{self.folder} was begun with other settings ({', '.join(changed)} changed). "
                "Resume with the former ones, or pass a new --out folder."
            )
        self.step, self.seconds, self.averaged = state["step"], state["seconds"], state["averaged"]
        try:
            for name, module in self.task.modules.items():
                module.load_state_dict(state["modules"][name])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"{self.checkpoint_path} does not fit the model; {remedy}") from error
        self.metrics = state.get("metrics")
        if self.best:
            self.best.state = state.get("best") or {}
        log.info("resumed %s at step %d", self.folder, self.step)


class _Curves:
    """Means of the losses since the last line, in a CSV file that a resumed training truncates."""

    def __init__(self, path: Path, step: int, task: TrainingTask) -> None:
        self._path, self._task = path, task
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        if path.exists() and task.processes.is_first:
            _cut_back(path, step)

    def add(self, step: int, losses: Mapping[str, Tensor]) -> None:
        self._count += 1
        for name, value in losses.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value

    def write(self, row: dict[str, float]) -> None:
        means = {name: float(value) / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        if not self._task.processes.is_first:
            return
        for observer in self._task.observers:
            observer.logged(row, means)
        _append_row(self._path, {**row, **_round(means)})
        speed = row["samples"] / max(row["seconds"], 1e-9)
        log.info("step %d, %.1f samples/s, %s", row["step"], speed, _format_metrics(means))


def write_record(
    folder: Path, settings: StageSettings, outcome: TrainingOutcome, **more: Any
) -> None:
    """Writes `training.json`: settings, progress, hardware and final metrics."""
    record = {
        "recipe": settings.model_dump(mode="json"),
        "steps": outcome.steps,
        "samples": outcome.samples,
        "hours": round(outcome.seconds / 3600, 4),
        "samples_per_second": round(outcome.samples / max(outcome.seconds, 1e-9), 2),
        "hardware": _hardware(),
        "metrics": _round(outcome.metrics),
        **more,
    }
    write_file(folder / "training.json", (json.dumps(record, indent=2) + "\n").encode())


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{platform.machine()} CPU, {os.cpu_count()} cores, {torch.get_num_threads()} threads"


def _settle(settings: LoopSettings) -> dict[str, Any]:
    plain = settings.model_dump(mode="json", exclude=set(FREE))
    if "data" in plain:
        plain["data"] = dataset_identity(plain["data"])
    return plain


def dataset_identity(images: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that determine the images, without storage location or worker numbers."""
    return {key: value for key, value in images.items() if key not in ("cache", "num_workers")}


def _append_row(path: Path, row: Mapping[str, Any]) -> None:
    is_new = not path.exists()
    with disk_errors(path), path.open("a", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(row))
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _cut_back(path: Path, step: int) -> None:
    with path.open(newline="", encoding="utf-8", errors="replace") as stream:
        reader = csv.DictReader(stream)
        rows = [row for row in reader if _is_of_step(row, step)]
    # Atomically: a kill in between would lose lines that no training writes again.
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]) if rows else [])
    if rows:
        writer.writeheader()
        writer.writerows(rows)
        write_file(path, text.getvalue().encode())
    else:
        path.unlink()


def _is_of_step(row: Mapping[Any, Any], step: int) -> bool:
    """True for a complete line of a step up to `step`; a kill may leave part of a line."""
    is_whole = None not in row and None not in row.values()
    return is_whole and str(row.get("step", "")).isdigit() and int(row["step"]) <= step


def _round(values: Mapping[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in values.items()}


def _format_metrics(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in values.items())
