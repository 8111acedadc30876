"""What an operator sets: where the server listens, who may use it, and how much of everything there is."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from longtake.errors import UserError

SHORTEST_TOKEN = 16
_ANYWHERE = ("0.0.0.0", "::", "")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of everything. Raises UserError for a limit that leaves nothing."""

    max_takes: int | None = None
    """Live takes at once; None: as many as the machine was measured to make in real time."""
    takes_a_token: int | None = None
    """Live takes of one token at once; None: no fewer than the machine has room for."""
    starts_a_minute: int = 60
    """Takes and videos that one token may begin a minute."""
    compute_seconds_an_hour: float = 3600.0
    """Seconds of generation that one token may use an hour."""
    queued_videos: int = 16
    """Videos that wait for their turn."""
    viewers_a_take: int = 16
    """Connections that watch one take."""
    connections: int = 256
    """Live connections together."""
    viewer_chunks: int = 8
    """Chunks that wait for one viewer; one that falls behind goes on at the newest."""
    send_seconds: float = 20.0
    """A viewer that takes nothing for so long is dropped."""
    idle_seconds: float = 60.0
    """A live take that nobody watches rests after so long."""
    lifetime_seconds: float = 3600.0
    """A live take ends its session after so long."""
    hello_seconds: float = 10.0
    """A connection has to say `session.start` within so long."""
    stream_token_seconds: float = 300.0
    """How long a stream token opens links and connections."""
    least_lead: float = 0.5
    """Media seconds that generation may always be ahead of the picture on screen."""
    most_lead: float = 4.0
    """Media seconds that it may at most be ahead when chunks take long to make."""
    json_bytes: int = 64 * 2**10
    """Body of a request that is no upload."""
    message_bytes: int = 256 * 2**10
    """A text message on a live connection; a `data:` image has to fit."""
    upload_bytes: int = 64 * 2**20
    """One uploaded file."""
    uploads: int = 64
    """Uploaded files that are kept at once."""
    upload_keep_seconds: float = 3600.0
    """How long an upload is kept that nothing uses."""
    upload_pixels: int = 16_000_000
    """Of one picture."""
    upload_frames: int = 3600
    """Of one video."""
    upload_seconds: float = 120.0
    """Of one video."""
    body_seconds: float = 60.0
    """Time in which a request's body has to arrive."""
    decode_seconds: int = 60
    """Processor time of the process that decodes one upload."""
    decode_bytes: int = 2 * 2**30
    """Address space of that process."""
    picture_bytes: int = 512 * 2**10
    """One picture of a live source."""
    prompt_characters: int = 4000
    """Of one prompt."""
    cues: int = 256
    """Of one timeline."""
    num_frames: int = 100_000
    """Of one video or take that has a length."""

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise UserError(f"{name.replace('_', '-')} {value} leaves nothing; give a number above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One server. Raises UserError for settings that do not go together, a public address without a token first."""

    models: tuple[str, ...] = ("mini",)
    """Names or folders; the first is the default."""
    host: str = "127.0.0.1"
    """Address to listen on."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    tokens: tuple[str, ...] = field(default=(), repr=False)
    """Who sends one of them may use the server; none: whoever reaches loopback may."""
    allowed_hosts: tuple[str, ...] = ()
    """More names that a request's `Host` may have."""
    certfile: Path | None = None
    """Certificate for HTTPS, PEM."""
    keyfile: Path | None = None
    """Its key."""
    home: Path | None = None
    """Where takes live; None: `LONGTAKE_HOME`."""
    provenance: bool = True
    """Whether exported files say how they were made."""
    limits: Limits = field(default_factory=Limits)
    """How much of everything."""

    def __post_init__(self) -> None:
        if not self.models:
            raise UserError("no model given; give at least one, such as --model mini")
        if not self.is_loopback and not self.tokens:
            raise UserError(
                f"--host {self.host} can be reached by others and no token is given; "
                "give --token-file FILE, or --host 127.0.0.1"
            )
        if any(len(token) < SHORTEST_TOKEN or not _is_plain(token) for token in self.tokens):
            raise UserError(
                f"a token is shorter than {SHORTEST_TOKEN} characters, or not plain ASCII without spaces; make one "
                "by `python -c 'import secrets; print(secrets.token_urlsafe())'`"
            )
        if (self.certfile is None) != (self.keyfile is None):
            missing = "--keyfile" if self.keyfile is None else "--certfile"
            raise UserError(f"{missing} is missing; HTTPS needs both a certificate and its key")

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return is_loopback(self.host)

    @property
    def is_anywhere(self) -> bool:
        """Whether it listens on every address of the machine."""
        return self.host in _ANYWHERE

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "http" if self.certfile is None else "https"

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know before it starts."""
        if self.is_loopback or self.certfile is not None:
            return ()
        return (
            f"tokens travel to {self.host} unencrypted; give --certfile and --keyfile, "
            "or put a proxy with HTTPS in front",
        )


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own, for itself only."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def read_tokens(path: Path) -> tuple[str, ...]:
    """The tokens in a file, one a line; empty lines and lines that begin with # are skipped.

    Raises UserError when the file cannot be read or holds none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as reason:
        why = reason.strerror if isinstance(reason, OSError) else "it is not text"
        raise UserError(f"--token-file {path} cannot be read: {why}; give a text file") from None
    tokens = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    if not tokens:
        raise UserError(f"--token-file {path} holds no token; write one a line")
    return tokens


def _is_plain(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token
