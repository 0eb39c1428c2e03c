import { axiosCases } from './axios.ts'
import { capturedCases } from './captured.ts'
import { connectCases } from './connect.ts'
import { kyCases } from './ky.ts'
import { mockAgentCases } from './mock-agent.ts'
import { mswCases } from './msw.ts'
import { openaiCases } from './openai.ts'
import { patchCases } from './patches.ts'
import type { Case } from './world.ts'

export const cases: readonly Case[] = [
  ...kyCases,
  ...axiosCases,
  ...openaiCases,
  ...connectCases,
  ...mockAgentCases,
  ...capturedCases,
  ...patchCases,
  ...mswCases,
]
