"""What a file tells of its picture: dates and places, captions, resolution, colour profile.

It is read once, whatever the format, and written as far as the format of the file that is made
has a place for it. What no longer holds of a changed picture, such as a thumbnail, is left out.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import Image, PngImagePlugin, TiffTags

from pixelreg import __version__
from pixelreg.pictures.pillow import DAMAGE, DETAILS, PHOTOSHOP, XMP, kept_exif
from pixelreg.pictures.primaries import profile_told

GPS, DESCRIPTION, PROFILE, IPTC = 0x8825, 270, 34675, 33723
ACROSS, DOWN, UNIT = 282, 283, 296  # resolution; 2 is inches
LONGEST = 65_500  # bytes that a segment of a JPEG holds
# Resources of Photoshop's that hold thumbnails (1033, 1036) or repeat what is kept elsewhere:
# resolution, EXIF, XMP, ICC profile.
_NOT_KEPT = frozenset({1005, 1033, 1036, 1039, 1058, 1059, 1060})
_IPTC_RESOURCE = 1028
# PNG texts that repeat what is kept elsewhere.
_REPEATED = re.compile(
    r"XML:com\.adobe\.xmp|Raw profile type (exif|APP1|xmp|icc|icm)", re.IGNORECASE
)
# Metadata of the kinds that have a place in the format, as Pillow's option is called.
_PLACES = {
    "JPEG": ("exif", "icc_profile", "dpi"),
    "PNG": ("exif", "icc_profile", "dpi"),
    "TIFF": ("icc_profile",),  # the rest by `tags`
    "WEBP": ("exif", "icc_profile", "xmp"),
    "AVIF": ("exif", "icc_profile", "xmp"),
    "HEIF": ("exif", "icc_profile", "xmp"),
    "JXL": ("exif", "xmp"),  # its package writes no profile
}
# Formats that have no other place for the resolution and for a comment.
_BY_EXIF = frozenset({"WEBP", "AVIF", "HEIF", "JXL"})
PROFILED = frozenset(name for name, places in _PLACES.items() if "icc_profile" in places)


@dataclass(frozen=True)
class About:
    """What is told of a picture; everything may be absent.

    exif, xmp : as they stand in files; no orientation but upright, no thumbnail.
    profile : the ICC profile of the values as they are stored.
    dpi : pixels an inch, across and down.
    text : PNG's texts: (key, text, language, translated key).
    resources : Photoshop's, by their number; 1028 is IPTC.
    """

    exif: bytes = b""
    xmp: bytes = b""
    profile: bytes = b""
    dpi: tuple[float, float] | None = None
    comment: bytes = b""
    text: tuple[tuple[str, str, str, str], ...] = ()
    resources: tuple[tuple[int, bytes], ...] = ()

    @classmethod
    def of(cls, opened: Image.Image, content: bytes | None = None) -> About:
        """What a loaded Pillow image tells; ``content`` is its file's bytes."""
        info: dict[Any, Any] = opened.info
        comment = info.get("comment", b"")
        return cls(
            kept_exif(opened),
            _upright_xmp(_xmp_of(opened)),
            profile_told(opened, content),
            _dpi_of(info),
            comment if isinstance(comment, bytes) else str(comment).encode(),
            tuple(_texts(opened)),
            tuple(_resources(opened)),
        )

    def bare(self) -> About:
        """The colour profile alone, without which colours would be others."""
        return About(profile=self.profile)

    def plain(self) -> About:
        """Without what stands in blocks of its own: EXIF's camera settings and places."""
        return replace(self, exif=_first_block(self.exif))

    def without_place(self) -> About:
        """Without where the picture was taken."""
        return replace(self, exif=_placeless_exif(self.exif), xmp=_placeless_xmp(self.xmp))

    def marked(self) -> About:
        """With the statement that the picture was changed, and by what."""
        return replace(self, xmp=_marked_xmp(self.xmp))

    def options(self, format: str) -> dict[str, Any]:
        """Pillow's options for saving a file of ``format`` with all of this that it can hold."""
        told: dict[str, Any] = self.info()
        options = {key: told[key] for key in _PLACES.get(format, ()) if key in told}
        if format == "JPEG":
            options |= {"extra": self._segments(), "comment": self._note()[:LONGEST]}
        elif format == "PNG":
            options["pnginfo"] = self._png_texts()
        elif format in _BY_EXIF:
            options["exif"] = self._fuller_exif()
        elif format == "GIF":
            options["comment"] = b"\n".join(filter(None, (self._note(), self._gif_mark())))
        return {key: value for key, value in options.items() if value}

    def tags(self) -> dict[int, Any]:
        """The tags of a TIFF that tell all of this, by number."""
        exif = self._tiff_tags()
        grouped = TiffTags.TAGS_V2_GROUPS
        made = {tag: exif.get_ifd(tag) if tag in grouped else exif.get(tag) for tag in exif}
        if self.profile:
            made[PROFILE] = self.profile
        if self.dpi:
            made |= {UNIT: 2, ACROSS: self.dpi[0], DOWN: self.dpi[1]}
        return made

    def info(self) -> dict[str, Any]:
        """What the ``info`` of a PIL image holds of this."""
        found = {
            "icc_profile": self.profile,
            "exif": self.exif,
            "xmp": self.xmp,
            "dpi": self.dpi,
            "comment": self.comment,
            **{key: text for key, text, *_ in self.text},
        }
        return {key: value for key, value in found.items() if value}

    def _note(self) -> bytes:
        """The comment; where there is none, the texts of a PNG."""
        return self.comment or "\n".join(f"{key}: {text}" for key, text, *_ in self.text).encode()

    def _fuller_exif(self) -> bytes:
        """EXIF that tells the resolution and the comment too."""
        note = self._note()
        if not self.dpi and not note:
            return self.exif
        made = _loaded(self.exif)
        if self.dpi:
            made[UNIT], made[ACROSS], made[DOWN] = 2, *self.dpi
        if note and DESCRIPTION not in made:
            made[DESCRIPTION] = note.decode("utf-8", "replace")
        return made.tobytes()

    def _gif_mark(self) -> bytes:
        """GIF has no place for XMP but its comment."""
        return (
            f"Changed with pixelreg {__version__}: {_EDITED}".encode() if _marked(self.xmp) else b""
        )

    def _segments(self) -> bytes:
        """XMP and IPTC as a JPEG has them."""
        made = b""
        if self.xmp:
            made += _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + _short(self.xmp))
        if self.resources:
            made += _segment(0xED, b"Photoshop 3.0\0" + self._photoshop())
        return made

    def _photoshop(self) -> bytes:
        return b"".join(
            b"8BIM" + struct.pack(">HxxI", number, len(data)) + data + b"\0" * (len(data) % 2)
            for number, data in self.resources
        )

    def _png_texts(self) -> PngImagePlugin.PngInfo:
        made = PngImagePlugin.PngInfo()
        for key, text, language, translated in self.text:
            if language or translated or not _latin(text):
                made.add_itxt(key, text, language, translated)
            else:
                made.add_text(key, text)
        if self.comment and not any(key == "Comment" for key, *_ in self.text):
            made.add_text("Comment", self.comment.decode("utf-8", "replace"))
        iptc = dict(self.resources).get(_IPTC_RESOURCE)
        if iptc:  # as ImageMagick and ExifTool have it
            made.add_text(
                "Raw profile type iptc", f"\niptc\n{len(iptc):8}\n{iptc.hex()}\n", zip=True
            )
        if self.xmp:
            made.add_itxt("XML:com.adobe.xmp", self.xmp.decode("utf-8", "replace"))
        return made

    def _tiff_tags(self) -> Image.Exif:
        """EXIF with the tags that TIFF has for the rest."""
        tags = _loaded(self.exif)
        if self.xmp:
            tags[XMP] = self.xmp
        if self.resources and PHOTOSHOP not in tags:
            tags[PHOTOSHOP] = self._photoshop()
        if self._note() and DESCRIPTION not in tags:
            tags[DESCRIPTION] = self._note().decode("utf-8", "replace")
        return tags


def _loaded(exif: bytes) -> Image.Exif:
    made = Image.Exif()
    if exif:
        made.load(exif)
    return made


def _xmp_of(opened: Image.Image) -> bytes:
    tags: Any = getattr(opened, "tag_v2", {})
    found = opened.info.get("xmp") or opened.info.get("XML:com.adobe.xmp") or tags.get(XMP) or b""
    return found.encode() if isinstance(found, str) else bytes(found)


def _dpi_of(info: dict[Any, Any]) -> tuple[float, float] | None:
    try:
        across, down = (float(value) for value in info.get("dpi") or ())
    except DAMAGE:
        return None
    return (across, down) if across > 1 and down > 1 else None  # 1 stands for "not said"


def _texts(opened: Image.Image) -> list[tuple[str, str, str, str]]:
    found: Any = getattr(opened, "text", {}) if opened.format == "PNG" else {}
    return [
        (key, str(text), getattr(text, "lang", None) or "", getattr(text, "tkey", None) or "")
        for key, text in found.items()
        if not _REPEATED.fullmatch(key)
    ]


def _resources(opened: Image.Image) -> list[tuple[int, bytes]]:
    """Photoshop's resources but thumbnails, and IPTC where it stands by itself."""
    found: dict[int, Any] = dict(opened.info.get("photoshop") or {})
    tags: Any = getattr(opened, "tag_v2", {})
    if PHOTOSHOP in tags:
        with suppress(*DAMAGE):
            blocks: Any = opened
            found = {key: block["data"] for key, block in blocks.get_photoshop_blocks().items()}
    if IPTC in tags:
        found.setdefault(_IPTC_RESOURCE, tags[IPTC])
    return [(n, d) for n, d in found.items() if isinstance(d, bytes) and n not in _NOT_KEPT]


def _latin(text: str) -> bool:
    try:
        return bool(text.encode("latin-1"))
    except UnicodeEncodeError:
        return False


def _segment(marker: int, data: bytes) -> bytes:
    """A JPEG's segment; nothing where the data are too long for one."""
    if len(data) > LONGEST:
        return b""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def _short(xmp: bytes) -> bytes:
    """XMP without the blanks that it is filled up with."""
    before, end, after = xmp.rpartition(b"<?xpacket end")
    return before.rstrip() + b"\n" + end + after if before[-40:].isspace() else xmp


# ---- XMP, which is text: what is there stays byte for byte, but for what no longer holds

_TURNED = re.compile(rb"(tiff:Orientation\s*(?:=\s*[\"']|>)\s*)[2-8]")
# Names of properties that no longer hold, or tell a place.
_THUMBNAILS, _GPS = rb"(?:xmp|xap):Thumbnails", rb"exif:GPS\w+"
_TYPE = rb"Iptc4xmpExt:DigitalSourceType"
_END = re.compile(rb"</(?:rdf:)?RDF\s*>")
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
_OLD_MARKS = re.compile(
    rb"<rdf:Description rdf:about=\"\" xmlns:Iptc4xmpExt=\"[^\"<]*\" [^<>]*/>\s*"
)
_EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="' + _RDF.encode() + b'">\n'
    b'</rdf:RDF></x:xmpmeta>\n<?xpacket end="w"?>'
)


def _upright_xmp(xmp: bytes) -> bytes:
    return _without(_THUMBNAILS, _TURNED.sub(rb"\g<1>1", xmp))


def _marked(xmp: bytes) -> bool:
    return any(b"pixelreg" in found[0] for found in _OLD_MARKS.finditer(xmp))


def _placeless_xmp(xmp: bytes) -> bytes:
    return _without(_GPS, xmp)


def _without(name: bytes, xmp: bytes) -> bytes:
    """XMP without the properties whose name matches, be they attributes or elements.

    In one walk: an expression that looks for the end of each element anew takes hours where a
    stranger begins a hundred thousand and ends none.
    """
    xmp = re.sub(rb"(?<!\s)\s+" + name + rb"\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
    ends: dict[bytes, list[int]] = {}
    for found in re.finditer(rb"</(" + name + rb")\s*>", xmp):
        ends.setdefault(found[1], []).append(found.end())
    kept, place, closed = [], 0, -1
    for found in re.finditer(rb"<(" + name + rb")\b", xmp):
        if found.start() < place:
            continue
        if closed < found.end():
            closed = xmp.find(b">", found.end())
            if closed < 0:
                break
        later, end = ends.get(found[1], []), closed + 1
        if xmp[closed - 1 : closed] != b"/":
            at = bisect(later, found.end())
            if at == len(later):
                continue
            end = later[at]
        kept.append(xmp[place : found.start()])
        place = end
    return b"".join([*kept, xmp[place:]])


def _marked_xmp(xmp: bytes) -> bytes:
    """XMP with IPTC's digital source type, and the tool with its version (IPTC 2025.1).

    https://cv.iptc.org/newscodes/digitalsourcetype/: a picture of which a part was made by an
    algorithm that was derived from sampled content.
    """
    unmarked = _OLD_MARKS.sub(lambda old: b"" if b"pixelreg" in old[0] else old[0], xmp)
    known = _without(_TYPE, unmarked)
    tool = (
        b"" if b":CreatorTool" in known else f' xmp:CreatorTool="pixelreg {__version__}"'.encode()
    )
    mark = (
        b'<rdf:Description rdf:about="" '
        b'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        b'xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        + f' Iptc4xmpExt:DigitalSourceType="{_EDITED}"'.encode()
        + f' Iptc4xmpExt:AISystemUsed="pixelreg"'
        f' Iptc4xmpExt:AISystemVersionUsed="{__version__}"'.encode()
        + tool
        + b"/>\n"
    )
    ends = list(_END.finditer(known))
    if not ends or b"xmlns:rdf=" not in known:
        known, ends = _EMPTY, list(_END.finditer(_EMPTY))
    place = ends[-1].start()
    return known[:place] + mark + known[place:]


def _first_block(exif: bytes) -> bytes:
    tags, made = _loaded(exif), Image.Exif()
    for tag in set(tags) - {DETAILS, GPS}:
        made[tag] = tags[tag]
    return made.tobytes() if len(made) else b""


def _placeless_exif(exif: bytes) -> bytes:
    if not exif:
        return b""
    tags = _loaded(exif)
    tags.get_ifd(GPS).clear()
    if GPS in tags:
        del tags[GPS]
    return tags.tobytes() if len(tags) else b""
