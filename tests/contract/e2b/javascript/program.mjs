// The package `e2b` from npm, unmodified: each check prints one line of JSON.

import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import * as e2b from 'e2b'

const { Sandbox } = e2b
let made = []

async function sandbox(options = {}) {
  const { template = 'base', ...rest } = options
  const one = await Sandbox.create(template, { timeoutMs: 300_000, ...rest })
  made.push(one)
  return one
}

async function until(look, seconds = 15) {
  const end = Date.now() + seconds * 1000
  for (;;) {
    const found = await look()
    if (found) return found
    assert(Date.now() < end, 'it did not come about')
    await sleep(50)
  }
}

async function failure(promise, kind) {
  try {
    await promise
  } catch (error) {
    if (kind) assert(error instanceof kind, `${error.constructor.name}: ${error.message}`)
    return error
  }
  assert.fail('it did not fail')
}

async function every(paginator) {
  const found = []
  while (paginator.hasNext) found.push(...(await paginator.nextItems()))
  return found
}

const checks = {
  async 'create, look, end'() {
    const metadata = { team: 'core', 'any key ü': 'any "value"\n' }
    const one = await sandbox({ metadata })
    assert.equal(await one.isRunning(), true)
    const info = await one.getInfo()
    assert.deepEqual(info.metadata, metadata)
    assert.equal(info.state, 'running')
    assert(Math.abs(info.endAt - info.startedAt - 300_000) < 5000)
    assert.equal(await one.kill(), true)
    assert.equal(await one.isRunning(), false)
    assert.equal(await Sandbox.kill(one.sandboxId), false)
    await failure(Sandbox.getInfo(one.sandboxId), e2b.NotFoundError)
  },

  async 'list with filters and pages'() {
    const mark = `m${Math.random()}`
    const ids = []
    for (let n = 0; n < 3; n++) ids.unshift((await sandbox({ metadata: { mark } })).sandboxId)
    const query = { metadata: { mark } }
    const found = await every(Sandbox.list({ query, limit: 2 }))
    assert.deepEqual(found.map((s) => s.sandboxId), ids)
    await Sandbox.pause(ids[0])
    const paused = await every(Sandbox.list({ query: { ...query, state: ['paused'] } }))
    assert.deepEqual(paused.map((s) => s.sandboxId), [ids[0]])
  },

  async 'timeout and connect'() {
    const one = await sandbox()
    await one.setTimeout(1_200_000)
    let left = (await one.getInfo()).endAt - Date.now()
    assert(left > 1_180_000 && left <= 1_201_000, `${left}`)
    const other = await Sandbox.connect(one.sandboxId, { timeoutMs: 60_000 })
    await one.files.write('note', 'hello')
    assert.equal(await other.files.read('note'), 'hello')
    left = (await one.getInfo()).endAt - Date.now()
    assert(left > 1_100_000, 'connecting made its life shorter')
    await failure(Sandbox.connect('ws-aaaaaaaaaaaaaaaa'), e2b.NotFoundError)
  },

  async 'pause and resume'() {
    const one = await sandbox()
    const handle = await one.commands.run('sleep 60', { background: true })
    assert.equal(await one.pause(), true)
    assert.equal(await one.pause(), false)
    assert.equal((await one.getInfo()).state, 'paused')
    const same = await one.connect()
    assert((await same.commands.list()).some((p) => p.pid === handle.pid))
  },

  async 'snapshot and fork'() {
    const one = await sandbox()
    await one.files.write('state', 'as it was')
    const taken = await one.createSnapshot()
    await one.files.write('state', 'changed')
    const again = await sandbox({ template: taken.snapshotId })
    assert.equal(await again.files.read('state'), 'as it was')
    const listed = await every(Sandbox.listSnapshots({ sandboxId: one.sandboxId }))
    assert.deepEqual(listed.map((s) => s.snapshotId), [taken.snapshotId])
    assert.equal(await Sandbox.deleteSnapshot(taken.snapshotId), true)
    const forks = await one.fork({ count: 2 })
    made.push(...forks)
    for (const fork of forks) assert.equal(await fork.files.read('state'), 'changed')
  },

  async 'metrics'() {
    const [found] = await (await sandbox()).getMetrics()
    assert(found.cpuCount >= 1 && found.memTotal > 0)
  },

  async 'commands: output, callbacks, exit code'() {
    const one = await sandbox({ envs: { ONE: 'sandbox' } })
    const out = []
    const result = await one.commands.run('echo $ONE $TWO; pwd; echo err >&2', {
      envs: { TWO: 'command' }, cwd: '/tmp', onStdout: (text) => out.push(text),
    })
    assert.equal(result.stdout, 'sandbox command\n/tmp\n')
    assert.equal(result.stderr, 'err\n')
    assert.equal(out.join(''), result.stdout)
    const error = await failure(one.commands.run('echo so far; exit 3'), e2b.CommandExitError)
    assert.deepEqual([error.exitCode, error.stdout], [3, 'so far\n'])
    await failure(one.commands.run('sleep 30', { timeoutMs: 500 }), e2b.TimeoutError)
  },

  async 'commands: background, stdin, list, kill, connect'() {
    const one = await sandbox()
    const cat = await one.commands.run('cat; echo end', { background: true, stdin: true })
    await one.commands.sendStdin(cat.pid, 'line\n')
    await one.commands.closeStdin(cat.pid)
    assert.equal((await cat.wait()).stdout, 'line\nend\n')
    const slow = await one.commands.run('read go; echo late', { background: true, stdin: true })
    await slow.disconnect()
    const other = await Sandbox.connect(one.sandboxId)
    const again = await other.commands.connect(slow.pid)
    await other.commands.sendStdin(slow.pid, '\n')
    assert.equal((await again.wait()).stdout, 'late\n')
    const long = await one.commands.run('sleep 60', { background: true })
    assert((await one.commands.list()).some((p) => p.pid === long.pid))
    assert.equal(await one.commands.kill(long.pid), true)
    assert.equal(await one.commands.kill(long.pid), false)
  },

  async 'files'() {
    const one = await sandbox()
    await one.files.write('a/b.txt', 'Grüße')
    assert.equal(await one.files.read('a/b.txt'), 'Grüße')
    const data = new Uint8Array(1 << 20).map((_, n) => n % 251)
    await one.files.write('data', data.buffer)
    assert.deepEqual(await one.files.read('data', { format: 'bytes' }), data)
    const blob = await one.files.read('data', { format: 'blob' })
    assert.equal(blob.size, data.length)
    let size = 0
    for await (const piece of await one.files.read('data', { format: 'stream' })) size += piece.length
    assert.equal(size, data.length)
    await one.files.writeFiles([{ path: 'x/1', data: '1' }, { path: 'x/2', data: '2' }])
    assert.deepEqual((await one.files.list('x')).map((f) => f.name).sort(), ['1', '2'])
    assert.equal(await one.files.exists('x/1'), true)
    assert.equal(await one.files.exists('x/3'), false)
    assert.equal((await one.files.getInfo('x/1')).size, 1)
    assert.equal(await one.files.makeDir('y'), true)
    assert.equal(await one.files.makeDir('y'), false)
    await one.files.rename('x/1', 'y/1')
    await one.files.remove('x')
    assert.equal(await one.files.read('y/1'), '1')
    await failure(one.files.read('x/2'), e2b.NotFoundError)
  },

  async 'watch a directory'() {
    const one = await sandbox()
    await one.files.makeDir('seen')
    const events = []
    const handle = await one.files.watchDir('seen', (event) => events.push(event))
    await one.files.write('seen/new', '1')
    await until(() => events.some((e) => e.name === 'new' && e.type === 'create'))
    await handle.stop()
  },

  async 'signed URLs'() {
    const one = await sandbox()
    const up = await one.uploadUrl('up.txt', { useSignatureExpiration: 60 })
    const form = new FormData()
    form.append('file', new Blob(['from a form']), 'up.txt')
    assert.equal((await fetch(up, { method: 'POST', body: form })).status, 200)
    const down = await one.downloadUrl('up.txt')
    assert.equal(await (await fetch(down)).text(), 'from a form')
    assert.equal((await fetch(down.replace('up.txt', 'other'))).status, 401)
  },

  async 'terminal'() {
    const one = await sandbox()
    let said = ''
    const decoder = new TextDecoder()
    const terminal = await one.pty.create({
      cols: 80, rows: 24, onData: (data) => { said += decoder.decode(data) },
    })
    await one.pty.resize(terminal.pid, { cols: 132, rows: 50 })
    await one.pty.sendInput(terminal.pid, new TextEncoder().encode('stty size; exit\n'))
    await terminal.wait()
    assert.match(said, /50 132/)
  },

  async 'many at once'() {
    const one = await sandbox()
    const said = await Promise.all(
      Array.from({ length: 20 }, (_, n) => one.commands.run(`sleep 0.1; echo ${n}`)))
    assert.deepEqual(said.map((r) => r.stdout), said.map((_, n) => `${n}\n`))
  },

  async 'what is not enforced is refused by name'() {
    const error = await failure(Sandbox.create('base', { network: { allowOut: ['example.com'] } }))
    assert.match(error.message, /allowOut/)
  },

  async 'a wrong key'() {
    const apiKey = `alc_aaaaaaaaaaaaaaaa_${'A'.repeat(43)}`
    await failure(Sandbox.create('base', { apiKey }), e2b.AuthenticationError)
  },
}

for (const [name, check] of Object.entries(checks)) {
  let error = null
  try {
    await check()
  } catch (caught) {
    error = `${caught.stack}`
  }
  for (const one of made) await one.kill().catch(() => {})
  made = []
  console.log(JSON.stringify({ check: name, error }))
}
console.log(JSON.stringify({ check: 'all', count: Object.keys(checks).length, error: null }))
process.exit(0)
