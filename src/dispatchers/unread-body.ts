/** Milliseconds after which a body that nobody reads no longer holds a slot or a span. */
export const unreadBodyTimeout = 30_000

// Bounded: an origin that falls out is warned about again.
const warned = new Set<string>()
const mostOrigins = 1000

/** Tells once an origin that bodies are left unread: the slot is free again, the connection is not. */
export function warnBodyUnread(origin: string, timeout: number): void {
  if (warned.has(origin)) return
  if (warned.size >= mostOrigins) warned.clear()
  warned.add(origin)
  process.emitWarning(
    `A response body of ${origin} has not been read for ${timeout} ms. Its slot was freed, its connection is still ` +
      'held: read every body to its end, or cancel it (body.dump(), response.body.cancel()).',
    { type: 'RoundtripperWarning', code: 'ROUNDTRIPPER_BODY_UNREAD' },
  )
}
