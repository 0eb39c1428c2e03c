/** One place at which two observations are not the same. */
export interface Unlike {
  /** Where in the observation, such as `requests.0.headers.3.1`. */
  readonly path: string
  readonly reference: unknown
  readonly ours: unknown
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

/** Every place at which two values of JSON differ. Arrays of different lengths differ as a whole. */
export function compare(reference: unknown, ours: unknown, path = ''): Unlike[] {
  if (Object.is(reference, ours)) return []
  if (!isObject(reference) || !isObject(ours) || Array.isArray(reference) !== Array.isArray(ours)) {
    return [{ path, reference, ours }]
  }
  if (Array.isArray(reference) && reference.length !== (ours as unknown as unknown[]).length) {
    return [{ path, reference, ours }]
  }
  const keys = new Set([...Object.keys(reference), ...Object.keys(ours)])
  return [...keys].flatMap((key) => compare(reference[key], ours[key], path === '' ? key : `${path}.${key}`))
}
