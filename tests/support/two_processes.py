"""Trains three steps as one of the processes that `torchrun` would start; for a test."""

from __future__ import annotations

import sys
from pathlib import Path

from pairaug.train.clip import ClipSettings, train_clip

if __name__ == "__main__":
    out, micro_batch_size = Path(sys.argv[1]), int(sys.argv[2])
    settings = ClipSettings.model_validate(
        {
            "sources": [{"read": {"layout": "phantom", "num_patients": 20, "size": 32}}],
            "tokenizer": "bundled",
            "image_size": 32,
            "max_validation_pairs": 0,
            "batch_size": 8,
            "micro_batch_size": micro_batch_size or None,
            "max_steps": 3,
            "warmup_steps": 1,
            "ema_decay": 0.0,
            "augmentation": 0.0,
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "vision_hidden_size": 16,
            "vision_num_layers": 1,
            "vision_num_heads": 2,
            "text_hidden_size": 16,
            "text_num_layers": 1,
            "text_num_heads": 2,
            "projection_size": 8,
            "save_dtype": "float32",
            "device": "cpu",
            "num_threads": 1,
        }
    )
    train_clip(settings, out)
