// What a workflow does with the cache, by the real client: save, save again, restore by key and by prefix, miss.
// Prints one JSON object. Arguments: a folder of its own, how many MiB.
import * as crypto from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import * as cache from '@actions/cache'

const [folder, mebibytes] = process.argv.slice(2)
process.chdir(folder)
const file = path.join('data', 'random')
fs.mkdirSync('data', {recursive: true})
const out = fs.openSync(file, 'w')
const written = crypto.createHash('sha256')
for (let i = 0; i < Number(mebibytes); i++) {
  const piece = crypto.randomBytes(1 << 20)
  written.update(piece)
  fs.writeSync(out, piece)
}
fs.closeSync(out)
const expected = written.digest('hex')

const same = () => {
  const found = fs.existsSync(file)
    ? crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex')
    : 'nothing'
  fs.rmSync('data', {recursive: true, force: true})
  return found === expected
}

const answer = {available: cache.isFeatureAvailable()}
const key = `deps-${process.platform}-1`
answer.saved = (await cache.saveCache(['data'], key)) > 0
answer.savedAgain = await cache.saveCache(['data'], key)
fs.rmSync('data', {recursive: true})
answer.hit = await cache.restoreCache(['data'], key)
answer.hitSame = same()
answer.prefix = await cache.restoreCache(['data'], 'deps-other-2', ['none-', 'deps-'])
answer.prefixSame = same()
answer.miss = (await cache.restoreCache(['data'], 'tools-1', ['tool'])) ?? null
answer.otherPaths = (await cache.restoreCache(['other'], key)) ?? null
answer.found = (await cache.restoreCache(['data'], key, [], {lookupOnly: true})) ?? null
process.stdout.write(`\n::answer::${JSON.stringify(answer)}\n`)
