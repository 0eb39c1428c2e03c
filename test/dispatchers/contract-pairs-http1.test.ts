// 45, 47 and 48 for every ordered pair of layers.
import { testPairs } from '../contract/pairs.ts'

testPairs('1.1')
