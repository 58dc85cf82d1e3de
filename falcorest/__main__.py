"""``python -m falcorest``."""

from falcorest.cli import main

main(prog_name="falcorest")
