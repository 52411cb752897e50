"""The command line: one thin function for each command; the work is in the modules of the same names."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from raysmith.cli.errors import SentenceGroup

app = typer.Typer(
    cls=SentenceGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Fine-tune and serve LLMs from two kinds of YAML objects: on this machine, or on Kubernetes from the same files.\n\n"
    "[bold]Start here[/bold]\n\n"
    "  raysmith run examples/quickstart/      train, check, serve and compare, without a cluster\n\n"
    '  raysmith chat "Write 2026-03-14 in words."\n\n'
    "Exit codes: 0 done, 1 a run failed or missed its gate (or `diff` found a difference), 2 bad input (objects, data or a "
    "model), 130 interrupted.",
)

Files = Annotated[list[Path], typer.Argument(metavar="FILES_OR_FOLDERS...", help="YAML or JSON files, or folders of them.")]
DataDirOption = Annotated[Path, typer.Option("--data-dir", help="Folder in which local runs live.")]
DATA_DIR = Path("raysmith-data")
StorageOption = Annotated[
    Path | None,
    typer.Option(help="Folder at which a cluster's storage is mounted here: its runs instead of the local ones."),
]


def _console() -> Console:
    return Console(highlight=False)


@app.command()
def run(
    files: Files,
    data_dir: DataDirOption = DATA_DIR,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of this machine at which services answer.")] = 8000,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Keep services open until Ctrl-C.")] = True,
) -> None:
    """Train, check and serve on this machine, without a cluster.

    Objects are ordered by their references. A finished run with the same spec and data is reused; an interrupted one goes
    on from its last checkpoint when the same command is given again. Services answer at the OpenAI API until Ctrl-C.

    [bold]Examples[/bold]

      raysmith run examples/quickstart/

      raysmith run finetune.yaml --data-dir /data/raysmith

      raysmith run finetune.yaml service.yaml --port 8080 --no-wait
    """
    from raysmith.cli.run import run as run_objects

    raise typer.Exit(run_objects(files, data_dir=data_dir, port=port, wait=wait, console=_console()))


@app.command()
def render(files: Files) -> None:
    """Print the exact Kubernetes manifests of objects, without a cluster.

    [bold]Examples[/bold]

      raysmith render examples/gpt2-large.yaml

      raysmith render finetune.yaml | kubectl apply --dry-run=server -f -
    """
    from raysmith.cli.load import load
    from raysmith.cli.rendering import manifests_as_yaml

    typer.echo(manifests_as_yaml(load(files)), nl=False)


@app.command()
def validate(
    files: Files,
    data: Annotated[
        bool, typer.Option("--data", help="Also read the data and try the model's chat template on it, row by row.")
    ] = False,
    data_dir: DataDirOption = DATA_DIR,
) -> None:
    """Check objects: fields, rules, references, what KubeRay would refuse later and, with --data, every row.

    All problems are printed at once, each as file:line and one sentence; the exit code is then 2.

    [bold]Examples[/bold]

      raysmith validate examples/quickstart/

      raysmith validate finetune.yaml --data
    """
    from raysmith.cli.display import Display
    from raysmith.cli.validation import validate as validate_objects

    validate_objects(files, data_dir=data_dir, with_data=data, display=Display(_console()))


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="File or folder as it was.")],
    new: Annotated[Path, typer.Argument(help="File or folder as it will be.")],
) -> None:
    """Show what a change of objects does: field by field, its effect, and the manifests before and after.

    The exit code is 0 if nothing differs and 1 if something does.

    [bold]Examples[/bold]

      raysmith diff old/service.yaml service.yaml

      git show HEAD:service.yaml > /tmp/service.yaml; raysmith diff /tmp/service.yaml service.yaml
    """
    from raysmith.cli.difference import diff as print_difference

    raise typer.Exit(print_difference(old, new, _console()))


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="Name of an LLMFineTune; all runs if left out.")] = None,
    data_dir: DataDirOption = DATA_DIR,
    storage: StorageOption = None,
) -> None:
    """Show runs: phase, progress, loss, attempts and why they ended, metrics, gate, artefact.

    A run in a cluster leaves the same files as a local one. They stay when its pods, its object and the cluster are gone.

    [bold]Examples[/bold]

      raysmith status

      raysmith status dates

      raysmith status dates --storage /mnt/raysmith-store/models
    """
    from raysmith.cli import observe
    from raysmith.cli.data_dir import runs_in
    from raysmith.cli.display import Display

    data, display = runs_in(data_dir, storage), Display(_console())
    if name is None:
        observe.show_all(data, display)
    else:
        observe.show_one(data, name, display)


@app.command()
def logs(
    name: Annotated[str, typer.Argument(help="Name of an LLMFineTune or of an LLMService.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    data_dir: DataDirOption = DATA_DIR,
    storage: StorageOption = None,
) -> None:
    """Print what the processes of a run printed; the newest run, if there are several of that name.

    [bold]Examples[/bold]

      raysmith logs dates

      raysmith logs dates -f

      raysmith logs dates --storage /mnt/raysmith-store/models
    """
    from raysmith.cli import observe
    from raysmith.cli.data_dir import runs_in

    for text in observe.logs(runs_in(data_dir, storage), name, follow=follow):
        typer.echo(text, nl=False)


@app.command()
def chat(
    message: Annotated[str | None, typer.Argument(help="One question; a conversation if left out.")] = None,
    url: Annotated[str | None, typer.Option(help="Address ending in /v1; that of the last local run if left out.")] = None,
    model: Annotated[str | None, typer.Option(help="Name of the service, or of an adapter as service:adapter.")] = None,
    data_dir: DataDirOption = DATA_DIR,
) -> None:
    """Talk to a service, at the OpenAI API.

    [bold]Examples[/bold]

      raysmith chat "Write 2026-03-14 in words."

      raysmith chat --model base

      raysmith chat --url http://127.0.0.1:8000/v1 --model dates:us "2026-03-14"
    """
    from raysmith.cli import chat as talk
    from raysmith.cli.data_dir import DataDir

    at = talk.endpoint(DataDir(data_dir), url, model)

    def say(text: str) -> None:
        typer.echo(text, nl=False)

    if message is not None:
        talk.chat_once(at, message, say)
        return
    typer.echo(f"{at.model} at {at.url}. Ctrl-D ends the conversation.", err=True)
    talk.chat(at, _questions(), say)


def _questions() -> Iterator[str]:
    """What the user types, line by line, until Ctrl-D."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            question = input(prompt)
        except EOFError:
            return
        if question.strip():
            yield question
