"""Pruning a table by rules: which synthetic pairs are kept, and why the others are dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import pyarrow as pa

from pairaug.api.runs import Run, load_run, needs_pandas
from pairaug.api.settings import checked
from pairaug.errors import DataError
from pairaug.pair import SCORES, Branch
from pairaug.prune.all_of import Rule
from pairaug.prune.bounds import ScoreName
from pairaug.prune.columns import Columns, columns_of_table
from pairaug.prune.fit import PruneRule, PruneSettings, apply
from pairaug.prune.mean_margin import MeanMarginRule
from pairaug.prune.mismatch_quantile import MismatchQuantileRule
from pairaug.prune.quantile import QuantileRule
from pairaug.prune.threshold import ThresholdRule
from pairaug.prune.top_k import TopKRule
from pairaug.settings import StageSettings

if TYPE_CHECKING:
    from pandas import DataFrame

OneOrMoreRules: TypeAlias = Rule | Sequence[Rule] | None
"""A rule, a list of rules that must all keep a pair, or None to keep all pairs."""

_STAGE = "prune"
_TEXTS = ("parent_id", "branch", "patient_id", "source_patient_id", "split")
_EMBEDDINGS = ("image_embedding", "report_embedding", "source_report_embedding")


def Threshold(threshold: float = 0.3, *, score: ScoreName = "image_report") -> ThresholdRule:
    """Keeps pairs whose score is above a fixed number.

    Args:
        threshold: A cosine. 0.3 is the paper's; each scorer needs its own.
        score: `"image_report"`, `"image_image"` or `"directional"`.

    Examples:
        >>> pairaug.Threshold(0.5).threshold
        0.5
    """
    return checked(ThresholdRule, "Threshold", threshold=threshold, score=score)


def MeanMargin(
    margin: float = 0.003,
    *,
    scores: Sequence[ScoreName] = ("image_report", "image_image", "directional"),
    scalar: float = 1.0,
) -> MeanMarginRule:
    """Keeps pairs whose every score is above its mean less a margin: `mean / scalar - margin`.

    Means are over all pairs of the branch that no earlier stage dropped.

    Args:
        margin: 0.003 is the paper's.
        scores: The scores that are compared.
        scalar: Divides the mean.

    Examples:
        >>> pairaug.MeanMargin(0.01).margin
        0.01
    """
    return checked(MeanMarginRule, "MeanMargin", margin=margin, scores=scores, scalar=scalar)


def Quantile(
    quantile: float = 0.5, *, scores: Sequence[ScoreName] = ("image_report",)
) -> QuantileRule:
    """Keeps pairs whose every score is above a quantile of its branch.

    Args:
        quantile: The fraction of pairs that each score drops, between 0 and 1.
        scores: The scores that are compared.

    Examples:
        >>> pairaug.Quantile(0.9).quantile
        0.9
    """
    return checked(QuantileRule, "Quantile", quantile=quantile, scores=scores)


def TopK(
    k: int = 1,
    *,
    group_by: Literal["parent", "report"] = "parent",
    score: ScoreName = "image_report",
) -> TopKRule:
    """Keeps the `k` best pairs of each group.

    Args:
        k: Pairs kept of each group.
        group_by: `"parent"`, all that were made from one real pair, or `"report"`, the images of
            one rewritten report.
        score: The score that they are ranked by.

    Examples:
        >>> pairaug.TopK(2, group_by="report").k
        2
    """
    return checked(TopKRule, "TopK", k=k, score=score, group_by=group_by)


def MismatchQuantile(
    quantile: float = 0.95,
    *,
    scores: Sequence[ScoreName] = ("image_report",),
    sample_size: int = 1024,
) -> MismatchQuantileRule:
    """Keeps pairs that score higher than images with another patient's report.

    The bound is a quantile of the scores between images and reports of different patients, so it
    means the same for every scorer. It needs the embeddings: pass the run, or a table of
    `run.to_pandas(embeddings=True)`.

    Args:
        quantile: The fraction of mismatched pairs that would be dropped, between 0 and 1.
        scores: The scores that are compared.
        sample_size: Pairs of the branch that are mismatched, each with each.

    Examples:
        >>> pairaug.MismatchQuantile(0.99).quantile
        0.99
    """
    return checked(
        MismatchQuantileRule,
        "MismatchQuantile",
        quantile=quantile,
        scores=scores,
        sample_size=sample_size,
    )


def prune(
    table: DataFrame | Run | str | Path,
    inter: OneOrMoreRules = Threshold(0.3),  # noqa: B008
    intra: OneOrMoreRules = MeanMargin(0.003),  # noqa: B008
) -> DataFrame:
    """The table with each synthetic pair kept or dropped by its branch's rule. No model is needed.

    Nothing is written: to change a run itself, use `pairaug prune RUN --set …`, which also checks
    the scorer on the real pairs and drops duplicates. Defaults: preset `default`.

    Args:
        table: A run, its folder, or a table with `branch` and the columns `score_*` (of
            `run.to_pandas`) or `scores` (of `pandas.read_parquet`).
        inter: The rule for new patients: one rule, a list of rules that must all keep a pair, or
            None to keep all.
        intra: The rule for edits.

    Returns:
        A copy of the table. `drop_reason` is null for kept and real pairs, and `drop_detail` has
        the score and its bound. Pairs that an earlier stage dropped stay dropped; what an earlier
        pruning decided is replaced. `.attrs["prune"]` has the fitted bounds.

    Raises:
        DataError: A column is missing, or a branch is unknown.
        SettingsError: A rule has a wrong value.
        MissingExtraError: pandas is not installed.

    Examples:
        >>> import pandas
        >>> scores = [0.2, 0.5, 0.9]
        >>> table = pandas.DataFrame({"branch": "inter", "score_image_report": scores})
        >>> pruned = pairaug.prune(table, inter=pairaug.Threshold(0.4))
        >>> pruned[pruned.drop_reason.isna()].score_image_report.tolist()
        [0.5, 0.9]
    """
    needs_pandas("pruning a table")
    import pandas

    chosen = {"inter": _as_setting(inter, "inter"), "intra": _as_setting(intra, "intra")}
    given = {branch: rules for branch, rules in chosen.items() if rules is not None}
    settings = checked(PruneSettings, _STAGE, **given)
    rules = PruneRule(settings)
    if isinstance(table, str | Path):
        table = load_run(table)
    if not isinstance(table, Run | pandas.DataFrame):
        raise DataError(f"the table is {type(table).__name__}; pass a run or a pandas DataFrame")
    if isinstance(table, Run):
        table = table.to_pandas("score", embeddings=rules.needs_vectors)
    columns = _columns(table, with_vectors=rules.needs_vectors)
    fitted = {
        branch: record
        for branch, record in rules.decide([columns]).fitted.items()
        if chosen.get(branch) is not None
    }
    failures = apply(fitted, columns)
    pruned = table.drop(columns=[name for name in _EMBEDDINGS if name in table])
    dropped = {
        "drop_stage": {row: _STAGE for row in failures},
        "drop_reason": {row: reason for row, (reason, _) in failures.items()},
        "drop_detail": {row: detail for row, (_, detail) in failures.items()},
    }
    for name, found in dropped.items():
        before = table[name] if name in table else [None] * len(table)
        values = [
            found.get(row) if columns.is_living[row] else value for row, value in enumerate(before)
        ]
        pruned[name] = pandas.Series(values, table.index, "str")
    pruned.attrs["prune"] = fitted
    return pruned


def _as_setting(rules: Any, branch: str) -> Any:
    """A caller's rules for a branch as the setting `prune.inter` or `prune.intra`."""
    if rules is None:
        return None
    if isinstance(rules, list | tuple):
        return [_as_setting(rule, branch) for rule in rules]
    if not isinstance(rules, StageSettings):
        raise DataError(
            f"{branch} is {type(rules).__name__}; pass a rule such as pairaug.Threshold(0.3)"
        )
    return rules.model_dump()


def _columns(table: DataFrame, *, with_vectors: bool) -> Columns:
    """The columns that rules see, from a table laid out as a run's parts are."""
    if "branch" not in table:
        raise DataError("the table has no column branch, with real, inter or intra in each row")
    unknown = set(table["branch"]) - {branch.value for branch in Branch}
    if unknown:
        found = min(map(str, unknown))
        raise DataError(f"the column branch has {found!r}; the branches are real, inter and intra")

    def texts(name: str) -> pa.Array:
        values = table[name] if name in table else [None] * len(table)
        return pa.array(values, pa.string(), from_pandas=True)

    numbers = pa.array([f"{row:09d}" for row in range(len(table))])
    drop_stages = ["" if stage == _STAGE else stage for stage in texts("drop_stage").to_pylist()]
    content = {
        "id": texts("id") if "id" in table else numbers,
        **{name: texts(name) for name in _TEXTS},
        "drop_stage": pa.array([stage or None for stage in drop_stages], pa.string()),
        "scores": _scores(table),
    }
    if with_vectors:
        content |= {name: _vectors(table, name) for name in _EMBEDDINGS}
    return columns_of_table(pa.table(content), with_vectors=with_vectors)


def _scores(table: DataFrame) -> pa.Array:
    """The scores as a run stores them, from flat columns or from a column of dictionaries."""
    if "scores" in table:
        found = [each or {} for each in table["scores"]]
        if not all(isinstance(each, Mapping) for each in found):
            raise DataError("the column scores must have a dictionary in each row")
        columns = {name: [each.get(name) for each in found] for name in SCORES}
    else:
        columns = {name: table[f"score_{name}"] for name in SCORES if f"score_{name}" in table}
    if not columns:
        names = ", ".join(f"score_{name}" for name in SCORES)
        raise DataError(f"the table has no scores; it needs one or more of the columns {names}")
    missing = [None] * len(table)
    try:
        arrays = [
            pa.array(columns.get(name, missing), pa.float64(), from_pandas=True) for name in SCORES
        ]
    except pa.ArrowException as error:
        raise DataError("the scores must be numbers; convert them with astype(float)") from error
    return pa.StructArray.from_arrays(arrays, list(SCORES))


def _vectors(table: DataFrame, name: str) -> pa.Array:
    if name not in table:
        raise DataError(
            f"MismatchQuantile needs the column {name}; pass the run itself, or a table of "
            "run.to_pandas(embeddings=True)"
        )
    return pa.array(list(table[name]), pa.list_(pa.float32()), from_pandas=True)
