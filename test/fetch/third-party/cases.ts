import { connectCases } from './connect.ts'
import { kyCases } from './ky.ts'
import { mswCases } from './msw.ts'
import { openaiCases } from './openai.ts'
import type { Case } from './world.ts'

export const cases: readonly Case[] = [...kyCases, ...openaiCases, ...connectCases, ...mswCases]
