"""Conversations as rows."""

from __future__ import annotations

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from polymodal.base.errors import UserError
from polymodal.table import chat
from polymodal.table.infer import infer
from polymodal.table.read import read

TALK = [
    {"role": "developer", "content": "Be kind."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "A"}, {"type": "image", "path": "a.png"}],
    },
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "b.png"}}]},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "and?"},
]


def said(cell):
    return [(turn.role, list(turn.parts)) for turn in chat.turns(cell)]


def test_every_answer_is_a_row_with_what_was_said_before(tmp_path):
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"messages": TALK, "topic": "x"}) + "\n")
    table = read(path)
    assert table.cells("answer") == ["one", "two", None]
    assert table.cells("conversation") == ["c0"] * 3 and table.cells("topic") == ["x"] * 3
    assert table.cells("image") == ["a.png"] * 3
    assert table.cells("image 2") == [None, "b.png", "b.png"]
    first, _, last = map(said, table.cells("messages"))
    assert first == [("system", [("Be kind.", None)]), ("user", [("A", None), ("", "image")])]
    assert last[2:] == [
        ("assistant", [("one", None)]),
        ("user", [("", "image 2")]),
        ("assistant", [("two", None)]),
        ("user", [("and?", None)]),
    ]


def test_tables_of_any_sort_hold_conversations(tmp_path):
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}]
    data = pa.Table.from_pylist(rows * 3)
    pq.write_table(data, tmp_path / "t.parquet")
    for source in (rows * 3, data, tmp_path / "t.parquet"):
        table = read(source)
        assert table.cells("answer") == ["b"] * 3
        assert said(table.cells("messages")[0]) == [("user", [("a", None)])]
    again = read(table.data.to_pylist())
    assert again.cells("messages") == table.cells("messages")


def test_conversations_that_cells_spell_in_json_are_read(tmp_path):
    rows = [{"messages": json.dumps(TALK), "topic": "x"}, {"messages": None, "topic": "y"}]
    frame = pd.DataFrame(rows)
    frame.to_csv(tmp_path / "t.csv", index=False)
    for source in (tmp_path / "t.csv", frame, rows):
        table = read(source)
        assert table.cells("answer") == ["one", "two", None, None]
        assert table.cells("image") == ["a.png"] * 3 + [None]
        assert table.cells("topic") == ["x"] * 3 + ["y"]
    plain = read([{"messages": '["a list", "of words"]'}, {"messages": "[broken"}])
    assert plain.names == ["messages"] and len(plain) == 2


def test_own_answers_stay_one_a_row():
    table = read([{"messages": TALK[:2], "answer": "mine"}])
    assert table.cells("answer") == ["mine"] and len(table) == 1


@pytest.mark.parametrize("times", [1, 20])  # few short openings that come back name nothing
def test_the_kind_is_seen_and_lists_of_messages_are_no_words(times):
    rows = [
        {"messages": [{"role": "user", "content": w}, {"role": "assistant", "content": w}]}
        for w in ("a b", "c d", "e f") * times
    ]
    schema = infer(read(rows), ["answer"], {"answer": "text"}, group="conversation")
    assert schema.column("messages").kind == "chat" and schema.skipped.keys() == {"conversation"}


def test_a_conversation_loses_its_oldest_words_first():
    cell = chat.row(TALK)["messages"]
    less = chat.shortened(cell, 0.5)
    assert said(less)[0][1] == [("", None)] and said(less)[-1][1] == [("and?", None)]
    while less is not None:
        last, less = less, chat.shortened(less, 1.0)
    media = [column for _, parts in said(last) for _, column in parts if column]
    assert media == ["image", "image 2"]


def test_a_cell_that_somebody_has_spoilt_is_what_a_user_says():
    assert said("chat\n[broken")[0][0] == "user"


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "no messages"),
        ([{"content": "a"}], "no message"),
        ([{"role": "narrator", "content": "a"}], "role 'narrator'"),
        ([{"role": "user"}], "no content"),
        ([{"role": "user", "content": [{"type": "scent", "path": "x"}]}], "unknown type"),
        ([{"role": "user", "content": [{"type": "image"}]}], "says no file"),
        ([{"role": "assistant", "content": [{"type": "image", "path": "x"}]}], "holds a medium"),
    ],
)
def test_broken_conversations_are_errors_with_their_place(messages, message):
    good = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    with pytest.raises(UserError, match=f"row 1.*{message}"):
        read([{"messages": good}, {"messages": messages}])
