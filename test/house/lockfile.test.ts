import { expect, it } from 'vitest'
import { read } from './files.ts'

interface Locked {
  readonly version?: string
  readonly resolved?: string
  readonly integrity?: string
  readonly dependencies?: Record<string, string>
  readonly optionalDependencies?: Record<string, string>
}

const lock = JSON.parse(read('package-lock.json')) as {
  readonly lockfileVersion: number
  readonly packages: Record<string, Locked>
}
const installed = Object.entries(lock.packages).filter(([path]) => path !== '')

it('the lockfile holds no download address', () => {
  expect(installed.length).toBeGreaterThan(0)
  expect(installed.filter(([, { resolved }]) => resolved !== undefined)).toEqual([])
  expect(read('package-lock.json')).not.toMatch(/https?:\/\/[^"]*\.tgz/)
})

it('the lockfile pins every package by version and checksum', () => {
  expect(lock.lockfileVersion).toBe(3)
  expect(installed.filter(([, { version, integrity }]) => !version || !integrity?.startsWith('sha512-'))).toEqual([])
})

// npm leaves out of the lockfile, without a word, an optional package that the registry does not have, and `npm ci` then
// refuses the lockfile.
it('the lockfile holds everything that its packages depend on', () => {
  const missing = Object.entries(lock.packages).flatMap(([path, { dependencies, optionalDependencies }]) =>
    Object.keys({ ...dependencies, ...optionalDependencies })
      .filter((name) => !isFoundFrom(path, name))
      .map((name) => `${path} depends on ${name}`),
  )
  expect(missing).toEqual([])
})

/** Looks a package up as Node does: in the node_modules of the place itself, then of every place above. */
function isFoundFrom(path: string, name: string): boolean {
  for (let place = path; ; place = place.slice(0, Math.max(0, place.lastIndexOf('/node_modules/')))) {
    const folder = place === '' ? 'node_modules' : `${place}/node_modules`
    if (`${folder}/${name}` in lock.packages) return true
    if (place === '') return false
  }
}

it('.npmrc keeps addresses out of the lockfile and ranges out of package.json, and names no registry', () => {
  const lines = read('.npmrc').trim().split('\n')
  expect(lines).toContain('omit-lockfile-registry-resolved=true')
  expect(lines).toContain('save-exact=true')
  expect(lines.filter((line) => /registry=|\/\/|_auth|token/i.test(line))).toEqual([])
})
