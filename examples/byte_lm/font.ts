/**
 * A bitmap font for the printable ASCII characters: five columns, seven rows above the baseline
 * and two below it. A glyph is nine base-32 digits, one a row; the five bits of a digit are the
 * row's pixels from left to right.
 */

/** Columns from one letter to the next, the gap included. */
export const GLYPH_ADVANCE = 6;
/** Rows of a letter, descenders included. */
export const GLYPH_HEIGHT = 9;

/** The characters from the space (code 32) to the tilde (126). */
const ASCII_GLYPHS = `
  000000000 444440400 aaa000000 aavavaa00 4fke5u400 op248j300 cik8lid00 444000000
  248884200 842224800 04lel4000 044v44000 00000cc48 000e00000 00000cc00 01248g000
  ehjlphe00 4c4444e00 eh1248v00 v2421he00 26aiv2200 vgu11he00 68guhhe00 v12488800
  ehhehhe00 ehhf12c00 0cc0cc000 0cc00cc48 248g84200 00v0v0000 842124800 eh1240400
  eh1dlle00 ehhhvhh00 uhhuhhu00 ehggghe00 sihhhis00 vgguggv00 vgguggg00 ehgnhhf00
  hhhvhhh00 e44444e00 72222ic00 hikokih00 ggggggv00 hrllhhh00 hhpljhh00 ehhhhhe00
  uhhuggg00 ehhhlid00 uhhukih00 fgge11u00 v44444400 hhhhhhe00 hhhhha400 hhhllla00
  hha4ahh00 hhha44400 v1248gv00 e88888e00 0g8421000 e22222e00 4ah000000 0000000v0
  842000000 00e1fhf00 ggmphhu00 00ehghe00 11djhhf00 00ehvge00 698s88800 00fhhhf1e
  ggmphhh00 40c444e00 2062222ic ggikoki00 c44444e00 00qllll00 00mphhh00 00ehhhe00
  00uhhhugg 00fhhhf11 00mpggg00 00fge1u00 88s889600 00hhhjd00 00hhha400 00hhlla00
  00ha4ah00 00hhhhf1e 00v248v00 244844200 444444400 844244800 008l20000
`;

/** Signs beyond ASCII that the charts use: a visible line end, a visible space, dots and crosses. */
const OTHER_GLYPHS: readonly (readonly [string, string])[] = [
  ["\u21b5", "01159v840"],
  ["\u2423", "00000hv00"],
  ["\u00b7", "000400000"],
  ["\u00d7", "00ha4ah00"],
];

const MISSING = parseGlyph("vhhhhhv00");
const GLYPHS: ReadonlyMap<string, readonly number[]> = new Map([
  ...ASCII_GLYPHS.trim().split(/\s+/).map((digits, i): [string, number[]] => [
    String.fromCharCode(32 + i),
    parseGlyph(digits),
  ]),
  ...OTHER_GLYPHS.map((
    [sign, digits],
  ): [string, number[]] => [sign, parseGlyph(digits)]),
]);

/** The rows of a character; anything without a glyph is a hollow box. */
export function glyphRows(character: string): readonly number[] {
  return GLYPHS.get(character) ?? MISSING;
}

function parseGlyph(digits: string): number[] {
  return [...digits].map((digit) => parseInt(digit, 32));
}
