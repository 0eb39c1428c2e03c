// 45, 47 and 48 for every layer with each of undici's own interceptors.
import { testNeighbours } from '../contract/neighbours.ts'

testNeighbours('2')
