"""The files that go along with an exported model."""

from __future__ import annotations

import pytest

from polymodal.base import lookup
from polymodal.base.errors import UserError
from polymodal.contract.kind import kinds
from polymodal.export import bundle

FORMS = [(kind, name) for kind in kinds() for name in lookup.names(f"modalities/{kind}/forms")]
# One is made of two others, which go along; one is read by tasks alone that are not exported.
APART = ("beside", "whole")


@pytest.mark.parametrize(
    ("kind", "name"), [form for form in FORMS if form[1] not in APART], ids=str
)
def test_a_form_goes_along_with_what_it_imports(kind, name):
    found = bundle.sources([f"polymodal.modalities.{kind}.forms.{name}"])
    assert found.packages <= set(bundle.LIGHT)
    assert f"modalities/{kind}/forms/{name}.py" in found.files
    assert not any("from polymodal." in source for source in found.files.values())


def test_a_file_that_needs_torch_is_refused():
    with pytest.raises(UserError, match=r"cannot go along.*\n.*\n.*torch"):
        bundle.sources(["polymodal.modalities.text.encoders.ngrams"])


def test_requirements_are_what_is_installed():
    found = bundle.Sources(packages={"numpy", "PIL"}).requirements().splitlines()
    assert [line.partition("==")[0] for line in found] == ["numpy", "pillow"]
