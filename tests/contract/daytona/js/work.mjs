import assert from 'node:assert/strict'
import { Daytona, DaytonaNotFoundError } from '@daytonaio/sdk'

const daytona = new Daytona()
const refused = async (status, act) => {
  await assert.rejects(act, (error) => {
    assert.equal(error.statusCode ?? error.status ?? error.response?.status, status, String(error))
    return true
  })
}

const sandbox = await daytona.create({
  snapshot: 'plain',
  name: 'from-js',
  language: 'javascript',
  envVars: { GREETING: 'hallo' },
  labels: { team: 'core' },
  autoStopInterval: 20,
})
assert.equal(sandbox.state, 'started')
assert.equal(sandbox.autoStopInterval, 20)
assert.equal((await daytona.get('from-js')).id, sandbox.id)
const found = []
for await (const one of daytona.list({ labels: { team: 'core' } })) found.push(one.id)
assert.deepEqual(found, [sandbox.id])
assert.deepEqual(await sandbox.setLabels({ team: 'edge' }), { team: 'edge' })
await refused(404, () => daytona.get('ws-aaaaaaaaaaaaaaaa'))
await refused(501, () => daytona.create({ snapshot: 'plain', networkAllowList: '10.0.0.0/8' }))

const ran = await sandbox.process.executeCommand('echo $GREETING; exit 3')
assert.deepEqual([ran.exitCode, ran.result], [3, 'hallo\n'])
const code = await sandbox.process.codeRun('console.log(process.argv.slice(2).join(), 6 * 7)', { argv: ['a'] })
assert.deepEqual([code.exitCode, code.result], [0, 'a 42\n'])

await sandbox.process.createSession('js')
const one = await sandbox.process.executeSessionCommand('js', { command: 'cd /tmp; echo out; echo err >&2' })
assert.deepEqual([one.exitCode, one.stdout, one.stderr], [0, 'out\n', 'err\n'])
const two = await sandbox.process.executeSessionCommand('js', {
  command: 'pwd; read line; echo got $line',
  runAsync: true,
})
let out = ''
const following = sandbox.process.getSessionCommandLogs(
  'js', two.cmdId, (piece) => { out += piece }, () => {},
)
await sandbox.process.sendSessionCommandInput('js', two.cmdId, 'it\n')
await following
assert.equal(out, '/tmp\ngot it\n')
assert.equal((await sandbox.process.getSessionCommandLogs('js', two.cmdId)).stdout, '/tmp\ngot it\n')
assert.equal((await sandbox.process.getSession('js')).commands.length, 2)
await sandbox.process.deleteSession('js')

const home = await sandbox.getWorkDir()
await sandbox.fs.createFolder(`${home}/src`, '755')
const big = Buffer.alloc(1 << 20, 'x')
await sandbox.fs.uploadFiles([
  { source: Buffer.from('hello'), destination: `${home}/src/a.txt` },
  { source: big, destination: `${home}/src/big` },
])
assert.equal((await sandbox.fs.downloadFile(`${home}/src/a.txt`)).toString(), 'hello')
const many = await sandbox.fs.downloadFiles([
  { source: `${home}/src/big` },
  { source: `${home}/src/none` },
])
assert.equal(Buffer.from(many[0].result).length, big.length)
assert.ok(many[1].error)
assert.deepEqual((await sandbox.fs.listFiles(`${home}/src`)).map((f) => f.name).sort(), ['a.txt', 'big'])
assert.equal((await sandbox.fs.findFiles(`${home}/src`, 'hell'))[0].line, 1)
assert.deepEqual((await sandbox.fs.searchFiles(home, '*.txt')).files, [`${home}/src/a.txt`])
await sandbox.fs.replaceInFiles([`${home}/src/a.txt`], 'hello', 'bye')
await sandbox.fs.setFilePermissions(`${home}/src/a.txt`, { mode: '600' })
assert.equal((await sandbox.fs.getFileDetails(`${home}/src/a.txt`)).permissions, '0600')
await sandbox.fs.moveFiles(`${home}/src/a.txt`, `${home}/src/b.txt`)
await sandbox.fs.deleteFile(`${home}/src/b.txt`)
await refused(404, () => sandbox.fs.getFileDetails(`${home}/src/b.txt`))

const repo = `${home}/repo`
await sandbox.process.executeCommand(`git init -q -b main ${repo}`)
await sandbox.fs.uploadFile(Buffer.from('x'), `${repo}/x`)
await sandbox.git.add(repo, ['x'])
assert.equal((await sandbox.git.commit(repo, 'First', 'A', 'a@example.com')).sha.length, 40)
await sandbox.git.createBranch(repo, 'next')
await sandbox.git.checkoutBranch(repo, 'next')
assert.equal((await sandbox.git.status(repo)).currentBranch, 'next')

let seen = ''
const pty = await sandbox.process.createPty({
  id: 'js', cols: 90, rows: 20, onData: (data) => { seen += Buffer.from(data).toString() },
})
await pty.waitForConnection()
await pty.resize(100, 30)
await pty.sendInput('stty size; exit 5\n')
assert.equal((await pty.wait()).exitCode, 5)
assert.match(seen, /30 100/)
await pty.disconnect()

await sandbox.stop()
assert.equal(sandbox.state, 'stopped')
await sandbox.start()
await sandbox.delete()
assert.ok(DaytonaNotFoundError)
process.exit(0)
