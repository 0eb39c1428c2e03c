import { show } from '../policies/options.ts'
import type { Expanded } from './environment.ts'
import type { Hide } from './explain.ts'
import { keyOf, type Path } from './path.ts'
import { isSecret } from './schema-walk.ts'

const hidden = 'what is not shown, as it may be a secret'

function valueAt(root: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (value as Record<string | number, unknown> | undefined)?.[step], root)
}

/** Takes what the environment said, and secrets, out of messages that others wrote. */
export function hideIn({ value: root, templates }: Expanded): Hide {
  const known = [...templates].map(([key, template]) => [valueAt(root, JSON.parse(key)), template] as const)
  return (message, path) => {
    const template = templates.get(keyOf(path))
    const instead = template === undefined ? (isSecret(path) ? hidden : null) : `the value of ${show(template)}`
    let told = instead === null ? message : message.replace(/, got .*$/s, () => `, got ${instead}`)
    for (const [value, variable] of known) {
      // What is short may stand in any message.
      if (typeof value === 'string' && value.length > 3) told = told.replaceAll(value, () => variable)
    }
    return told
  }
}
