"""The difference of two confusion matrices, against matrices that NumPy counts."""

from __future__ import annotations

import numpy as np
import vl_convert

from edgekd.evaluate.comparing import disagreements
from edgekd.report.blocks import figures_of
from edgekd.report.confusion import difference, matrix
from edgekd.report.evaluated import exported, sections
from tests.report.records import evaluation


def counted(answers: np.ndarray, targets: np.ndarray, classes: int) -> np.ndarray:
    found = np.zeros((classes, classes), int)
    np.add.at(found, (targets, answers), 1)
    return found


def test_against_numpy() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(200, 4)), rng.normal(size=(200, 4))
    targets = rng.integers(0, 4, 200)
    ids = [str(index) for index in range(200)]
    found = difference(disagreements("student", "teacher", a, b, targets, ids))
    expected = counted(a.argmax(1), targets, 4) - counted(b.argmax(1), targets, 4)
    assert found == {
        (int(row), int(column)): int(expected[row, column]) for row, column in np.argwhere(expected)
    }
    assert len(found) > 4


def test_the_numbers_stand_in_the_cells() -> None:
    picture = vl_convert.vegalite_to_svg(matrix({(0, 1): 3, (1, 1): -3}, ["cat", "dog"], [0, 1]))
    assert ">+3</text>" in picture
    assert ">-3</text>" in picture
    assert ">0</text>" not in picture


def test_it_stands_in_the_report() -> None:
    found = {section.title: section for section in sections(evaluation(), {})}
    titles = [figure.title for figure in figures_of([found["What is taken for what"]])]
    assert titles[0] == "student, less teacher"


def test_a_file_is_shown_beside_the_networks() -> None:
    assert [one.name for one in exported(evaluation())] == ["tflite-int8"]
    found = {section.title: section for section in sections(evaluation(), {})}
    (figure, *_) = figures_of([found["Class by class"]])
    assert ">tflite-int8</text>" in vl_convert.vegalite_to_svg(figure.spec)
