import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

// As `npm start` does it: tsx finds the package's name in lib. Without what tap gives to every child by NODE_OPTIONS.
const demoNode = ['-u', 'NODE_OPTIONS', process.execPath, '--import', 'tsx']

/** What `npm start` runs. */
export function npmStart (port: number) {
  return spawn('env', [...demoNode, 'examples/bff/main.ts'], { env: { ...process.env, PORT: String(port) }, stdio: ['ignore', 'pipe', 'inherit'] })
}

/** What the identity provider has given out. */
export interface Granted { client: string, grant: string, accessToken: string, refreshToken: string }

export interface DemoOptions {
  accessTokenSeconds?: number
  cluster?: { processes: number, redis: string }
}

/** The demo in a process of its own, which tells what its identity provider gives out. */
export async function startDemo ({ accessTokenSeconds = 15, ...how }: DemoOptions = {}) {
  const ports = await freePorts()
  const program = `
    import { startDemo } from './examples/bff/demo.ts'
    const demo = await startDemo(${JSON.stringify({ ports, accessTokenSeconds, ...how })})
    demo.identityProvider.on('grant.success', ({ body, oidc }) => {
      process.send({ client: oidc.client.clientId, grant: oidc.params.grant_type, accessToken: body.access_token, refreshToken: body.refresh_token })
    })
    process.once('message', () => process.disconnect())
    process.once('disconnect', () => demo.close())
    process.send({ address: demo.address, issuer: demo.identityProvider.issuer })`
  const demo = spawn('env', [...demoNode, '--input-type=module', '--eval', program], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  const ended = once(demo, 'exit')
  const [{ address, issuer }] = await Promise.race([
    once(demo, 'message'),
    ended.then(([code]) => { throw new Error(`The demo did not start: exit code ${code}`) })
  ]) as [{ address: string, issuer: string }]
  const granted: Granted[] = []
  demo.on('message', (message) => granted.push(message as Granted))

  async function close (): Promise<Granted[]> {
    if (demo.connected) demo.send('close')
    await ended
    return granted
  }
  return { address, issuer, api: `http://127.0.0.1:${ports.api}`, granted, close }
}

/** Three ports in a row that nobody listens on; below the range from which other tests are given theirs. */
export async function freePorts (): Promise<{ app: number, identityProvider: number, api: number }> {
  for (;;) {
    const app = randomInt(20_000, 32_000)
    const servers = [app, app + 1, app + 2].map((port) => createServer().listen(port, '127.0.0.1'))
    const free = await Promise.all(servers.map((server) => once(server, 'listening'))).then(() => true, () => false)
    for (const server of servers) server.close()
    if (free) return { app, identityProvider: app + 1, api: app + 2 }
  }
}
