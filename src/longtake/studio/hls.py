"""HTTP Live Streaming: the playlist of a take, whose segments are the chunks as they lie in the journal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from urllib.parse import urlencode

from longtake.journal import Segment

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


def query(**values: str | None) -> str:
    """`?name=value&…` for links; what is empty, or not plain, is left out."""
    plain = {key: value for key, value in values.items() if value and _PLAIN.fullmatch(value)}
    return f"?{urlencode(plain)}" if plain else ""


def playlist(segments: Sequence[Segment], fps: int, *, is_over: bool, query: str = "") -> str:
    """An M3U8 text; it grows while the take is made, and ends when it is over.

    query: what players are to hand on to init and segments, or nothing. What retention took is left out.
    """
    kept = [segment for segment in segments if segment.kept]
    longest = max((segment.frames / fps for segment in kept), default=1.0)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:7",
        f"#EXT-X-TARGETDURATION:{math.ceil(longest)}",
        f"#EXT-X-MEDIA-SEQUENCE:{kept[0].index if kept else 0}",
        *(["#EXT-X-PLAYLIST-TYPE:VOD"] if is_over else []),
        "#EXT-X-INDEPENDENT-SEGMENTS",
        f'#EXT-X-MAP:URI="init.mp4{query}"',
    ]
    for segment in kept:
        lines += [f"#EXTINF:{segment.frames / fps:.6f},", f"segments/{segment.index}.m4s{query}"]
    return "\n".join([*lines, *(["#EXT-X-ENDLIST"] if is_over else []), ""])
