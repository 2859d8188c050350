// One half of a round trip, by the real clients; the built-in actions do the other. Prints one JSON object.
// Arguments: a folder of its own, which half.
import * as fs from 'node:fs'
import * as path from 'node:path'
import * as cache from '@actions/cache'
import {DefaultArtifactClient} from '@actions/artifact'

const [folder, half] = process.argv.slice(2)
process.chdir(folder)
process.env.HOME = path.resolve('../home')
const artifacts = new DefaultArtifactClient()

const halves = {
  'cache-save': async () => cache.saveCache(['data', '~/.tool'], 'by-client'),
  'cache-save-gzip': async () => {
    // An image without zstd.
    fs.mkdirSync('../bin', {recursive: true})
    for (const tool of ['tar', 'gzip', 'sh']) {
      const found = process.env.PATH.split(':').map(place => path.join(place, tool)).find(fs.existsSync)
      fs.symlinkSync(found, path.join('../bin', tool))
    }
    process.env.PATH = path.resolve('../bin')
    return cache.saveCache(['data', '~/.tool'], 'by-gzip')
  },
  'cache-restore': async () => cache.restoreCache(['data', '~/.tool'], 'by-us'),
  'artifact-upload': async () => {
    const files = ['data/blob', 'data/deep/größe', 'data/empty'].map(file => path.resolve(file))
    return (await artifacts.uploadArtifact('by-client', files, path.resolve('.'))).id
  },
  'artifact-download': async () => {
    const done = []
    for (const name of ['by-us', 'stored', 'blob']) {
      const {artifact} = await artifacts.getArtifact(name)
      const {digestMismatch} = await artifacts.downloadArtifact(artifact.id, {
        path: `down-${name}`,
        expectedHash: artifact.digest
      })
      done.push(digestMismatch)
    }
    return done
  }
}
process.stdout.write(`\n::answer::${JSON.stringify({done: await halves[half]()})}\n`)
