"""The sections of evaluations, corruptions and schemes: there when they should be, and right."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import vl_convert

from edgekd.records import Link, ModelFacts, Score
from edgekd.records_evaluation import Disagreements, LayerSimilarity
from edgekd.report import bearing, evaluated, facts, similarity, taught
from edgekd.report.blocks import Facts, Figure, Row, Section, Small, Table, figures_of
from edgekd.report.stage import report
from edgekd.report.style import styles
from edgekd.rundir import Run, write_record
from tests.report.records import CLASSES, SUBJECTS, case, evaluation, robustness, subject
from tests.report.test_stage import HOSTILE, Page
from tests.synthetic_runs import STUDENT, make_run

HEADINGS = [
    "Beyond accuracy",
    "Class by class",
    "What is taken for what",
    "Hard cases",
    "Parts of the data",
    "How alike the layers are",
    "Differences, tested",
]


def sections(**changes: Any) -> dict[str, Section]:
    return {found.title: found for found in evaluated.sections(evaluation(**changes), {})}


def tables(section: Section) -> list[Table]:
    blocks = [block.blocks if isinstance(block, Row) else (block,) for block in section.blocks]
    return [block for each in blocks for block in each if isinstance(block, Table)]


def values(figure: Figure) -> list[dict[str, Any]]:
    """The rows of a chart's own data, those of helping lines aside."""
    found = [*figure.spec.get("datasets", {}).values()]
    for layer in [figure.spec, *figure.spec.get("layer", [])]:
        found.append(layer.get("data", {}).get("values", []))
    return max(found, key=len)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Page:
    run = make_run(tmp_path_factory.mktemp("sections") / "run")
    write_record(run.evaluations_dir / "test.json", evaluation())
    write_record(run.robustness_dir / "test.json", robustness())
    path = report(run)
    assert path.stat().st_size < 2_000_000
    return Page(path.read_text(encoding="utf-8"))


class TestPage:
    def test_every_section_is_there_once(self, page: Page) -> None:
        for heading in [*HEADINGS, "Corrupted samples"]:
            assert page.words.count(heading) == 2  # in the list of contents, and as a heading

    def test_a_place_for_each_chart(self, page: Page) -> None:
        places = [i for i in page.attributes("id") if i.startswith("chart-")]
        assert places == [f"chart-{n}" for n in range(len(page.specs))]
        # 6 of every run; 2 of calibration, 2 of classes, 1 of confusions, 1 of layers, 2 more.
        assert len(places) == 14

    def test_vega_draws_all_of_them(self, page: Page) -> None:
        for spec in page.specs:
            vl_convert.vegalite_to_svg({**spec, "width": 300})

    def test_colours_follow_the_style_sheet(self, page: Page) -> None:
        assert '"#' not in json.dumps(page.specs)

    def test_a_run_without_them_has_none(self, tmp_path: Path) -> None:
        page = Page(report(make_run(tmp_path / "run")).read_text(encoding="utf-8"))
        assert not {*HEADINGS, "Corrupted samples", "Who taught, and who learned"} & {*page.words}

    def test_several_evaluations_are_told_apart(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=())
        for name in ("test", "validation"):
            record = evaluation(name=name, split=name)
            write_record(run.evaluations_dir / f"{name}.json", record)
        words = Page(report(run).read_text(encoding="utf-8")).words
        assert "Hard cases: test" in words
        assert "Hard cases: validation" in words

    def test_any_name_is_only_text(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=())
        cases = Disagreements(
            a="student",
            b="teacher",
            only_a_right=(case(HOSTILE, 0, 1, 0),),
            only_b_right=(),
            both_wrong=(),
        )
        record = evaluation(classes=(HOSTILE, "b", "c"), disagreements=(cases,))
        write_record(run.evaluations_dir / "test.json", record)
        text = report(run).read_text(encoding="utf-8")
        assert HOSTILE in Page(text).words
        assert "<script>alert" not in text


class TestEvaluation:
    def test_scores(self) -> None:
        (table,) = tables(sections()["Beyond accuracy"])
        assert table.rows[2] == (
            *("student, no teacher", "66.67%", "81.25%", "0.123", "7.51%", "1.75", "2.52%"),
        )
        assert "fitted on the split validation" in table.note

    def test_what_is_unknown_is_said_once(self) -> None:
        who = [subject(name, kl=None, unknown={"kl": "no logits"}) for name in SUBJECTS]
        (table,) = tables(sections(subjects=tuple(who), skipped={"x": "gone"})["Beyond accuracy"])
        assert "teacher, student, baseline, tflite-int8: kl unknown: no logits." in table.note
        assert "x: not evaluated: gone." in table.note
        assert table.rows[0][3] == "-"

    def test_reliability_leaves_out_empty_bins(self) -> None:
        before, after = figures_of([sections()["Beyond accuracy"]])
        assert [(v["series"], v["samples"]) for v in values(before)] == [
            ("teacher", 30),
            ("student", 30),
            ("student, no teacher", 30),
        ]
        assert "divided by T" in after.title

    def test_worst_class_first_with_what_distillation_did(self) -> None:
        section = sections()["Class by class"]
        accuracy, effect = figures_of([section])
        assert [v["class"] for v in values(accuracy)[:3]] == ["dog", "owl", "cat"]
        assert {(v["class"], v["count"]) for v in values(effect) if v["count"]} == {
            ("dog", -3),
            ("cat", 2),
            ("cat", -1),
        }
        assert section.blocks[1].table.rows[0] == [  # type: ignore[union-attr]
            *("dog", "10", "90.0%", "50.0%", "60.0%", "50.0%", "0", "-3"),
        ]

    def test_without_a_twin_there_is_no_effect(self) -> None:
        section = sections(paired=())["Class by class"]
        assert len(figures_of([section])) == 1

    def test_many_classes_are_cut(self) -> None:
        count = 300
        shares = tuple(i / count for i in range(count))
        section = sections(
            classes=tuple(f"c{i}" for i in range(count)),
            class_samples=(1,) * count,
            subjects=(subject("student", classes=shares),),
            paired=(),
            disagreements=(),
        )["Class by class"]
        assert len(values(figures_of([section])[0])) == 20
        assert "The 20 worst of 300" in section.blocks[1].table.note  # type: ignore[union-attr]

    def test_hard_cases(self) -> None:
        first, second = tables(sections()["Hard cases"])
        assert first.title == "teacher right, student wrong: 11"
        assert len(first.rows) == 8
        assert first.rows[0] == ("t-0", "dog", "cat (90%)", "dog (60%)")
        assert first.note == "The first 8."
        assert second.title == "student right, teacher wrong: 1"
        assert first.pictures == ()

    def test_pictures_stand_at_their_samples(self) -> None:
        found = evaluated.sections(evaluation(), {"t-1": "data:image/png;base64,AA"})
        first, _ = tables(next(s for s in found if s.title == "Hard cases"))
        assert first.pictures[:3] == ["", "data:image/png;base64,AA", ""]

    def test_texts_stand_at_their_samples(self, tmp_path: Path) -> None:
        texts = {"t-1": "an owl <b>hooted</b>", "s-1": "a cat"}
        found = next(
            section
            for section in evaluated.sections(evaluation(), {}, texts=texts)
            if section.title == "Hard cases"
        )
        # Not side by side: sentences need the room.
        first, second = found.blocks
        assert isinstance(first, Table)
        assert isinstance(second, Table)
        assert first.texts[:3] == ["", "an owl <b>hooted</b>", ""]
        assert second.texts == ["a cat"]

    def test_agreement_leaves_no_section(self) -> None:
        nobody = Disagreements(
            a="student", b="teacher", only_a_right=(), only_b_right=(), both_wrong=()
        )
        found = sections(disagreements=(nobody,), slices=(), layers=None, paired=(), seeds=())
        assert [*found] == HEADINGS[:2]

    def test_the_student_of_another_run(self) -> None:
        other = Disagreements(
            a="student", b="student@old", only_a_right=(case("o-1", 0, 1, 0),),
            only_b_right=(), both_wrong=(),
        )  # fmt: skip
        shown = tables(sections(disagreements=(*evaluation().disagreements, other))["Hard cases"])
        assert [table.title for table in shown][-1] == "student right, student@old wrong: 1"

    def test_slices_begin_with_the_worst(self) -> None:
        (table,) = tables(sections()["Parts of the data"])
        assert table.head[:3] == ("speaker", "samples", "teacher")
        assert table.rows[0] == ("v0", "10", "50.0%", "50.0%", "50.0%", "75.0%")
        assert len(table.rows) == 20
        assert table.note == "The 20 worst of 25."

    def test_tests_in_words(self) -> None:
        (found,) = sections()["Differences, tested"].blocks
        assert isinstance(found, Facts)
        said = dict(found.rows)
        assert said["student against teacher"].startswith("-23.33 pp on the same 30 samples")
        assert "more than chance (McNemar's mid-p 0.039)" in said["student against teacher"]
        assert said["tflite-int8 against student"] == "Right on the very same samples."
        assert found.rows[-1][1] == "+3.50 pp over 2 seeds: may be chance (paired t-test p 0.090)."
        assert "may be chance (McNemar's mid-p 0.450)" in found.rows[1][1]

    def test_seeds_are_told_where_both_were_evaluated(self) -> None:
        found = sections(subjects=(subject("student"),), paired=(), slices=(), disagreements=())
        assert "Differences, tested" not in found

    def test_layers(self) -> None:
        (figure,) = figures_of([sections()["How alike the layers are"]])
        picture = vl_convert.vegalite_to_svg(figure.spec)
        for text in ("0.91", "0.12", "t2", "l1"):
            assert f">{text}</text>" in picture

    def test_many_layers_are_thinned(self) -> None:
        names = tuple(f"l{i}" for i in range(101))
        found = LayerSimilarity(
            a="a", b="b", a_layers=names, b_layers=names[:3], values=((0.5,) * 3,) * 101, samples=9
        )
        figure = similarity.similarity(found)
        rows = [*dict.fromkeys(v["a"] for v in values(figure))]
        assert (rows[0], rows[-1], len(rows)) == ("l0", "l100", 40)
        assert "evenly picked" in figure.note


class TestCorruptions:
    def test_sums(self) -> None:
        section = bearing.section(robustness())
        assert section is not None
        table, small = section.blocks
        assert isinstance(table, Table)
        assert table.rows[2] == (
            *("student, no teacher", "90.00%", "52.00%", "-38.00 pp", "61.25%", "1.50x"),
        )
        assert isinstance(small, Small)
        assert [figure.title for figure in small.figures] == ["blur", "noise"]
        first = values(small.figures[0])
        assert [(v["severity"], v["accuracy"]) for v in first[:3]] == [(0, 0.9), (1, 0.5), (5, 0.5)]

    def test_only_the_files_that_differ_most_are_drawn(self) -> None:
        names = ("teacher", "student", "baseline", "f3", "f4", "f5")
        section = bearing.section(robustness(names))
        assert section is not None
        small = section.blocks[1]
        assert isinstance(small, Small)
        drawn = [key.name for key in small.keys]
        assert drawn == ["teacher", "student", "student, no teacher", "f4", "f5"]
        assert "differ the most" in small.note
        looks = {(key.colour, key.dashes) for key in small.keys}
        assert len(looks) == len(drawn)

    def test_nobody_asked(self) -> None:
        assert bearing.section(robustness(())) is None


class TestTaught:
    def test_one_teacher_needs_no_table(self, tmp_path: Path) -> None:
        assert taught.section(make_run(tmp_path / "run", artifacts=()).manifest) is None

    def test_generations_without_a_teacher(self, tmp_path: Path) -> None:
        manifest = make_run(tmp_path / "run", artifacts=()).manifest
        link = Link(name="generation-1", role="generation", facts=STUDENT)
        manifest = manifest.model_copy(
            update={"teachers": (), "teacher_scores": (), "links": (link,)}
        )
        section = taught.section(manifest)
        assert section is not None
        heard = {row[0]: row[2] for row in tables(section)[0].rows}
        assert (heard["generation-1"], heard["student"]) == ("labels", "generation-1")
        assert "from its own earlier generations" in facts.lead(manifest)

    def test_the_lead_names_teachers_and_peers(self, tmp_path: Path) -> None:
        manifest = make_run(tmp_path / "run", artifacts=()).manifest
        both = manifest.model_copy(update={"teachers": manifest.teachers * 2, "peers": (STUDENT,)})
        assert facts.lead(both).startswith(
            "resnet8 distilled from 2 wideresnet, learned together with resnet8, 10 classes"
        )

    def test_everyone(self, tmp_path: Path) -> None:
        run = make_run(tmp_path / "run", artifacts=())
        score = Score(
            seed=0, epochs=3, validation_accuracy=0.9, test_accuracy=0.91, test_agreement=0.8,
            knn_accuracy=0.7, train_seconds=12.25,
        )  # fmt: skip
        middle = ModelFacts(name="resnet14", parameters=90_000)
        link = Link(
            name="middle", role="assistant", facts=middle, hears=("teacher",), scores=(score,)
        )
        first, second = (
            Link(name=f"generation-{n}", role="generation", facts=STUDENT, scores=(score,))
            for n in (1, 2)
        )
        manifest = run.manifest.model_copy(
            update={
                "teachers": (*run.manifest.teachers, middle),
                "teacher_scores": (*run.manifest.teacher_scores, None),
                "peers": (STUDENT,),
                "peer_scores": (score,),
                "links": (link, first, second),
                "compared_scores": {"direct": (score,)},
            }
        )
        section = taught.section(manifest)
        assert section is not None
        (table,) = tables(section)
        rows = {row[0]: [*row[1:]] for row in table.rows}
        assert [*rows] == [
            *("teacher", "teacher-2", "peer", "middle", "generation-1", "generation-2"),
            *("student", "student, no teacher", "student, direct"),
        ]
        assert rows["teacher-2"] == ["resnet14", "", "90.0k", "-", "-", "-"]
        assert rows["middle"] == ["resnet14", "teacher", "90.0k", "91.00%", "80.00%", "12.2"]
        assert rows["generation-2"][1] == "generation-1"
        assert rows["student"][3] == "97.20%"  # mean of 0.970, 0.972, 0.974
        assert "Nearest neighbours by the outputs reach: peer 70.00%" in table.note


def test_seven_styles_differ() -> None:
    all_kinds = ["teacher", "student", "baseline", *["file"] * 4]
    kinds = {str(number): kind for number, kind in enumerate(all_kinds)}
    assert len({json.dumps(look) for look in styles(kinds)}) == 7
    assert len({json.dumps(look) for look in styles({"a": "student", "b": "student"})}) == 2


def test_made_records_are_whole(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", artifacts=())
    write_record(run.evaluations_dir / "test.json", evaluation())
    assert Run.open(run.path).evaluations()[0].classes == CLASSES
