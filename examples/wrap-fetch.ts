// The program's global fetch, made resilient: `npm run example -- wrap-fetch [URL]`.
import { protocolOf } from 'roundtripper'
import { target } from './support/target.ts'

// The first answer is a 503, which the caller never sees.
const { url, close } = await target([503, { body: '[{"name":"Ada"}]' }])

// #region wrap-fetch
import { installFetch } from 'roundtripper'

const uninstall = installFetch() // the standard chain over an HTTP/2 pool
const response = await fetch(url)
// #endregion

console.log(`${response.status} over HTTP/${protocolOf(response)}: ${(await response.text()).slice(0, 200)}`)
uninstall()
await close()
