// A provider of identities that others wrote and many use (`oidc-provider`), with people of a test's.
//
//   node oidc_provider.mjs PORT
//
// Prints its issuer, then reads one line of JSON: {clients, accounts, inToken, consented}. `clients`: as its configuration has them;
// `accounts`: claims by login, any password is right; `inToken`: claims stand in the identity token and not only at the userinfo
// address; `consented`: people are not asked whether they agree. It ends with its input.
import {createServer} from 'node:http'
import {createInterface} from 'node:readline'
import {exportJWK, generateKeyPair} from 'jose'
import {Provider} from 'oidc-provider'

const lines = createInterface({input: process.stdin})
lines.on('close', () => process.exit())
let handle
const server = createServer((request, response) => handle(request, response))
await new Promise((listening) => server.listen(Number(process.argv[2]), '127.0.0.1', listening))
const issuer = `http://127.0.0.1:${server.address().port}`
process.stdout.write(`${issuer}\n`)
const [line] = await new Promise((read) => lines.once('line', (text) => read([text])))
const {clients, accounts, inToken, consented} = JSON.parse(line)

const keys = await Promise.all(
  [['RS256'], ['PS256'], ['ES256'], ['EdDSA', {crv: 'Ed25519'}]].map(async ([alg, options]) => {
    const {privateKey} = await generateKeyPair(alg, {extractable: true, ...options})
    return {...(await exportJWK(privateKey)), alg, use: 'sig', kid: `${alg}-${Math.random()}`}
  }),
)
const names = ['preferred_username', 'groups', 'email', 'email_verified']
const provider = new Provider(issuer, {
  clients,
  jwks: {keys},
  claims: {openid: ['sub'], profile: names},
  conformIdTokenClaims: !inToken,
  enabledJWA: {idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA']},
  findAccount: (_, id) => accounts[id] && {accountId: id, claims: () => ({sub: id, ...accounts[id]})},
  pkce: {required: () => true},
  // Tests put the coordinator's clock forward.
  ttl: {IdToken: 24 * 3600},
  ...(consented && {
    loadExistingGrant: async ({oidc}) => {
      const grant = new oidc.provider.Grant({clientId: oidc.client.clientId, accountId: oidc.session.accountId})
      grant.addOIDCScope('openid profile email')
      await grant.save()
      return grant
    },
  }),
})
handle = provider.callback()
process.stdout.write('ready\n')
