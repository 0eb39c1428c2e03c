import { it } from 'vitest'
import { cases } from './cases.ts'
import { turnsOf } from './world.ts'

it.each(turnsOf(cases))('$title', ({ play }) => play())
