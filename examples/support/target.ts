import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { type Script, startServer } from 'roundtripper/testing'

/** What an example calls. */
export interface Target {
  readonly url: string
  close(): Promise<void>
}

/**
 * The URL given on the command line, or else one at a little HTTPS server of this process, which answers as `respond`
 * says and whose certificate this process trusts.
 */
export async function target(respond: Script): Promise<Target> {
  const given = process.argv[2]
  if (given !== undefined) {
    if (!/^https?:/.test(given) || !URL.canParse(given)) {
      console.error(`The URL must be like https://example.com/, got ${given}`)
      process.exit(1)
    }
    return { url: given, close: async () => {} }
  }
  const server = await startServer({ respond })
  setDefaultCACertificates([...getCACertificates(), server.ca!])
  return { url: server.url('/users'), close: () => server.close() }
}
