import logging
import sys
from pathlib import Path

import yaml


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    kind, config, out = sys.argv[1:4]
    content = yaml.safe_load(Path(config).read_text()) or {}
    if kind == "generator":
        from pairaug.train.generator import GeneratorSettings, train_generator

        train_generator(GeneratorSettings.model_validate(content), Path(out))
    elif kind == "classifier":
        from pairaug.train.classifier import ClassifierSettings, train_classifier

        train_classifier(ClassifierSettings.model_validate(content), Path(out))
    elif kind == "clip":
        from pairaug.train.clip import ClipSettings, train_clip

        train_clip(ClipSettings.model_validate(content), Path(out))


if __name__ == "__main__":
    main()
