"""Contact sheets: every picture in its cell, labels that fit."""

from __future__ import annotations

import numpy as np
import pytest

from pixelreg.errors import InvalidArrayError
from pixelreg.pictures.sheet import GAP, INK, PAPER, contact_sheet


def plain(colour: tuple[int, int, int], height: int = 40, width: int = 40) -> np.ndarray:
    return np.full((height, width, 3), colour, np.uint8)


def find(sheet: np.ndarray, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """Top, left, bottom, right of a colour's rectangle."""
    rows, columns = np.nonzero((sheet == colour).all(axis=-1))
    return int(rows.min()), int(columns.min()), int(rows.max()) + 1, int(columns.max()) + 1


COLOURS = [[(200, 0, 0), (0, 200, 0)], [(0, 0, 200), (200, 200, 0)], [(0, 200, 200), (99, 9, 99)]]


def test_pictures_stand_in_rows_and_columns() -> None:
    columns = [(f"c{i}", [plain(c) for c in column]) for i, column in enumerate(COLOURS)]
    sheet = contact_sheet(columns)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] == 3 * (40 + GAP)
    places = [[find(sheet, colour) for colour in column] for column in COLOURS]
    for i, column in enumerate(places):
        for j, (top, left, bottom, right) in enumerate(column):
            assert (bottom - top, right - left) == (40, 40)
            assert left == places[0][0][1] + i * (40 + GAP)
            assert top == places[0][0][0] + j * (40 + GAP)
    for column, places_of_column in zip(COLOURS, places, strict=True):
        for colour, (top, left, bottom, right) in zip(column, places_of_column, strict=True):
            assert (sheet[top:bottom, left:right] == colour).all()


def test_labels_are_written_over_columns_and_beside_rows() -> None:
    columns = [("input", [plain((200, 0, 0))]), ("", [plain((0, 200, 0))])]
    sheet = contact_sheet(columns, rows=["someone"])
    top, left, bottom, _ = find(sheet, (200, 0, 0))
    _, second, _, right = find(sheet, (0, 200, 0))
    ink = (sheet < 120).all(axis=-1)
    assert ink[:top, left : left + 40].any()
    assert not ink[:top, second:right].any()  # an empty label
    assert ink[top:bottom, :left].any()
    assert (sheet == INK).all(axis=-1).any()
    assert tuple(sheet[0, 0]) == PAPER
    bare = contact_sheet(columns)
    assert find(bare, (200, 0, 0))[1] == 0


def test_long_labels_stay_inside_their_columns() -> None:
    colours = ((200, 0, 0), (0, 200, 0), (0, 0, 200))
    columns = [("x" * 500 * (i == 1), [plain(colour)]) for i, colour in enumerate(colours)]
    sheet = contact_sheet(columns)
    assert sheet.shape == contact_sheet([("", c) for _, c in columns]).shape
    top = find(sheet, (200, 0, 0))[0]
    for colour in ((200, 0, 0), (0, 0, 200)):
        _, left, _, right = find(sheet, colour)
        assert not (sheet[:top, left:right] < 120).all(axis=-1).any()


@pytest.mark.parametrize("cell", [16, 40, 100])
def test_pictures_are_fitted_into_their_cells(cell) -> None:
    columns = [("a", [plain((200, 0, 0), 20, 80)]), ("b", [plain((0, 200, 0), 60, 30)])]
    sheet = contact_sheet(columns, cell=cell)
    assert sheet.shape[1] == 2 * (cell + GAP)
    top, left, bottom, right = find(sheet, (200, 0, 0))
    assert (bottom - top, right - left) == (cell // 4, cell)
    top, left, bottom, right = find(sheet, (0, 200, 0))
    assert (bottom - top, right - left) == (cell, cell // 2)
    assert left + (cell - right + left) // 2 - cell - GAP <= cell


def test_sheets_of_nothing_or_of_uneven_columns_are_refused() -> None:
    red = plain((200, 0, 0))
    for columns in ([], [("a", [])], [("a", [red]), ("b", [red, red])]):
        with pytest.raises(InvalidArrayError, match="one length"):
            contact_sheet(columns)
