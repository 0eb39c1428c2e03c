function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09
}

/**
 * A text without the spaces and tabs around it (RFC 9110 §5.6.3, OWS). A loop: a regular expression for the end looks at a
 * long run of them within the text once for each, and whoever sends a header chooses how long it is.
 */
export function withoutOws(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && isBlank(text.charCodeAt(start))) start++
  while (end > start && isBlank(text.charCodeAt(end - 1))) end--
  return text.slice(start, end)
}
