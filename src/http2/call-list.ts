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

  /** Puts a call before all others: it has waited before. */
  addFirst(call: Http2Call): void {
    call.list = this
    call.next = this.first
    call.prev = null
    if (this.first === null) this.last = call
    else this.first.prev = call
    this.first = call
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
