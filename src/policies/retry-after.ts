const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const shortDay = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)'
const longDay = '(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)'
const month = `(?<month>${months.join('|')})`
const time = '(?<hour>[01]\\d|2[0-3]):(?<minute>[0-5]\\d):(?<second>[0-5]\\d|60)'

// The three formats of RFC 9110 §5.6.7, the last two obsolete but to be understood.
const httpDates = [
  new RegExp(`^${shortDay}, (?<day>\\d\\d) ${month} (?<year>\\d{4}) ${time} GMT$`),
  new RegExp(`^${longDay}, (?<day>\\d\\d)-${month}-(?<year>\\d\\d) ${time} GMT$`),
  new RegExp(`^${shortDay} ${month} (?<day>\\d\\d| \\d) ${time} (?<year>\\d{4})$`),
]

const longestValue = 64

/**
 * Reads a `Retry-After` field: seconds, or an HTTP date (RFC 9110 §10.2.3).
 *
 * @param value the field as received; of several, the one that asks for the longest wait counts
 * @param nowMs the time now, in milliseconds since 1970
 * @returns milliseconds to wait, 0 for a date that is past, `undefined` for anything that is neither form
 */
export function parseRetryAfter(value: string | readonly string[] | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  if (typeof value === 'string') return parseOne(value, nowMs)
  let longest: number | undefined
  for (const one of value) {
    const delay = parseOne(one, nowMs)
    if (delay !== undefined && (longest === undefined || delay > longest)) longest = delay
  }
  return longest
}

const int32 = /^(?:0|-?[1-9]\d{0,9})$/

/**
 * Reads gRPC's `grpc-retry-pushback-ms` (proposal A6, "Pushback").
 *
 * @param value the field as received
 * @returns milliseconds after which the server wants to be asked again; -1 if it wants no other attempt, which is also
 * what a value that cannot be read, or more than one of them, means; `undefined` where there is none
 */
export function parsePushback(value: string | readonly string[] | undefined): number | undefined {
  if (value === undefined) return undefined
  if (typeof value !== 'string' || !int32.test(value)) return -1
  const asked = Number(value)
  return asked < 0 || asked > 2 ** 31 - 1 ? -1 : asked
}

function parseOne(value: string, nowMs: number): number | undefined {
  if (value.length > longestValue) return undefined
  const text = value.replace(/^[ \t]+|[ \t]+$/g, '')
  if (/^\d+$/.test(text)) return Number(text) * 1000
  for (const format of httpDates) {
    const fields = format.exec(text)?.groups
    if (fields === undefined) continue
    const at = epochOf(fields, nowMs)
    return at === undefined ? undefined : Math.max(0, at - nowMs)
  }
  return undefined
}

function epochOf(fields: Record<string, string | undefined>, nowMs: number): number | undefined {
  const year = String(fields.year)
  if (year.length === 4) return epochOfYear(fields, Number(year))
  // Two digits: a date that seems more than 50 years ahead is one of the past (RFC 9110 §5.6.7).
  const latest = new Date(nowMs)
  latest.setUTCFullYear(latest.getUTCFullYear() + 50)
  const lastCentury = latest.getUTCFullYear() - (latest.getUTCFullYear() % 100)
  const at = epochOfYear(fields, lastCentury + Number(year))
  if (at !== undefined && at <= latest.getTime()) return at
  return epochOfYear(fields, lastCentury - 100 + Number(year))
}

/** `undefined` for days that the month does not have. */
function epochOfYear(fields: Record<string, string | undefined>, year: number): number | undefined {
  const date = new Date(0)
  const monthIndex = months.indexOf(String(fields.month))
  date.setUTCFullYear(year, monthIndex, Number(fields.day))
  if (date.getUTCMonth() !== monthIndex) return undefined
  return date.setUTCHours(Number(fields.hour), Number(fields.minute), Number(fields.second))
}
