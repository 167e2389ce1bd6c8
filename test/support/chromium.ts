import { existsSync } from 'node:fs'
import { type Browser, chromium } from 'playwright-core'

const executablePath = '/usr/bin/chromium'

/** What tap shows of tests that need it, and `false` where it is there. */
export function whyNotChromium (): string | false {
  if (existsSync(executablePath)) return false
  const reason = `NOT TESTED: there is no ${executablePath}, so nobody has looked with a browser. apt-get install chromium`
  process.stderr.write(`\n*** ${reason}\n\n`)
  return reason
}

export async function startChromium (): Promise<Browser> {
  return await chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
  })
}
