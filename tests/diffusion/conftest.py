"""Tiny generators on disk, one per prediction type, loaded as any other model is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pairaug.diffusion.folder import model_folder
from pairaug.diffusion.pipeline import Pipeline, load_pipeline
from support.tiny_generator import write_generator


@pytest.fixture(scope="session")
def generator_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_generator(tmp_path_factory.mktemp("generator") / "epsilon")


@pytest.fixture(scope="session")
def pipelines(generator_folder: Path, tiny_generator_folder: Path) -> dict[str, Pipeline]:
    """A pipeline per prediction type."""
    return {
        "epsilon": load_pipeline(model_folder(str(generator_folder))),
        "v_prediction": load_pipeline(model_folder(str(tiny_generator_folder))),
    }


@pytest.fixture(scope="session", params=["epsilon", "v_prediction"])
def pipeline(request: pytest.FixtureRequest, pipelines: dict[str, Pipeline]) -> Pipeline:
    return pipelines[request.param]


@pytest.fixture(scope="session")
def velocity_bundle(pipelines: dict[str, Pipeline]) -> Pipeline:
    """For facts that do not hang on the prediction type."""
    return pipelines["v_prediction"]


@pytest.fixture(scope="session")
def sdxl_bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from support.tiny_pipelines import write_pipeline

    return write_pipeline(tmp_path_factory.mktemp("sdxl") / "sdxl", "sdxl")


@pytest.fixture(scope="session")
def sdxl_bundle(sdxl_bundle_folder: Path) -> Pipeline:
    """Two text encoders, a vector for the whole text, and sizes."""
    return load_pipeline(model_folder(str(sdxl_bundle_folder)))


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """Seven smooth images of 16 pixels, each different."""
    rng = np.random.default_rng(3)
    coarse = rng.random((7, 4, 4))
    smooth = np.kron(coarse, np.ones((4, 4))) * 0.8 + 0.1 * rng.random((7, 16, 16))
    return smooth.astype(np.float32)
