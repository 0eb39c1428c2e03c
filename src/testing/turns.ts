import { setImmediate as turn } from 'node:timers/promises'

/**
 * Lets callers in this process read what was sent so far, or that their connections are gone. What they do not read
 * before the next thing happens, they see together with it: to libuv a reset behind unread bytes is a plain end.
 */
export async function callersRead(): Promise<void> {
  for (let turns = 0; turns < 4; turns++) await turn()
}
