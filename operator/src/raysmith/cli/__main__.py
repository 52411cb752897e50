"""`python -m raysmith.cli` is `raysmith`."""

from raysmith.cli.main import app

app(prog_name="raysmith")
