/** The way to a value: names of options and places in lists. */
export type Path = readonly (string | number)[]

const plainName = /^[A-Za-z_$][\w$-]*$/
const longestName = 80

/** A path as an error tells it: `upstreams.users.hosts[0]`. */
export function textOf(path: Path): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (plainName.test(step) && step.length <= longestName) text += text === '' ? step : `.${step}`
    else text += `[${JSON.stringify(step.length > longestName ? `${step.slice(0, longestName)}...` : step)}]`
  }
  return text
}

/** The same for every path that is equal. */
export function keyOf(path: Path): string {
  return JSON.stringify(path)
}
