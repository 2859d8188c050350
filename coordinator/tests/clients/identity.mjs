// What whoever is shown an identity token does, by an independent library: finds the issuer's keys by its discovery document, and
// verifies. Prints one JSON array with an object for each token: its header and claims, or the code of what is wrong with it.
// Arguments: a folder (unused), a JSON object {issuer, audience, tokens}.
import {createRemoteJWKSet, jwtVerify} from 'jose'

const {issuer, audience, tokens} = JSON.parse(process.argv[3])
const discovery = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
if (discovery.issuer !== issuer) throw new Error(`the document is of ${discovery.issuer}`)
const keys = createRemoteJWKSet(new URL(discovery.jwks_uri))
const algorithms = discovery.id_token_signing_alg_values_supported
const verified = []
for (const token of tokens) {
  try {
    const {protectedHeader, payload} = await jwtVerify(token, keys, {issuer, audience, algorithms})
    verified.push({header: protectedHeader, claims: payload})
  } catch (error) {
    verified.push({wrong: error.code})
  }
}
process.stdout.write(`\n::answer::${JSON.stringify(verified)}\n`)
