"""Eyes, brows, nose and mouth of drawn faces."""

from __future__ import annotations

import math

import numpy as np

from pixelreg.data._face_canvas import CENTRE, EYES, SHADOW, Canvas, Field, Window, bump
from pixelreg.data._face_identity import EYE_COLOURS, Identity
from pixelreg.data._face_pose import Pose


def paint_eye(canvas: Canvas, pose: Pose, side: int) -> None:
    one = canvas.identity
    x, half = CENTRE + side * one.eye_spacing / 2, one.eye_width
    window = canvas.window(x - 0.11, EYES - 0.085, x + 0.11, EYES + 0.085)
    high = one.eye_open * (1.0 + pose.lid_upper)
    low = one.eye_open * 0.68 * (1.0 - 0.8 * pose.lid_lower)

    def along(t: Field) -> Field:  # -1 at the nose, 1 at the temple
        return (t - x) * (side / half)

    def upper(t: Field) -> Field:
        u = along(t)
        tilted = 1.0 + pose.lid_tilt * np.clip(u, -1.0, 1.0)
        return EYES + 0.004 - one.eye_slant * u - high * tilted * bump(u, 0.72)

    def lower(t: Field) -> Field:
        u = along(t)
        return EYES + 0.004 - one.eye_slant * u + low * bump(u - 0.08 * bump(u), 0.9)

    socket = window.mask(window.ellipse(x, EYES - 0.008, half * 1.1, 0.04), 0.06)
    window.shade(socket, SHADOW, 0.35)
    crease = window.band(lambda t: upper(t) - 0.021, lambda t: upper(t) - 0.016, x - half, x + half)
    window.shade(window.mask(crease, 0.007), SHADOW, 0.75)
    bag = window.band(lambda t: lower(t) + 0.010, lambda t: lower(t) + 0.014, x - half, x + half)
    window.shade(window.mask(bag, 0.01), SHADOW, 0.2 + 0.5 * max(0.0, pose.lid_lower))
    opening = window.mask(window.band(upper, lower, x - half, x + half))
    window.fill(opening, (0.965, 0.955, 0.945))
    _iris(canvas, window, pose, x, opening)
    window.shade(opening * window.mask(upper(window.x) + 0.010 - window.y, 0.02), (0.6,) * 3, 0.6)

    def thick(t: Field) -> Field:
        return one.lashes * (0.55 + 0.45 * np.clip(along(t), -1.0, 1.1))

    wing = half * 1.07
    line = window.band(
        lambda t: upper(t) - thick(t), lambda t: upper(t) + 0.003, x - wing, x + wing
    )
    window.fill(window.mask(line), canvas.hair * 0.25 + 0.03, 0.92)
    rim = window.band(lower, lambda t: lower(t) + 0.004, x - half, x + half)
    window.fill(window.mask(rim, 0.008), canvas.skin * 0.55, 0.5)


def _iris(canvas: Canvas, window: Window, pose: Pose, x: float, opening: Field) -> None:
    one = canvas.identity
    colour = np.array(EYE_COLOURS[one.eye_colour], np.float32)
    reach = np.sqrt((window.x - x) ** 2 + (window.y - EYES) ** 2)
    # Brighter below, as light falls in from above; a dark ring around.
    glow = 0.85 + 9.0 * (window.y - EYES) - 0.5 * (reach / one.iris) ** 4
    ring = opening * window.mask(one.iris - reach)
    window.fill(ring, np.clip(glow, 0.25, 1.6)[..., None] * colour)
    pupil = one.iris * 0.47 * (1.0 + pose.pupil)
    window.fill(opening * window.mask(pupil - reach), (0.03, 0.025, 0.03))
    aside = 0.011 * math.copysign(1.0, one.light_angle)
    for dx, dy, radius, alpha in ((aside, -0.012, 0.0085, 0.95), (-aside, 0.012, 0.005, 0.4)):
        spark = window.ellipse(x + dx, EYES + dy, radius, radius)
        window.fill(opening * window.mask(spark), (1.0, 1.0, 1.0), alpha)


def paint_brow(canvas: Canvas, pose: Pose, side: int) -> None:
    one = canvas.identity
    half = one.brow_length
    x = CENTRE + side * (one.eye_spacing / 2 + 0.004 - pose.brow_squeeze)
    y = EYES - one.brow_height

    def along(t: Field) -> Field:
        return (t - x) * (side / half)

    def middle(t: Field) -> Field:
        u = along(t)
        arch = one.brow_arch * bump((u - 0.15) / 1.25) - 0.007 * np.clip(u, 0.0, 1.0) ** 2
        inner, outer = np.clip((1.0 - u) / 2, 0.0, 1.0), np.clip((1.0 + u) / 2, 0.0, 1.0)
        return y + 0.008 - arch - pose.brow_inner * inner**1.4 - pose.brow_outer * outer

    def thick(t: Field) -> Field:
        return 0.5 * one.brow_thickness * bump((along(t) + 0.25) / 1.3, 0.5)

    window = canvas.window(x - 0.11, y - 0.09, x + 0.11, y + 0.09)
    hair = window.band(
        lambda t: middle(t) - thick(t), lambda t: middle(t) + thick(t), x - half, x + half
    )
    colour = 0.78 * canvas.hair + 0.06 * canvas.skin
    window.fill(window.mask(hair, 0.009), colour, 0.9)
    frown = max(0.0, pose.brow_squeeze) / 0.018  # upright lines between the brows
    if frown > 0.0:
        line = window.ellipse(CENTRE + side * 0.024, y + 0.018, 0.0035, 0.034)
        window.shade(window.mask(line, 0.009), SHADOW, min(1.0, 0.7 * frown))


def paint_nose(canvas: Canvas, pose: Pose) -> None:
    one, tip = canvas.identity, nose_tip(canvas.identity, pose)
    half = one.nose_width * (1.0 + 0.10 * pose.wrinkle)
    window = canvas.window(0.36, 0.36, 0.64, tip + 0.07)
    dark = -math.copysign(1.0, one.light_angle)
    side = window.mask(window.ellipse(0.5 + dark * 0.028, 0.475, 0.014, 0.1), 0.035)
    window.shade(side, SHADOW, 0.25 + 0.25 * one.light_strength)
    ridge = window.mask(window.ellipse(0.5 - dark * 0.004, 0.49, 0.008, 0.085), 0.03)
    window.fill(ridge, canvas.skin * 1.12, 0.35)
    ball = window.mask(window.ellipse(0.5, tip + 0.004, half, 0.03), 0.03)
    window.shade(ball, (1.0, 0.86, 0.83), 0.5)
    under = window.mask(window.ellipse(0.5, tip + 0.033, half * 1.05, 0.010), 0.022)
    window.shade(under, SHADOW, 0.8)
    for wing in (-1, 1):
        crescent = np.minimum(
            window.ellipse(0.5 + wing * (half - 0.010), tip + 0.008, 0.017, 0.021),
            -window.ellipse(0.5 + wing * (half - 0.015), tip + 0.006, 0.017, 0.021),
        )
        window.shade(window.mask(crescent, 0.008), SHADOW, 0.9)
        hole = window.ellipse(0.5 + wing * half * 0.46, tip + 0.023, half * 0.26, 0.0065)
        window.shade(window.mask(hole, 0.006), (0.35, 0.24, 0.24), 0.8)
        _bridge_lines(window, pose, wing)
    shine = window.ellipse(0.5 - dark * 0.007, tip - 0.004, 0.009, 0.008)
    window.fill(window.mask(shine, 0.012), (1.0, 0.97, 0.94), 0.35)


def _bridge_lines(window: Window, pose: Pose, wing: int) -> None:
    """Slanted wrinkles beside the bridge of a wrinkled nose."""
    if pose.wrinkle <= 0.0:
        return
    for step in range(2):
        inner, outer = 0.002 + 0.005 * step, 0.040 + 0.010 * step
        along = (wing * (window.x - CENTRE) - inner) / (outer - inner)
        level = 0.428 + 0.030 * step + 0.018 * along * along
        line = np.clip(1.0 - np.abs(window.y - level) / 0.011, 0.0, 1.0)
        window.shade(line * bump(2.0 * along - 1.0), SHADOW, min(1.0, 0.6 * pose.wrinkle))


class Mouth:
    """The four curves of the lips for a person and a pose; all are functions y(x)."""

    def __init__(self, one: Identity, pose: Pose) -> None:
        self.half = one.mouth_width + pose.mouth_wide
        self.curve = pose.mouth_curve + 0.004
        self.middle = one.mouth_height - pose.mouth_lift + 0.012 * pose.jaw
        self.corner = self.middle - 0.6 * self.curve
        self.gap = pose.mouth_open
        # A smile hangs from the upper lip, a gasp opens both ways.
        self.share = 0.42 if pose.mouth_curve <= 0.0 else 0.42 - 7.0 * min(pose.mouth_curve, 0.05)
        self.power = 1.0 - 0.55 * pose.mouth_round
        self.upper_lip = one.lip_upper * (1.0 - 0.45 * pose.mouth_press)
        self.lower_lip = one.lip_lower * (1.0 - 0.45 * pose.mouth_press)

    def _u(self, t: Field) -> Field:
        return (t - CENTRE) / self.half

    def line(self, t: Field) -> Field:
        """Where closed lips meet."""
        return self.middle + self.curve * (0.4 - np.minimum(1.0, self._u(t) ** 2))

    def top(self, t: Field) -> Field:
        """The upper edge of the opening."""
        return self.line(t) - self.share * self.gap * bump(self._u(t), self.power)

    def bottom(self, t: Field) -> Field:
        """The lower edge of the opening."""
        return self.line(t) + (1.0 - self.share) * self.gap * bump(self._u(t), self.power)

    def upper(self, t: Field) -> Field:
        """The upper edge of the upper lip, with Cupid's bow."""
        u = self._u(t)
        bow: Field = 1.0 - 0.3 * np.exp(-((u / 0.16) ** 2))
        return self.top(t) - self.upper_lip * bow * bump(u, 0.8)

    def lower(self, t: Field) -> Field:
        """The lower edge of the lower lip."""
        return self.bottom(t) + self.lower_lip * bump(self._u(t), 0.7)


def paint_mouth(canvas: Canvas, pose: Pose) -> None:
    one, mouth = canvas.identity, Mouth(canvas.identity, pose)
    left, right = CENTRE - mouth.half, CENTRE + mouth.half
    window = canvas.window(left - 0.04, mouth.middle - 0.12, right + 0.04, mouth.middle + 0.16)
    below = float(mouth.lower(np.array([CENTRE], np.float32))[0])
    under = window.mask(window.ellipse(0.5, below + 0.016, mouth.half * 0.55, 0.006), 0.024)
    window.shade(under, SHADOW, 0.55)
    ink = np.array((0.80, 0.30, 0.32), np.float32) * (0.55 + 0.45 * float(canvas.skin.mean()))
    lips = canvas.skin * np.array((0.90, 0.66, 0.64), np.float32)
    lips = lips + 0.55 * one.lip_colour * (ink - lips)
    window.fill(
        window.mask(window.band(mouth.upper, mouth.lower, left, right)), canvas.lit(lips, window)
    )
    upper = window.band(mouth.upper, mouth.top, left, right)
    window.shade(window.mask(upper), (0.86, 0.80, 0.80))
    gloss = window.ellipse(0.5, below - 0.45 * mouth.lower_lip, mouth.half * 0.4, 0.003)
    window.fill(window.mask(gloss, 0.010), (1.0, 0.92, 0.9), 0.28)
    if mouth.gap > 0.0:
        _inside(window, mouth, pose, left, right)
    seam = window.band(
        lambda t: mouth.top(t) - 0.002, lambda t: mouth.top(t) + 0.003, left - 0.006, right + 0.006
    )
    window.shade(window.mask(seam, 0.006), (0.45, 0.28, 0.28), 0.9)
    for x in (left, right):
        dimple = window.mask(window.ellipse(x, mouth.corner, 0.007, 0.007), 0.014)
        window.shade(dimple, SHADOW, 0.8)


def _inside(window: Window, mouth: Mouth, pose: Pose, left: float, right: float) -> None:
    """The cavity of an open mouth with tongue and teeth."""
    opening = window.mask(window.band(mouth.top, mouth.bottom, left, right))
    window.fill(opening, (0.30, 0.08, 0.09))
    floor = mouth.middle + 0.4 * mouth.curve + (1.0 - mouth.share) * mouth.gap
    tongue = window.ellipse(0.5, floor + 0.002, mouth.half * 0.62, 0.32 * mouth.gap + 1e-4)
    window.fill(opening * window.mask(tongue, 0.012), (0.78, 0.38, 0.38))
    teeth = np.zeros_like(opening)
    top, bottom = mouth.top(window.x), mouth.bottom(window.x)
    # Teeth grow with the opening, in the proportion that the full expression shows.
    if pose.teeth_upper > 0.0:
        teeth = window.mask(top + pose.teeth_upper * (bottom - top) - window.y)
    if pose.teeth_lower > 0.0:
        teeth = np.maximum(
            teeth, window.mask(window.y - bottom + pose.teeth_lower * (bottom - top))
        )
    window.fill(opening * teeth, (0.965, 0.95, 0.925))
    gaps = np.abs(np.sin((window.x - CENTRE) * (math.pi / 0.026)))
    window.shade(opening * teeth * np.clip(1.0 - 5.0 * gaps, 0.0, 1.0), (0.85, 0.82, 0.8), 0.5)
    clench = max(0.0, pose.teeth_upper + pose.teeth_lower - 0.75) * 4.0
    if clench > 0.0:  # the line where clenched teeth meet
        meet = top + 0.5 * (bottom - top) - window.y
        line = window.mask(0.0015 - np.abs(meet), 0.004)
        window.shade(opening * line, (0.6, 0.5, 0.5), min(1.0, clench))
    window.shade(opening * window.mask(top + 0.006 - window.y, 0.014), (0.55, 0.45, 0.45), 0.7)


def nose_tip(identity: Identity, pose: Pose) -> float:
    return identity.nose_height - 0.010 * pose.wrinkle
