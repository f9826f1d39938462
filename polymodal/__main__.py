"""`python -m polymodal` is `polymodal`."""

from polymodal.cli.main import main

main()
