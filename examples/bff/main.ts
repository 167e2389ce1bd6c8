import { parseArgs } from 'node:util'
import { startDemo } from './demo.ts'

const first = Number(process.env.PORT ?? 3000)
const ports = { app: first, identityProvider: first + 1, api: first + 2 }

try {
  if (!Number.isInteger(first) || first < 1 || first > 65_533) {
    throw new Error(`PORT is ${process.env.PORT}, and must be a number between 1 and 65533`)
  }
  const { values: { processes = '1', redis } } = parseArgs({ options: { processes: { type: 'string' }, redis: { type: 'string' } } })
  if (!/^[1-9]\d?$/.test(processes)) throw new Error(`--processes is ${processes}, and must be a number from 1 to 99`)
  if (processes !== '1' && redis === undefined) throw new Error('Several processes agree by a Redis: npm start -- --processes 3 --redis redis://127.0.0.1:6379')
  const demo = await startDemo({ ports, ...(redis !== undefined && { cluster: { processes: Number(processes), redis } }) })
  // Ctrl-C reaches this process more than once: from the terminal, from npm and from tsx.
  let ending: Promise<void> | undefined
  for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => {
      ending ??= demo.close()
    })
  }

  say(`
  The demo is at   ${demo.address}

  Log in with any username and any password.
  Identity provider on port ${ports.identityProvider}, API on port ${ports.api}. Ctrl-C ends all three.
`)
} catch (error) {
  process.exitCode = 1
  say(explain(error))
}

function explain (error: unknown): string {
  if (error instanceof Error && 'code' in error && error.code === 'EADDRINUSE' && 'port' in error) {
    return `Port ${error.port} is taken. The demo needs ${ports.app}, ${ports.identityProvider} and ${ports.api}; start it on others: PORT=4000 npm start`
  }
  return error instanceof Error ? `The demo did not start: ${error.message}` : String(error)
}

function say (text: string): void {
  process.stdout.write(`${text}\n`)
}
