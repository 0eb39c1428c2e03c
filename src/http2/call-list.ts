import type { Http2Call } from './call.ts'

/** Calls in the order they came; the links lie in the calls, so that one leaves from the middle at once. */
export class CallList {
  first: Http2Call | null = null
  last: Http2Call | null = null
  length = 0

  add(call: Http2Call): void {
    call.list = this
    call.prev = this.last
    call.next = null
    if (this.last === null) this.first = call
    else this.last.next = call
    this.last = call
    this.length++
  }

  /** Puts a call that has waited before where it belongs by its turn. */
  addInTurn(call: Http2Call): void {
    let next = this.first
    while (next !== null && next.turn < call.turn) next = next.next
    if (next === null) {
      this.add(call)
      return
    }
    const { prev } = next
    call.list = this
    call.next = next
    call.prev = prev
    next.prev = call
    if (prev === null) this.first = call
    else prev.next = call
    this.length++
  }

  remove(call: Http2Call): void {
    const { next, prev } = call
    if (prev === null) this.first = next
    else prev.next = next
    if (next === null) this.last = prev
    else next.prev = prev
    call.list = null
    call.next = null
    call.prev = null
    this.length--
  }
}
