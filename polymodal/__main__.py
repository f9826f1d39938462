"""`python -m polymodal` is `polymodal`."""

from polymodal.cli import main

main()
