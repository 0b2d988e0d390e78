"""Settings of the smallest trainings, a few seconds each: of CLIP, a classifier and a generator."""

from __future__ import annotations

LOOP = {"device": "cpu", "warmup_steps": 1, "checkpoint_minutes": 0.0, "log_steps": 1}
MINUTES = {**LOOP, "max_minutes": None, "max_steps": 12, "evaluate_minutes": 0.0}
IMAGES = {"num_patients": 10, "num_validation": 4, "size": 32, "num_workers": 1}
READ = {
    "layout": "phantom",
    "num_patients": 24,
    "size": 32,
    "split": {"validation_fraction": 0.3, "test_fraction": 0.0},
}
CLIP = {
    **LOOP,
    "image_size": 32,
    "vision_hidden_size": 16,
    "vision_num_layers": 1,
    "vision_num_heads": 2,
    "text_hidden_size": 16,
    "text_num_layers": 1,
    "text_num_heads": 2,
    "projection_size": 8,
    "batch_size": 6,
    "sources": [{"read": READ}],
    "max_steps": 20,
    "evaluate_steps": 5,
    "best_by": "loss",
}
CLASSIFIER = {
    **MINUTES,
    "data": IMAGES,
    "batch_size": 4,
    "embedding_size": 4,
    "hidden_sizes": [4, 8],
    "depths": [1, 1],
}
GENERATOR = {
    "data": IMAGES,
    "vae": {
        **MINUTES,
        "batch_size": 4,
        "block_out_channels": [4, 8],
        "latent_channels": 2,
        "norm_num_groups": 2,
    },
    "denoiser": {
        **MINUTES,
        "batch_size": 4,
        "block_out_channels": [8, 16],
        "head_size": 4,
        "norm_num_groups": 4,
        "text_hidden_size": 16,
        "text_num_layers": 1,
        "text_num_heads": 2,
    },
}
