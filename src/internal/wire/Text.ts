/** Text of a peer, for messages, logs and terminals. */

// Control characters, halves of surrogate pairs, line and paragraph separators, and what turns the direction of writing.
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/gu

/** The text with nothing in it that could forge another line or steer a terminal, and with at most `max` characters. */
export const printable = (text: string, max: number): string =>
  text.length <= max ? text.replace(UNPRINTABLE, "?") : `${text.slice(0, max - 1).replace(UNPRINTABLE, "?")}…`

/** The first few of a list of a peer, each cut short, and how many more there are. */
export const printableList = (texts: ReadonlyArray<string>, most = 4, max = 64): string => {
  const listed = texts
    .slice(0, most)
    .map((text) => printable(text, max))
    .join(", ")
  return texts.length <= most ? listed : `${listed} and ${texts.length - most} more`
}
