// Many inputs, a few at a time: `npm run example -- fetch-all [URL]`.
import { target } from './support/target.ts'

// Some answers take longer than others: results come in the order in which they are there.
const { url, close } = await target((request) => ({ echo: true, delay: (Number(request.path.at(-1)) % 3) * 20 }))
const urls = ['?page=1', '?page=2', '?page=3', '?page=4', '?page=5'].map((page) => url + page)

// #region fetch-all
import { compose, createAgent, createFetch, fetchAll, standard } from 'roundtripper'

const api = compose(createAgent(), standard())
const fetch = createFetch(api)

for await (const result of fetchAll(urls, { fetch, concurrency: 3 })) {
  if (result.status === 'rejected') console.error(result.input, result.error)
  else console.log(result.index, result.response.status, (await result.response.text()).length)
}
// #endregion

await api.close()
await close()
