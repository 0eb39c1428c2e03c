import { expect, it } from 'vitest'
import { defaultsPage, withDefaults } from './defaults.ts'
import { read } from './files.ts'

it('the table of defaults is made from the constants (npm run api writes it)', () => {
  const page = read(defaultsPage)
  expect(page).toBe(withDefaults(page))
})
