import { channel } from 'node:diagnostics_channel'

// undici's own channels, so that what listens to undici (OpenTelemetry's instrumentation-undici) hears of these calls too.
export const channels = {
  create: channel('undici:request:create'),
  bodyChunkSent: channel('undici:request:bodyChunkSent'),
  bodySent: channel('undici:request:bodySent'),
  headers: channel('undici:request:headers'),
  bodyChunkReceived: channel('undici:request:bodyChunkReceived'),
  trailers: channel('undici:request:trailers'),
  error: channel('undici:request:error'),
  sendHeaders: channel('undici:client:sendHeaders'),
} as const
