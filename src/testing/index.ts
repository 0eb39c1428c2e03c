export { type Blackhole, type BlackholeOptions, startBlackhole } from './blackhole.ts'
export { type Certificate, type CertificateOptions, devCertificate } from './certificate.ts'
export { type Gate, gate } from './gate.ts'
export type { Protocol } from './listener.ts'
export { type SeededRandom, seededRandom } from './random.ts'
export type { RecordedRequest, RequestEnd } from './recorded-request.ts'
export { type ConnectionCounts, type ScriptMap, type ServerOptions, startServer, type TestServer } from './server.ts'
export type {
  Body,
  BodyPart,
  EarlyResponse,
  Echo,
  FaultPoint,
  GoAway,
  HeaderValues,
  Script,
  ScriptOptions,
  Step,
  StepFunction,
  StepOptions,
} from './step.ts'
