"""CSV and TSV without Arrow: the header, and each row's cells, None where empty."""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from polymodal.base.errors import UserError

# A series written as a list is one long cell.
_LONGEST_CELL = 2**30
# What separates cells; the first wins a tie.
_SEPARATORS = ",;\t|"
# So much of a file is looked at to tell how it is written.
_SAMPLE = 2**16
# What a file in an encoding other than UTF-8 may begin with; the longest first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@contextmanager
def opened(
    path: Path, encoding: str | None = None
) -> Iterator[tuple[list[str], Iterator[list[str | None]]]]:
    """The header of a delimited file and its rows, which are read one by one; empty cells are None.

    The delimiter is a tab for .tsv and .tab, else whichever of comma, semicolon, tab and bar cuts
    the first rows into as many cells as the header, and the most.

    Args:
        encoding: of a file that is not UTF-8 and does not begin with the mark of UTF-16 or UTF-32.

    Raises:
        UserError: empty, in another encoding, broken quotes, a header that repeats a name, or a row
            with more or fewer cells than the header.
    """
    found = _encoding(path, encoding)
    try:
        with open(path, encoding=found, newline="") as file, _long_cells():
            start = file.read(_SAMPLE)
            file.seek(0)
            if said := re.match(r"sep=(.)\r?\n", start):  # as Excel writes it
                file.readline()
            delimiter = said[1] if said else _delimiter(path, start)
            blank = _blank_before_quotes(start, delimiter)
            reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=blank)
            header = _header(path, next(reader, []))

            def rows() -> Iterator[list[str | None]]:
                for cells in reader:
                    if not cells:  # an empty line
                        continue
                    if len(cells) != len(header):
                        raise _uneven(path, reader.line_num, header, cells)
                    yield [cell or None for cell in cells]

            yield header, rows()
    except UnicodeError as error:
        raise _unreadable(path, found) from error
    except csv.Error as error:
        raise UserError(
            f"{path} has broken quotes ({error})",
            expected='a cell with a quote in it written as "say ""yes"" twice"',
            got=f"trouble in a row that ends at line {reader.line_num}",
        ) from error


def check_names(names: Sequence[str], source: str) -> None:
    """UserError if a column name occurs twice."""
    counts = Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise UserError(
            f"{source} has columns of the same name",
            expected="every name once",
            got=", ".join(f"'{name}' {counts[name]} times" for name in twice[:8]),
            do="rename or remove them",
        )


def _encoding(path: Path, stated: str | None) -> str:
    """UTF-8, unless the file begins with another mark or the user says another and it is not."""
    with open(path, "rb") as file:
        head = file.read(_SAMPLE)
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    if len(head) > 3 and not head[1] and head[0] and head[1::2].count(0) > len(head) / 4:
        return "utf-16-le"
    if len(head) > 3 and not head[0] and head[1] and head[0::2].count(0) > len(head) / 4:
        return "utf-16-be"
    if stated is None:
        return "utf-8-sig"
    try:
        codecs.lookup(stated)
    except LookupError as error:
        raise UserError(
            f"There is no encoding '{stated}'",
            expected="one that Python knows, such as cp1252, latin-1, cp1251, gb18030, shift_jis",
            do="`encoding NAME`",
        ) from error
    return "utf-8-sig" if _is_utf8(path, stated) else stated


def _is_utf8(path: Path, stated: str) -> bool:
    """Whether a file is UTF-8, and not ASCII alone that the stated encoding can read too.

    UTF-7, ISO 2022 and HZ write all letters in ASCII.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    ascii_alone = True
    try:
        with open(path, "rb") as file:
            while part := file.read(2**20):
                decoder.decode(part)
                ascii_alone = ascii_alone and part.isascii()
        decoder.decode(b"", final=True)
        like_ascii = b"a,b\n1".decode(stated, "replace") == "a,b\n1"
    except UnicodeDecodeError:
        return False
    return not (ascii_alone and like_ascii)


def _delimiter(path: Path, start: str) -> str:
    if path.suffix.lower() in (".tsv", ".tab"):
        return "\t"
    return max(_SEPARATORS, key=lambda mark: _agreement(start, mark))


def _blank_before_quotes(start: str, mark: str) -> bool:
    """Whether quotes stand after a blank, which then is not part of the cell."""
    if f'{mark} "' not in start:
        return False
    try:
        rows = list(csv.reader(start.splitlines(keepends=True), delimiter=mark))
    except csv.Error:
        return True
    return any(cell.startswith(' "') for row in rows for cell in row)


def _agreement(start: str, mark: str) -> tuple[bool, float, int]:
    """Whether a separator cuts the header, how many first rows it cuts alike, into how many."""
    reader = csv.reader(start.splitlines(keepends=True), delimiter=mark, skipinitialspace=True)
    widths = []
    try:
        for row in reader:
            if row:
                widths.append(len(row))
            if len(widths) == 20:
                break
    except csv.Error:
        pass
    if len(start) == _SAMPLE and 1 < len(widths) < 20:
        widths.pop()  # cut short
    if not widths or widths[0] == 1:
        return False, 0.0, 0
    return True, widths.count(widths[0]) / len(widths), widths[0]


def _header(path: Path, cells: list[str]) -> list[str]:
    if not any(cell.strip() for cell in cells):
        raise UserError(f"{path} does not begin with a header line", expected="column names")
    # `DataFrame.to_csv` writes its index without a name.
    names = [cell.strip() or f"column_{i}" for i, cell in enumerate(cells)]
    check_names(names, str(path))
    return names


def _uneven(path: Path, line: int, header: Sequence[str], cells: Sequence[str]) -> UserError:
    return UserError(
        f"{path}, line {line}: the row has {len(cells)} cells",
        expected=f"{len(header)}, as in the header ({', '.join(header[:8])})",
        got=str(cells)[:200],
        do="put cells that hold the delimiter in double quotes",
    )


@contextmanager
def _long_cells() -> Iterator[None]:
    """The module's limit is global, so it is put back."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


# Encodings that tables come in, each with a stretch of letters that it is told by.
_LIKELY = (
    ("cp1251", re.compile(r"(?<!\w)[А-ЯЁ]?[а-яё]{2,}(?!\w)")),
    # Kana of Shift JIS are hardly ever Chinese; its Han characters nearly always look so.
    ("shift_jis", re.compile("[\u3040-\u30ff]{2}")),
    ("gb18030", re.compile("[\u4e00-\u9fff]{2}")),
    ("euc_kr", re.compile("[\uac00-\ud7af]{2}")),
)
# Bytes of lines in letters of their own that are enough to tell.
_SEEN = 4096


def _unreadable(path: Path, encoding: str) -> UserError:
    """Where the first byte is that is not of the encoding, and which one it may be."""
    start, bad, seen = 0, b"", b""
    decoder = "utf-8" if encoding.startswith("utf-8") else encoding
    where = ""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if bad:
                seen += b"" if line.isascii() else line
                if len(seen) > _SEEN:
                    break
                continue
            try:
                line.decode(decoder)
            except UnicodeError as error:
                at = getattr(error, "start", 0)
                where = f"byte 0x{line[at]:02x} at offset {start + at}, in line {number}"
                bad = seen = line
            start += len(line)
    likely = _likely(seen)
    shown = bad.decode(likely, errors="replace").strip()
    return UserError(
        f"{path} is not {'UTF-8' if decoder == 'utf-8' else encoding}",
        expected="text in UTF-8, or in an encoding that is named",
        got=f"{where}; in {likely} that line reads '{shown[:60]}'" if where else "cut short",
        do=f"if that looks right: `encoding {likely}`; else name another, or save it as UTF-8",
    )


def _likely(line: bytes) -> str:
    """The encoding in which a line looks like a language."""
    high = [byte for byte in line if byte >= 0x80]
    # Letters of Western languages stand alone among plain ones.
    runs = re.findall(rb"[\x80-\xff]{2,}", line)
    if len(runs) * 4 > len(high) or sum(map(len, runs)) > len(high) / 2:
        for name, letters in _LIKELY:
            try:
                if letters.search(line.decode(name)):
                    return name
            except UnicodeError:
                continue
    for name in ("cp1252", *(name for name, _ in _LIKELY)):  # cp1252 has not all bytes
        try:
            line.decode(name)
        except UnicodeError:
            continue
        return name
    return "cp1252"
