"""`longtake serve` and `longtake studio`: takes over HTTP and a WebSocket, and the page that uses them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from longtake.errors import UserError

if TYPE_CHECKING:
    import uvicorn

    from longtake.studio.config import Config

Models = Annotated[
    list[str] | None,
    Option("--model", metavar="NAME", help="Model to serve; again for more, the first is the default."),
]
Port = Annotated[int, Option(metavar="N", min=0, max=65535, help="Port; 0 takes a free one.")]
Takes = Annotated[
    int | None,
    Option(
        "--max-takes",
        metavar="N",
        help="Live takes at once; as many as the machine keeps up with unless given.",
    ),
]


def serve(
    model: Models = None,
    host: Annotated[
        str, Option(metavar="ADDRESS", help="Address to listen on; one that others reach needs --token-file.")
    ] = "127.0.0.1",
    port: Port = 8000,
    token_file: Annotated[
        Path | None, Option(metavar="FILE", help="Tokens, one a line: who sends one may use the server.")
    ] = None,
    allow_host: Annotated[
        list[str] | None, Option(metavar="NAME", help="Another name that the server goes by; again for more.")
    ] = None,
    certfile: Annotated[Path | None, Option(metavar="FILE", help="Certificate for HTTPS, PEM.")] = None,
    keyfile: Annotated[Path | None, Option(metavar="FILE", help="Its key, PEM.")] = None,
    max_takes: Takes = None,
    takes_a_token: Annotated[int | None, Option(metavar="N", help="Live takes of one token at once.")] = None,
    viewers_a_take: Annotated[int, Option(metavar="N", help="Connections that watch one take.")] = 16,
    idle_seconds: Annotated[
        float, Option(metavar="S", help="A live take that nobody watches rests after so long.")
    ] = 60.0,
    lifetime_seconds: Annotated[
        float, Option(metavar="S", help="A live take ends its session after so long.")
    ] = 3600.0,
    compute_seconds_an_hour: Annotated[
        float, Option(metavar="S", help="Seconds of generation that one token may use an hour.")
    ] = 3600.0,
    upload_mib: Annotated[float, Option(metavar="N", help="Largest file that is taken, in MiB.")] = 64.0,
    provenance: Annotated[
        bool,
        Option(
            "--provenance/--no-provenance",
            help="Sign streams and exported files: made by a model, with which.",
        ),
    ] = True,
) -> None:
    """Serve takes: a REST API, a live WebSocket, HLS, and the page.

    On this machine only, unless there is a token. The API is described at /openapi.json and /asyncapi.json.

    \b
    longtake serve --model mini
    longtake serve --host 0.0.0.0 --token-file tokens --certfile cert.pem --keyfile key.pem
    """
    from longtake.studio.config import Config, Limits, read_tokens

    limits = Limits(
        max_takes=max_takes,
        takes_a_token=takes_a_token,
        viewers_a_take=viewers_a_take,
        idle_seconds=idle_seconds,
        lifetime_seconds=lifetime_seconds,
        compute_seconds_an_hour=compute_seconds_an_hour,
        upload_bytes=round(upload_mib * 2**20),
    )
    config = Config(
        models=tuple(model or ("mini",)),
        host=host,
        port=port,
        tokens=() if token_file is None else read_tokens(token_file),
        allowed_hosts=tuple(allow_host or ()),
        certfile=_there(certfile, "--certfile"),
        keyfile=_there(keyfile, "--keyfile"),
        provenance=provenance,
        limits=limits,
    )
    _run(config, opens_page=False)


def studio(
    model: Models = None,
    port: Port = 8000,
    max_takes: Takes = None,
    open_page: Annotated[bool, Option("--open/--no-open", help="Open the page in the browser.")] = True,
) -> None:
    """Open the studio, to make and steer takes in the browser.

    \b
    longtake studio
    longtake studio --port 9000 --no-open
    """
    from longtake.studio.config import Config, Limits

    config = Config(models=tuple(model or ("mini",)), port=port, limits=Limits(max_takes=max_takes))
    _run(config, opens_page=open_page)


def _there(path: Path | None, option: str) -> Path | None:
    if path is not None and not path.is_file():
        raise UserError(f"{option} {path} is not a file; give a PEM file that is there")
    return path


def _run(config: Config, *, opens_page: bool) -> None:
    from longtake.models.hub import look_up
    from longtake.studio.assembly import assemble, server_of
    from longtake.studio.telemetry import log_to_stderr

    for name in config.models:
        look_up(name)
    for warning in config.warnings:
        typer.echo(f"warning: {warning}", err=True)
    log_to_stderr()
    failures: list[Exception] = []

    def on_broken(failure: Exception) -> None:
        failures.append(failure)
        server.should_exit = True

    server = server_of(assemble(config, on_broken=on_broken), config)
    threading.Thread(target=_greet, args=(server, config, opens_page), daemon=True).start()
    try:
        server.run()
    except SystemExit:
        raise UserError(
            f"--host {config.host} --port {config.port} cannot be listened on; give another port"
        ) from None
    if failures:
        raise failures[0]


def _greet(server: uvicorn.Server, config: Config, opens_page: bool) -> None:
    """Say where the server is once it listens, and open the page there."""
    import time

    while not server.started:
        if server.should_exit:
            return
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    host = "127.0.0.1" if config.is_loopback or config.is_anywhere else config.host
    address = f"{config.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    typer.echo(f"longtake is at {address}", err=True)
    if opens_page:
        import webbrowser

        webbrowser.open(address)
