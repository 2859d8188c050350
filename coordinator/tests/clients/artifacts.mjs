// What a workflow does with artifacts, by the real client: upload, again, list, find, download, delete.
// Prints one JSON object. Arguments: a folder of its own, how many MiB.
import * as crypto from 'node:crypto'
import * as fs from 'node:fs'
import * as path from 'node:path'
import {DefaultArtifactClient} from '@actions/artifact'

const [folder, mebibytes] = process.argv.slice(2)
process.chdir(folder)
fs.mkdirSync('dist', {recursive: true})
const pieces = Array.from({length: Number(mebibytes)}, () => crypto.randomBytes(1 << 20))
fs.writeFileSync('dist/binary', Buffer.concat(pieces))
fs.writeFileSync('dist/note.txt', 'a note')
const sha256 = file => crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex')

const client = new DefaultArtifactClient()
const files = ['dist/binary', 'dist/note.txt'].map(file => path.resolve(file))
const refused = async work => {
  try {
    await work()
    return 'done'
  } catch (error) {
    return error.message
  }
}

const answer = {}
const upload = await client.uploadArtifact('dist', files, path.resolve('dist'), {compressionLevel: 0, retentionDays: 3})
answer.digest = upload.digest
answer.again = await refused(() => client.uploadArtifact('dist', files, path.resolve('dist')))
fs.writeFileSync('report.html', '<p>größe</p>')
const report = await client.uploadArtifact('', [path.resolve('report.html')], path.resolve('.'), {skipArchive: true})
answer.listed = (await client.listArtifacts()).artifacts.map(({name, size, digest}) => ({name, size, digest}))
answer.uploadSize = upload.size
const found = (await client.getArtifact('dist')).artifact
answer.sameId = found.id === upload.id
const {digestMismatch} = await client.downloadArtifact(found.id, {path: 'down', expectedHash: found.digest})
answer.digestMismatch = digestMismatch
answer.same = sha256('down/binary') === sha256('dist/binary') && fs.readFileSync('down/note.txt', 'utf8') === 'a note'
await client.downloadArtifact(report.id, {path: 'plain'})
answer.plain = fs.readFileSync('plain/report.html', 'utf8')
answer.deleted = (await client.deleteArtifact('dist')).id === upload.id
answer.missing = await refused(() => client.getArtifact('dist'))
answer.left = (await client.listArtifacts()).artifacts.map(({name}) => name)
// Overwriting is deleting and uploading.
const other = await client.uploadArtifact('dist', [files[1]], path.resolve('dist'))
answer.newId = other.id > upload.id
process.stdout.write(`\n::answer::${JSON.stringify(answer)}\n`)
